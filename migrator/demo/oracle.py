"""Whether a drain kept its promise, judged from what was produced and what the tables hold, and from nothing else.

No code is shared with the drain: it could share a bug.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, LiteralString, NamedTuple

from migrator.demo.records import Record
from migrator.kafka.produce import Delivered
from migrator.postgres import Connection

Place = tuple[int, int]


class Content(NamedTuple):
    """What must come through byte for byte."""

    key: bytes | None
    value: bytes | None
    headers: tuple[bytes | None, ...]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One promise: whether it was kept, and what was counted."""

    promise: str
    ok: bool
    found: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What Postgres holds of one topic."""

    rows: Sequence[tuple[Place, Content]]
    dead: Sequence[tuple[Place, Content]]
    ledger: Sequence[tuple[int, ...]]
    ends: Mapping[int, tuple[int, int | None]]
    wrong_payloads: int


def read_tables(conn: Connection, texts: Mapping[str, LiteralString], topic: str) -> Tables:
    """Reads everything that there is of a topic."""

    def ask(name: str) -> list[tuple[Any, ...]]:
        return conn.execute(texts[name], {"topic": topic}, binary=True).fetchall()

    return Tables(
        rows=[_placed(row) for row in ask("rows_of_topic")],
        dead=[_placed(row) for row in ask("dead_of_topic")],
        ledger=[tuple(map(int, row)) for row in ask("ledger_of_topic")],
        ends={partition: (stand, end) for partition, stand, end in ask("ends_of_topic")},
        wrong_payloads=int(ask("wrong_payloads")[0][0]),
    )


def judge(
    records: Sequence[Record],
    delivered: Sequence[Delivered],
    tables: Tables,
    document: Mapping[str, Any],
    *,
    only_json: bool,
) -> list[Finding]:
    """Holds every promise of a drain against what was produced.

    Args:
        records: what was produced.
        delivered: where each of them is in Kafka.
        tables: what Postgres holds.
        document: what the drain said of itself.
        only_json: whether the drain was told to take nothing but JSON.
    """
    produced = list(zip(records, delivered, strict=True))
    expected = {(at.partition, at.offset): content_of(record) for record, at in produced}
    dead = {(at.partition, at.offset) for record, at in produced if only_json and not record.is_json}
    return [
        _complete(expected, dead, tables),
        _equal(expected, [*tables.rows, *tables.dead]),
        _single([*tables.rows, *tables.dead]),
        _contiguous(expected, tables.ledger),
        _ended(expected, tables.ends),
        _told(tables, document),
        Finding("the JSON view says what the bytes say", not tables.wrong_payloads, f"{tables.wrong_payloads} differ"),
        Finding("the run did something", len(tables.rows) > len(expected) // 2 > 0, f"{len(tables.rows):,} rows"),
    ]


def content_of(record: Record) -> Content:
    """Returns what the table must hold of a record."""
    headers = tuple(part for name, value in record.headers for part in (name.encode(), value))
    return Content(record.key, record.value, headers, record.timestamp_ms)


def _placed(row: Sequence[Any]) -> tuple[Place, Content]:
    partition, offset, key, value, headers, timestamp_ms = row
    return (partition, offset), Content(key, value, tuple(headers or ()), timestamp_ms)


def _complete(expected: Mapping[Place, Content], dead: set[Place], tables: Tables) -> Finding:
    rows, letters = ({place for place, _ in found} for found in (tables.rows, tables.dead))
    missing = len((expected.keys() - dead) - rows) + len(dead - letters)
    extra = len(rows - (expected.keys() - dead)) + len(letters - dead)
    return Finding(
        "every record is a row, or the dead letter that it must be; nothing else is there",
        not (missing or extra),
        f"{len(expected):,} produced, {len(rows):,} rows, {len(letters):,} dead, {missing} missing, {extra} extra",
    )


def _equal(expected: Mapping[Place, Content], found: Iterable[tuple[Place, Content]]) -> Finding:
    compared = [expected[place] == content for place, content in found if place in expected]
    altered = compared.count(False)
    return Finding(
        "key, value, headers and timestamp are equal, byte for byte",
        bool(compared) and not altered,
        f"{len(compared):,} compared, {altered} altered",
    )


def _single(found: Iterable[tuple[Place, Content]]) -> Finding:
    doubles = sum(count > 1 for count in Counter(place for place, _ in found).values())
    return Finding("no offset is there twice", not doubles, f"{doubles} doubles")


def _contiguous(expected: Mapping[Place, Content], ledger: Sequence[tuple[int, ...]]) -> Finding:
    high = _high(expected)
    holes = sum(
        [batch[1] for batch in batches] + [high.get(partition, 0)] != [0] + [batch[2] for batch in batches]
        for partition, batches in ((key, list(group)) for key, group in groupby(ledger, itemgetter(0)))
    )
    unequal = sum(to - start != rows + dead + others for _, start, to, rows, dead, others in ledger)
    unexpected = sum(others for *_, others in ledger)
    complete = {batch[0] for batch in ledger} == high.keys()
    return Finding(
        "the ledger accounts for every offset, without a hole",
        complete and not (holes or unequal or unexpected),
        f"{len(ledger)} batches, {holes} holes, {unequal} wrong sums",
    )


def _ended(expected: Mapping[Place, Content], ends: Mapping[int, tuple[int, int | None]]) -> Finding:
    high = _high(expected)
    right = sum(ends[partition] == (high.get(partition, 0), high.get(partition, 0)) for partition in ends)
    return Finding(
        "every partition stands at the end that was frozen",
        right == len(ends) and high.keys() <= ends.keys(),
        f"{right} of {len(ends)} partitions",
    )


def _told(tables: Tables, document: Mapping[str, Any]) -> Finding:
    told = (document.get("rows"), document.get("dead"), document.get("complete"))
    return Finding(
        "the drain said what is true",
        told == (len(tables.rows), len(tables.dead), True),
        f"it told of {told[0]} rows and {told[1]} dead letters",
    )


def _high(expected: Iterable[Place]) -> dict[int, int]:
    high: dict[int, int] = {}
    for partition, offset in expected:
        high[partition] = max(high.get(partition, 0), offset + 1)
    return high
