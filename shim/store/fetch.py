"""Reading the log: records from a position on, heads, and offsets by time. Touches no row.

A reader that saw offset n never sees a smaller one appear later (whoever numbers rows holds the partition's head until
it commits), so a position is all that a reader has to remember.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store.records import Record, compact_json
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
TP = tuple[str, int]

_RECORD: Callable[[Sequence[Any]], Record] = partial(tuple.__new__, Record)  # Record's own constructor costs twice that
_SIZES = itemgetter(Record._fields.index("size"))
_SMALL_BYTES = 1024


class Mark(NamedTuple):
    """What a reader remembers of the last record that it read, to know it again."""

    offset: int
    timestamp_ms: int
    key: bytes | None


class Place(NamedTuple):
    """Where to read on: the first offset that is wanted.

    Attributes:
        topic: the topic.
        partition: the partition.
        position: the first offset that is wanted.
        mark: the last record before it, if one was read. Nothing is read where another record has its offset: the log
            was truncated (a standby that had not everything was promoted, or a backup restored) and written anew.
    """

    topic: str
    partition: int
    position: int
    mark: Mark | None = None


_NO_MARK = Mark(-1, -1, None)


class Head(NamedTuple):
    """A partition's ends: ``start`` is the low watermark, ``next`` the next offset to be given out (the high one)."""

    start: int
    next: int


class Stamp(NamedTuple):
    """A record's offset and its timestamp."""

    offset: int
    timestamp_ms: int


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "fetch.sql", schemas)


def fetch(
    conn: Connection,
    statements: Texts,
    places: Sequence[Place],
    *,
    max_rows: int,
    max_bytes: int,
    per_partition: int,
) -> list[Record]:
    """Returns the records that follow, place by place, in offset order within each.

    Places are served in the order in which they are given, until a bound is reached; a caller that turns the order
    starves no partition. Ask only for places that have something: each costs an index probe.

    Args:
        conn: any connection.
        statements: from `load`.
        places: at most one for each partition.
        max_rows: the most records in all.
        max_bytes: the bound for the sum of sizes in all. The record that passes it is left out, unless it is the
            first: a record larger than the bound is still read, alone.
        per_partition: how many offsets of one place to look at, from the first record on: where offsets have holes,
            there are fewer records.
    """
    # Records up to this size may all come at once. A larger one comes without its value, so that nobody reads 10,000
    # values of a megabyte; if it is the first, the sizes that came with it tell how many to ask for.
    largest = max(max_bytes // max(max_rows, 1), _SMALL_BYTES)
    span = min(per_partition, max_rows)
    records = _read(conn, statements, places, span, largest, max_rows)
    while records and abs(records[0].size) > largest:
        fitting = _fitting([abs(record.size) for record in records], max_bytes)
        largest = max(fitting)
        records = _read(conn, statements, places, span, largest, len(fitting))
    sizes = list(map(_SIZES, records))
    if sizes and min(sizes) >= 0 and max(sizes) <= largest and sum(sizes) <= max_bytes:
        return records
    return _settled(records, largest, max_bytes)


def truncated(conn: Connection, statements: Texts, places: Sequence[Place]) -> set[TP]:
    """Tells in which places nothing is read any more, since another record has the offset of the mark."""
    return set(conn.execute(statements["truncated"], _places(places)).fetchall())


def heads(conn: Connection, statements: Texts, topics: Sequence[str]) -> dict[TP, Head]:
    """Returns the ends of every partition of these topics; a topic that is not registered has none."""
    rows = conn.cursor(binary=True).execute(statements["read_heads"], {"topics": list(topics)})
    return {(topic, partition): Head(start, next_) for topic, partition, start, next_ in rows}


def offsets_for_times(
    conn: Connection, statements: Texts, asked: Sequence[tuple[str, int, int]]
) -> dict[TP, int | None]:
    """Finds the first offset whose timestamp is not before the one asked for.

    Timestamps need not ascend with offsets, so this reads every record before the one it finds.

    Args:
        conn: any connection.
        statements: from `load`.
        asked: topic, partition, milliseconds since 1970.

    Returns:
        the offset for each partition asked for; None when every record is older, or there is none.
    """
    stamps = stamps_for_times(conn, statements, asked)
    return {place: None if stamp is None else stamp.offset for place, stamp in stamps.items()}


def stamps_for_times(
    conn: Connection, statements: Texts, asked: Sequence[tuple[str, int, int]]
) -> dict[TP, Stamp | None]:
    """Does what `offsets_for_times` does, and tells the timestamps that were found."""
    arguments = {**_partitions([one[:2] for one in asked]), "times": [one[2] for one in asked]}
    return _stamps(conn.execute(statements["first_since"], arguments))


def newest_stamps(conn: Connection, statements: Texts, asked: Sequence[TP]) -> dict[TP, Stamp | None]:
    """Finds the record with the highest timestamp in each partition, the first of several; None without records.

    It reads every record of the partitions.
    """
    return _stamps(conn.execute(statements["newest"], _partitions(asked)))


def _read(
    conn: Connection, statements: Texts, places: Sequence[Place], span: int, largest: int, max_rows: int
) -> list[Record]:
    arguments = {
        **_places(places),
        "span": span,
        "largest": largest,
        "max_rows": max_rows,
    }
    return conn.cursor(binary=True, row_factory=_record_row).execute(statements["fetch"], arguments).fetchall()


def _record_row(_cursor: object) -> Callable[[Sequence[Any]], Record]:
    return _RECORD


def _fitting(sizes: Sequence[int], max_bytes: int) -> Sequence[int]:
    """The sizes of the records that fit, the first one in any case."""
    fit = sum(total <= max_bytes for total in accumulate(sizes))
    return sizes[: max(fit, 1)]


def _settled(records: Iterable[Record], largest: int, max_bytes: int) -> list[Record]:
    """The records as they were produced, up to the first that was held back or does not fit."""
    settled: list[Record] = []
    total = 0
    for record in records:
        if abs(record.size) > largest:
            break
        whole = record if record.size >= 0 else _compacted(record)
        total += whole.size
        if settled and total > max_bytes:
            break
        settled.append(whole)
    return settled


def _compacted(record: Record) -> Record:
    """A record that has no value of its own: the value is its view, of which jsonb's text came."""
    text = record.value or b""
    value = compact_json(text)
    return record._replace(value=value, size=len(value) - len(text) - record.size)


def _places(places: Sequence[Place]) -> dict[str, list[Any]]:
    marks = [place.mark or _NO_MARK for place in places]
    return {
        **_partitions([place[:2] for place in places]),
        "positions": [place.position for place in places],
        "marks": [mark.offset for mark in marks],
        "mark_times": [mark.timestamp_ms for mark in marks],
        "mark_keys": [mark.key for mark in marks],
    }


def _partitions(asked: Iterable[TP]) -> dict[str, list[Any]]:
    places = list(asked)
    return {"topics": [topic for topic, _ in places], "partitions": [partition for _, partition in places]}


def _stamps(rows: Iterable[TupleRow]) -> dict[TP, Stamp | None]:
    return {
        (topic, partition): None if offset is None else Stamp(offset, timestamp_ms)
        for topic, partition, offset, timestamp_ms in rows
    }
