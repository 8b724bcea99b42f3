"""Which offsets can be read at all, told by reading them once more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import StoppedError
from migrator.kafka.gaps import OffsetSet, readable_offsets
from migrator.kafka.properties import KafkaProperties, kafka_properties
from tests.fixtures.kafka import CreateTopic, OwnKafka, create_topic_on
from tests.integration.migrator.producing import (
    SECONDS,
    delete_records_below,
    numbered,
    produce,
    transactions,
    within,
)

pytestmark = pytest.mark.real_kafka


@pytest.fixture
def properties(bootstrap_servers: str) -> KafkaProperties:
    return kafka_properties(bootstrap_servers)


@pytest.fixture
def topic(bootstrap_servers: str, create_topic: CreateTopic) -> str:
    """Committed 0 to 2, marker 3, aborted 4 to 6, marker 7, plain 8 and 9, and a transaction that is left open."""
    name = create_topic()
    with transactions(bootstrap_servers, name) as producer:
        within(producer, name, 3)
        producer.commit_transaction(SECONDS)
        within(producer, name, 3)
        producer.abort_transaction(SECONDS)
    produce(bootstrap_servers, name, numbered(2))
    with transactions(bootstrap_servers, f"{name}-open") as producer:
        within(producer, name, 2)
    return name


@pytest.mark.parametrize(
    ("start", "stop", "readable"),
    [
        (0, 12, [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]),
        (3, 8, [4, 5, 6]),
        (3, 4, []),
        (5, 6, [5]),
        (7, 9, [8]),
        (8, 100, [8, 9, 10, 11]),
        (12, 13, []),
        (5, 5, []),
        (50, 60, []),
    ],
)
def test_records_of_every_transaction_can_be_read_and_markers_cannot(
    start: int, stop: int, readable: list[int], properties: KafkaProperties, topic: str
) -> None:
    assert list(readable_offsets(properties, topic, 0, start, stop)) == readable


def test_what_the_log_dropped_meanwhile_cannot_be_read(
    properties: KafkaProperties, bootstrap_servers: str, topic: str
) -> None:
    delete_records_below(bootstrap_servers, topic, 5)
    assert list(readable_offsets(properties, topic, 0, 0, 9)) == [5, 6, 8]
    assert list(readable_offsets(properties, topic, 0, 0, 4)) == []


def test_a_long_range(properties: KafkaProperties, bootstrap_servers: str, create_topic: CreateTopic) -> None:
    name = create_topic()
    produce(bootstrap_servers, name, numbered(30_000), linger_ms=50)
    found = readable_offsets(properties, name, 0, 10, 29_990)
    assert found.runs == (range(10, 29_990),)


def test_a_broker_that_is_gone(own_kafka: OwnKafka) -> None:
    kafka = own_kafka()
    create_topic_on(kafka.bootstrap_servers, "emails")
    properties = kafka_properties(kafka.bootstrap_servers)
    kafka.kill()
    with pytest.raises(StoppedError) as raised:
        readable_offsets(properties, "emails", 0, 0, 10, timeout=2)
    assert raised.value.code == "gap-unread"
    assert "Connection refused" in raised.value.message


@given(st.sets(st.integers(0, 200)))
def test_a_set_of_offsets_is_a_set(offsets: set[int]) -> None:
    kept = OffsetSet(sorted(offsets))
    assert list(kept) == sorted(offsets)
    assert len(kept) == len(offsets)
    assert all((offset in kept) == (offset in offsets) for offset in range(-1, 202))
    assert None not in kept
    assert all(a.stop < b.start for a, b in zip(kept.runs, kept.runs[1:], strict=False))
