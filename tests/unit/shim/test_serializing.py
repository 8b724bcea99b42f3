"""The serializing clients: in which order keys and values are converted, and what comes of a failure.

What they hand to the plain clients, and are handed by them, is seen here without a database.
"""

from typing import Any, Self

import pytest

from shim.consumer import Consumer
from shim.error import (
    ConsumeError,
    KeyDeserializationError,
    KeySerializationError,
    ValueDeserializationError,
    ValueSerializationError,
)
from shim.errors import KafkaError, KafkaException
from shim.message import Message
from shim.producer import Producer
from shim.protocol.codes import Local
from shim.serialization import (
    IntegerDeserializer,
    IntegerSerializer,
    MessageField,
    SerializationContext,
    SerializerBuilder,
    StringDeserializer,
    StringSerializer,
)
from shim.serializing import DeserializingConsumer, SerializingProducer

GROUP = {"group.id": "g"}


class Produced(list[tuple[tuple[Any, ...], dict[str, Any]]]):
    """What a producer was asked to produce."""

    @classmethod
    def of(cls, monkeypatch: pytest.MonkeyPatch) -> Self:
        calls = cls()
        monkeypatch.setattr(Producer, "produce", lambda _, *args, **kwargs: calls.append((args, kwargs)))
        return calls


@pytest.fixture
def produced(monkeypatch: pytest.MonkeyPatch) -> Produced:
    return Produced.of(monkeypatch)


class Closing(StringSerializer):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


class Builder(SerializerBuilder):
    """Hands out one serializer."""

    def __init__(self, serializer: Closing) -> None:
        self.serializer = serializer

    def build(self, conf: dict[str, Any], is_key: bool) -> Any:
        assert is_key
        return self.serializer, conf


def fails(*_: object) -> bytes:
    raise ZeroDivisionError("no bytes")


def test_the_key_comes_before_the_value(produced: Produced) -> None:
    producer = SerializingProducer[str, int](
        {"key.serializer": StringSerializer(), "value.serializer": IntegerSerializer()}
    )
    producer.produce("t", "k", 7, 3, print, 5, {"a": "b"}, delay=2.5, deduplication_key="d")
    options = {"partition": 3, "on_delivery": print, "timestamp": 5, "headers": {"a": "b"}}
    options |= {"delay": 2.5, "deduplication_key": "d"}
    assert produced == [(("t", b"\0\0\0\7", b"k"), options)]


def test_without_serializers_bytes_go_through(produced: Produced) -> None:
    SerializingProducer({}).produce("t", b"k", b"v")
    assert produced[0][0] == ("t", b"v", b"k")


def test_a_serializer_is_told_where_it_is_used(produced: Produced) -> None:
    seen: list[tuple[object, str, MessageField, object]] = []

    def serialize(obj: object, context: SerializationContext) -> bytes:
        seen.append((obj, context.topic, context.field, context.headers))
        return b"x"

    producer = SerializingProducer({"key.serializer": serialize, "value.serializer": serialize})
    producer.produce("t", value="v", key="k", headers={"a": "b"})
    assert seen == [("k", "t", MessageField.KEY, {"a": "b"}), ("v", "t", MessageField.VALUE, {"a": "b"})]
    assert len(produced) == 1


@pytest.mark.parametrize(
    ("part", "kind", "code"),
    [
        ("key", KeySerializationError, Local.KEY_SERIALIZATION),
        ("value", ValueSerializationError, Local.VALUE_SERIALIZATION),
    ],
)
def test_what_cannot_be_serialized_is_not_produced(
    produced: Produced, part: str, kind: type[KafkaException], code: int
) -> None:
    producer = SerializingProducer({f"{part}.serializer": fails})
    with pytest.raises(kind, match="no bytes") as caught:
        producer.produce("t", "k", "v")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.args[0] == code
    assert not produced


def test_what_cannot_be_produced_is_not_serialized(produced: Produced) -> None:
    producer = SerializingProducer({"key.serializer": fails})
    with pytest.raises(TypeError, match="topic must be a str, not bytes"):
        producer.produce(b"t", "k")  # type: ignore[arg-type]  # that is the test
    producer.close()
    with pytest.raises(RuntimeError, match="Producer has been closed"):
        producer.produce("t", "k")
    assert not produced


def test_a_producer_closes_what_it_built() -> None:
    serializer = Closing()
    with SerializingProducer({"key.serializer.builder": Builder(serializer)}) as producer:
        assert serializer.closed == 0
    assert serializer.closed == 1
    assert producer.close() is True
    assert serializer.closed == 1


def test_a_client_that_cannot_be_made_closes_what_it_built() -> None:
    for made, noun in ((SerializingProducer, "serializer"), (DeserializingConsumer, "deserializer")):
        serializer = Closing()
        with pytest.raises(KafkaException, match="No such configuration property"):
            made({**GROUP, f"key.{noun}.builder": Builder(serializer), "nope": 1})
        assert serializer.closed == 1


def test_the_other_clients_properties_are_unknown() -> None:
    with pytest.raises(KafkaException, match=r'"key\.deserializer"'):
        SerializingProducer({"key.deserializer": StringDeserializer()})
    with pytest.raises(KafkaException, match=r'"key\.serializer"'):
        DeserializingConsumer({**GROUP, "key.serializer": StringSerializer()})


def polled(monkeypatch: pytest.MonkeyPatch, message: Message | None) -> None:
    monkeypatch.setattr(Consumer, "poll", lambda _, timeout: message if timeout == 0.5 else None)


def test_a_message_is_deserialized_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    message: Any = Message("t", 1, 2, b"k", b"\0\0\0\7")
    polled(monkeypatch, message)
    consumer = DeserializingConsumer[str, int](
        {**GROUP, "key.deserializer": StringDeserializer(), "value.deserializer": IntegerDeserializer()}
    )
    found: Any = consumer.poll(0.5)
    assert found is message
    assert (message.key(), message.value()) == (message.deserialized_key(), message.deserialized_value()) == ("k", 7)
    assert consumer.poll(0) is None


def test_an_event_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message.from_event(KafkaError(Local.PARTITION_EOF, "the end"), "t", 1, 2)
    polled(monkeypatch, message)
    with pytest.raises(ConsumeError, match="the end") as caught:
        DeserializingConsumer({**GROUP, "key.deserializer": fails}).poll(0.5)
    assert caught.value.kafka_message is message
    assert (caught.value.code, caught.value.name) == (-191, "_PARTITION_EOF")


@pytest.mark.parametrize(
    ("part", "kind", "code"),
    [
        ("key", KeyDeserializationError, Local.KEY_DESERIALIZATION),
        ("value", ValueDeserializationError, Local.VALUE_DESERIALIZATION),
    ],
)
def test_what_cannot_be_deserialized_keeps_its_bytes(
    monkeypatch: pytest.MonkeyPatch, part: str, kind: type[ConsumeError], code: int
) -> None:
    message = Message("t", 1, 2, b"k", b"v")
    polled(monkeypatch, message)
    consumer = DeserializingConsumer({**GROUP, f"{part}.deserializer": fails})
    with pytest.raises(kind, match="no bytes") as caught:
        consumer.poll(0.5)
    assert caught.value.code == code
    assert caught.value.kafka_message is message
    assert (message.key(), message.value()) == (b"k", b"v")


def test_batches_are_not_deserialized() -> None:
    with pytest.raises(NotImplementedError):
        DeserializingConsumer(GROUP).consume()


def test_a_consumer_closes_what_it_built() -> None:
    deserializer = Closing()
    with DeserializingConsumer({**GROUP, "key.deserializer.builder": Builder(deserializer)}) as consumer:
        assert deserializer.closed == 0
    consumer.close()
    assert deserializer.closed == 1
