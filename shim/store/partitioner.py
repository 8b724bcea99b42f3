"""Which partition a key belongs to, exactly as librdkafka decides it: a key must stay where it was. Pure.

A partitioner is a property of the topic. ``None`` for an answer means that any partition is right: the caller picks
one, and does well to stay with it for a batch, as librdkafka's sticky partitioning does.
"""

import zlib
from collections.abc import Callable, Mapping
from struct import unpack_from

DEFAULT = "consistent_random"
"""librdkafka's default, so that of every client built on it; Java clients have ``murmur2_random``."""

_MASK = 0xFFFFFFFF
_SIGN = 0x80000000


class UnknownPartitionerError(ValueError):
    """No partitioner of librdkafka has that name.

    Attributes:
        partitioner: the name.
    """

    def __init__(self, partitioner: str) -> None:
        super().__init__(f"partitioner {partitioner!r} is none of {', '.join(NAMES)}")
        self.partitioner = partitioner


def partition_for(name: str, key: bytes | None, count: int) -> int | None:
    """Returns the partition of a key, or None when any partition is right.

    Args:
        name: the topic's partitioner, one of `NAMES`.
        key: the record's key; None and an empty key are not the same for every partitioner.
        count: how many partitions the topic has, at least one.

    Raises:
        UnknownPartitionerError: no partitioner has that name.
    """
    if name not in _HASHES:
        raise UnknownPartitionerError(name)
    hashed = _HASHES[name]
    # Only consistent_random takes an empty key for none.
    if hashed is None or key is None or (not key and name == DEFAULT):
        return None
    return hashed(key) % count


def crc32(key: bytes) -> int:
    """Returns the CRC-32 of a key, unsigned."""
    return zlib.crc32(key)


def murmur2(key: bytes) -> int:
    """Returns Kafka's murmur2 of a key, unsigned; partitioners clear its sign bit."""
    size = len(key)
    whole = size & ~3
    hashed = 0x9747B28C ^ size
    for word in unpack_from(f"<{whole // 4}I", key):
        mixed = word * 0x5BD1E995 & _MASK
        mixed = (mixed ^ mixed >> 24) * 0x5BD1E995 & _MASK
        hashed = hashed * 0x5BD1E995 & _MASK ^ mixed
    if whole < size:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & _MASK
    hashed = (hashed ^ hashed >> 13) * 0x5BD1E995 & _MASK
    return hashed ^ hashed >> 15


def fnv1a(key: bytes) -> int:
    """Returns the 32-bit FNV-1a of a key: taken as signed, and then its absolute value, as Sarama has it."""
    hashed = 0x811C9DC5
    for byte in key:
        hashed = (hashed ^ byte) * 0x01000193 & _MASK
    return hashed if hashed < _SIGN else (1 << 32) - hashed


def _positive_murmur2(key: bytes) -> int:
    return murmur2(key) & ~_SIGN


_HASHES: Mapping[str, Callable[[bytes], int] | None] = {
    "consistent_random": crc32,
    "consistent": crc32,
    "murmur2_random": _positive_murmur2,
    "murmur2": _positive_murmur2,
    "fnv1a_random": fnv1a,
    "fnv1a": fnv1a,
    "random": None,
}

NAMES = tuple(_HASHES)
"""Every partitioner that a topic may have."""
