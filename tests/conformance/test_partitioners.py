"""Which partition a key goes to: the same on both sides, or a key's order breaks when a team moves."""

import pytest

from tests.conformance.side import WAIT_SECONDS, Side

KEYS = [
    b"a",
    b"k",
    b"order-1",
    b"order-42",
    b"user:1001",
    b"1",
    b"12345",
    b"\x00",
    b"\xff\xfe\x00\x01",
    "żółć".encode(),
    b"3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    b"key with spaces",
    b"kafka",
    b"giberish123456789",
]
CRC_OF_12 = [3, 1, 7, 10, 5, 11, 0, 1, 1, 7, 6, 4, 11, 11]
MURMUR2_OF_12 = [4, 8, 10, 0, 5, 3, 8, 8, 1, 5, 11, 0, 4, 8]
FNV1A_OF_12 = [0, 10, 1, 8, 2, 4, 0, 3, 5, 8, 4, 5, 5, 5]
HASHES = {"consistent": CRC_OF_12, "murmur2": MURMUR2_OF_12, "fnv1a": FNV1A_OF_12}
PARTITIONERS = {
    "consistent_random": CRC_OF_12,
    "consistent": CRC_OF_12,
    "murmur2_random": MURMUR2_OF_12,
    "murmur2": MURMUR2_OF_12,
    "fnv1a_random": FNV1A_OF_12,
    "fnv1a": FNV1A_OF_12,
}


def partitions(side: Side, topic: str, keys: list[bytes | None], settings: dict[str, object]) -> list[int]:
    """Where keys go, by the reports."""
    found: list[int] = []
    producer = side.producer({**settings, "on_delivery": lambda _error, message: found.append(message.partition())})
    for key in keys:
        producer.produce(topic, b"v", key)
        assert producer.flush(WAIT_SECONDS) == 0
    return found


@pytest.mark.parametrize("name", HASHES)
def test_hashes(side: Side, name: str) -> None:
    assert [getattr(side.api, name)(key, 12) for key in KEYS] == HASHES[name]


@pytest.mark.parametrize("name", HASHES)
def test_hashes_take_bytes_and_a_count(side: Side, name: str) -> None:
    function = getattr(side.api, name)
    for key in ("text", bytearray(b"a"), None, 1):
        with pytest.raises(TypeError):
            function(key, 3)
    for count in (0, -1):
        with pytest.raises(ValueError, match="partition_count"):
            function(b"a", count)
    with pytest.raises(TypeError):
        function(key=b"a", partition_count=3)
    assert function(b"a", 1) == 0


@pytest.mark.parametrize("name", PARTITIONERS)
def test_partitioner_of_a_producer(side: Side, name: str) -> None:
    topic = side.topic(12)
    assert partitions(side, topic, list(KEYS), {"partitioner": name}) == PARTITIONERS[name]


def test_default_is_crc(side: Side) -> None:
    assert partitions(side, side.topic(12), list(KEYS), {}) == CRC_OF_12


def test_text_keys_are_utf8(side: Side) -> None:
    topic = side.topic(12)
    found: list[int] = []
    producer = side.producer({"on_delivery": lambda _error, message: found.append(message.partition())})
    producer.produce(topic, key="żółć")
    assert producer.flush(WAIT_SECONDS) == 0
    assert found == [7]


@pytest.mark.parametrize(("name", "expected"), [("murmur2_random", 9), ("murmur2", 9), ("fnv1a", 3), ("consistent", 0)])
def test_an_empty_key_is_hashed(side: Side, name: str, expected: int) -> None:
    assert partitions(side, side.topic(12), [b""], {"partitioner": name}) == [expected]


@pytest.mark.parametrize(("name", "expected"), [("murmur2", 9), ("fnv1a", 3), ("consistent", 0)])
def test_no_key_is_hashed_where_nothing_is_sticky(side: Side, name: str, expected: int) -> None:
    settings = {"partitioner": name, "sticky.partitioning.linger.ms": 0}
    assert partitions(side, side.topic(12), [None] * 3, settings) == [expected] * 3


@pytest.mark.parametrize("name", ["consistent_random", "murmur2_random", "fnv1a_random", "random"])
def test_no_key_goes_anywhere(side: Side, name: str) -> None:
    found = partitions(side, side.topic(3), [None] * 40, {"partitioner": name, "sticky.partitioning.linger.ms": 0})
    assert set(found) == {0, 1, 2}


def test_an_empty_key_of_the_default_goes_anywhere(side: Side) -> None:
    found = partitions(side, side.topic(3), [b""] * 40, {"sticky.partitioning.linger.ms": 0})
    assert set(found) == {0, 1, 2}


def test_explicit_partition_wins(side: Side) -> None:
    topic = side.topic(3)
    found: list[int] = []
    producer = side.producer({"on_delivery": lambda _error, message: found.append(message.partition())})
    for partition in (0, 1, 2):
        producer.produce(topic, key=b"order-1", partition=partition)
    assert producer.flush(WAIT_SECONDS) == 0
    assert sorted(found) == [0, 1, 2]
