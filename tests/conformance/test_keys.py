"""A hundred thousand random keys: each goes to the partition that the original sends it to, on every size of topic.

The original's choice is read from its delivery reports, on real Kafka; the shim's from its partitioner, and for a
sample from its own reports and from the rows.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice

import psycopg
import pytest

from shim.store.partitioner import partition_for
from tests.conformance.side import Family, Side

KEYS = 100_000
SAMPLE = 5_000
LONGEST_KEY = 64
FLUSH_SECONDS = 60.0
FAMILIES = ["consistent_random", "murmur2_random", "fnv1a_random"]


@pytest.fixture(scope="module")
def keys() -> Sequence[bytes]:
    """Distinct keys of 0 to 64 bytes, the empty one among them."""
    dice = random.Random(4)  # noqa: S311  the same keys in every run
    drawn = dict.fromkeys([b""])
    while len(drawn) < KEYS:
        drawn[dice.randbytes(dice.randint(0, LONGEST_KEY))] = None
    return list(drawn)


@pytest.fixture
def kafka(kafka_family: Family) -> Iterator[Side]:
    opened = Side(kafka_family, None)
    yield opened
    opened.close()


@pytest.fixture
def ours(shim_family: Family) -> Iterator[Side]:
    opened = Side(shim_family, None)
    yield opened
    opened.close()


def reported(side: Side, topic: str, keys: Sequence[bytes], partitioner: str) -> dict[bytes, int]:
    """Where a side's own producer sends each key, by its delivery reports."""
    found: dict[bytes, int] = {}

    def note(error: object, message: object) -> None:
        assert error is None, error
        found[message.key()] = message.partition()  # type: ignore[attr-defined]  # of either package

    settings = {"partitioner": partitioner, "linger.ms": 20, "queue.buffering.max.messages": 2 * KEYS}
    producer = side.producer({**settings, "on_delivery": note})
    for number, key in enumerate(keys):
        producer.produce(topic, None, key)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(FLUSH_SECONDS) == 0
    return found


def chosen(keys: Sequence[bytes], partitioner: str, partitions: int) -> dict[bytes, int]:
    """Where the shim's partitioner sends each key that it does not leave to chance."""
    choices = {key: partition_for(partitioner, key, partitions) for key in keys}
    return {key: partition for key, partition in choices.items() if partition is not None}


@pytest.mark.real_kafka
@pytest.mark.parametrize("partitions", [1, 3, 12, 100])
@pytest.mark.parametrize("partitioner", FAMILIES)
def test_keys_keep_their_partitions(kafka: Side, keys: Sequence[bytes], partitioner: str, partitions: int) -> None:
    theirs = reported(kafka, kafka.topic(partitions), keys, partitioner)
    choices = chosen(keys, partitioner, partitions)
    assert len(theirs) == len(keys) == KEYS
    assert set(theirs) - set(choices) == ({b""} if partitioner == "consistent_random" else set())
    assert {key: theirs[key] for key in choices} == choices
    assert set(theirs.values()) == set(range(partitions))


@pytest.mark.parametrize("partitions", [3, 12, 100])
@pytest.mark.parametrize("partitioner", FAMILIES)
def test_rows_lie_where_the_partitioner_says(
    ours: Side, queue_url: str, keys: Sequence[bytes], partitioner: str, partitions: int
) -> None:
    sample = list(islice(keys, SAMPLE))
    topic = ours.topic(partitions)
    told = reported(ours, topic, sample, partitioner)
    with psycopg.connect(queue_url) as conn:
        found = conn.execute("select key, partition from job_queue where topic = %s", [topic]).fetchall()
    rows: dict[bytes, int] = dict(found)
    choices = chosen(sample, partitioner, partitions)
    assert rows == told
    assert {key: rows[key] for key in choices} == choices
