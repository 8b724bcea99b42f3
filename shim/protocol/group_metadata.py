"""What ``consumer_group_metadata()`` returns and ``send_offsets_to_transaction()`` takes: opaque bytes. Pure."""

import struct
from typing import NamedTuple

_MAGIC = b"CGMDv2:"
_GENERATION = struct.Struct("<i")


class GroupMetadata(NamedTuple):
    """Who a consumer is in its group, at one moment.

    Attributes:
        group_id: ``group.id``.
        generation: the group's; -1 for no member.
        member_id: empty for no member.
        instance_id: ``group.instance.id``, or None.
    """

    group_id: str
    generation: int
    member_id: str
    instance_id: str | None

    def encode(self) -> bytes:
        """Returns the bytes, as librdkafka lays them out."""
        texts = f"{self.group_id}\0{self.member_id}\0".encode()
        instance = b"\1" if self.instance_id is None else b"\0" + self.instance_id.encode() + b"\0"
        return _MAGIC + _GENERATION.pack(self.generation) + texts + instance

    @classmethod
    def decode(cls, metadata: bytes) -> "GroupMetadata":
        """Reads such bytes.

        Raises:
            ValueError: they are something else.
        """
        start = len(_MAGIC) + _GENERATION.size
        fields = metadata[start:].split(b"\0", 2)
        if not metadata.startswith(_MAGIC) or len(fields) < 3 or fields[2][:1] not in {b"\0", b"\1"}:  # noqa: PLR2004
            raise ValueError("no consumer group metadata")
        group_id, member_id, instance = fields
        (generation,) = _GENERATION.unpack_from(metadata, len(_MAGIC))
        instance_id = instance[1:].removesuffix(b"\0").decode() if instance.startswith(b"\0") else None
        return cls(group_id.decode(), generation, member_id.decode(), instance_id)
