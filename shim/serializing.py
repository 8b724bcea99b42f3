"""Clients whose keys and values are objects."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn

from shim.consumer import Consumer
from shim.error import (
    ConsumeError,
    KeyDeserializationError,
    KeySerializationError,
    ValueDeserializationError,
    ValueSerializationError,
)
from shim.errors import KafkaError
from shim.message import Headers, Message, Messages
from shim.producer import Producer
from shim.producing.outgoing import OnDelivery
from shim.protocol.codes import Local
from shim.serdes import Serdes
from shim.serialization import MessageField, SerializationContext
from shim.share_consumer import ShareConsumer

if TYPE_CHECKING:
    # Defaults of type variables come with Python 3.13; type checkers know them everywhere.
    from typing_extensions import TypeVar

    K = TypeVar("K", default=Any)
    V = TypeVar("V", default=Any)
else:
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")


class SerializingProducer(Producer, Generic[K, V]):
    """A producer that is given objects.

    Args:
        conf: that of a `Producer`, and ``key.serializer`` and ``value.serializer``: callables of an object and a
            `SerializationContext` that return bytes or None; or builders, under the same names with ``.builder``.
    """

    def __init__(self, conf: dict[str, Any]) -> None:
        self._serdes = Serdes()
        left = self._serdes.take(conf, "serializer")
        try:
            super().__init__(left)
        except BaseException:
            self._serdes.abandon()
            raise
        self._serdes.offer(self.cluster_id)

    def _queue_side(self) -> NoReturn:
        raise TypeError("a DualProducer takes a Producer: what is serialized once is the same on both sides")

    def produce(  # type: ignore[override]  # the key comes before the value here, as in the original
        self,
        topic: str,
        key: K | None = None,
        value: V | None = None,
        partition: int = -1,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: Headers | None = None,
        *,
        delay: float | timedelta | None = None,
        deduplication_key: str | None = None,
    ) -> None:
        """Serializes the key, then the value, and produces the message; see `Producer.produce`.

        Raises:
            KeySerializationError: the key's serializer failed.
            ValueSerializationError: the value's serializer failed.
            RuntimeError: the producer is closed; the serializers are not called then.
        """
        if self._serdes.closed:
            raise RuntimeError("Producer has been closed")
        if not isinstance(topic, str):
            raise TypeError(f"topic must be a str, not {type(topic).__name__}")
        context = SerializationContext(topic, MessageField.KEY, headers)
        key_bytes: Any = key
        value_bytes: Any = value
        if self._serdes.key is not None:
            try:
                key_bytes = self._serdes.key(key, context)
            except Exception as failure:
                raise KeySerializationError(failure) from failure
        context.field = MessageField.VALUE
        if self._serdes.value is not None:
            try:
                value_bytes = self._serdes.value(value, context)
            except Exception as failure:
                raise ValueSerializationError(failure) from failure
        super().produce(
            topic,
            value_bytes,
            key_bytes,
            partition=partition,
            on_delivery=on_delivery,
            timestamp=timestamp,
            headers=headers,
            delay=delay,
            deduplication_key=deduplication_key,
        )

    def close(self) -> bool:
        """Closes the producer, then the serializers that its builders made; see `Producer.close`."""
        closed = super().close()
        self._serdes.close()
        return closed


class DeserializingConsumer(Consumer, Generic[K, V]):
    """A consumer that hands out objects.

    Args:
        conf: that of a `Consumer`, and ``key.deserializer`` and ``value.deserializer``: callables of bytes or None and
            a `SerializationContext`; or builders, under the same names with ``.builder``.
    """

    def __init__(self, conf: dict[str, Any]) -> None:
        self._serdes = Serdes()
        left = self._serdes.take(conf, "deserializer")
        try:
            super().__init__(left)
        except BaseException:
            self._serdes.abandon()
            raise
        self._serdes.offer(self.cluster_id)

    def poll(self, timeout: float = -1) -> "Message[K, V] | None":  # type: ignore[override]  # the types are its point
        """Returns the next message, its key and then its value deserialized in place; see `Consumer.poll`.

        Raises:
            ConsumeError: the message is an event, such as the end of a partition.
            KeyDeserializationError: the key's deserializer failed.
            ValueDeserializationError: the value's deserializer failed.
        """
        message: Message[Any, Any] | None = super().poll(timeout)
        if message is None:
            return None
        error = message.error()
        if error is not None:
            raise ConsumeError(error, kafka_message=message)
        return self._deserialized(message)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> NoReturn:
        """Is not implemented in the original either: use `poll`."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the consumer, then the deserializers that its builders made; see `Consumer.close`."""
        super().close()
        self._serdes.close()

    def _deserialized(self, message: Message[Any, Any]) -> "Message[K, V]":
        context = SerializationContext(message.topic() or "", MessageField.KEY, message.headers())
        key, value = message.key(), message.value()
        if self._serdes.key is not None:
            try:
                key = self._serdes.key(key, context)
            except Exception as failure:
                raise KeyDeserializationError(failure, message) from failure
        context.field = MessageField.VALUE
        if self._serdes.value is not None:
            try:
                value = self._serdes.value(value, context)
            except Exception as failure:
                raise ValueDeserializationError(failure, message) from failure
        message.set_key(key)
        message.set_value(value)
        return message


class DeserializingShareConsumer(ShareConsumer):
    """A share consumer that hands out objects.

    Args:
        conf: that of a `ShareConsumer`, and ``key.deserializer`` and ``value.deserializer``: callables of bytes or
            None and a `SerializationContext`.
    """

    def __init__(self, conf: dict[str, Any]) -> None:
        left = dict(conf)
        self._key_deserializer = left.pop("key.deserializer", None)
        self._value_deserializer = left.pop("value.deserializer", None)
        super().__init__(left)

    def poll(self, timeout: float = -1) -> Messages:
        """Returns the messages of one claim, deserialized in place; see `ShareConsumer.poll`.

        One that cannot be deserialized keeps its bytes, and its ``error()`` says so with ``_KEY_DESERIALIZATION`` or
        ``_VALUE_DESERIALIZATION``: it is in flight like the others, and can be rejected.
        """
        messages = super().poll(timeout)
        for message in messages:
            if message.error() is None:
                self._deserialize(message)
        return messages

    def _deserialize(self, message: Message[Any, Any]) -> None:
        context = SerializationContext(message.topic() or "", MessageField.KEY, message.headers())
        code = Local.KEY_DESERIALIZATION
        key, value = message.key(), message.value()
        try:
            if self._key_deserializer is not None:
                key = self._key_deserializer(key, context)
            code, context.field = Local.VALUE_DESERIALIZATION, MessageField.VALUE
            if self._value_deserializer is not None:
                value = self._value_deserializer(value, context)
        except Exception as failure:  # noqa: BLE001  whatever it is, it concerns this message alone
            message.set_error(KafkaError(code, str(failure)))
        else:
            message.set_key(key)
            message.set_value(value)
