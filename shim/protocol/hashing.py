"""Which partition a key belongs to, for applications that ask: ``consistent``, ``murmur2`` and ``fnv1a``."""

from shim.protocol.integers import int32
from shim.store.partitioner import partition_for


def consistent(key: bytes, partition_count: int, /) -> int:
    """Returns the partition that librdkafka's ``consistent`` partitioner chooses: CRC-32."""
    return _partition("consistent", key, partition_count)


def murmur2(key: bytes, partition_count: int, /) -> int:
    """Returns the partition that Java clients choose."""
    return _partition("murmur2", key, partition_count)


def fnv1a(key: bytes, partition_count: int, /) -> int:
    """Returns the partition that Sarama chooses."""
    return _partition("fnv1a", key, partition_count)


def _partition(partitioner: str, key: object, partition_count: int) -> int:
    if not isinstance(key, bytes):
        raise TypeError(f"a bytes-like object is required, not {type(key).__name__!r}")
    count = int32(partition_count)
    if count <= 0:
        raise ValueError(f"partition_count must be > 0, got {count}")
    return partition_for(partitioner, key, count) or 0
