"""Serializers and deserializers: objects to bytes and back; None passes through.

Those that talk to a schema registry stay in ``confluent_kafka.schema_registry``, which needs no Kafka. They can be
handed to the clients here: any callable of an object and a `SerializationContext` will do.
"""

# ruff: noqa: ARG002  every serializer is handed a context, and few have use for it

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from shim.errors import KafkaException
from shim.message import Headers

__all__ = [
    "Deserializer",
    "DeserializerBuilder",
    "DoubleDeserializer",
    "DoubleSerializer",
    "IntegerDeserializer",
    "IntegerSerializer",
    "MessageField",
    "SerializationContext",
    "SerializationError",
    "Serializer",
    "SerializerBuilder",
    "StringDeserializer",
    "StringSerializer",
]

_DOUBLE = struct.Struct(">d")
_INT32 = struct.Struct(">i")


class SerializationError(KafkaException):
    """An object that no bytes can be made of, or the reverse."""


class MessageField(StrEnum):
    """Which part of a message is converted."""

    NONE = "none"
    KEY = "key"
    VALUE = "value"


class SerializationContext:
    """What a serializer is told beside the object.

    Attributes:
        topic: where the message goes, or comes from.
        field: the key or the value.
        headers: the message's.
    """

    def __init__(self, topic: str, field: MessageField, headers: Headers | None = None) -> None:
        self.topic = topic
        self.field = field
        self.headers = headers


class _Serde:
    """What serializers and deserializers share; a client calls both, where they are its own."""

    __slots__ = ()

    def set_cluster_id_resolver(self, resolver: Callable[[], Any]) -> None:
        """Is given a callable that asks the client for the cluster's id; by default of no use."""

    def close(self) -> None:
        """Releases what a builder made for it; by default there is nothing."""


class Serializer(_Serde):
    """The base of serializers."""

    __slots__ = ()

    def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes | None:
        """Returns the bytes of an object."""
        raise NotImplementedError


class Deserializer(_Serde):
    """The base of deserializers."""

    __slots__ = ()

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> Any:
        """Returns the object that the bytes stand for."""
        raise NotImplementedError


class SerializerBuilder:
    """Makes a serializer once the client's configuration is known: ``key.serializer.builder`` and its like."""

    __slots__ = ()

    def build(self, conf: dict[str, Any], is_key: bool) -> tuple[Serializer, dict[str, Any]]:
        """Returns the serializer, and what of the configuration is left for the client."""
        raise NotImplementedError


class DeserializerBuilder:
    """Makes a deserializer once the client's configuration is known: ``key.deserializer.builder`` and its like."""

    __slots__ = ()

    def build(self, conf: dict[str, Any], is_key: bool) -> tuple[Deserializer, dict[str, Any]]:
        """Returns the deserializer, and what of the configuration is left for the client."""
        raise NotImplementedError


class DoubleSerializer(Serializer):
    """A float as IEEE 754 binary64, big-endian."""

    def __call__(self, obj: float | None, ctx: SerializationContext | None = None) -> bytes | None:
        """Returns 8 bytes."""
        return _packed(_DOUBLE, obj)


class DoubleDeserializer(Deserializer):
    """The reverse of `DoubleSerializer`."""

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> float | None:
        """Returns the float."""
        number: float | None = _unpacked(_DOUBLE, value)
        return number


class IntegerSerializer(Serializer):
    """An int as 32 bits, signed, big-endian."""

    def __call__(self, obj: int | None, ctx: SerializationContext | None = None) -> bytes | None:
        """Returns 4 bytes."""
        return _packed(_INT32, obj)


class IntegerDeserializer(Deserializer):
    """The reverse of `IntegerSerializer`."""

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> int | None:
        """Returns the int."""
        number: int | None = _unpacked(_INT32, value)
        return number


class StringSerializer(Serializer):
    """A string in an encoding.

    Args:
        codec: the encoding.
    """

    def __init__(self, codec: str = "utf_8") -> None:
        self.codec = codec

    def __call__(self, obj: str | None, ctx: SerializationContext | None = None) -> bytes | None:
        """Returns the string's bytes."""
        if obj is None:
            return None
        try:
            return obj.encode(self.codec)
        except UnicodeError as failure:
            raise SerializationError(str(failure)) from failure


class StringDeserializer(Deserializer):
    """The reverse of `StringSerializer`.

    Args:
        codec: the encoding.
    """

    def __init__(self, codec: str = "utf_8") -> None:
        self.codec = codec

    def __call__(self, value: bytes | None, ctx: SerializationContext | None = None) -> str | None:
        """Returns the string."""
        if value is None:
            return None
        try:
            return value.decode(self.codec)
        except UnicodeError as failure:
            raise SerializationError(str(failure)) from failure


def _packed(layout: struct.Struct, number: float | None) -> bytes | None:
    if number is None:
        return None
    try:
        return layout.pack(number)
    except struct.error as failure:
        raise SerializationError(str(failure)) from failure


def _unpacked(layout: struct.Struct, value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return layout.unpack(value)[0]
    except struct.error as failure:
        raise SerializationError(str(failure)) from failure
