"""Where partitions begin and end, and which offset a time has."""

import time

import pytest

from tests.conformance.records import fill, offsets, take
from tests.conformance.side import WAIT_SECONDS, Side


def test_watermarks(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer()
    tp = side.tp(topic, 0)
    assert consumer.get_watermark_offsets(tp, WAIT_SECONDS) == (0, 0)
    assert consumer.get_watermark_offsets(tp, cached=True) == (-1001, -1001)
    fill(side, topic, [b"0", b"1", b"2"])
    assert consumer.get_watermark_offsets(tp, timeout=WAIT_SECONDS) == (0, 3)
    side.cluster.delete_records([side.tp(topic, 0, 2)])[tp].result(WAIT_SECONDS)
    assert consumer.get_watermark_offsets(tp, WAIT_SECONDS, False) == (2, 3)


def test_cached_watermarks_follow_what_was_read(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1"])
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    take(consumer, 2)
    assert consumer.get_watermark_offsets(side.tp(topic, 0), cached=True) == (0, 2)


@pytest.mark.parametrize("topic", ["known", "unknown"])
def test_watermarks_of_what_is_not_there(side: Side, topic: str) -> None:
    name = side.topic() if topic == "known" else side.name("missing")
    consumer = side.consumer()
    assert consumer.get_watermark_offsets(side.tp(name, 9), cached=True) == (-1001, -1001)
    with pytest.raises(side.api.KafkaException) as caught:
        consumer.get_watermark_offsets(side.tp(name, 9), WAIT_SECONDS)
    assert caught.value.args[0].code() == side.code("_UNKNOWN_PARTITION")
    assert caught.value.args[0].str() == "Failed to get watermark offsets: Local: Unknown partition"
    with pytest.raises(TypeError):
        consumer.get_watermark_offsets((name, 9))


def test_offsets_for_times(side: Side) -> None:
    topic = side.topic(2)
    now = int(time.time() * 1000)
    producer = side.producer()
    for number in range(5):
        producer.produce(topic, b"v", partition=0, timestamp=now + number * 100)
    assert producer.flush(WAIT_SECONDS) == 0
    consumer = side.consumer()

    def found(timestamp: int) -> dict[tuple[str, int], int]:
        asked = [side.tp(topic, 0, timestamp), side.tp(topic, 1, timestamp)]
        return offsets(consumer.offsets_for_times(asked, WAIT_SECONDS))

    assert found(0) == {(topic, 0): 0, (topic, 1): -1}
    assert found(now) == {(topic, 0): 0, (topic, 1): -1}
    assert found(now + 1) == {(topic, 0): 1, (topic, 1): -1}
    assert found(now + 400) == {(topic, 0): 4, (topic, 1): -1}
    assert found(now + 401) == {(topic, 0): -1, (topic, 1): -1}


def test_offsets_for_times_refuses(side: Side) -> None:
    consumer = side.consumer()
    with pytest.raises(TypeError, match="requires list of TopicPartition"):
        consumer.offsets_for_times(5)
    with pytest.raises(side.api.KafkaException) as caught:
        consumer.offsets_for_times([side.tp(side.name("missing"), 0, 0)], WAIT_SECONDS)
    assert caught.value.args[0].code() == side.code("_UNKNOWN_PARTITION")
    with pytest.raises(side.api.KafkaException) as caught:
        consumer.offsets_for_times([], WAIT_SECONDS)
    assert caught.value.args[0].code() == side.code("_INVALID_ARG")


def test_list_topics(side: Side) -> None:
    topic = side.topic(3)
    consumer = side.consumer()
    assert set(consumer.list_topics(topic, WAIT_SECONDS).topics[topic].partitions) == {0, 1, 2}
    assert topic in consumer.list_topics(timeout=WAIT_SECONDS).topics
    assert consumer.cluster_id(WAIT_SECONDS) == side.producer().cluster_id(WAIT_SECONDS)
