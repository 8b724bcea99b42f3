"""What ``produce()`` takes, what the table then holds, and what the report says."""

import time
from typing import Any

import pytest

from migrator.postgres import Connection
from shim.errors import KafkaException
from shim.message import Message
from shim.producer import Producer
from shim.protocol.codes import Broker, Local
from shim.store.partitioner import crc32, murmur2
from tests.integration.shim.producer.scene import MakeProducer, Reports, make_topic, stored

FLUSH_SECONDS = 20.0


def deliver(producer: Producer, topic: str, *args: Any, **fields: Any) -> None:
    producer.produce(topic, *args, **fields)
    assert producer.flush(FLUSH_SECONDS) == 0


@pytest.mark.parametrize(
    ("value", "encoding", "payload"),
    [
        (b'{"a": 1,  "a": 2}', "json", {"a": 2}),
        (b" [1, 2] ", "json", [1, 2]),
        (b"17", "json", 17),
        ("plain text", "text", "plain text"),
        (b"\xff\x00", "bytes", None),
        (b"", "text", ""),
        (None, "tombstone", None),
        (b"{not json}", "text", "{not json}"),
        (b'{"nul": "\\u0000"}', "json-22P05", None),
        (b'{"half": "\\ud800"}', "text", '{"half": "\\ud800"}'),
        (b'{"huge": 1e400000}', "json-22003", None),
        (b"NaN", "text", "NaN"),
        (b"\x00\x00\x00{", "bytes", None),
    ],
    ids=repr,
)
def test_every_value_is_stored_with_its_view(
    producer: Producer, migrated: Connection, value: str | bytes | None, encoding: str, payload: object
) -> None:
    """Postgres judges JSON, and no record is refused for its content."""
    deliver(producer, "views", value)
    (row,) = stored(migrated, "views")
    assert row.value == (value.encode() if isinstance(value, str) else value)
    assert (row.encoding, row.payload) == (encoding, payload)


def test_values_that_jsonb_refuses_share_a_batch_with_others(producer: Producer, migrated: Connection) -> None:
    values = [b'{"n": %d}' % number for number in range(20)]
    values[7:7] = [b"{text}", b'{"nul": "\\u0000"}', b'{"huge": 1e400000}']
    for value in values:
        producer.produce("mixed", value)
    assert producer.flush(FLUSH_SECONDS) == 0
    rows = stored(migrated, "mixed")
    assert [row.value for row in rows] == values
    assert [row.encoding for row in rows[7:10]] == ["text", "json-22P05", "json-22003"]
    assert [row.offset for row in rows] == list(range(len(values)))


def test_key_headers_and_timestamp_are_stored_as_given(producer: Producer, migrated: Connection) -> None:
    deliver(producer, "fields", "välue", "kéy", timestamp=1234, headers=[("a", b"1"), ("a", None), ("b", "ż")])
    (row,) = stored(migrated, "fields")
    assert (row.key, row.value) == ("kéy".encode(), "välue".encode())
    assert row.headers == [b"a", b"1", b"a", None, b"b", "ż".encode()]
    assert (row.timestamp_ms, row.timestamp_type) == (1234, 1)


@pytest.mark.parametrize("headers", [None, {}, []])
def test_no_headers(producer: Producer, migrated: Connection, headers: Any) -> None:
    deliver(producer, "bare", b"v", headers=headers)
    assert stored(migrated, "bare")[0].headers is None


def test_a_timestamp_of_zero_is_the_moment_of_produce(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str
) -> None:
    producer = producer_of(migrated_url, linger_ms=200)
    before = int(time.time() * 1000)
    producer.produce("clock", b"v")
    after = time.time() * 1000
    assert producer.flush(FLUSH_SECONDS) == 0
    assert before - 1 <= stored(migrated, "clock")[0].timestamp_ms <= after + 1


def test_a_report_tells_where_the_message_is(producer: Producer, reports: Reports) -> None:
    before = int(time.time() * 1000)
    deliver(producer, "told", "v", "k", headers={"h": "1"}, callback=reports)
    (message,) = reports.messages
    assert reports.errors == [None]
    assert type(message) is Message
    assert (message.topic(), message.partition(), message.offset()) == ("told", 0, 0)
    assert (message.key(), message.value(), message.headers()) == (b"k", b"v", [("h", b"1")])
    assert message.error() is None
    assert message.timestamp()[0] == 1
    assert before - 1 <= message.timestamp()[1] <= time.time() * 1000 + 1
    assert 0 < (message.latency() or 0) < FLUSH_SECONDS
    assert message.leader_epoch() is None


def test_a_topic_is_made_by_use(producer_of: MakeProducer, migrated: Connection, migrated_url: str) -> None:
    producer = producer_of(migrated_url, shim_topic_partitions=3, partitioner="murmur2_random")
    for number in range(30):
        producer.produce("born", b"v", b"key-%d" % number)
    assert producer.flush(FLUSH_SECONDS) == 0
    found = migrated.execute("select partitions, partitioner, sequencer, gate from job_topic").fetchall()
    assert found == [(3, "murmur2_random", "postgres", "open")]
    for row in stored(migrated, "born"):
        assert row.partition == (murmur2(row.key or b"") & 0x7FFFFFFF) % 3


@pytest.mark.parametrize(("asked", "expected"), [({}, "topic"), ({"partitioner": "consistent_random"}, "application")])
def test_the_topics_partitioner_counts_unless_the_application_asks_for_one(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, asked: dict[str, str], expected: str
) -> None:
    make_topic(migrated, "hashed", 12, "murmur2_random")
    deliver(producer_of(migrated_url, **asked), "hashed", b"v", b"order-1")
    place = {"topic": (murmur2(b"order-1") & 0x7FFFFFFF) % 12, "application": crc32(b"order-1") % 12}
    assert place["topic"] != place["application"]
    assert stored(migrated, "hashed")[0].partition == place[expected]


def partitions_of(producer: Producer, conn: Connection, count: int) -> list[int]:
    make_topic(conn, "keyless", 50)
    for _ in range(count):
        producer.produce("keyless", b"v")
    assert producer.flush(FLUSH_SECONDS) == 0
    return [row.partition for row in stored(conn, "keyless")]


def test_messages_without_a_key_stick_together(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str
) -> None:
    producer = producer_of(migrated_url, sticky_partitioning_linger_ms=60_000)
    assert len(set(partitions_of(producer, migrated, 200))) == 1


@pytest.mark.parametrize("settings", [{"sticky.partitioning.linger.ms": 0}, {"partitioner": "random"}])
def test_messages_without_a_key_scatter(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, settings: dict[str, Any]
) -> None:
    assert len(set(partitions_of(producer_of(migrated_url, **settings), migrated, 200))) > 25


def test_an_explicit_partition_wins(producer: Producer, migrated: Connection) -> None:
    make_topic(migrated, "chosen", 5)
    deliver(producer, "chosen", b"v", b"key", 4)
    assert [row.partition for row in stored(migrated, "chosen")] == [4]


@pytest.mark.parametrize("partition", [5, -2])
def test_a_partition_that_is_not_there(
    producer: Producer, migrated: Connection, reports: Reports, partition: int
) -> None:
    """It is refused at once where the topic is known, and else in the report."""
    make_topic(migrated, "chosen", 5)
    deliver(producer, "chosen", b"v", partition=partition, callback=reports)
    assert reports.codes == [Local.UNKNOWN_PARTITION]
    assert reports.messages[0].error() is reports.errors[0]
    assert reports.messages[0].offset() is None
    assert reports.messages[0].timestamp() == (0, -1)
    deliver(producer, "chosen", b"v")
    with pytest.raises(KafkaException) as caught:
        producer.produce("chosen", b"v", partition=partition)
    assert caught.value.args[0].code() == Local.UNKNOWN_PARTITION
    assert caught.value.args[0].str() == "Unable to produce message: Local: Unknown partition"
    assert len(producer) == 0


@pytest.mark.parametrize("topic", ["", ".", "a b", "a" * 250, "ż"])
def test_a_name_that_no_topic_has(producer: Producer, migrated: Connection, reports: Reports, topic: str) -> None:
    producer.produce(topic, b"lost", callback=reports)
    producer.produce("fine", b"kept", callback=reports)
    assert producer.flush(FLUSH_SECONDS) == 0
    assert sorted(reports.codes, key=str) == [Broker.TOPIC_EXCEPTION, None]
    assert [row.value for row in stored(migrated, "fine")] == [b"kept"]


def test_a_topic_that_kafka_numbers_is_refused(producer: Producer, migrated: Connection, reports: Reports) -> None:
    make_topic(migrated, "theirs")
    migrated.execute("update job_topic set sequencer = 'kafka' where topic = 'theirs'")
    producer.produce("theirs", b"refused", callback=reports)
    producer.produce("ours", b"kept", callback=reports)
    assert producer.flush(FLUSH_SECONDS) == 0
    refused = [error for error in reports.errors if error is not None]
    assert [error.code() for error in refused] == [Local.STATE]
    assert "migrator cutover" in refused[0].str()
    assert stored(migrated, "theirs") == []
    migrated.execute("update job_topic set sequencer = 'postgres' where topic = 'theirs'")
    deliver(producer, "theirs", b"after the cutover")
    assert len(stored(migrated, "theirs")) == 1


def test_a_cutover_back_under_a_running_producer(producer: Producer, migrated: Connection, reports: Reports) -> None:
    """The producer knows the topic as Postgres', and learns otherwise from the append."""
    deliver(producer, "moved", b"before")
    migrated.execute("update job_topic set sequencer = 'kafka' where topic = 'moved'")
    deliver(producer, "moved", b"after", callback=reports)
    assert reports.codes == [Local.STATE]
    assert [row.value for row in stored(migrated, "moved")] == [b"before"]


def test_a_topic_that_was_deleted_is_made_again(producer: Producer, migrated: Connection, reports: Reports) -> None:
    deliver(producer, "again", b"before", callback=reports)
    migrated.execute("delete from job_queue where topic = 'again'")
    migrated.execute("delete from job_topic where topic = 'again'")
    deliver(producer, "again", b"after", callback=reports)
    assert reports.errors == [None, None]
    assert [(row.value, row.offset) for row in stored(migrated, "again")] == [(b"after", 0)]


def test_a_closed_gate_parks(producer: Producer, migrated: Connection) -> None:
    make_topic(migrated, "parked")
    migrated.execute("update job_topic set gate = 'closed' where topic = 'parked'")
    deliver(producer, "parked", b"v")
    found = migrated.execute("select process_after = 'infinity', log_offset from job_queue").fetchall()
    assert found == [(True, 0)]


def test_values_are_not_kept_twice_if_the_topic_says_so(producer: Producer, migrated: Connection) -> None:
    make_topic(migrated, "lean")
    migrated.execute("update job_topic set keep_value = false where topic = 'lean'")
    deliver(producer, "lean", b'{"a": 1}')
    (row,) = stored(migrated, "lean")
    assert (row.value, row.payload) == (None, {"a": 1})


def test_another_schema(producer_of: MakeProducer, empty: Connection, database_url: str, reports: Reports) -> None:
    from shim.store import schema  # noqa: PLC0415  one test needs it

    empty.execute("create schema jobs")
    schema.upgrade(empty, schema.store_line("jobs"))
    deliver(producer_of(database_url, shim_schema="jobs"), "elsewhere", b"v", callback=reports)
    assert reports.errors == [None]
    assert empty.execute("select count(*) from jobs.job_queue").fetchone() == (1,)


def test_through_a_pooler(producer_of: MakeProducer, migrated: Connection, migrated_url: str, pgbouncer: Any) -> None:
    producer = producer_of(pgbouncer.url_of(migrated_url))
    for number in range(100):
        producer.produce("pooled", b"%d" % number)
    assert producer.flush(FLUSH_SECONDS) == 0
    assert [row.value for row in stored(migrated, "pooled")] == [b"%d" % number for number in range(100)]
