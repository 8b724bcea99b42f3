"""Keys stay where librdkafka put them: vectors from librdkafka and Kafka, and the installed client as a judge."""

import confluent_kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.store.partitioner import NAMES, UnknownPartitionerError, crc32, fnv1a, murmur2, partition_for

VECTORS = [
    (b"a", 3904355907, 0, 3, 2731586172, 1, 4),
    (b"k", 140662621, 1, 1, 2727470560, 2, 8),
    (b"order-1", 3769860079, 1, 7, 1221710326, 1, 10),
    (b"order-42", 1475806942, 1, 10, 501153024, 0, 0),
    (b"user:1001", 3899860853, 2, 5, 2333083561, 2, 5),
    (b"1", 2212294583, 2, 11, 2301521807, 0, 3),
    (b"12345", 3421846044, 0, 0, 3106601692, 2, 8),
    (b"\x00", 3523407757, 1, 1, 375494588, 2, 8),
    (b"\xff\xfe\x00\x01", 924628897, 1, 1, 1370013769, 1, 1),
    ("żółć".encode(), 264402979, 1, 7, 475252577, 2, 5),
    (b"3f2504e0-4f89-11d3-9a0c-0305e82c3301", 3004475550, 0, 6, 149263511, 2, 11),
    (b"key with spaces", 2445873520, 1, 4, 1291295160, 0, 0),
    (b"kafka", 1539077399, 2, 11, 3496464228, 1, 4),
    (b"giberish123456789", 2067435071, 2, 11, 2404723468, 2, 8),
]
UNKEYED = {
    "consistent_random": None,
    "consistent": 0,
    "murmur2_random": 9,
    "murmur2": 9,
    "fnv1a_random": 3,
    "fnv1a": 3,
    "random": None,
}


@pytest.mark.parametrize(("key", "crc", "default_3", "default_12", "murmur", "java_3", "java_12"), VECTORS)
def test_vectors(key: bytes, crc: int, default_3: int, default_12: int, murmur: int, java_3: int, java_12: int) -> None:
    assert (crc32(key), murmur2(key)) == (crc, murmur)
    for name in ("consistent_random", "consistent"):
        assert (partition_for(name, key, 3), partition_for(name, key, 12)) == (default_3, default_12)
    for name in ("murmur2_random", "murmur2"):
        assert (partition_for(name, key, 3), partition_for(name, key, 12)) == (java_3, java_12)


def test_every_partitioner_and_a_key_that_is_missing_or_empty() -> None:
    assert set(NAMES) == set(UNKEYED)
    for name, partition in UNKEYED.items():
        assert partition_for(name, None, 12) is None
        assert partition_for(name, b"", 12) == partition


def test_random_never_looks_at_the_key() -> None:
    assert partition_for("random", b"a", 12) is None


@given(key=st.binary(max_size=40), count=st.integers(1, 2**31 - 1))
def test_hashes_are_those_of_the_client(key: bytes, count: int) -> None:
    assert crc32(key) % count == confluent_kafka.consistent(key, count)
    assert (murmur2(key) & 0x7FFFFFFF) % count == confluent_kafka.murmur2(key, count)
    assert fnv1a(key) % count == confluent_kafka.fnv1a(key, count)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownPartitionerError) as caught:
        partition_for("sticky", b"a", 3)
    assert caught.value.partitioner == "sticky"
