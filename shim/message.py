"""What a consumer hands out and a delivery report carries: a record, or an event when ``error()`` is not None."""

# ruff: noqa: SLF001  the other constructors fill the slots of a message that they have just made

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from shim.errors import KafkaError
from shim.protocol.integers import int16, int32, int64
from shim.store.records import NOT_ADDED, Record, header_pairs

if TYPE_CHECKING:
    # Defaults of type variables come with Python 3.13; type checkers know them everywhere.
    from typing_extensions import TypeVar

    K = TypeVar("K", default=bytes)
    V = TypeVar("V", default=bytes)
else:
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")

Headers = dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]]
"""Headers as an application writes them; those that it reads are a list, in order, with bytes or None as values."""

_NO_PARTITION = -1
_NO_OFFSET = -1001
_NO_LATENCY = -1.0
_NO_EPOCH = -1
_NO_COUNT = -1
_NO_TIMESTAMP = (0, 0)
_EVENT_TIMESTAMP = (0, -1)


class Message(Generic[K, V]):
    """A record, or an event.

    ``len()`` is the length of the value, so a message with an empty value and a tombstone are false: as in the
    original, test ``message is None``.

    Args:
        topic: its name.
        partition: its number; None is read where it is negative.
        offset: the offset; None is read where it is negative.
        key: bytes, or what a deserializer made of them.
        value: the same; None is a tombstone.
        headers: kept as they are given.
        error: makes the message an event.
        timestamp: a type, ``TIMESTAMP_CREATE_TIME`` and its like, and milliseconds since 1970.
        latency: seconds from produce to report; None is read where it is negative.
        leader_epoch: None is read where it is negative.
        delivery_count: how often a share group has been given the record; None is read below 1.
    """

    __slots__ = (
        "_delivery_count",
        "_error",
        "_headers",
        "_key",
        "_latency",
        "_leader_epoch",
        "_offset",
        "_partition",
        "_raw_headers",
        "_timestamp",
        "_topic",
        "_value",
    )
    __hash__ = None  # type: ignore[assignment]  # its fields can be set, so it is no key of a dict

    def __init__(
        self,
        topic: str | None = None,
        partition: int = _NO_PARTITION,
        offset: int = _NO_OFFSET,
        key: Any = None,
        value: Any = None,
        headers: Any = None,
        error: KafkaError | None = None,
        timestamp: tuple[int, int] | None = None,
        latency: float = _NO_LATENCY,
        leader_epoch: int = _NO_EPOCH,
        delivery_count: int = _NO_COUNT,
    ) -> None:
        self._topic = topic
        self._partition = int32(partition)
        self._offset = int64(offset)
        self._key = key
        self._value = value
        self._headers = headers
        self._raw_headers: Sequence[bytes | None] | None = None
        self._error = error
        self._timestamp = _NO_TIMESTAMP if timestamp is None else _checked_timestamp(timestamp)
        self._latency = _checked_latency(latency)
        self._leader_epoch = int32(leader_epoch)
        self._delivery_count = int16(delivery_count)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Returns the message of a fetched record; nothing is checked, and headers are decoded when they are read."""
        message = cls.__new__(cls)
        (
            message._topic,
            message._partition,
            message._offset,
            message._key,
            message._value,
            message._raw_headers,
            timestamp_ms,
            timestamp_type,
            _,
        ) = record
        message._timestamp = (timestamp_type, timestamp_ms)
        message._headers = None
        message._error = None
        message._latency = _NO_LATENCY
        message._leader_epoch = _NO_EPOCH
        message._delivery_count = _NO_COUNT
        return message

    @classmethod
    def from_delivery(cls, record: Record, delivery_count: int) -> Self:
        """Returns the message of a job; nothing is checked."""
        message = cls.from_record(record)
        message._delivery_count = delivery_count
        return message

    @classmethod
    def from_event(
        cls,
        error: KafkaError,
        topic: str | None = None,
        partition: int = _NO_PARTITION,
        offset: int = _NO_OFFSET,
    ) -> Self:
        """Returns the message of an event: its value is the error's text."""
        return cls(topic, partition, offset, value=error.str().encode(), error=error, timestamp=_EVENT_TIMESTAMP)

    @classmethod
    def from_report(
        cls,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        raw_headers: Sequence[bytes | None],
        timestamp: tuple[int, int],
        latency: float,
        error: KafkaError | None = None,
    ) -> Self:
        """Returns the message of a delivery report; nothing is checked, and headers are decoded when they are read."""
        message = cls.__new__(cls)
        message._topic = topic
        message._partition = partition
        message._offset = offset
        message._key = key
        message._value = value
        message._headers = None
        message._raw_headers = raw_headers
        message._error = error
        message._timestamp = timestamp
        message._latency = latency
        message._leader_epoch = _NO_EPOCH
        message._delivery_count = _NO_COUNT
        return message

    def topic(self) -> str | None:
        """Returns the topic's name."""
        return self._topic

    def partition(self) -> int | None:
        """Returns the partition's number."""
        return self._partition if self._partition >= 0 else None

    def offset(self) -> int | None:
        """Returns the offset."""
        return self._offset if self._offset >= 0 else None

    def key(self) -> bytes | None:
        """Returns the key: bytes, or what ``set_key`` was given."""
        return self._key  # type: ignore[no-any-return]  # a deserializer may have put any object in its place

    def value(self) -> bytes | None:
        """Returns the value: bytes, or what ``set_value`` was given. None is a tombstone; an event's is its text."""
        return self._value  # type: ignore[no-any-return]  # a deserializer may have put any object in its place

    def deserialized_key(self) -> K | None:
        """Returns the same object as ``key()``, with the type that a ``DeserializingConsumer`` gives it."""
        return self._key  # type: ignore[no-any-return]  # typed by the consumer's parameters

    def deserialized_value(self) -> V | None:
        """Returns the same object as ``value()``, with the type that a ``DeserializingConsumer`` gives it."""
        return self._value  # type: ignore[no-any-return]  # typed by the consumer's parameters

    def headers(self) -> Any:
        """Returns the headers as a list of (name, bytes or None), in order; None when there are none."""
        if self._raw_headers is not None:
            self._headers = header_pairs(self._raw_headers)
            self._raw_headers = None
        return self._headers

    def error(self) -> KafkaError | None:
        """Returns what happened, when the message is an event or its delivery failed."""
        return self._error

    def timestamp(self) -> tuple[int, int]:
        """Returns the timestamp's type, ``TIMESTAMP_CREATE_TIME`` and its like, and milliseconds since 1970."""
        return self._timestamp

    def latency(self) -> float | None:
        """Returns the seconds between ``produce()`` and the delivery report."""
        return self._latency if self._latency >= 0 else None

    def leader_epoch(self) -> int | None:
        """Returns None: in Postgres no partition has a leader to elect."""
        return self._leader_epoch if self._leader_epoch >= 0 else None

    def delivery_count(self) -> int | None:
        """Returns how often a share group has been given the record, this time included."""
        return self._delivery_count if self._delivery_count > 0 else None

    def deduplicated(self) -> bool:
        """Whether the report is of a message that was not added: an unfinished job has its deduplication key.

        An addition of the shim's.
        """
        return self._offset == NOT_ADDED

    def set_topic(self, topic: Any) -> None:
        """Sets the topic."""
        self._topic = topic

    def set_key(self, key: Any) -> None:
        """Sets the key."""
        self._key = key

    def set_value(self, value: Any) -> None:
        """Sets the value."""
        self._value = value

    def set_headers(self, headers: Any) -> None:
        """Sets the headers."""
        self._raw_headers = None
        self._headers = headers

    def set_error(self, error: KafkaError | None) -> None:
        """Sets the error."""
        self._error = error

    def __len__(self) -> int:
        return 0 if self._value is None else len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self._identity() == other._identity() and _same_error(self._error, other._error)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        topic, partition, offset, key, value, headers, timestamp, leader_epoch = self._identity()
        places = (topic, partition, offset, key, value, headers, self._error, timestamp)
        return type(self), (*places, self._latency, leader_epoch, self._delivery_count)

    def _identity(self) -> tuple[Any, ...]:
        """All that two equal messages share; their errors are compared apart, since a KafkaError compares no None."""
        return (
            self._topic,
            self._partition,
            self._offset,
            self._key,
            self._value,
            self.headers(),
            self._timestamp,
            self._leader_epoch,
        )


class Messages(Sequence[Message[Any, Any]]):
    """A batch of messages, as ``ShareConsumer.poll`` returns it: a sequence that cannot be changed."""

    __slots__ = ("_records",)

    def __init__(self, messages: Iterable[Message[Any, Any]] = ()) -> None:
        self._records = list(messages)

    def records(self) -> list[Message[Any, Any]]:
        """Returns the messages as a list of the caller's own."""
        return list(self._records)

    def count(self) -> int:  # type: ignore[override]  # the API counts the batch, not the occurrences of a value
        """Returns how many messages there are."""
        return len(self._records)

    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Message[Any, Any]]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Message[Any, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "Messages": ...
    def __getitem__(self, index: int | slice) -> "Message[Any, Any] | Messages":
        if isinstance(index, slice):
            return Messages(self._records[index])
        return self._records[index]

    def __repr__(self) -> str:
        return f"Messages({self._records!r})"


def _checked_timestamp(timestamp: object) -> tuple[int, int]:
    if not isinstance(timestamp, tuple) or len(timestamp) != 2:  # noqa: PLR2004  a type and a time
        raise TypeError("timestamp must be a tuple of (int, int)")
    return int32(timestamp[0]), int64(timestamp[1])


def _checked_latency(latency: object) -> float:
    if not isinstance(latency, int | float):
        raise TypeError(f"must be real number, not {type(latency).__name__}")
    return float(latency)


def _same_error(one: object, other: object) -> bool:
    return one is other if one is None or other is None else one == other
