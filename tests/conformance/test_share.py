"""Share consumers: one message to one worker, acknowledged by itself; the calls, their refusals and their order."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.conformance.records import fill
from tests.conformance.side import WAIT_SECONDS, Side

EXPLICIT = {"share.acknowledgement.mode": "explicit"}


def taken(consumer: Any, count: int) -> list[Any]:
    """So many messages, in as many polls as it takes; in explicit mode of one poll."""
    messages: list[Any] = []
    end = time.monotonic() + WAIT_SECONDS
    while len(messages) < count and time.monotonic() < end:
        messages += consumer.poll(1.0)
    assert len(messages) >= count, f"{len(messages)} messages came in time"
    return messages


def listening(side: Side, messages: int, **settings: object) -> tuple[Any, str]:
    topic = side.topic()
    fill(side, topic, map(str, range(messages)))
    consumer = side.share_consumer(None, settings)
    consumer.subscribe([topic])
    return consumer, topic


def acknowledged(side: Side, topic: str, *offsets: int) -> dict[Any, set[int]]:
    return {side.tp(topic, 0, 0): set(offsets)}


@pytest.mark.parametrize(
    "settings",
    [
        {"auto.offset.reset": "earliest"},
        {"enable.auto.commit": False},
        {"session.timeout.ms": 6000},
        {"group.instance.id": "me"},
        {"isolation.level": "read_committed"},
        {"enable.partition.eof": True},
        {"group.protocol": "classic"},
        {"partition.assignment.strategy": "range"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_properties_of_consumers_with_offsets_are_refused(side: Side, settings: dict[str, object]) -> None:
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"Failed to create share consumer: `{name}` is not (applicable|supported)"):
        side.api.ShareConsumer({**side.connection, "group.id": "g", **settings})


def test_construction_is_checked(side: Side) -> None:
    with pytest.raises(ValueError, match=r"Failed to create consumer: group\.id must be set"):
        side.api.ShareConsumer(side.connection)
    with pytest.raises(TypeError, match="expected configuration dict"):
        side.api.ShareConsumer()
    with pytest.raises(ValueError, match="on_commit is not supported on ShareConsumer"):
        side.api.ShareConsumer({**side.connection, "group.id": "g", "on_commit": print})
    code, text = side.refusal(
        lambda: side.api.ShareConsumer({**side.connection, "group.id": "g", "max.poll.records": 0})
    )
    assert code == side.code("_INVALID_ARG")
    assert '"max.poll.records" value 0 is outside allowed range 1..2147483647' in text


def test_a_subscription_is_a_list_of_names(side: Side) -> None:
    consumer = side.share_consumer()
    assert consumer.subscription() == []
    for wrong in ("topic", ("topic",), None):
        with pytest.raises(TypeError, match="expected list of topic unicode strings"):
            consumer.subscribe(wrong)
    for names in ([""], ["topic", "topic"]):
        with pytest.raises(ValueError, match="Failed to subscribe: Local: Invalid argument or configuration"):
            consumer.subscribe(names)
    consumer.subscribe(["one", "two"])
    assert sorted(consumer.subscription()) == ["one", "two"]
    consumer.subscribe([])
    assert consumer.subscription() == []
    consumer.subscribe(["one"])
    consumer.unsubscribe()
    assert consumer.subscription() == []
    with pytest.raises(side.api.IllegalStateException, match="Consumer is not subscribed to any topics"):
        consumer.poll(0.1)


@pytest.mark.parametrize("timeout", [None, "1"])
def test_timeouts_are_numbers(side: Side, timeout: object) -> None:
    consumer = side.share_consumer()
    consumer.subscribe(["topic"])
    for call in (consumer.poll, consumer.commit_sync):
        with pytest.raises(TypeError, match="must be real number"):
            call(timeout)
    with pytest.raises(TypeError, match=r"ShareConsumer\.commit_async\(\) takes no arguments \(1 given\)"):
        consumer.commit_async(1)
    with pytest.raises(TypeError, match="callback must be callable or None"):
        consumer.set_acknowledgement_commit_callback(3)


def test_nothing_to_take_and_nothing_to_settle(side: Side) -> None:
    consumer = side.share_consumer()
    consumer.subscribe([side.topic()])
    batch = consumer.poll(0.2)
    assert isinstance(batch, side.api.Messages)
    assert (batch.is_empty(), batch.count(), batch.records(), len(batch), list(batch)) == (True, 0, [], 0, [])
    assert consumer.commit_sync() == {}
    assert consumer.commit_async() is None


def test_messages_come_with_all_that_was_produced_and_their_count(side: Side) -> None:
    topic, stamp = side.topic(), round(time.time() * 1000) - 5
    producer = side.producer()
    producer.produce(topic, b"value", b"key", headers=[("h", b"1"), ("h", None)], timestamp=stamp)
    producer.flush()
    consumer = side.share_consumer()
    consumer.subscribe([topic])
    (message,) = taken(consumer, 1)
    assert (message.topic(), message.partition(), message.offset()) == (topic, 0, 0)
    assert (message.key(), message.value(), message.headers()) == (b"key", b"value", [("h", b"1"), ("h", None)])
    assert (message.timestamp(), message.error(), message.delivery_count()) == ((1, stamp), None, 1)


def test_in_implicit_mode_the_next_poll_accepts(side: Side) -> None:
    consumer, topic = listening(side, 3)
    told: list[Any] = []
    consumer.set_acknowledgement_commit_callback(lambda offsets, error: told.append((offsets, error)))
    messages = taken(consumer, 3)
    assert [message.offset() for message in messages] == [0, 1, 2]
    with pytest.raises(side.api.IllegalStateException, match="Failed to acknowledge message: Local: Erroneous state"):
        consumer.acknowledge(messages[0])
    with pytest.raises(side.api.IllegalStateException, match="Failed to acknowledge offset: Local: Erroneous state"):
        consumer.acknowledge_offset(topic, 0, 0)
    end = time.monotonic() + WAIT_SECONDS
    while not told and time.monotonic() < end:
        assert len(consumer.poll(0.2)) == 0
    assert told == [(acknowledged(side, topic, 0, 1, 2), None)]
    assert consumer.commit_sync() == {}


def test_in_implicit_mode_a_commit_accepts(side: Side) -> None:
    consumer, topic = listening(side, 2)
    told: list[Any] = []
    consumer.set_acknowledgement_commit_callback(lambda offsets, error: told.append((offsets, error)))
    taken(consumer, 2)
    assert consumer.commit_sync(timeout=10) == {side.tp(topic, 0, 0): None}
    assert told == [(acknowledged(side, topic, 0, 1), None)]
    assert consumer.commit_sync() == {}


def test_in_explicit_mode_each_message_is_spoken_of_before_the_next_poll(side: Side) -> None:
    consumer, topic = listening(side, 3, **EXPLICIT)
    messages = taken(consumer, 3)
    text = "3 records from previous poll have not been acknowledged"
    with pytest.raises(side.api.IllegalStateException, match=text):
        consumer.poll(0.1)
    assert consumer.commit_sync(10) == {}
    consumer.acknowledge(messages[0], side.api.AcknowledgeType.RELEASE)
    consumer.acknowledge(messages[0])  # it may be changed until it is settled
    consumer.acknowledge(message=messages[1], ack_type=1)
    assert consumer.commit_sync(10) == {side.tp(topic, 0, 0): None}
    with pytest.raises(side.api.IllegalStateException, match="Local: Erroneous state"):
        consumer.acknowledge(messages[0])
    with pytest.raises(side.api.IllegalStateException, match="Local: Erroneous state"):
        consumer.acknowledge_offset(topic, 0, 1)
    consumer.acknowledge_offset(topic=topic, partition=0, offset=2, ack_type=side.api.AcknowledgeType.ACCEPT)
    assert len(consumer.poll(0.5)) == 0


def test_what_is_released_comes_again_and_is_counted_and_what_is_rejected_does_not(side: Side) -> None:
    consumer, _ = listening(side, 3, **EXPLICIT)
    messages = taken(consumer, 3)
    consumer.acknowledge(messages[0], side.api.AcknowledgeType.RELEASE)
    consumer.acknowledge(messages[1], side.api.AcknowledgeType.REJECT)
    consumer.acknowledge(messages[2])
    again = taken(consumer, 1)
    assert [(message.offset(), message.delivery_count()) for message in again] == [(0, 2)]
    consumer.acknowledge(again[0])
    assert len(consumer.poll(1.0)) == 0


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c, _, __: c.acknowledge("message"), TypeError, "must be "),
        (lambda c, m, _: c.acknowledge(m, 7), ValueError, "Failed to acknowledge message: Local: Invalid argument"),
        (lambda c, m, _: c.acknowledge(m, "x"), TypeError, "cannot be interpreted as an integer"),
        (lambda c, m, _: c.acknowledge(m, None), TypeError, "cannot be interpreted as an integer"),
        (lambda c, _, t: c.acknowledge_offset(t, -1, 0), ValueError, "acknowledge offset: Local: Invalid argument"),
        (lambda c, _, t: c.acknowledge_offset(t, 0, -1), ValueError, "acknowledge offset: Local: Invalid argument"),
        (lambda c, _, t: c.acknowledge_offset(t, "0", 0), TypeError, "cannot be interpreted as an integer"),
        (lambda c, _, __: c.acknowledge_offset(1, 0, 0), TypeError, "argument 1 must be str, not int"),
        (lambda c, _, t: c.acknowledge_offset(t, 0, 99), RuntimeError, "acknowledge offset: Local: Erroneous state"),
        (lambda c, _, __: c.acknowledge_offset("other", 0, 0), RuntimeError, "offset: Local: Erroneous state"),
    ],
    ids=[
        "no message",
        "no type",
        "a text as type",
        "None as type",
        "a partition below 0",
        "an offset below 0",
        "a text as partition",
        "a number as topic",
        "an offset that is not in flight",
        "a topic that is not in flight",
    ],
)
def test_acknowledgements_are_checked(
    side: Side, call: Callable[..., object], kind: type[Exception], text: str
) -> None:
    consumer, topic = listening(side, 1, **EXPLICIT)
    (message,) = taken(consumer, 1)
    with pytest.raises(kind, match=text):
        call(consumer, message, topic)


def test_a_message_without_a_place_cannot_be_acknowledged(side: Side) -> None:
    consumer = side.share_consumer(None, EXPLICIT)
    for message in (side.api.Message(None, 0, 0), side.api.Message("topic")):
        with pytest.raises(ValueError, match="Failed to acknowledge message: Local: Invalid argument"):
            consumer.acknowledge(message)


def test_what_was_taken_and_not_settled_goes_back_at_close(side: Side) -> None:
    topic, group = side.topic(), side.share_group()
    fill(side, topic, ["0", "1"])
    first = side.share_consumer(group)
    first.subscribe([topic])
    taken(first, 2)
    first.close()
    second = side.share_consumer(group)
    second.subscribe([topic])
    assert [(message.offset(), message.delivery_count()) for message in taken(second, 2)] == [(0, 2), (1, 2)]


def test_two_workers_share_a_partition_and_nobody_gets_what_another_has(side: Side) -> None:
    topic, group = side.topic(), side.share_group()
    one, two = (side.share_consumer(group, {"max.poll.records": 1, **EXPLICIT}) for _ in range(2))
    offsets: list[int] = []
    for consumer in (one, two):
        consumer.subscribe([topic])
    fill(side, topic, map(str, range(30)))
    end = time.monotonic() + WAIT_SECONDS
    while len(offsets) < 30 and time.monotonic() < end:
        for consumer in (one, two):
            for message in consumer.poll(0.1):
                offsets.append(message.offset())
                consumer.acknowledge(message)
    assert sorted(offsets) == list(range(30))


def test_a_second_thread_is_refused(side: Side) -> None:
    consumer, _ = listening(side, 0)
    inside = threading.Event()
    done: list[object] = []

    def poll() -> None:
        inside.set()
        while not done:  # it may be the one that is refused
            with suppress(side.api.ConcurrentModificationException):
                done.append(len(consumer.poll(1.5)))

    thread = threading.Thread(target=poll)
    thread.start()
    inside.wait(WAIT_SECONDS)
    refused = None
    while refused is None and thread.is_alive():
        try:
            consumer.commit_async()
        except side.api.ConcurrentModificationException as error:
            refused = str(error)
    thread.join()
    assert "Share consumer is not safe for multi-threaded access" in str(refused)
    assert done == [0]


def test_calls_in_the_callback_are_refused(side: Side) -> None:
    consumer, _ = listening(side, 1)
    refusals: list[str] = []

    def callback(_offsets: object, _error: object) -> None:
        for call in (consumer.commit_sync, consumer.commit_async, consumer.close, lambda: consumer.poll(0)):
            with pytest.raises(side.api.IllegalStateException) as caught:
                call()
            refusals.append(str(caught.value))

    consumer.set_acknowledgement_commit_callback(callback)
    taken(consumer, 1)
    consumer.commit_sync(10)
    text = "Share consumer methods are not accessible from user-defined acknowledgement commit callback"
    assert refusals == [text] * 4


def test_after_close_every_call_is_refused(side: Side) -> None:
    with side.share_consumer() as consumer:
        pass
    consumer.close()
    calls: list[Callable[[], object]] = [
        lambda: consumer.poll(0),
        lambda: consumer.subscribe(["topic"]),
        consumer.unsubscribe,
        consumer.subscription,
        lambda: consumer.acknowledge_offset("topic", 0, 0),
        consumer.commit_sync,
        consumer.commit_async,
        lambda: consumer.set_acknowledgement_commit_callback(None),
        lambda: consumer.set_sasl_credentials("user", "password"),
    ]
    for call in calls:
        with pytest.raises(side.api.IllegalStateException, match="Share consumer closed"):
            call()


def test_objects_instead_of_bytes(side: Side) -> None:
    topic, serialization = side.topic(), side.family.module("serialization")
    producer = side.producer()
    producer.produce(topic, b"\x00\x00\x00\x07", "key")
    producer.produce(topic, b"\x00", "key")
    producer.produce(topic, b"\x00\x00\x00\x07", b"\xff")
    producer.flush()
    converters = {
        "key.deserializer": serialization.StringDeserializer(),
        "value.deserializer": serialization.IntegerDeserializer(),
    }
    consumer = side.api.DeserializingShareConsumer(
        {**side.connection, **EXPLICIT, "group.id": side.share_group(), **converters}
    )
    assert isinstance(consumer, side.api.ShareConsumer)
    with consumer:
        consumer.subscribe([topic])
        good, bad_value, bad_key = taken(consumer, 3)
        assert (good.key(), good.value(), good.error()) == ("key", 7, None)
        assert (bad_value.key(), bad_value.value()) == (b"key", b"\x00")
        assert bad_value.error().code() == side.code("_VALUE_DESERIALIZATION")
        assert bad_key.error().code() == side.code("_KEY_DESERIALIZATION")
        consumer.acknowledge(good)
        for message in (bad_value, bad_key):
            consumer.acknowledge(message, side.api.AcknowledgeType.REJECT)
        assert consumer.commit_sync(10) == {side.tp(topic, 0, 0): None}
