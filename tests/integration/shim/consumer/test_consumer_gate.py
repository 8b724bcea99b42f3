"""Topics whose jobs may not run here, or not yet; and groups that Kafka handed over."""

import time

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.protocol.constants import OFFSET_STORED
from shim.store import topics
from shim.store.topics import GroupOffset
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import (
    TOPICS,
    WAIT_SECONDS,
    MakeConsumer,
    fill,
    fresh,
    make_topic,
    take,
    until,
    values,
)


def test_nothing_is_read_behind_a_closed_gate(consumer: Consumer, migrated: Connection) -> None:
    closed, open_ = make_topic(migrated), make_topic(migrated)
    fill(migrated, closed, [b"behind"])
    fill(migrated, open_, [b"before"])
    topics.set_gate(migrated, TOPICS, closed, "closed")
    consumer.subscribe([closed, open_])
    assert values(take(consumer, 1)) == [b"before"]
    assert consumer.poll(0.5) is None
    assert len(consumer.assignment()) == 2  # membership goes on
    topics.set_gate(migrated, TOPICS, closed, "open")
    assert values(take(consumer, 1)) == [b"behind"]


@pytest.mark.parametrize("batch", [False, True])
def test_a_gate_that_is_closed_keeps_back_what_was_fetched(
    consumer: Consumer, migrated: Connection, batch: bool
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 200)
    consumer.assign([TopicPartition(topic, 0, 0)])
    take(consumer, 10)
    topics.set_gate(migrated, TOPICS, topic, "closed")
    closed_at = time.monotonic()
    assert wait_until(lambda: time.monotonic() - closed_at > 1, WAIT_SECONDS)  # long enough for it to be seen
    handed = consumer.consume(100, 0.3) if batch else [consumer.poll(0.3)]
    assert handed in ([], [None])
    topics.set_gate(migrated, TOPICS, topic, "open")
    assert [message.offset() for message in take(consumer, 190)] == list(range(10, 200))


def test_a_drained_group_goes_on_where_it_stood_in_kafka(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection
) -> None:
    topic, group = fresh("drained"), fresh("group")
    topics.register_topic(migrated, TOPICS, topic, 2)
    topics.register_partitions(migrated, TOPICS, topic, {0: 0, 1: 0})
    topics.copy_group_offsets(migrated, TOPICS, group, topic, [GroupOffset(0, 7, 3, "beside"), GroupOffset(1, 5)])
    for partition, offset in ((0, 6), (0, 7), (0, 9), (1, 4), (1, 5)):
        migrated.execute(
            "insert into job_queue (payload, topic, partition, log_offset, value, encoding) "
            "values ('null', %s, %s, %s, %s, 'text')",
            [topic, partition, offset, b"%d" % offset],
        )
    topics.advance_heads(migrated, TOPICS, {(topic, 0): 12, (topic, 1): 6})
    consumer = consumer_of(migrated_url, group, auto_offset_reset="latest")
    consumer.subscribe([topic])
    assert consumer.poll(0.5) is None
    until(consumer, consumer.assignment)
    assert [(one.offset, one.metadata) for one in consumer.committed([TopicPartition(topic, 0)])] == [(7, "beside")]
    topics.number_in_postgres(migrated, TOPICS, topic)
    topics.set_gate(migrated, TOPICS, topic, "open")
    assert sorted(values(take(consumer, 3)), key=str) == [b"5", b"7", b"9"]
    fill(migrated, topic, [b"new"])
    assert [(one.value(), one.offset()) for one in take(consumer, 1)] == [(b"new", 12)]


def test_where_a_group_without_offsets_starts_is_decided_when_the_gate_opens(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    topics.set_gate(migrated, TOPICS, topic, "closed")
    consumer = consumer_of(migrated_url, group, auto_offset_reset="latest")
    consumer.subscribe([topic])
    until(consumer, consumer.assignment)
    assert consumer.poll(0.6) is None
    fill(migrated, topic, [b"drained meanwhile"])
    topics.set_gate(migrated, TOPICS, topic, "open")
    until(consumer, lambda: consumer.get_watermark_offsets(TopicPartition(topic, 0), cached=True) == (0, 1))
    assert consumer.poll(0.6) is None
    fill(migrated, topic, [b"new"])
    assert values(take(consumer, 1)) == [b"new"]


def test_rows_of_plain_sql_are_read_like_others(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, [b"first"])
    consumer.assign([TopicPartition(topic, 0, OFFSET_STORED)])
    assert values(take(consumer, 1)) == [b"first"]
    migrated.execute("""insert into job_queue (topic, payload) values (%s, '{"a": [1, "b c"]}')""", [topic])
    assert [(one.value(), one.offset()) for one in take(consumer, 1)] == [(b'{"a":[1,"b c"]}', 1)]
