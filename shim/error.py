"""What the serializing clients raise: ``confluent_kafka.error`` by its other name."""

from typing import Any

from shim.errors import KafkaError, KafkaException
from shim.message import Message
from shim.protocol.codes import Local
from shim.serialization import SerializationError

__all__ = [
    "ConsumeError",
    "KafkaError",
    "KafkaException",
    "KeyDeserializationError",
    "KeySerializationError",
    "ProduceError",
    "SerializationError",
    "ValueDeserializationError",
    "ValueSerializationError",
]


class _ClientError(KafkaException):
    """A ``KafkaError``, what caused it, and the message that it befell.

    Attributes:
        exception: the cause.
        kafka_message: the message, with its bytes as they came.
    """

    def __init__(
        self,
        kafka_error: KafkaError,
        exception: Exception | None = None,
        kafka_message: Message[Any, Any] | None = None,
    ) -> None:
        super().__init__(kafka_error)
        self.exception = exception
        self.kafka_message = kafka_message

    @property
    def code(self) -> int:
        """The error's code."""
        error: KafkaError = self.args[0]
        return error.code()

    @property
    def name(self) -> str:
        """The error's name."""
        error: KafkaError = self.args[0]
        return error.name()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class ConsumeError(_ClientError):
    """A message could not be consumed, or was an event."""


class ProduceError(_ClientError):
    """A message could not be produced."""

    def __init__(self, kafka_error: KafkaError, exception: Exception | None = None) -> None:
        super().__init__(kafka_error, exception)


class KeyDeserializationError(ConsumeError, SerializationError):
    """A message's key could not be deserialized."""

    def __init__(self, exception: Exception | None = None, kafka_message: Message[Any, Any] | None = None) -> None:
        super().__init__(KafkaError(Local.KEY_DESERIALIZATION, str(exception)), exception, kafka_message)


class ValueDeserializationError(ConsumeError, SerializationError):
    """A message's value could not be deserialized."""

    def __init__(self, exception: Exception | None = None, kafka_message: Message[Any, Any] | None = None) -> None:
        super().__init__(KafkaError(Local.VALUE_DESERIALIZATION, str(exception)), exception, kafka_message)


class KeySerializationError(ProduceError, SerializationError):
    """A message's key could not be serialized."""

    def __init__(self, exception: Exception | None = None) -> None:
        super().__init__(KafkaError(Local.KEY_SERIALIZATION, str(exception)), exception)


class ValueSerializationError(ProduceError, SerializationError):
    """A message's value could not be serialized."""

    def __init__(self, exception: Exception | None = None) -> None:
        super().__init__(KafkaError(Local.VALUE_SERIALIZATION, str(exception)), exception)


def _restored(kind: type[_ClientError], args: tuple[Any, ...], fields: dict[str, Any]) -> _ClientError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error
