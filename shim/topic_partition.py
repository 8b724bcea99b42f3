"""A partition of a topic, and whatever is said about it: an offset, metadata, an error."""

from typing import Any

from shim.errors import KafkaError
from shim.protocol.integers import int32, int64


class TopicPartition:
    """A partition, and what a call says or answers about it.

    Equal, ordered and hashed by topic and partition alone. Comparing with anything else raises NotImplementedError,
    as the original does.

    Args:
        topic: its name.
        partition: its number.
        offset: a number, or one of ``OFFSET_BEGINNING``, ``OFFSET_END``, ``OFFSET_STORED``, ``OFFSET_INVALID``.
        metadata: what is committed beside the offset.
        leader_epoch: None is read where it is negative.
    """

    __slots__ = ("_error", "_leader_epoch", "_metadata", "_offset", "_partition", "_topic")

    def __init__(
        self,
        topic: str,
        partition: int = -1,
        offset: int = -1001,
        metadata: str | None = None,
        leader_epoch: int = -1,
    ) -> None:
        if not isinstance(topic, str):
            raise TypeError(f"argument 1 must be str, not {_kind(topic)}")
        if not isinstance(metadata, str | None):
            raise TypeError(f"argument 4 must be str, not {_kind(metadata)}")
        self._topic = topic
        self._partition = int32(partition)
        self._offset = int64(offset)
        self._metadata = metadata
        self._leader_epoch = int32(leader_epoch)
        self._error: KafkaError | None = None

    @classmethod
    def answered(
        cls,
        topic: str,
        partition: int,
        offset: int = -1001,
        metadata: str | None = None,
        leader_epoch: int = -1,
        error: KafkaError | None = None,
    ) -> "TopicPartition":
        """Returns one as a call answers it, its error included; only the clients can set that."""
        answer = cls(topic, partition, offset, metadata, leader_epoch)
        answer._error = error
        return answer

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._topic

    @property
    def partition(self) -> int:
        """The partition's number."""
        return self._partition

    @partition.setter
    def partition(self, partition: int) -> None:
        self._partition = int32(partition)

    @property
    def offset(self) -> int:
        """A number, or one of the four logical offsets, which are negative."""
        return self._offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offset = int64(offset)

    @property
    def metadata(self) -> str | None:
        """What is committed beside the offset."""
        return self._metadata

    @property
    def leader_epoch(self) -> int | None:
        """The epoch of the leader that gave the offset."""
        return self._leader_epoch if self._leader_epoch >= 0 else None

    @property
    def error(self) -> KafkaError | None:
        """What failed for this partition, in a call that asked for several."""
        return self._error

    def __repr__(self) -> str:
        place = f"topic={self._topic},partition={self._partition},offset={self._offset}"
        return f"TopicPartition{{{place},leader_epoch={self.leader_epoch},error={self._error}}}"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        place = (self._topic, self._partition, self._offset, self._metadata, self._leader_epoch, self._error)
        return type(self).answered, place

    def __hash__(self) -> int:
        return hash(self._topic) ^ self._partition

    def __eq__(self, other: object) -> bool:
        return self._place() == _place_of(other)

    def __lt__(self, other: "TopicPartition") -> bool:
        return self._place() < _place_of(other)

    def __le__(self, other: "TopicPartition") -> bool:
        return self._place() <= _place_of(other)

    def __gt__(self, other: "TopicPartition") -> bool:
        return self._place() > _place_of(other)

    def __ge__(self, other: "TopicPartition") -> bool:
        return self._place() >= _place_of(other)

    def _place(self) -> tuple[str, int]:
        return self._topic, self._partition


def _place_of(other: object) -> tuple[str, int]:
    if not isinstance(other, TopicPartition):
        raise NotImplementedError
    return other.topic, other.partition


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
