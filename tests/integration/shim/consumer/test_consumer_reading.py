"""Reading by assignment: order, positions, ends, starts that are not there, pauses and seeks."""

import time
from typing import Any

import pytest

from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaError, KafkaException
from shim.protocol.constants import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, OFFSET_STORED
from shim.store import append, topics
from shim.store.values import view
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import (
    APPEND,
    TOPICS,
    MakeConsumer,
    code,
    fill,
    make_topic,
    take,
    take_event,
    until,
    values,
)


def test_records_come_as_they_were_produced(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    headers = [(b"h", b"1"), (b"h", None), (b"\xc5\xbc", b"\0")]
    drafts = [
        append.draft(topic, 0, b"k", b'{ "a": 1.0 }', headers, 1234, view(b'{ "a": 1.0 }')),
        append.draft(topic, 0, None, None, None, 1235, view(None)),
        append.draft(topic, 0, b"", b"", [], 1236, view(b"")),
    ]
    append.append(migrated, APPEND, drafts)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    first, tombstone, empty = take(consumer, 3)
    assert (first.topic(), first.partition(), first.offset()) == (topic, 0, 0)
    assert (first.key(), first.value(), first.timestamp()) == (b"k", b'{ "a": 1.0 }', (1, 1234))
    assert first.headers() == [("h", b"1"), ("h", None), ("ż", b"\0")]
    assert (tombstone.value(), bool(tombstone), tombstone.offset()) == (None, False, 1)
    assert (empty.value(), empty.key(), empty.headers(), empty.offset()) == (b"", b"", None, 2)


def test_every_message_comes_once_and_in_order(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=3)
    for partition in range(3):
        fill(migrated, topic, 2500, partition)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    taken = take(consumer, 7500)
    for partition in range(3):
        offsets = [message.offset() for message in taken if message.partition() == partition]
        assert offsets == list(range(2500))
    assert consumer.poll(0.05) is None


def test_no_partition_is_starved_by_another(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3000, 0)
    fill(migrated, topic, 1, 1)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
    taken = take(consumer, 1000)
    assert 1 in {message.partition() for message in taken}


def test_consume_waits_for_as_many_as_were_asked_for(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 5)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert values(consumer.consume(2, 20)) == [b"0", b"1"]
    began = time.monotonic()
    assert values(consumer.consume(100, 0.3)) == [b"2", b"3", b"4"]
    assert 0.3 <= time.monotonic() - began < 5
    fill(migrated, topic, [b"late"])
    assert values(consumer.consume(1, 20)) == [b"late"]
    assert consumer.consume(5, 0) == []
    assert consumer.consume(0, 1) == []


def test_a_message_that_comes_while_poll_waits_ends_the_wait(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
    assert consumer.poll(0.2) is None
    fill(migrated, topic, 1)
    began = time.monotonic()
    assert consumer.poll(20) is not None
    assert time.monotonic() - began < 5


def test_the_end_of_a_partition_is_told_again_after_new_records(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 2)
    consumer = consumer_of(migrated_url, group, enable_partition_eof=True)
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    first = consumer.consume(4, 20)
    ends = {message.partition(): message for message in first if message.error() is not None}
    assert [message.value() for message in first if message.error() is None] == [b"0", b"1"]
    assert {partition: message.offset() for partition, message in ends.items()} == {0: 2, 1: 0}
    assert {code(message) for message in ends.values()} == {KafkaError._PARTITION_EOF}  # noqa: SLF001
    assert ends[0].value() == b"Fetch from broker 1 reached end of partition at offset 2 (HighwaterMark 2)"
    assert consumer.consume(1, 0.2) == []
    fill(migrated, topic, [b"more"])
    assert values(take(consumer, 1)) == [b"more"]
    again = take_event(consumer)
    assert (again.partition(), again.offset()) == (0, 3)


def test_the_end_is_found_behind_offsets_that_nobody_has(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    """As after a drained transaction of Kafka's, whose last offsets are markers, and after retention."""
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3)
    fill(migrated, topic, 3, 1)
    migrated.execute("delete from job_queue where topic = %s and log_offset <> 0", [topic])
    consumer = consumer_of(migrated_url, group, enable_partition_eof=True)
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    taken = consumer.consume(4, 20)
    assert sorted(message.offset() or 0 for message in taken) == [0, 0, 3, 3]
    fill(migrated, topic, [b"behind the gap"])
    assert values(take(consumer, 1)) == [b"behind the gap"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (OFFSET_BEGINNING, b"0"),
        (OFFSET_END, b"new"),
        (OFFSET_STORED, b"3"),
        (OFFSET_INVALID, b"3"),
        (2, b"2"),
        (-2002, b"3"),
    ],
)
def test_where_an_assignment_starts(consumer: Consumer, migrated: Connection, start: int, expected: bytes) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 5)
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    consumer.assign([TopicPartition(topic, 0, start)])
    shown = OFFSET_STORED if start == OFFSET_INVALID else start
    assert [one.offset for one in consumer.assignment()] == [shown]
    if start == OFFSET_END:
        assert consumer.poll(0.3) is None
        fill(migrated, topic, [b"new"])
    assert values(take(consumer, 1)) == [expected]


@pytest.mark.parametrize(("reset", "expected"), [("earliest", b"2"), ("latest", b"new")])
@pytest.mark.parametrize("start", [OFFSET_STORED, 1, 1000])
def test_a_start_that_is_not_there_is_reset(
    consumer_of: MakeConsumer,
    migrated_url: str,
    migrated: Connection,
    group: str,
    reset: str,
    expected: bytes,
    start: int,
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 5)
    topics.advance_start(migrated, TOPICS, topic, 0, 2)
    consumer = consumer_of(migrated_url, group, auto_offset_reset=reset)
    consumer.assign([TopicPartition(topic, 0, start)])
    if reset == "latest":
        assert consumer.poll(0.3) is None
        fill(migrated, topic, [b"new"])
    assert values(take(consumer, 1)) == [expected]


def test_without_a_reset_a_missing_start_is_an_event(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 2)
    consumer = consumer_of(migrated_url, group, auto_offset_reset="error")
    consumer.assign([TopicPartition(topic, 0)])
    nothing = take_event(consumer)
    assert (code(nothing), nothing.partition()) == (KafkaError._AUTO_OFFSET_RESET, 0)  # noqa: SLF001
    assert nothing.value() == b"no previously committed offset available: Local: No offset stored"
    assert consumer.poll(0.2) is None
    consumer.assign([TopicPartition(topic, 0, 7)])
    outside = take_event(consumer)
    assert b"Offset out of range" in (outside.value() or b"")
    assert consumer.poll(0.2) is None
    with pytest.raises(KafkaException, match="Erroneous state"):
        consumer.seek(TopicPartition(topic, 0, 1))
    consumer.assign([TopicPartition(topic, 0, 1)])
    assert values(take(consumer, 1)) == [b"1"]


def test_a_position_that_retention_overtakes_is_reset(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 3)
    consumer.assign([TopicPartition(topic, 0, 0)])
    consumer.pause([TopicPartition(topic, 0)])
    consumer.resume([TopicPartition(topic, 0)])
    assert values(take(consumer, 3)) == [b"0", b"1", b"2"]
    consumer.seek(TopicPartition(topic, 0, 1))
    consumer.pause([TopicPartition(topic, 0)])
    fill(migrated, topic, [b"3", b"4"])
    topics.advance_start(migrated, TOPICS, topic, 0, 4)
    consumer.resume([TopicPartition(topic, 0)])
    assert values(take(consumer, 1)) == [b"4"]


def test_a_topic_that_is_made_again_is_read_from_its_beginning(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 5)
    consumer.assign([TopicPartition(topic, 0, 0)])
    take(consumer, 5)
    topics.delete_topic(migrated, TOPICS, topic)
    make_topic(migrated, topic=topic)
    fill(migrated, topic, [b"again"])
    assert values(take(consumer, 1)) == [b"again"]


def test_positions(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3)
    asked = [TopicPartition(topic, 0), TopicPartition(topic, 1), TopicPartition(topic, 9)]

    def positions() -> list[int]:
        return [one.offset for one in consumer.position(asked)]

    assert positions() == [-1001, -1001, -1001]
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    take(consumer, 2)
    assert positions() == [2, -1001, -1001]
    consumer.seek(TopicPartition(topic, 0, 1))
    assert positions() == [-1001, -1001, -1001]
    take(consumer, 1)
    assert positions() == [2, -1001, -1001]


def test_a_paused_partition_keeps_its_place(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3)
    fill(migrated, topic, 3, 1)
    both = [TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)]
    consumer.assign(both)
    first = take(consumer, 1)[0]
    paused = TopicPartition(topic, first.partition() or 0)
    consumer.pause([paused, TopicPartition("unheard", 5)])
    others = take(consumer, 3)
    assert {message.partition() for message in others} == {1 - paused.partition}
    assert consumer.poll(0.2) is None
    assert consumer.position([paused])[0].offset == 1
    consumer.resume([paused])
    assert [message.offset() for message in take(consumer, 2)] == [1, 2]


def test_a_pause_lasts_over_another_assignment(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 2)
    consumer.pause([TopicPartition(topic, 0)])  # not known yet: without effect
    consumer.assign([TopicPartition(topic, 0, 0)])
    take(consumer, 2)
    consumer.pause([TopicPartition(topic, 0)])
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert consumer.poll(0.3) is None
    consumer.resume([TopicPartition(topic, 0)])
    assert values(take(consumer, 2)) == [b"0", b"1"]


@pytest.mark.parametrize(("offset", "expected"), [(1, b"1"), (OFFSET_BEGINNING, b"0"), (OFFSET_INVALID, b"0")])
def test_seek_drops_what_was_fetched(consumer: Consumer, migrated: Connection, offset: int, expected: bytes) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 5)
    consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    consumer.assign([TopicPartition(topic, 0, 0)])
    take(consumer, 2)
    consumer.seek(TopicPartition(topic, 0, offset))
    assert values(take(consumer, 1)) == [expected]


def test_incremental_assignment(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 2)
    fill(migrated, topic, 2, 1)
    consumer.incremental_assign([TopicPartition(topic, 0, 0)])
    assert values(take(consumer, 1)) == [b"0"]
    consumer.incremental_assign([TopicPartition(topic, 1, 1)])
    rest = take(consumer, 2)
    assert sorted((message.partition() or 0, message.offset() or 0) for message in rest) == [(0, 1), (1, 1)]
    with pytest.raises(KafkaException) as conflict:
        consumer.incremental_assign([TopicPartition(topic, 1, 0)])
    assert conflict.value.args[0].code() == KafkaError._CONFLICT  # noqa: SLF001
    consumer.incremental_unassign([TopicPartition(topic, 0)])
    assert [one.partition for one in consumer.assignment()] == [1]
    consumer.unassign()
    assert consumer.assignment() == []


def test_a_partition_that_there_is_not_is_told_once(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    errors: list[Any] = []
    topic = make_topic(migrated)
    fill(migrated, topic, 1)
    consumer = consumer_of(migrated_url, group, error_cb=errors.append)
    consumer.assign([TopicPartition(topic, 9), TopicPartition("unheard", 0), TopicPartition(topic, 0)])
    until(consumer, lambda: len(errors) == 2)
    assert consumer.poll(0.7) is None
    unknown = {KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001
    assert {error.code() for error in errors} == unknown
    make_topic(migrated, topic="unheard")
    fill(migrated, "unheard", [b"heard"])
    assert values(take(consumer, 1)) == [b"heard"]


def test_ends_and_offsets_by_time(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=2)
    for stamp in (1000, 3000, 2000):
        append.append(migrated, APPEND, [append.draft(topic, 0, None, b"v", None, stamp, view(b"v"))])
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0)) == (0, 3)
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), cached=True) == (-1001, -1001)
    asked = [TopicPartition(topic, 0, 1500), TopicPartition(topic, 0, 4000), TopicPartition(topic, 1, 0)]
    assert [one.offset for one in consumer.offsets_for_times(asked)] == [1, OFFSET_END, OFFSET_END]
    assert [one.offset for one in consumer.offsets_for_times([TopicPartition(topic, 0, -1)])] == [3]
    some = consumer.offsets_for_times([TopicPartition(topic, 0, 0), TopicPartition(topic, 7, 0)])
    assert [one.error and one.error.code() for one in some] == [None, KafkaError._UNKNOWN_PARTITION]  # noqa: SLF001
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    take(consumer, 3)
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), cached=True) == (0, 3)
    assert consumer.get_watermark_offsets(TopicPartition(topic, 1), cached=True) == (0, 0)


def test_the_cluster(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated, partitions=2)
    listed = consumer.list_topics(topic, timeout=20)
    assert list(listed.topics[topic].partitions) == [0, 1]
    assert consumer.cluster_id() == listed.cluster_id


def test_records_larger_than_a_fetch(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    large = [b"x" * size for size in (10, 3000, 20, 50_000, 30)]
    fill(migrated, topic, large)
    consumer = consumer_of(migrated_url, group, message_max_bytes=1000, fetch_max_bytes=2000)
    consumer.assign([TopicPartition(topic, 0, 0)])
    assert values(take(consumer, 5)) == large
