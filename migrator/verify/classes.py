"""The names of what a verifier finds, and which name a mismatch gets. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from migrator.digest import Fingerprint


class Class(StrEnum):
    """What may be said of a message.

    Attributes:
        MISSING: Kafka holds it, and the table should.
        EXTRA: the table holds a row that nobody wrote.
        ALTERED: both hold the offset, with different contents.
        DUPLICATE: a row that nobody wrote has the contents of another row.
        REORDERED: offsets of one partition hold each other's contents.
        GONE: Kafka had dropped it before the drain read it.
        UNEXPLAINED: the drain found no record at its offset, and no reason.
        PURGED: retention removed the row.
        EXPIRED: it has gone from Kafka since it was drained.
        DEAD_LETTER: no row can hold it; it is kept, byte for byte, among the dead letters.
        SKIPPED: the drain was told not to write it.
        UNREADABLE: the client library cannot take it apart.
        IN_FLIGHT: the drain has not come to it yet.
        NATIVE: a row that never was in Kafka.
    """

    MISSING = "missing"
    EXTRA = "extra"
    ALTERED = "altered"
    DUPLICATE = "duplicate"
    REORDERED = "reordered"
    GONE = "gone"
    UNEXPLAINED = "unexplained"
    PURGED = "purged"
    EXPIRED = "expired"
    DEAD_LETTER = "dead_letter"
    SKIPPED = "skipped"
    UNREADABLE = "unreadable"
    IN_FLIGHT = "in_flight"
    NATIVE = "native"


DIFFERENCES = frozenset({Class.MISSING, Class.EXTRA, Class.ALTERED, Class.DUPLICATE, Class.REORDERED})
"""Classes whose messages are listed."""

FATAL = DIFFERENCES | {Class.UNEXPLAINED}
"""Classes that make the answer no, unless the user names others."""


class Place(NamedTuple):
    """An offset of a partition."""

    partition: int
    offset: int


class Row(NamedTuple):
    """A row, or a dead letter, with its digests. ``id`` is the job's; a dead letter has none."""

    id: int | None
    timestamp_ms: int | None
    print: Fingerprint


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An offset of which the two sides say different things; at most one of them nothing."""

    place: Place
    kafka: Fingerprint | None
    table: Row | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that should not be.

    Attributes:
        kind: its class.
        place: where; the first offset of a range.
        stop: the offset behind the range in which it is, where more is not known.
        count: how many messages.
        job: the row's id.
        kafka: the digest of the contents in Kafka, in hexadecimal.
        table: the digest of the contents in the table.
        of: where the row is of which this one is a copy, or the record that this offset holds.
    """

    kind: Class
    place: Place
    stop: int | None = None
    count: int = 1
    job: int | None = None
    kafka: str | None = None
    table: str | None = None
    of: Place | None = None


def classify(mismatches: Sequence[Mismatch], copies: Mapping[bytes, Place]) -> list[Difference]:
    """Names every mismatch.

    Args:
        mismatches: all of them, so that those that explain each other are seen.
        copies: for contents of rows that Kafka knows nothing of: where a row with the same contents is.
    """
    holders = _holders(mismatches)
    return [_name(mismatch, holders, copies) for mismatch in sorted(mismatches, key=_place)]


def unread(place: Place, stop: int, kafka: int, table: int) -> Difference:
    """Names a range that was not read record by record, by the counts of both sides."""
    kind = Class.MISSING if kafka > table else Class.EXTRA if kafka < table else Class.ALTERED
    return Difference(kind, place, stop, abs(kafka - table) or 1)


@dataclass(frozen=True, slots=True)
class _Holders:
    """Where contents are among the offsets that both sides have and that differ."""

    kafka: Mapping[tuple[int, bytes], Place]
    table: Mapping[tuple[int, bytes], Place]


def _holders(mismatches: Iterable[Mismatch]) -> _Holders:
    pairs = [(one.place, one.kafka, one.table.print) for one in mismatches if one.kafka and one.table]
    kafka = {(place.partition, left.content): place for place, left, _ in pairs}
    table = {(place.partition, right.content): place for place, _, right in pairs}
    return _Holders(kafka, table)


def _name(mismatch: Mismatch, holders: _Holders, copies: Mapping[bytes, Place]) -> Difference:
    kafka, table = mismatch.kafka, mismatch.table
    kind, of = _kind(mismatch.place, kafka, table and table.print, holders, copies)
    return Difference(
        kind,
        mismatch.place,
        job=table and table.id,
        kafka=kafka and kafka.content.hex(),
        table=table and table.print.content.hex(),
        of=of,
    )


def _kind(
    place: Place,
    kafka: Fingerprint | None,
    table: Fingerprint | None,
    holders: _Holders,
    copies: Mapping[bytes, Place],
) -> tuple[Class, Place | None]:
    if table is None:
        return Class.MISSING, None
    if kafka is None:
        original = copies.get(table.content)
        return (Class.DUPLICATE if original else Class.EXTRA), original
    origin = holders.kafka.get((place.partition, table.content))
    exchanged = origin is not None and (place.partition, kafka.content) in holders.table
    return (Class.REORDERED, origin) if exchanged else (Class.ALTERED, None)


def _place(mismatch: Mismatch) -> Place:
    return mismatch.place


def totals(differences: Iterable[Difference]) -> Counter[Class]:
    """Counts messages by class."""
    counted: Counter[Class] = Counter()
    for one in differences:
        counted[one.kind] += one.count
    return counted
