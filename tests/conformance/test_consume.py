"""Reading: poll and consume, the ends of partitions, where a group begins, and what is not there."""

import json
import time
from typing import Any

import pytest

from tests.conformance.records import fill, held, serve, take, take_event, values
from tests.conformance.side import WAIT_SECONDS, Side


def assigned(side: Side, topic: str, *partitions: int, offset: int = 0, **settings: object) -> Any:
    """A consumer of partitions that it chose itself."""
    consumer = side.consumer(None, settings)
    consumer.assign([side.tp(topic, partition, offset) for partition in partitions or (0,)])
    return consumer


@pytest.mark.parametrize("timeout", [None, "1"])
def test_timeouts_are_numbers(side: Side, timeout: object) -> None:
    consumer = side.consumer()
    with pytest.raises(TypeError):
        consumer.poll(timeout)
    with pytest.raises(TypeError):
        consumer.consume(1, timeout)


def test_nothing_to_read(side: Side) -> None:
    consumer = side.consumer()
    assert consumer.poll(0) is None
    assert consumer.poll(0.01) is None
    assert consumer.poll(timeout=0.01) is None
    assert consumer.consume(5, 0.01) == []
    assert consumer.consume(num_messages=5, timeout=0.01) == []
    assert consumer.consume(0, 0.01) == []


@pytest.mark.parametrize("count", [-1, 1_000_001])
def test_consume_has_bounds(side: Side, count: int) -> None:
    with pytest.raises(ValueError, match=r"num_messages must be between 0 and 1000000 \(1M\)"):
        side.consumer().consume(count, 0.01)


def test_poll_waits_for_its_timeout(side: Side) -> None:
    consumer = assigned(side, side.topic())
    began = time.monotonic()
    assert consumer.poll(0.3) is None
    assert 0.25 <= time.monotonic() - began < 3


def test_poll_comes_back_with_the_first_record(side: Side) -> None:
    topic = side.topic()
    consumer = assigned(side, topic)
    fill(side, topic, [b"v"])
    began = time.monotonic()
    message = consumer.poll(60)
    assert message.value() == b"v"
    assert time.monotonic() - began < WAIT_SECONDS


def test_consume_comes_back_full(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(5)])
    consumer = assigned(side, topic)
    began = time.monotonic()
    assert values(consumer.consume(5, 60)) == [b"0", b"1", b"2", b"3", b"4"]
    assert time.monotonic() - began < WAIT_SECONDS


def test_consume_waits_for_its_timeout_unless_full(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = assigned(side, topic)
    assert values(take(consumer, 1)) == [b"0"]
    began = time.monotonic()
    assert values(consumer.consume(100, 0.4)) == [b"1", b"2"]
    assert 0.35 <= time.monotonic() - began < 3


def test_consume_in_parts(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(7)])
    consumer = assigned(side, topic)
    parts = [
        values(consumer.consume(3, WAIT_SECONDS)),
        values(consumer.consume(3, WAIT_SECONDS)),
        values(take(consumer, 1)),
    ]
    assert parts == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6"]]


def test_order_is_kept_per_partition(side: Side) -> None:
    topic = side.topic(3)
    for partition in range(3):
        fill(side, topic, [b"%d-%d" % (partition, number) for number in range(50)], partition)
    messages = take(assigned(side, topic, 0, 1, 2), 150)
    for partition in range(3):
        mine = [message for message in messages if message.partition() == partition]
        assert values(mine) == [b"%d-%d" % (partition, number) for number in range(50)]
        assert [message.offset() for message in mine] == list(range(50))


def test_tombstones_are_handed_out_and_are_false(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [None, b"", b"v"])
    messages = take(assigned(side, topic), 3)
    assert values(messages) == [None, b"", b"v"]
    assert [bool(message) for message in messages] == [False, False, True]


def test_records_that_come_later(side: Side) -> None:
    topic = side.topic()
    consumer = assigned(side, topic)
    for number in range(5):
        fill(side, topic, [b"%d" % number])
        assert values(take(consumer, 1)) == [b"%d" % number]


def test_records_larger_than_any_fetch_size(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"x" * 100_000, b"y" * 100_000, b"z"])
    small = {"fetch.message.max.bytes": 1000, "queued.max.messages.kbytes": 1, "queued.min.messages": 1}
    assert [len(message) for message in take(assigned(side, topic, **small), 3)] == [100_000, 100_000, 1]


def test_end_of_partition_is_an_event_if_asked(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1"])
    consumer = assigned(side, topic, **{"enable.partition.eof": True})
    take(consumer, 2)
    event = take_event(consumer)
    error = event.error()
    assert error == side.code("_PARTITION_EOF")
    assert error.name() == "_PARTITION_EOF"
    assert (error.fatal(), error.retriable()) == (False, False)
    assert (event.topic(), event.partition(), event.offset()) == (topic, 0, 2)
    assert event.value() == error.str().encode()
    assert event.key() is None
    assert event.headers() is None
    assert event.timestamp() == (side.api.TIMESTAMP_NOT_AVAILABLE, -1)


def test_end_of_partition_comes_again_after_new_records(side: Side) -> None:
    topic = side.topic()
    consumer = assigned(side, topic, **{"enable.partition.eof": True})
    assert take_event(consumer).offset() == 0
    assert consumer.poll(0.2) is None
    fill(side, topic, [b"v"])
    assert values(take(consumer, 1)) == [b"v"]
    assert take_event(consumer).offset() == 1


def test_end_of_each_partition(side: Side) -> None:
    topic = side.topic(3)
    fill(side, topic, [b"v"], 1)
    consumer = assigned(side, topic, 0, 1, 2, **{"enable.partition.eof": True})
    ends = [take_event(consumer) for _ in range(3)]
    assert {event.partition(): event.offset() for event in ends} == {0: 0, 1: 1, 2: 0}


def test_consume_holds_events_too(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"v"])
    consumer = assigned(side, topic, **{"enable.partition.eof": True})
    record, event = consumer.consume(2, WAIT_SECONDS)
    assert record.error() is None
    assert event.error() == side.code("_PARTITION_EOF")


def test_no_end_is_seen_by_default(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"v"])
    consumer = assigned(side, topic)
    take(consumer, 1)
    assert consumer.poll(0.3) is None


@pytest.mark.parametrize("reset", ["earliest", "smallest", "beginning"])
def test_a_new_group_may_begin_at_the_beginning(side: Side, reset: str) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1"])
    consumer = side.consumer(None, {"auto.offset.reset": reset})
    consumer.subscribe([topic])
    assert values(take(consumer, 2)) == [b"0", b"1"]


@pytest.mark.parametrize("reset", ["latest", "largest", "end", None])
def test_a_new_group_may_begin_at_the_end(side: Side, reset: str | None) -> None:
    """That is the default."""
    topic = side.topic()
    fill(side, topic, [b"old"])
    consumer = side.api.Consumer(
        {**side.connection, "group.id": side.name("group"), "enable.partition.eof": True}
        | ({"auto.offset.reset": reset} if reset else {})
    )
    consumer.subscribe([topic])
    assert take_event(consumer).offset() == 1
    fill(side, topic, [b"new"])
    assert values(take(consumer, 1)) == [b"new"]
    consumer.close()


def test_a_new_group_may_refuse_to_begin(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer(None, {"auto.offset.reset": "error"})
    consumer.subscribe([topic])
    event = take_event(consumer)
    assert event.error().code() == side.code("_AUTO_OFFSET_RESET")
    assert (event.topic(), event.partition()) == (topic, 0)


@pytest.mark.parametrize(("reset", "expected"), [("earliest", b"0"), ("latest", b"new")])
def test_an_offset_out_of_range_is_reset(side: Side, reset: str, expected: bytes) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1"])
    consumer = assigned(side, topic, offset=50, **{"auto.offset.reset": reset, "enable.partition.eof": True})
    if reset == "latest":
        assert take_event(consumer).offset() == 2
        fill(side, topic, [b"new"])
    assert values(take(consumer, 1)) == [expected]


def test_an_offset_out_of_range_may_be_an_error(side: Side) -> None:
    topic = side.topic()
    event = take_event(assigned(side, topic, offset=50, **{"auto.offset.reset": "error"}))
    assert event.error().code() == side.code("_AUTO_OFFSET_RESET")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("OFFSET_BEGINNING", [b"0", b"1", b"new"]), ("OFFSET_END", [b"new"]), ("OFFSET_INVALID", [b"0", b"1", b"new"])],
)
def test_logical_offsets(side: Side, name: str, expected: list[bytes]) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1"])
    consumer = assigned(side, topic, offset=getattr(side.api, name), **{"enable.partition.eof": True})
    seen: list[Any] = []
    while not seen or seen[-1].error() is None:
        seen += consumer.consume(1, WAIT_SECONDS)
    fill(side, topic, [b"new"])
    assert values([*seen[:-1], *take(consumer, 1)]) == expected


def test_committed_offset_wins_over_reset(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    first = side.consumer(group)
    first.commit(offsets=[side.tp(topic, 0, 2)], asynchronous=False)
    for offset in (side.api.OFFSET_STORED, side.api.OFFSET_INVALID):
        consumer = side.consumer(group, {"enable.auto.commit": False})
        consumer.assign([side.tp(topic, 0, offset)])
        assert values(take(consumer, 1)) == [b"2"]
        consumer.close()


def test_a_subscribed_topic_that_does_not_exist(side: Side) -> None:
    name = side.name("missing")
    consumer = side.consumer()
    consumer.subscribe([name])
    event = take_event(consumer)
    assert event.error().code() == side.error.UNKNOWN_TOPIC_OR_PART
    assert event.error().str() == f"Subscribed topic not available: {name}: Broker: Unknown topic or partition"
    assert event.topic() == name
    assert held(consumer) == set()


def test_a_topic_that_appears_later(side: Side) -> None:
    name = side.name("later")
    consumer = side.consumer(None, {"topic.metadata.refresh.interval.ms": 200})
    consumer.subscribe([name])
    take_event(consumer)
    side.topic(2, name=name)
    serve([consumer], lambda: held(consumer) == {(name, 0), (name, 1)})


def test_one_of_two_topics_is_missing(side: Side) -> None:
    topic, missing = side.topic(), side.name("missing")
    fill(side, topic, [b"v"])
    consumer = side.consumer()
    consumer.subscribe([topic, missing])
    messages: list[Any] = []
    handed = serve([consumer], lambda: held(consumer) == {(topic, 0)})
    messages = handed[0]
    while len(messages) < 2:
        messages += consumer.consume(1, WAIT_SECONDS)
    assert {message.topic(): message.error() for message in messages} == {
        topic: None,
        missing: side.error.UNKNOWN_TOPIC_OR_PART,
    }


def test_partitions_that_are_added(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer(None, {"topic.metadata.refresh.interval.ms": 200})
    consumer.subscribe([topic])
    serve([consumer], lambda: held(consumer) == {(topic, 0)})
    side.cluster.create_partitions([side.admin.NewPartitions(topic, 3)])[topic].result(WAIT_SECONDS)
    serve([consumer], lambda: held(consumer) == {(topic, 0), (topic, 1), (topic, 2)})


def test_statistics(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"v"] * 3)
    texts: list[str] = []
    group = side.name("group")
    consumer = side.consumer(group, {"statistics.interval.ms": 100, "stats_cb": texts.append})
    consumer.subscribe([topic])

    def lag() -> int | None:
        latest = json.loads(texts[-1]) if texts else {"topics": {}}
        partitions = latest["topics"].get(topic, {}).get("partitions", {})
        found: int | None = partitions.get("0", {}).get("consumer_lag")
        return found

    take(consumer, 2)
    consumer.pause([side.tp(topic, 0)])
    consumer.commit(asynchronous=False)
    serve([consumer], lambda: lag() == 1)
    statistics = json.loads(texts[-1])
    assert statistics["type"] == "consumer"
    assert statistics["cgrp"]["state"] == "up"
