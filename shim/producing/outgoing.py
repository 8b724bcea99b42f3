"""A message on its way: what ``produce()`` was given, checked as the original checks it, and how much room it takes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Final, NamedTuple

from shim.errors import KafkaError, KafkaException
from shim.message import Headers
from shim.protocol.codes import Broker, Local
from shim.protocol.integers import int32, int64
from shim.store import unique
from shim.store.append import LONGEST_DELAY_US

RawHeaders = tuple[bytes | None, ...]
"""Names and values in turn."""
OnDelivery = Callable[[KafkaError | None, Any], object]
Terms = tuple[int | None, str | None]
"""A delay in microseconds, and a deduplication key: what Kafka's messages do not have. A bare tuple, as a `Row` is."""

ANY_PARTITION = -1
"""The partitioner decides."""

FRAME_BYTES = 36
"""What Kafka's format adds to a message at most; ``message.max.bytes`` counts it."""

_LONGEST_TOPIC = 512
_PAIR = 2
_BATCH_FIELDS = (
    *("value", "key", "partition", "callback", "on_delivery", "timestamp", "headers"),
    *("delay", "deduplication_key"),
)
# Zigzag varints: how long a length may be in one byte, two, three.
_ONE_BYTE, _TWO_BYTES, _THREE_BYTES = 64, 8192, 1_048_576


class Outgoing(NamedTuple):
    """One message between ``produce()`` and its delivery report.

    Attributes:
        topic: where it goes.
        partition: where it goes; -1 leaves it to the partitioner.
        key: the exact bytes, or None.
        value: the exact bytes, or None for a tombstone.
        timestamp_ms: its create time as the application gave it; 0 for the moment of ``produce()``.
        on_delivery: whom to tell what became of it; None for the producer's default.
        size: how many bytes it takes of the queue.
        queued_at: when it was produced, by ``time.monotonic``.
        terms: on what terms it is added; None for no others than Kafka's.
        headers: names and values in turn, or None.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    on_delivery: OnDelivery | None
    size: int
    queued_at: float
    terms: Terms | None
    headers: RawHeaders | None

    @classmethod
    def of(cls, row: "Row") -> "Outgoing":
        """Returns a message from its row."""
        topic, partition, key, value, timestamp_ms, on_delivery, size, queued_at, terms, *raw = row
        return cls(topic, partition, key, value, timestamp_ms, on_delivery, size, queued_at, terms, tuple(raw) or None)


Row = tuple[Any, ...]
"""The fields of an `Outgoing`, with the headers' names and values in turn at the end.

A bare tuple with nothing but bytes, texts and numbers in it is one that Python's collector soon ceases to follow. It
goes through all that it follows again and again while a queue fills, and took a third of the producer's time when each
message was an object of a class.
"""

TOPIC: Final = 0
VALUE: Final = 3
TIMESTAMP_MS: Final = 4
ON_DELIVERY: Final = 5
SIZE: Final = 6
QUEUED_AT: Final = 7
TERMS: Final = 8
HEADERS: Final = 9
"""The places of some fields in a `Row`; the headers begin at the last one."""


def size_of(rows: Iterable[Row]) -> int:
    """Returns how many bytes messages take of the queue."""
    return sum(row[SIZE] for row in rows)


def refused(code: Local | Broker) -> KafkaException:
    """Returns what ``produce()`` raises when it will not take a message."""
    return KafkaException(KafkaError(code, f"Unable to produce message: {code.text}"))


def compose(
    topic: str,
    value: str | bytes | None,
    key: str | bytes | None,
    partition: int,
    on_delivery: OnDelivery | None,
    timestamp_ms: int,
    headers: Headers | None,
    largest: int,
    terms: Terms | None = None,
) -> Row:
    """Returns the message that ``produce()`` was given.

    Args:
        topic: as given.
        value: as given.
        key: as given.
        partition: as given.
        on_delivery: whom to tell what became of it.
        timestamp_ms: as given.
        headers: as given.
        largest: how many bytes a message may have; ``message.max.bytes``.
        terms: from `terms_of`.

    Raises:
        TypeError, ValueError, OverflowError: an argument is none that the original takes.
        KafkaException: the message is too large, or the topic's name too long.
    """
    # What most applications give is let through without a call.
    if type(topic) is not str or not topic.isascii() or "\0" in topic or len(topic) > _LONGEST_TOPIC:
        topic = topic_name(topic)
    size = 0
    if value is not None:
        if type(value) is not bytes:
            value = payload(value, 2)
        size = len(value)
    if key is not None:
        if type(key) is not bytes:
            key = payload(key, 3)
        size += len(key)
    if partition != ANY_PARTITION or type(partition) is not int:
        partition = int32(partition)
    if timestamp_ms != 0 or type(timestamp_ms) is not int:
        timestamp_ms = int64(timestamp_ms)
    raw: RawHeaders = ()
    if headers is not None:
        raw, headers_size = raw_headers(headers)
        size += headers_size
    if size + FRAME_BYTES > largest:
        raise refused(Broker.MSG_SIZE_TOO_LARGE)
    row = (topic, partition, key, value, timestamp_ms, on_delivery, size, monotonic(), terms)
    return row + raw if raw else row


def terms_of(delay: float | timedelta | None, deduplication_key: str | None) -> Terms | None:
    """Returns on what terms a message is to be added; None for no others than Kafka's.

    Raises:
        TypeError: the delay is no number of seconds and no timedelta, or the key is no str.
        ValueError: the delay is negative, or longer than a century; or an index cannot hold the key.
    """
    delay_us = None if delay is None else _microseconds(delay)
    if deduplication_key is not None:
        if not isinstance(deduplication_key, str):
            raise TypeError(f"deduplication_key must be str, not {_type(deduplication_key)}")
        unique.check_key(deduplication_key)
    return (delay_us, deduplication_key) if delay_us or deduplication_key else None


def topic_name(topic: object) -> str:
    """Returns a topic's name; whether there can be such a topic is found out later.

    Raises:
        TypeError: it is no str.
        ValueError: it is not UTF-8, or holds a NUL.
        KafkaException: librdkafka has no room for it.
    """
    if not isinstance(topic, str):
        raise TypeError(f"argument 1 must be str, not {_type(topic)}")
    if "\0" in topic:
        raise ValueError("embedded null character")
    if len(topic.encode()) > _LONGEST_TOPIC:
        raise refused(Local.INVALID_ARG)
    return str(topic)


def payload(data: object, position: int) -> bytes:
    """Returns a key or a value as bytes; text becomes UTF-8.

    Args:
        data: what was given.
        position: the place among the arguments of ``produce()``.

    Raises:
        TypeError: it is neither text nor bytes.
    """
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes):
        return bytes(data)
    if isinstance(data, bytearray | memoryview):
        raise TypeError(f"argument {position} must be read-only bytes-like object, not {_type(data)}")
    raise TypeError(f"a bytes-like object is required, not '{_type(data)}'")


def raw_headers(headers: object) -> tuple[RawHeaders, int]:
    """Returns headers as the store keeps them, and how many bytes they take in Kafka's format.

    Raises:
        TypeError: neither a dict nor a list of pairs, or a value is neither text nor bytes nor None.
    """
    if isinstance(headers, list):
        items: Iterable[object] = headers
    elif isinstance(headers, dict):
        items = headers.items()
    else:
        raise TypeError(f"expected headers to be dict or list of (key, value) tuples, not {_type(headers)}")
    raw: list[bytes | None] = []
    size = 0
    for pair in items:
        if not isinstance(pair, tuple) or len(pair) != _PAIR:
            raise TypeError("Headers are expected to be a list of (key, value) tuples")
        name, value = _header_name(pair[0]), pair[1]
        if type(value) is not bytes:
            value = _header_value(value)
        raw.append(name)
        raw.append(value)
        size += _framed(len(name)) + (_framed(len(value)) if value else 1)
    return tuple(raw), size


def paired(raw: Sequence[bytes | None] | None) -> Iterable[tuple[bytes, bytes | None]] | None:
    """Returns headers as pairs; None when there are none."""
    return zip(raw[::2], raw[1::2], strict=True) if raw else None  # type: ignore[arg-type]  # names are bytes


def _microseconds(delay: object) -> int:
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    if not isinstance(delay, int | float):
        raise TypeError(f"delay must be a number of seconds or a timedelta, not {_type(delay)}")
    if not 0 <= delay * 1_000_000 <= LONGEST_DELAY_US:
        raise ValueError("delay must not be negative, nor longer than a century")
    return round(delay * 1_000_000)


def _header_name(name: object) -> bytes:
    return _c_string(name) if isinstance(name, str) else _c_string(str(name))


def _header_value(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        return _c_string(value)
    raise TypeError(f"expected header value to be None, binary, or unicode string, not {_type(value)}")


def _c_string(text: str) -> bytes:
    """The original hands text on as C does: up to the first NUL."""
    return (text if "\0" not in text else text.partition("\0")[0]).encode()


def _framed(length: int) -> int:
    if length < _ONE_BYTE:
        return length + 1
    return length + (2 if length < _TWO_BYTES else 3 if length < _THREE_BYTES else 4)


def _type(value: object) -> str:
    return "None" if value is None else type(value).__name__


def batch_fields(message: object, place: int) -> dict[str, Any]:
    """Returns the arguments of ``produce()`` that one message of ``produce_batch()`` holds.

    Args:
        message: the message.
        place: its place in the batch, for error texts.

    Raises:
        TypeError, ValueError: a field is of another kind; nothing of the batch must be queued then.
    """
    if not isinstance(message, dict):
        raise TypeError(f"Message at index {place} must be a dict")
    fields = {name: message[name] for name in _BATCH_FIELDS if name in message}
    for name in ("value", "key"):
        if not isinstance(fields.get(name), str | bytes | None):
            raise TypeError(f"Message {name} at index {place} must be bytes or str")
    for name in ("partition", "timestamp"):
        if not isinstance(fields.get(name, 0), int):
            raise TypeError(f"Message {name} at index {place} must be int")
    if fields.get("headers") is not None:
        try:
            raw_headers(fields["headers"])
        except TypeError as wrong:
            raise ValueError(f"Invalid headers at index {place}") from wrong
    return fields
