"""Serializers against the installed original's, and what the serializing clients do with theirs."""

import math
from collections.abc import Callable
from typing import Any

import confluent_kafka.serialization as theirs
import pytest

import shim.serialization as ours
from shim.errors import KafkaException
from shim.serdes import Serdes
from shim.serialization import StringSerializer
from tests.unit.shim.original import outcome

CASES: list[tuple[str, tuple[Any, ...], list[Any]]] = [
    ("StringSerializer", (), ["", "zażółć", None, "\ud800"]),
    ("StringSerializer", ("latin-1",), ["é", "ż"]),
    ("StringDeserializer", (), [b"", "zażółć".encode(), None, b"\xff"]),
    ("StringDeserializer", ("utf_16",), ["ż".encode("utf_16"), b"\xff"]),
    ("IntegerSerializer", (), [0, -1, 2**31 - 1, 2**31, "1", 1.5, None]),
    ("IntegerDeserializer", (), [b"\0\0\0\1", b"\xff\xff\xff\xff", b"\0", b"", None]),
    ("DoubleSerializer", (), [0, -1.5, math.inf, "1", None]),
    ("DoubleDeserializer", (), [b"\xbf\xf8\0\0\0\0\0\0", b"\0", None]),
]


@pytest.mark.parametrize(
    ("name", "args", "given"), [(name, args, one) for name, args, many in CASES for one in many], ids=repr
)
def test_objects_become_the_same_bytes_and_back(name: str, args: tuple[Any, ...], given: object) -> None:
    def converted(module: Any) -> list[tuple[str, Any]]:
        convert = getattr(module, name)(*args)
        context = module.SerializationContext("t", module.MessageField.KEY)
        return [outcome(lambda: convert(given)), outcome(lambda: convert(given, context))]

    assert converted(ours) == converted(theirs)


def test_the_modules_have_the_same_names() -> None:
    assert set(ours.__all__) == set(theirs.__all__)
    assert [(field.name, field.value, str(field)) for field in ours.MessageField] == [
        (field.name, field.value, str(field)) for field in theirs.MessageField
    ]
    assert issubclass(ours.SerializationError, KafkaException)


def test_bases_are_for_deriving() -> None:
    for call in (
        lambda: ours.Serializer()("x"),
        lambda: ours.Deserializer()(b"x"),
        lambda: ours.SerializerBuilder().build({}, True),
        lambda: ours.DeserializerBuilder().build({}, True),
    ):
        with pytest.raises(NotImplementedError):
            call()
    ours.Serializer().set_cluster_id_resolver(lambda: "id")
    ours.Deserializer().close()


class Recorded(StringSerializer):
    """A serializer that knows what a client did with it."""

    def __init__(self, broken: str = "") -> None:
        super().__init__()
        self.closed = 0
        self.broken = broken
        self.resolver: Callable[[], Any] = lambda: None

    def close(self) -> None:
        self.closed += 1
        if self.broken:
            raise OSError(self.broken)

    def set_cluster_id_resolver(self, resolver: Callable[[], Any]) -> None:
        self.resolver = resolver


class Builder(ours.SerializerBuilder):
    """Uses up one property, and hands out what it was given."""

    def __init__(self, serializer: Any, uses: str = "") -> None:
        self.serializer = serializer
        self.uses = uses
        self.seen: list[tuple[dict[str, Any], bool]] = []

    def build(self, conf: dict[str, Any], is_key: bool) -> Any:
        self.seen.append((dict(conf), is_key))
        conf.pop(self.uses, None)
        return self.serializer if not isinstance(self.serializer, ours.Serializer) else (self.serializer, conf)


def test_ready_made_serializers_stay_open() -> None:
    serializer = Recorded()
    conf = {"client.id": "x", "key.serializer": serializer}
    serdes = Serdes()
    assert serdes.take(conf, "serializer") == {"client.id": "x"}
    assert (serdes.key, serdes.value, "key.serializer" in conf) == (serializer, None, True)
    serdes.close()
    assert serializer.closed == 0


def test_built_serializers_are_the_clients_own() -> None:
    key, value = Builder(Recorded(), "a"), Builder(Recorded(), "b")
    serdes = Serdes()
    conf = {"a": 1, "b": 2, "c": 3, "key.serializer.builder": key, "value.serializer.builder": value}
    assert serdes.take(conf, "serializer") == {"c": 3}, "what either of them used does not reach the client"
    assert key.seen == [({"a": 1, "b": 2, "c": 3}, True)]
    assert value.seen == [({"a": 1, "b": 2, "c": 3}, False)]
    serdes.offer(lambda timeout: ("id", timeout))
    assert key.serializer.resolver() == ("id", 60.0)
    serdes.close()
    serdes.close()
    assert (key.serializer.closed, value.serializer.closed, serdes.closed) == (1, 1, True)


def test_both_are_closed_though_one_fails() -> None:
    key, value = Builder(Recorded("disk")), Builder(Recorded())
    serdes = Serdes()
    serdes.take({"key.serializer.builder": key, "value.serializer.builder": value}, "serializer")
    with pytest.raises(OSError, match="disk"):
        serdes.close()
    assert value.serializer.closed == 1


@pytest.mark.parametrize("wrong", [None, 5, (1, 2, 3), (Recorded(), [])], ids=["none", "int", "three", "list"])
def test_a_builder_that_returns_something_else(wrong: object) -> None:
    first = Builder(Recorded())
    conf = {"key.serializer.builder": first, "value.serializer.builder": Builder(wrong)}
    with pytest.raises(ValueError, match=r"^value\.serializer\.builder (must return|returned) "):
        Serdes().take(conf, "serializer")
    assert first.serializer.closed == 1


def test_a_serializer_and_a_builder_are_too_much() -> None:
    conf = {"key.serializer": Recorded(), "key.serializer.builder": Builder(Recorded())}
    with pytest.raises(ValueError, match=r"^Cannot configure both key\.serializer and key\.serializer\.builder"):
        Serdes().take(conf, "serializer")
