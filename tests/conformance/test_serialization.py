"""The serializing layer: the serializers, ``SerializingProducer``, ``DeserializingConsumer`` and their errors."""

import json
from typing import Any

import pytest

from tests.conformance.records import fill, take
from tests.conformance.side import WAIT_SECONDS, Side


def module(side: Side) -> Any:
    return side.family.module("serialization")


@pytest.mark.parametrize(
    ("name", "value", "encoded"),
    [
        ("String", "żółć", "żółć".encode()),
        ("String", "", b""),
        ("Integer", 258, b"\x00\x00\x01\x02"),
        ("Integer", -1, b"\xff\xff\xff\xff"),
        ("Double", 1.5, b"\x3f\xf8\x00\x00\x00\x00\x00\x00"),
        ("Double", -0.0, b"\x80\x00\x00\x00\x00\x00\x00\x00"),
    ],
)
def test_serializers(side: Side, name: str, value: Any, encoded: bytes) -> None:
    serializer, deserializer = (
        getattr(module(side), f"{name}Serializer")(),
        getattr(module(side), f"{name}Deserializer")(),
    )
    assert serializer(value) == encoded
    assert deserializer(encoded) == value
    assert serializer(None) is None
    assert deserializer(None) is None


def test_codecs(side: Side) -> None:
    assert module(side).StringSerializer("utf_16_be")("ż") == b"\x01\x7c"
    assert module(side).StringDeserializer("utf_16_be")(b"\x01\x7c") == "ż"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("StringSerializer", "\ud800"),
        ("IntegerSerializer", "x"),
        ("IntegerSerializer", 2**31),
        ("DoubleSerializer", "x"),
        ("StringDeserializer", b"\xff"),
        ("IntegerDeserializer", b"\x00"),
        ("DoubleDeserializer", b"\x00"),
    ],
)
def test_serializers_fail_in_one_way(side: Side, name: str, wrong: Any) -> None:
    with pytest.raises(module(side).SerializationError):
        getattr(module(side), name)()(wrong)


def test_errors_have_a_family(side: Side) -> None:
    errors = side.family.module("error")
    serialization = module(side).SerializationError
    assert issubclass(serialization, side.api.KafkaException)
    for name in (
        "KeySerializationError",
        "ValueSerializationError",
        "KeyDeserializationError",
        "ValueDeserializationError",
    ):
        assert issubclass(getattr(errors, name), serialization)
    for name in ("ConsumeError", "ProduceError"):
        assert issubclass(getattr(errors, name), side.api.KafkaException)


def test_context(side: Side) -> None:
    context = module(side).SerializationContext("topic", module(side).MessageField.VALUE, [("a", b"1")])
    assert (context.topic, context.field, context.headers) == ("topic", "value", [("a", b"1")])
    assert module(side).MessageField.KEY == "key"
    assert module(side).SerializationContext("topic", "key").headers is None


def as_json(value: Any, _context: Any) -> bytes:
    return json.dumps(value).encode()


def from_json(value: bytes, _context: Any) -> Any:
    return json.loads(value)


def serializing(side: Side, **settings: Any) -> Any:
    spelled = {key.replace("_", "."): value for key, value in settings.items()}
    return side.api.SerializingProducer({**side.connection, "linger.ms": 0, **spelled})


def deserializing(side: Side, topic: str, **settings: Any) -> Any:
    spelled = {key.replace("_", "."): value for key, value in settings.items()}
    group = {"group.id": side.name("group"), "auto.offset.reset": "earliest"}
    consumer = side.api.DeserializingConsumer({**side.connection, **group, **spelled})
    consumer.assign([side.tp(topic, 0, 0)])
    return consumer


def test_round_trip(side: Side) -> None:
    topic = side.topic()
    strings = module(side)
    producer = serializing(side, key_serializer=strings.StringSerializer(), value_serializer=as_json)
    reports: list[Any] = []
    producer.produce(topic, "kęy", {"a": [1]}, on_delivery=lambda *report: reports.append(report))
    assert producer.flush(WAIT_SECONDS) == 0
    assert (reports[0][1].key(), reports[0][1].value()) == ("kęy".encode(), b'{"a": [1]}')
    consumer = deserializing(side, topic, key_deserializer=strings.StringDeserializer(), value_deserializer=from_json)
    (message,) = take(consumer, 1)
    assert (message.key(), message.value()) == ("kęy", {"a": [1]})
    assert (message.deserialized_key(), message.deserialized_value()) == ("kęy", {"a": [1]})
    consumer.close()


def test_without_serializers(side: Side) -> None:
    topic = side.topic()
    producer = serializing(side)
    producer.produce(topic, key=b"k", value=b"v")
    assert producer.flush(WAIT_SECONDS) == 0
    consumer = deserializing(side, topic)
    (message,) = take(consumer, 1)
    assert (message.key(), message.value()) == (b"k", b"v")
    consumer.close()


def test_serializers_are_given_a_context(side: Side) -> None:
    contexts: list[Any] = []
    topic = side.topic()

    def notes(value: bytes, context: Any) -> bytes:
        contexts.append((context.topic, context.field, context.headers))
        return value

    producer = serializing(side, key_serializer=notes, value_serializer=notes)
    producer.produce(topic, key=b"k", value=b"v", headers=[("a", b"1")])
    assert producer.flush(WAIT_SECONDS) == 0
    consumer = deserializing(side, topic, key_deserializer=notes, value_deserializer=notes)
    take(consumer, 1)
    consumer.close()
    assert sorted(contexts) == [
        (topic, "key", [("a", b"1")]),
        (topic, "key", [("a", b"1")]),
        (topic, "value", [("a", b"1")]),
        (topic, "value", [("a", b"1")]),
    ]


def fails(_value: Any, _context: Any) -> Any:
    raise ValueError("mine")


@pytest.mark.parametrize("field", ["key", "value"])
def test_a_serializer_that_fails(side: Side, field: str) -> None:
    errors = side.family.module("error")
    producer = serializing(side, **{f"{field}_serializer": fails})
    with pytest.raises(getattr(errors, f"{field.capitalize()}SerializationError")) as caught:
        producer.produce("topic", key=b"k", value=b"v")
    assert caught.value.code == getattr(side.error, f"_{field.upper()}_SERIALIZATION")
    assert caught.value.name == f"_{field.upper()}_SERIALIZATION"
    assert isinstance(caught.value.exception, ValueError)
    assert caught.value.args[0].str() == "mine"


@pytest.mark.parametrize("field", ["key", "value"])
def test_a_deserializer_that_fails(side: Side, field: str) -> None:
    errors = side.family.module("error")
    topic = side.topic()
    fill(side, topic, [b"v"])
    consumer = deserializing(side, topic, **{f"{field}_deserializer": fails})
    with pytest.raises(getattr(errors, f"{field.capitalize()}DeserializationError")) as caught:
        take(consumer, 1)
    assert caught.value.code == getattr(side.error, f"_{field.upper()}_DESERIALIZATION")
    assert isinstance(caught.value.exception, ValueError)
    assert caught.value.kafka_message.value() == b"v"
    assert caught.value.kafka_message.offset() == 0
    consumer.close()


def test_events_are_raised(side: Side) -> None:
    errors = side.family.module("error")
    consumer = deserializing(side, side.topic(), enable_partition_eof=True)
    with pytest.raises(errors.ConsumeError) as caught:
        take(consumer, 1)
    assert caught.value.code == side.code("_PARTITION_EOF")
    assert caught.value.kafka_message.offset() == 0
    consumer.close()


def test_consume_is_not_there(side: Side) -> None:
    consumer = deserializing(side, side.topic())
    with pytest.raises(NotImplementedError):
        consumer.consume(1, 0.1)
    assert consumer.poll(0.01) is None
    consumer.close()


def test_subclasses_are_clients(side: Side) -> None:
    assert issubclass(side.api.SerializingProducer, side.api.Producer)
    assert issubclass(side.api.DeserializingConsumer, side.api.Consumer)


def test_clients_can_be_subclassed(side: Side) -> None:
    topic = side.topic()

    class Counting(side.api.Producer):  # type: ignore[misc,name-defined]  # the base is known at run time
        sent = 0

        def produce(self, *arguments: Any, **more: Any) -> None:
            super().produce(*arguments, **more)
            self.sent += 1

    producer = Counting({**side.connection, "linger.ms": 0})
    producer.produce(topic, b"v")
    assert producer.flush(WAIT_SECONDS) == 0
    assert producer.sent == 1

    class Reading(side.api.Consumer):  # type: ignore[misc,name-defined]  # the same
        def poll(self, timeout: float = -1) -> Any:
            message = super().poll(timeout)
            return message and message.value()

    consumer = Reading({**side.connection, "group.id": side.name("group")})
    consumer.assign([side.tp(topic, 0, 0)])
    assert consumer.poll(WAIT_SECONDS) == b"v"
    consumer.close()
