"""``Producer.produce_batch``: what is queued, what is refused, and whose callback is called."""

from typing import Any

import pytest

from tests.conformance.records import take
from tests.conformance.side import WAIT_SECONDS, Side


class Reports(list[tuple[Any, Any]]):
    """Collects delivery reports."""

    def __call__(self, error: Any, message: Any) -> None:
        self.append((error, message))

    def values(self) -> list[bytes | None]:
        return [message.value() for _, message in self]


def test_every_message_is_queued_and_reported(side: Side) -> None:
    topic = side.topic()
    reports = Reports()
    producer = side.producer()
    batch: list[dict[str, Any]] = [{"value": b"1", "key": "k"}, {"value": "2"}, {}, {"value": None, "key": b"\x00"}]
    assert producer.produce_batch(topic, batch, callback=reports) == 4
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values() == [b"1", b"2", None, None]
    assert all(error is None for error, _ in reports)
    assert [message.key() for _, message in reports] == [b"k", None, None, b"\x00"]
    assert all("_error" not in message for message in batch)


@pytest.mark.parametrize("name", ["callback", "on_delivery"])
def test_the_callback_has_two_names(side: Side, name: str) -> None:
    reports = Reports()
    producer = side.producer()
    producer.produce_batch(side.topic(), [{"value": b"v"}], **{name: reports})
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values() == [b"v"]


def test_whose_callback(side: Side) -> None:
    """The message's own, then the call's, then the producer's."""
    topic = side.topic()
    default, call, own = Reports(), Reports(), Reports()
    producer = side.producer({"on_delivery": default})
    producer.produce_batch(topic, [{"value": b"own", "callback": own}, {"value": b"call"}], callback=call)
    producer.produce_batch(topic, [{"value": b"default"}])
    assert producer.flush(WAIT_SECONDS) == 0
    assert (default.values(), call.values(), own.values()) == ([b"default"], [b"call"], [b"own"])


def test_nothing_to_do(side: Side) -> None:
    assert side.producer().produce_batch("topic", []) == 0


@pytest.mark.parametrize(
    ("messages", "error", "text"),
    [
        ((), TypeError, "messages must be a list"),
        (None, TypeError, "messages must be a list"),
        ([b"a"], TypeError, "Message at index 0 must be a dict"),
        ([{}, 3], TypeError, "Message at index 1 must be a dict"),
        ([{}, {"value": 5}], TypeError, "Message value at index 1 must be bytes or str"),
        ([{"key": 5}], TypeError, "Message key at index 0 must be bytes or str"),
        ([{"partition": "x"}], TypeError, "Message partition at index 0 must be int"),
        ([{}, {"headers": 5}], ValueError, "Invalid headers at index 1"),
    ],
    ids=str,
)
def test_a_list_of_the_wrong_form_is_refused_whole(
    side: Side, messages: object, error: type[Exception], text: str
) -> None:
    producer = side.producer()
    with pytest.raises(error, match=text):
        producer.produce_batch("topic", messages)
    assert len(producer) == 0


def test_topic_is_text(side: Side) -> None:
    with pytest.raises(TypeError):
        side.producer().produce_batch(None, [{}])


def test_the_calls_partition(side: Side) -> None:
    reports = Reports()
    producer = side.producer()
    producer.produce_batch(
        side.topic(3), [{"value": b"1"}, {"value": b"2", "key": b"k"}], partition=2, callback=reports
    )
    assert producer.flush(WAIT_SECONDS) == 0
    assert [message.partition() for _, message in reports] == [2, 2]


@pytest.mark.differs("batch-partition")
def test_a_messages_own_partition(side: Side) -> None:
    reports = Reports()
    producer = side.producer()
    producer.produce_batch(side.topic(3), [{"value": b"1", "partition": 2}], partition=1, callback=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert [message.partition() for _, message in reports] == [side.either(kafka=1, shim=2)]


@pytest.mark.differs("batch-headers")
def test_a_messages_headers(side: Side) -> None:
    topic = side.topic()
    producer = side.producer()
    assert producer.produce_batch(topic, [{"value": b"1", "headers": [("a", b"1")]}]) == 1
    assert producer.flush(WAIT_SECONDS) == 0
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    assert take(consumer, 1)[0].headers() == side.either(kafka=None, shim=[("a", b"1")])


@pytest.mark.differs("batch-timestamp")
def test_a_messages_timestamp(side: Side) -> None:
    reports = Reports()
    producer = side.producer()
    timestamps: list[int] = []
    try:
        producer.produce_batch(side.topic(), [{"value": b"1", "timestamp": 1_700_000_000_000}], callback=reports)
        producer.flush(WAIT_SECONDS)
        timestamps = [message.timestamp()[1] for _, message in reports]
    except NotImplementedError:
        assert len(producer) == 0
    assert timestamps == side.either(kafka=[], shim=[1_700_000_000_000])


def test_messages_that_fit_no_queue(side: Side) -> None:
    reports = Reports()
    nobody = {**side.nobody(), "queue.buffering.max.messages": 2, "logger": side.silence}
    producer = side.producer(nobody)
    batch: list[dict[str, Any]] = [{"value": b"%d" % number} for number in range(4)]
    assert producer.produce_batch("topic", batch, callback=reports) == 2
    failed = [message["_error"] for message in batch if "_error" in message]
    assert [error.code() for error in failed] == [side.code("_QUEUE_FULL")] * 2
    assert failed[0].str() == "Message failed: Local: Queue full"
    producer.purge()
    producer.flush(WAIT_SECONDS)
    assert reports.values() == [b"0", b"1"]


def test_a_message_that_is_too_large(side: Side) -> None:
    reports = Reports()
    producer = side.producer({"message.max.bytes": 1000})
    batch: list[dict[str, Any]] = [{"value": b"a"}, {"value": b"b" * 1001}, {"value": b"c"}]
    assert producer.produce_batch(side.topic(), batch, callback=reports) == 2
    assert batch[1]["_error"].code() == side.error.MSG_SIZE_TOO_LARGE
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values() == [b"a", b"c"]


def test_a_partition_that_is_not_there(side: Side) -> None:
    topic = side.topic()
    producer = side.producer()
    producer.produce(topic, b"v")
    producer.flush(WAIT_SECONDS)
    batch: list[dict[str, Any]] = [{"value": b"a"}, {"value": b"b"}]
    assert producer.produce_batch(topic, batch, partition=7) == 0
    assert [message["_error"].code() for message in batch] == [side.code("_UNKNOWN_PARTITION")] * 2
