"""Rows of ``job_queue`` in the binary format of COPY, and the digest of what they hold. Pure.

A COPY field is a 4-byte length (-1 for null) and the bytes. That is also how the digest frames its fields, so the
digest of a row is SHA-256 over a slice of it: partition, log_offset, timestamp_ms, timestamp_type, key, value, headers.
"""

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from shim.store.values import JSON_NULL, View

COLUMNS = (
    "topic",
    "partition",
    "log_offset",
    "timestamp_ms",
    "timestamp_type",
    "key",
    "value",
    "headers",
    "encoding",
    "payload",
    "created_at",
    "last_error",
    "process_after",
)
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
INFINITY = 2**63 - 1
"""``timestamptz 'infinity'``, in Postgres' microseconds since 2000."""

_NULL = b"\xff\xff\xff\xff"
_POSTGRES_EPOCH_MS = 946_684_800_000
_FIRST_US = -211_813_488_000_000_000
_LAST_US = 9_223_371_331_199_999_999
_BYTEA_OID = 17

_INT = Struct(">i").pack
_IDENTITY = Struct(">iiiqiqih").pack
_PAYLOAD = Struct(">iB").pack
_TIMES = Struct(">iqiiq").pack
_TIME = Struct(">iq").pack
_ARRAY = Struct(">iiiiii").pack
_STAMP = Struct(">iqih").pack
_OFFSET = Struct(">iq").pack
_LENGTH = Struct(">i").unpack_from
_DIGEST = Struct(">qq").unpack_from
_JSONB_VERSION = 1
_CREATE_TIME = 1
_ARRAY_HEAD = 20
_NO_STAMP = _NULL * 2
_WIDE = Struct(">h").pack(len(COLUMNS) + 1)
_PARKED_DELAY_US = 876_582_000 * 3_600_000_000  # 100,000 years, as the gate adds them
_FRAMED_NAMES = {name: _INT(len(name)) + name.encode() for name in ("json", "text", "bytes", "tombstone")}
_NO_ELEMENTS = Struct(">iiii").pack(12, 0, 0, _BYTEA_OID)
_ROW = tuple.__new__  # a NamedTuple's own constructor costs three times as much

Headers = Iterable[tuple[bytes, bytes | None]]


class Row(NamedTuple):
    """One encoded row, and the two halves of its digest as signed 64-bit integers."""

    copy: bytes
    digest_high: int
    digest_low: int


class RowEncoder:
    """Encodes the records of one topic.

    Args:
        topic: the topic of all records that the encoder will be given.
        now_us: the database's clock, in microseconds since 2000; the creation time of records that bear none.
        parked: whether rows land behind a closed gate, at ``process_after = 'infinity'``.
        keep_value: without it, a value that its view tells in full (JSON, text) is not stored a second time.
    """

    def __init__(self, topic: str, *, now_us: int, parked: bool, keep_value: bool = True) -> None:
        self._prefix = Struct(">h").pack(len(COLUMNS)) + _field(topic.encode())
        self._now_us = now_us
        self._parked = parked
        self._keep_value = keep_value
        self._encodings = {name: _field(name.encode()) for name in ("json", "text", "bytes", "tombstone")}

    def encode(
        self,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        timestamp_ms: int,
        timestamp_type: int,
        view: View,
        held: str | None = None,
    ) -> Row:
        """Encodes one record.

        Args:
            partition: Kafka's partition.
            offset: the record's offset, which becomes ``log_offset``.
            key: the exact bytes, or None.
            value: the exact bytes, or None for a tombstone.
            headers: names and values in their order; None and an empty tuple stay apart.
            timestamp_ms: milliseconds since 1970, -1 for none.
            timestamp_type: as librdkafka numbers them: 0 none, 1 create time, 2 log append time.
            view: what stands in ``encoding`` and ``payload``.
            held: the reason for which a person must release the job (``last_error``); None for most.
        """
        identity = _IDENTITY(4, partition, 8, offset, 8, timestamp_ms, 2, timestamp_type)
        framed_key = _NULL if key is None else _INT(len(key)) + key
        framed_value = _NULL if value is None else _INT(len(value)) + value
        framed_headers = _NULL if headers is None else headers_field(headers)
        core = identity + framed_key + framed_value + framed_headers
        high, low = _DIGEST(sha256(core).digest())
        encoding, payload, _ = view
        if not self._keep_value and encoding in {"json", "text"} and payload is not JSON_NULL:
            core = identity + framed_key + _NULL + framed_headers
        now_us = self._now_us
        created = created_us(timestamp_ms, now_us)
        after = INFINITY if self._parked else min(created, now_us)
        row = b"".join(
            (
                self._prefix,
                core,
                self._encodings.get(encoding) or _field(encoding.encode()),
                _PAYLOAD(len(payload) + 1, _JSONB_VERSION),
                payload,
                _TIMES(8, created, -1, 8, after) if held is None else _held(created, held),
            )
        )
        return _ROW(Row, (row, high, low))


def with_message_id(row: bytes, message_id: bytes | None) -> bytes:
    """Returns an encoded row with one more field at its end, as COPY into `COLUMNS` and ``message_id`` takes it."""
    return _WIDE + row[2:] + (_NULL if message_id is None else _INT(16) + message_id)


class Framer:
    """Makes rows of the encoded records of one partition that are appended together.

    Args:
        topic: the topic of all of them.
        partition: their partition.
        now_us: the database's clock, in microseconds since 2000; their creation time.
        parked: whether they land behind a closed gate; a delayed one keeps its delay there.
        keep_value: without it, a value that its view tells in full (JSON, text) is not stored a second time.
    """

    def __init__(self, topic: str, partition: int, *, now_us: int, parked: bool, keep_value: bool = True) -> None:
        self._prefix = Struct(">h").pack(len(COLUMNS)) + _field(topic.encode()) + _INT(4) + _INT(partition)
        self._now_us = now_us
        self._parked = parked
        self._keep_value = keep_value
        self._undelayed = _TIMES(8, now_us, -1, 8, INFINITY if parked else now_us)

    def frame(self, offset: int | None, tail: bytes, delay_us: int | None = None) -> bytes:
        """Returns the row of one record.

        Args:
            offset: its ``log_offset``; None for one that gets its offset later.
            tail: from `encode_tail`.
            delay_us: how long from its creation on nobody may see it; None and 0 for not at all.
        """
        place = self._prefix + (_NULL if offset is None else _OFFSET(8, offset))
        times = self._delayed(delay_us) if delay_us else self._undelayed
        return place + (tail if self._keep_value else without_value(tail)) + times

    def _delayed(self, delay_us: int) -> bytes:
        due = self._now_us + delay_us + (_PARKED_DELAY_US if self._parked else 0)
        return _TIMES(8, self._now_us, -1, 8, due)


class Draft(NamedTuple):
    """One encoded record that has no offset yet.

    Attributes:
        topic: where it goes.
        partition: where it goes; the caller has chosen it.
        tail: the record, from `encode_tail`.
        delay_us: how long from the append on nobody may see the record; None and 0 for not at all. Such a record gets
            its offset from a reader when it is due.
        deduplication_key: what at most one unfinished job of the topic may have; such a draft is for
            `shim.store.unique`. None for most.
    """

    topic: str
    partition: int
    tail: bytes
    delay_us: int | None = None
    deduplication_key: str | None = None


def encode_tail(
    key: bytes | None, value: bytes | None, headers: Headers | None, timestamp_ms: int | None, view: View
) -> bytes:
    """Encodes a produced record: the fields from ``timestamp_ms`` to ``payload``, which need no clock and no offset.

    Args:
        key: the exact bytes, or None.
        value: the exact bytes, or None for a tombstone.
        headers: names and values in their order; None and an empty tuple stay apart.
        timestamp_ms: the record's create time, in milliseconds since 1970; None for its row's creation time.
        view: what stands in ``encoding`` and ``payload``.
    """
    encoding, payload, _ = view
    return b"".join(
        (
            _NO_STAMP if timestamp_ms is None else _STAMP(8, timestamp_ms, 2, _CREATE_TIME),
            _NULL if key is None else _INT(len(key)) + key,
            _NULL if value is None else _INT(len(value)) + value,
            _NULL if headers is None else headers_field(headers),
            _FRAMED_NAMES.get(encoding) or _field(encoding.encode()),
            _PAYLOAD(len(payload) + 1, _JSONB_VERSION),
            payload,
        )
    )


class Tail(NamedTuple):
    """The fields of a record that `encode_tail` has encoded, as statements take them."""

    timestamp_ms: int | None
    timestamp_type: int | None
    key: bytes | None
    value: bytes | None
    headers: str | None
    encoding: str
    payload: str


def decode_tail(tail: bytes) -> Tail:
    """Returns the fields of a record that `encode_tail` has encoded; headers as Postgres writes a bytea[]."""
    fields: list[bytes | None] = []
    position = 0
    while position < len(tail):
        (length,) = _LENGTH(tail, position)
        fields.append(None if length < 0 else tail[position + 4 : position + 4 + length])
        position += 4 + max(length, 0)
    stamp, kind, key, value, headers, encoding, payload = fields
    return Tail(
        None if stamp is None else int.from_bytes(stamp, signed=True),
        None if kind is None else int.from_bytes(kind, signed=True),
        key,
        value,
        None if headers is None else _array_text(headers),
        (encoding or b"").decode(),
        (payload or b"")[1:].decode(),
    )


def tail_headers(tail: bytes) -> list[tuple[bytes, bytes | None]]:
    """Returns the headers of a record that `encode_tail` has encoded."""
    start = _behind(tail, 0, 4)
    (length,) = _LENGTH(tail, start)
    parts = _elements(tail[start + 4 : start + 4 + length]) if length > 0 else []
    return [(name or b"", value) for name, value in zip(parts[::2], parts[1::2], strict=True)]


def headers_text(headers: Headers) -> str:
    """Returns headers as Postgres writes a bytea[]."""
    return _array_text(headers_field(headers)[4:])


def _array_text(array: bytes) -> str:
    parts = ("null" if part is None else f'"\\\\x{part.hex()}"' for part in _elements(array))
    return "{" + ",".join(parts) + "}"


def _elements(array: bytes) -> list[bytes | None]:
    elements: list[bytes | None] = []
    position = _ARRAY_HEAD
    while position < len(array):
        (length,) = _LENGTH(array, position)
        position += 4
        elements.append(None if length < 0 else array[position : position + length])
        position += max(length, 0)
    return elements


def without_value(tail: bytes) -> bytes:
    """Returns an encoded record without its value where its payload tells that in full, and as it is elsewhere."""
    value = _behind(tail, 0, 3)
    behind = _behind(tail, value)
    encoding = _behind(tail, behind)
    payload = _behind(tail, encoding)
    name = tail[encoding + 4 : payload]
    told = name == b"json" or (name == b"text" and tail[payload + 5 :] != JSON_NULL)
    return tail[:value] + _NULL + tail[behind:] if told else tail


def created_us(timestamp_ms: int, now_us: int) -> int:
    """Returns a record's creation time as Postgres counts it, clamped to what timestamptz holds.

    Kafka's -1 means that the record bears no time; such a record was created now.
    """
    if timestamp_ms == -1:
        return now_us
    created = (timestamp_ms - _POSTGRES_EPOCH_MS) * 1000
    return created if _FIRST_US < created < _LAST_US else min(max(created, _FIRST_US), _LAST_US)


def headers_field(headers: Headers) -> bytes:
    """Returns headers as a COPY field of type bytea[]: name, value, name, value, ... in their order."""
    body, count, has_null = b"", 0, 0
    for name, value in headers:
        count += 2
        if value is None:
            has_null = 1
            body += _INT(len(name)) + name + _NULL
        else:
            body += _INT(len(name)) + name + _INT(len(value)) + value
    if not count:
        return _NO_ELEMENTS
    return _ARRAY(20 + len(body), 1, has_null, _BYTEA_OID, count, 1) + body


def _held(created: int, reason: str) -> bytes:
    return _TIME(8, created) + _field(reason.encode()) + _TIME(8, INFINITY)


def _field(value: bytes | None) -> bytes:
    return _NULL if value is None else _INT(len(value)) + value


def _behind(fields: bytes, position: int, count: int = 1) -> int:
    for _ in range(count):
        (length,) = _LENGTH(fields, position)
        position += 4 + max(length, 0)
    return position
