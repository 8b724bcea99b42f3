"""The digest of a record, the same from Kafka's bytes and from Postgres' columns, and how digests are summed. Pure.

SHA-256 over fields in a fixed order, each framed by its length in 4 bytes (-1 for null, which is not empty): partition,
offset, timestamp, timestamp type, key, value, headers. Headers are one field: a ``bytea[]`` of name, value, name, ...
as Postgres sends it. ``sql/verify.sql`` says the same in SQL.

Many records are combined by SUM and count. XOR would not see a record that is there twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

Headers = tuple[tuple[bytes, bytes | None], ...]

_NULL = b"\xff\xff\xff\xff"
_BYTEA_OID = 17
_LENGTH = Struct(">i").pack
_PLACE = Struct(">iiiq").pack
_STAMP = Struct(">iqih").pack
_ARRAY = Struct(">iiiiii").pack
_EMPTY_ARRAY = Struct(">iiii").pack(12, 0, 0, _BYTEA_OID)
_HALVES = Struct(">qq").unpack_from


class Record(NamedTuple):
    """What a digest is made of, in one partition. ``timestamp`` is librdkafka's: its type (0 to 2), milliseconds."""

    offset: int
    timestamp: tuple[int, int]
    key: bytes | None
    value: bytes | None
    headers: Headers | None


@dataclass(frozen=True, slots=True)
class Sums:
    """Records counted, and the sums of the first and second 8 bytes of their digests as signed integers.

    Sums of disjoint sets add up to those of their union, in any order.
    """

    count: int = 0
    high: int = 0
    low: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.high + other.high, self.low + other.low)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.count - other.count, self.high - other.high, self.low - other.low)


NOTHING = Sums()


class Fingerprint(NamedTuple):
    """One record's digest, and that of its content alone, which says whether it stands at two offsets."""

    high: int
    low: int
    content: bytes

    @property
    def sums(self) -> Sums:
        """The record as a set of one."""
        return Sums(1, self.high, self.low)


def sums(partition: int, records: Iterable[Record], *, values: bool = True) -> Sums:
    """Returns the sums of records of one partition.

    Args:
        partition: their partition.
        records: in any order.
        values: whether values are part of the digest; without them every value counts as null.
    """
    count = high = low = 0
    for record in records:
        first, second = _HALVES(sha256(_PLACE(4, partition, 8, record[0]) + _content(record, values)).digest())
        count += 1
        high += first
        low += second
    return Sums(count, high, low)


def fingerprint(partition: int, record: Record, *, values: bool = True) -> Fingerprint:
    """Returns one record's digests."""
    content = _content(record, values)
    high, low = _HALVES(sha256(_PLACE(4, partition, 8, record.offset) + content).digest())
    return Fingerprint(high, low, sha256(content).digest())


def _content(record: Record, values: bool) -> bytes:
    _, (kind, milliseconds), key, value, headers = record
    return b"".join(
        (
            _STAMP(8, milliseconds, 2, kind),
            _NULL if key is None else _LENGTH(len(key)) + key,
            _NULL if value is None or not values else _LENGTH(len(value)) + value,
            _NULL if headers is None else _array(headers),
        )
    )


def _array(headers: Headers) -> bytes:
    if not headers:
        return _EMPTY_ARRAY
    parts = [part for header in headers for part in header]
    body = b"".join([_NULL if part is None else _LENGTH(len(part)) + part for part in parts])
    return _ARRAY(20 + len(body), 1, None in parts, _BYTEA_OID, len(parts), 1) + body
