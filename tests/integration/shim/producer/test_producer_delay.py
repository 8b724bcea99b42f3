"""Producing with a delay: nobody gets the message before, and everybody soon after."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaException
from shim.producer import Producer
from shim.serialization import StringSerializer
from shim.serializing import SerializingProducer
from shim.share_consumer import ShareConsumer
from shim.store import gate
from shim.store.schema import Line
from tests.fixtures.pgbouncer import client_settings
from tests.integration.shim.consumer.scene import take, values
from tests.integration.shim.producer.scene import WAIT_SECONDS, Reports, make_topic
from tests.integration.shim.sharing.scene import taken

EARLY = "select count(*) from job_queue where log_offset is not null and process_after > clock_timestamp()"
DELAYS = """
select convert_from(value, 'UTF8'), round(extract(epoch from process_after - created_at)::numeric, 3)::float
from job_queue order by id
"""


@pytest.fixture
def topic(migrated: Connection) -> str:
    make_topic(migrated, "topic")
    return "topic"


@pytest.fixture
def consumer(migrated_url: str, topic: str) -> Iterator[Consumer]:
    conf = {"shim.dsn": migrated_url, "group.id": "group", "auto.offset.reset": "earliest", **client_settings()}
    with closing(Consumer(conf)) as made:
        made.subscribe([topic])
        yield made


@pytest.fixture
def worker(migrated_url: str, topic: str) -> Iterator[ShareConsumer]:
    with closing(ShareConsumer({"shim.dsn": migrated_url, "group.id": "workers", **client_settings()})) as made:
        made.subscribe([topic])
        yield made


def test_the_report_tells_no_offset_yet(producer: Producer, topic: str, reports: Reports) -> None:
    producer.produce(topic, "later", delay=3600, on_delivery=reports)
    producer.produce(topic, "now", on_delivery=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.errors == [None, None]
    found = [(one.value(), one.partition(), one.offset(), one.deduplicated()) for one in reports.messages]
    assert found == [(b"later", 0, None, False), (b"now", 0, 0, False)]


def test_a_delay_is_seconds_or_a_timedelta(producer: Producer, topic: str, migrated: Connection) -> None:
    producer.produce(topic, "seconds", delay=90)
    producer.produce(topic, "parts", delay=0.25)
    producer.produce(topic, "timedelta", delay=timedelta(minutes=2))
    producer.produce(topic, "none", delay=0)
    producer.produce_batch(topic, [{"value": b"batch", "delay": 7}])
    assert producer.flush(WAIT_SECONDS) == 0
    assert migrated.execute(DELAYS).fetchall() == [
        ("seconds", 90),
        ("parts", 0.25),
        ("timedelta", 120),
        ("none", 0),
        ("batch", 7),
    ]
    assert migrated.execute("select count(*) from job_queue where log_offset = 0").fetchone() == (1,)


def test_a_delay_that_is_none(producer: Producer, topic: str) -> None:
    for wrong in (-1, timedelta(seconds=-1), float("nan"), float("inf"), timedelta(days=40_000)):
        with pytest.raises(ValueError, match="delay must not be negative, nor longer than a century"):
            producer.produce(topic, "v", delay=wrong)
    wrong_kind: Any = "soon"
    with pytest.raises(TypeError, match="delay must be a number of seconds or a timedelta, not str"):
        producer.produce(topic, "v", delay=wrong_kind)
    assert len(producer) == 0


def test_a_consumer_reads_it_when_it_is_due_behind_what_came_meanwhile(
    producer: Producer, consumer: Consumer, migrated: Connection, topic: str
) -> None:
    producer.produce(topic, "third", delay=1.5)
    producer.produce(topic, "second", delay=timedelta(seconds=0.75))
    producer.produce(topic, "first")
    messages = take(consumer, 3)
    assert values(messages) == [b"first", b"second", b"third"]
    assert [message.offset() for message in messages] == [0, 1, 2]
    assert migrated.execute(EARLY).fetchone() == (0,)


def test_a_share_consumer_claims_it_when_it_is_due(
    producer: Producer, worker: ShareConsumer, migrated: Connection, topic: str
) -> None:
    producer.produce(topic, "second", delay=1)
    producer.produce(topic, "first")
    jobs = taken(worker, 2)
    assert values(jobs) == [b"first", b"second"]
    early = "select count(*) from job_queue where locked_at < process_after"
    assert migrated.execute(early).fetchone() == (0,)


def test_behind_a_closed_gate_it_keeps_its_own_time(
    producer: Producer, worker: ShareConsumer, migrated: Connection, topic: str, line: Line
) -> None:
    """Opening lets run what was due meanwhile; what is not due still waits, until then."""
    texts = gate.load(line.schemas)
    producer.produce(topic, "before", delay=2)
    assert producer.flush(WAIT_SECONDS) == 0
    gate.close_gate(migrated, texts, topic)
    producer.produce(topic, "behind", delay=2)
    producer.produce(topic, "late", delay=3600)
    producer.produce(topic, "at once")
    assert producer.flush(WAIT_SECONDS) == 0
    passed = "select clock_timestamp() > max(created_at) + interval '2 s' from job_queue"
    assert wait_until(lambda: migrated.execute(passed).fetchone() == (True,), WAIT_SECONDS)
    assert gate.gate_status(migrated, texts, topic).parked == 4
    assert not worker.poll(0)
    gate.open_gate(migrated, texts, topic)
    assert sorted(message.value() or b"" for message in taken(worker, 3)) == [b"at once", b"before", b"behind"]
    assert [row for row in migrated.execute(DELAYS) if row[1] != 0] == [
        ("before", 2),
        ("behind", 2),
        ("late", 3600),
    ]


def test_in_a_transaction_of_the_applications_own(
    producer: Producer, consumer: Consumer, migrated: Connection, topic: str
) -> None:
    with migrated.transaction():
        assert producer.produce_in(migrated, topic, "later", delay=0.5)
        assert producer.produce_in(migrated, topic, "now")
    assert values(take(consumer, 2)) == [b"now", b"later"]
    assert migrated.execute(EARLY).fetchone() == (0,)


def test_a_serializing_producer(migrated_url: str, migrated: Connection, topic: str) -> None:
    conf = {"shim.dsn": migrated_url, "value.serializer": StringSerializer(), **client_settings()}
    with SerializingProducer[Any, str](conf) as producer:
        producer.produce(topic, value="v", delay=60, deduplication_key="only")
    assert migrated.execute(DELAYS).fetchall() == [("v", 60)]
    assert migrated.execute("select deduplication_key from job_queue").fetchall() == [("only",)]


def test_a_topic_numbered_by_kafka_takes_none(producer: Producer, migrated: Connection, topic: str) -> None:
    migrated.execute("update job_topic set sequencer = 'kafka'")
    reports = Reports()
    producer.produce(topic, "v", delay=1, on_delivery=reports)
    producer.produce(topic, "v", deduplication_key="d", on_delivery=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert [error is not None and "Kafka numbers topic" in error.str() for error in reports.errors] == [True, True]
    with pytest.raises(KafkaException, match="Kafka numbers topic"):
        producer.produce_in(migrated, topic, "v", deduplication_key="d")
