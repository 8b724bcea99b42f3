"""The demo's oracle finds every fault that is planted in front of it, and none where there is none."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from migrator.demo.oracle import Content, Finding, Place, Tables, content_of, judge
from migrator.demo.records import Record, make_records
from migrator.kafka.produce import Delivered

COUNT = 400
RECORDS = make_records(COUNT, 1_700_000_000_000)
DELIVERED = [Delivered(number % 2, number // 2) for number in range(COUNT)]
TOLD: dict[str, Any] = {"rows": COUNT, "dead": 0, "complete": True}


def placed(records: Sequence[Record] = RECORDS) -> list[tuple[Place, Content]]:
    return [((at.partition, at.offset), content_of(record)) for record, at in zip(records, DELIVERED, strict=True)]


def faultless() -> Tables:
    """Two partitions of 200 records, in batches of 100."""
    ledger = [(partition, start, start + 100, 100, 0, 0) for partition in (0, 1) for start in (0, 100)]
    return Tables(placed(), [], ledger, {0: (200, 200), 1: (200, 200)}, 0)


def broken(findings: Sequence[Finding]) -> list[str]:
    return [finding.promise for finding in findings if not finding.ok]


def altered(tables: Tables, **changes: Any) -> Tables:
    (place, content), *others = tables.rows
    return replace(tables, rows=[(place, content._replace(**changes)), *others])


def test_a_faultless_drain_is_found_faultless() -> None:
    assert broken(judge(RECORDS, DELIVERED, faultless(), TOLD, only_json=False)) == []


FAULTS: dict[str, tuple[Callable[[Tables], Tables], str]] = {
    "missing": (lambda good: replace(good, rows=good.rows[1:]), "every record"),
    "extra": (lambda good: replace(good, rows=[*good.rows, ((0, 999), good.rows[0][1])]), "every record"),
    "twice": (lambda good: replace(good, rows=[*good.rows, good.rows[0]]), "no offset is there twice"),
    "row and dead letter": (lambda good: replace(good, dead=[good.rows[0]]), "no offset is there twice"),
    "key": (lambda good: altered(good, key=b"other"), "key, value"),
    "value": (lambda good: altered(good, value=b"other"), "key, value"),
    "null for empty": (lambda good: altered(good, value=b""), "key, value"),
    "headers": (lambda good: altered(good, headers=(b"a", b"b")), "key, value"),
    "timestamp": (lambda good: altered(good, timestamp_ms=0), "key, value"),
    "hole": (lambda good: replace(good, ledger=[good.ledger[0], *good.ledger[2:]]), "the ledger"),
    "overlap": (lambda good: replace(good, ledger=[good.ledger[0], *good.ledger]), "the ledger"),
    "lost": (lambda good: replace(good, ledger=[(0, 0, 100, 99, 0, 1), *good.ledger[1:]]), "the ledger"),
    "wrong sum": (lambda good: replace(good, ledger=[(0, 0, 100, 99, 0, 0), *good.ledger[1:]]), "the ledger"),
    "no ledger": (lambda good: replace(good, ledger=[]), "the ledger"),
    "before its end": (lambda good: replace(good, ends={0: (199, 200), 1: (200, 200)}), "every partition"),
    "another end": (lambda good: replace(good, ends={0: (201, 201), 1: (200, 200)}), "every partition"),
    "forgotten partition": (lambda good: replace(good, ends={0: (200, 200)}), "every partition"),
    "payload": (lambda good: replace(good, wrong_payloads=1), "the JSON view"),
    "nothing": (lambda good: replace(good, rows=[]), "the run did something"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found(fault: str) -> None:
    plant, promise = FAULTS[fault]
    findings = judge(RECORDS, DELIVERED, plant(faultless()), TOLD, only_json=False)
    assert any(found.startswith(promise) for found in broken(findings)), broken(findings)


@pytest.mark.parametrize("lie", [{"rows": 1}, {"dead": 1}, {"complete": False}])
def test_a_drain_that_says_what_is_not_true_is_found_out(lie: dict[str, Any]) -> None:
    assert broken(judge(RECORDS, DELIVERED, faultless(), TOLD | lie, only_json=False)) == [
        "the drain said what is true"
    ]


def test_only_what_is_no_json_may_be_dead_and_it_must_be() -> None:
    everything = placed()
    rows = [one for one, record in zip(everything, RECORDS, strict=True) if record.is_json]
    dead = [one for one, record in zip(everything, RECORDS, strict=True) if not record.is_json]
    tables = replace(faultless(), rows=rows, dead=dead)
    told = TOLD | {"rows": len(rows), "dead": len(dead)}
    assert broken(judge(RECORDS, DELIVERED, tables, told, only_json=True)) == []
    assert dead
    findings = judge(RECORDS, DELIVERED, faultless(), TOLD, only_json=True)
    assert broken(findings)[0].startswith("every record")


def test_the_same_seed_makes_the_same_records() -> None:
    assert make_records(COUNT, 1_700_000_000_000) == RECORDS
    assert make_records(COUNT, 1_700_000_000_000, seed=2) != RECORDS


def test_records_are_labelled_truly_and_of_every_kind() -> None:
    for record in RECORDS:
        assert record.is_json == takes(record.value), record.kind
    assert len({record.kind for record in RECORDS}) == 14
    names = [[name for name, _ in record.headers] for record in RECORDS]
    assert any(len(set(one)) < len(one) for one in names)
    assert {None, b""} <= {record.key for record in RECORDS}
    assert {None, b""} <= {value for record in RECORDS for _, value in record.headers}


def takes(value: bytes | None) -> bool:
    """Whether a value is JSON by the letter of the standard, as the standard library sees it; nesting aside."""
    if value is None or value.startswith(b"[[[["):
        return True

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(value.decode(), parse_constant=refuse)
    except ValueError:
        return False
    return True
