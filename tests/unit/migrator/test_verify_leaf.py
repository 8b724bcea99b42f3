"""What three witnesses say of a leaf, and what an examined leaf comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.digest import NOTHING, Fingerprint, Record, Sums, fingerprint, sums
from migrator.verify.classes import Class, Place, Row, classify, totals
from migrator.verify.examine import Examined, Findings, explain
from migrator.verify.leaf import Evidence, Found, Leaf, Marks, Verdict, judge

BEGUN = Marks(0, 0)
RECORDS = [Record(offset, (1, 1_000 + offset), b"k", b"v%d" % offset, None) for offset in range(10)]
ALL = sums(0, RECORDS)
LEAF = Leaf(0, 0, 10, ALL)


def evidence(kafka: Sums = ALL, rows: Sums = ALL, dead: Sums = NOTHING) -> Evidence:
    return Evidence(kafka, Found(rows, dead), kafka, dead)


def some(*offsets: int) -> Sums:
    return sums(0, [RECORDS[offset] for offset in offsets])


def test_three_witnesses_that_agree_are_believed() -> None:
    assert judge(LEAF, evidence(), BEGUN) is Verdict.SAME


def test_dead_letters_stand_for_the_rows_that_they_could_not_become() -> None:
    leaf = replace(LEAF, written=some(*range(9)))
    assert judge(leaf, evidence(rows=some(*range(9)), dead=some(9)), BEGUN) is Verdict.SAME


def test_a_missing_row_is_a_difference() -> None:
    assert judge(LEAF, evidence(rows=some(*range(9))), BEGUN) is Verdict.DIFFERENT


def test_log_and_table_that_agree_are_not_believed_against_the_ledger() -> None:
    nine = some(*range(9))
    assert judge(LEAF, evidence(kafka=nine, rows=nine), BEGUN) is Verdict.DIFFERENT


def test_rows_below_the_table_s_low_watermark_are_purged_when_the_ledger_proves_them() -> None:
    assert judge(LEAF, evidence(rows=NOTHING), Marks(0, 10)) is Verdict.PURGED


@pytest.mark.parametrize("table", [0, 9])
def test_rows_above_it_are_never_purged(table: int) -> None:
    assert judge(LEAF, evidence(rows=NOTHING), Marks(0, table)) is Verdict.DIFFERENT


def test_what_the_ledger_does_not_prove_is_never_purged() -> None:
    leaf = replace(LEAF, written=some(*range(9)))
    assert judge(leaf, evidence(rows=NOTHING), Marks(0, 10)) is Verdict.DIFFERENT


def test_rows_whose_records_have_gone_from_the_log_are_proven_by_the_ledger() -> None:
    assert judge(LEAF, evidence(kafka=NOTHING), Marks(10, 0)) is Verdict.EXPIRED


def test_rows_whose_records_have_gone_and_that_were_altered_are_not() -> None:
    altered = ALL - some(3) + sums(0, [RECORDS[3]._replace(value=b"x")])
    assert judge(LEAF, evidence(kafka=NOTHING, rows=altered), Marks(10, 0)) is Verdict.DIFFERENT


def test_a_sample_is_judged_without_the_ledger() -> None:
    assert judge(replace(LEAF, written=None), evidence(kafka=some(1, 2), rows=some(1, 2)), BEGUN) is Verdict.SAME


def kafka(*offsets: int) -> dict[int, Fingerprint | None]:
    return {offset: fingerprint(0, RECORDS[offset]) for offset in offsets}


def table(*offsets: int, changed: int | None = None) -> dict[int, list[Row]]:
    records = [RECORDS[offset]._replace(value=b"x") if offset == changed else RECORDS[offset] for offset in offsets]
    return {record.offset: [Row(record.offset, 1, fingerprint(0, record))] for record in records}


def examined(
    log: Mapping[int, Fingerprint | None],
    rows: Mapping[int, Sequence[Row]],
    begun: Marks = BEGUN,
    *,
    compacted: bool = False,
    written: Sums = ALL,
) -> Findings:
    found = Examined()
    found.take(0, log, rows, begun, compacted=compacted)
    return explain(replace(LEAF, written=written), found, begun)


def counted(findings: Findings) -> dict[Class, int]:
    return {kind: count for kind, count in findings.counts.items() if count}


def differing(findings: Findings) -> list[tuple[Class, int, int | None, int]]:
    return [(one.kind, one.place.offset, one.stop, one.count) for one in findings.differences]


def test_a_leaf_that_is_the_same_comes_to_nothing() -> None:
    findings = examined(kafka(*range(10)), table(*range(10)))
    assert (counted(findings), findings.mismatches, findings.differences, findings.doubts) == ({}, [], [], [])


def test_a_deleted_row_is_a_mismatch_at_its_offset() -> None:
    findings = examined(kafka(*range(10)), table(*range(9)))
    assert [(one.place, one.table) for one in findings.mismatches] == [(Place(0, 9), None)]
    assert not findings.doubts


def test_below_the_table_s_low_watermark_an_absent_row_is_purged_and_above_it_missing() -> None:
    findings = examined(kafka(*range(10)), table(4, 5, 6, 7, 8), Marks(0, 4))
    assert counted(findings) == {Class.PURGED: 4}
    assert [one.place.offset for one in findings.mismatches] == [9]
    assert not findings.doubts


def test_a_record_that_was_never_written_is_missing_even_where_retention_has_been() -> None:
    findings = examined(kafka(*range(10)), table(*range(5, 10)), Marks(0, 5), written=some(*range(10)) - some(2))
    assert differing(findings) == [(Class.MISSING, 0, 10, 1)]
    assert counted(findings) == {Class.PURGED: 4}


def test_rows_below_the_log_s_low_watermark_are_proven_by_the_ledger() -> None:
    findings = examined(kafka(6, 7, 8, 9), table(*range(10)), Marks(6, 0))
    assert counted(findings) == {Class.EXPIRED: 6}
    assert not findings.mismatches
    assert not findings.differences


def test_an_altered_row_whose_record_has_gone_is_known_by_its_range() -> None:
    findings = examined(kafka(6, 7, 8, 9), table(*range(10), changed=2), Marks(6, 0))
    assert differing(findings) == [(Class.ALTERED, 0, 10, 1)]


def test_a_deleted_row_whose_record_has_gone_is_known_by_its_range() -> None:
    findings = examined(kafka(6, 7, 8, 9), table(0, 1, 2, 3, 5, 6, 7, 8, 9), Marks(6, 0))
    assert differing(findings) == [(Class.MISSING, 0, 10, 1)]


def test_a_row_more_than_was_written_below_the_log_s_beginning_is_known_by_its_range() -> None:
    findings = examined(kafka(6, 7, 8, 9), table(*range(10)), Marks(6, 0), written=ALL - some(2))
    assert differing(findings) == [(Class.EXTRA, 0, 10, 1)]


def test_what_compaction_removed_is_proven_by_the_ledger() -> None:
    findings = examined(kafka(1, 3, 5), table(*range(10)), compacted=True)
    assert counted(findings) == {Class.EXPIRED: 7}


def test_without_compaction_a_row_at_an_offset_without_record_is_a_mismatch() -> None:
    findings = examined(kafka(*range(9)), table(*range(10)), written=some(*range(9)))
    assert [(one.place.offset, one.kafka) for one in findings.mismatches] == [(9, None)]


def test_what_is_gone_from_both_sides_leaves_a_doubt() -> None:
    findings = examined(kafka(6, 7, 8, 9), table(6, 7, 8, 9), Marks(6, 6))
    assert counted(findings) == {Class.PURGED: 6}
    assert len(findings.doubts) == 1


def test_a_ledger_that_contradicts_both_sides_leaves_a_doubt() -> None:
    other = ALL - some(3) + sums(0, [RECORDS[3]._replace(value=b"x")])
    findings = examined(kafka(*range(10)), table(*range(10)), written=other)
    assert len(findings.doubts) == 1


def test_a_record_that_cannot_be_taken_apart_is_counted_and_not_called_different() -> None:
    findings = examined({**kafka(*range(9)), 9: None}, table(*range(10)))
    assert counted(findings) == {Class.UNREADABLE: 1}
    assert not findings.mismatches


def test_a_dead_letter_stands_for_its_record_and_a_row_beside_it_is_a_mismatch() -> None:
    rows: dict[int, list[Row]] = table(*range(10))
    rows[4] = [Row(None, 1, fingerprint(0, RECORDS[4])), *rows[4]]
    findings = examined(kafka(*range(10)), rows, written=ALL - some(4))
    assert [(one.place.offset, one.kafka, one.table and one.table.id) for one in findings.mismatches] == [(4, None, 4)]


sides = st.dictionaries(st.integers(0, 9), st.sampled_from([b"a", b"b", b"c"]), max_size=10)


def names(log: Mapping[int, bytes], rows: Mapping[int, bytes]) -> dict[Class, int]:
    prints = {offset: fingerprint(0, RECORDS[offset]._replace(value=value)) for offset, value in log.items()}
    there = {offset: [Row(1, 1, fingerprint(0, RECORDS[offset]._replace(value=v)))] for offset, v in rows.items()}
    found = Examined()
    found.take(0, prints, there, BEGUN, compacted=False)
    findings = explain(replace(LEAF, written=None), found, BEGUN)
    return totals(classify(findings.mismatches, {}))


@given(sides)
def test_a_side_held_against_itself_is_clean(records: dict[int, bytes]) -> None:
    assert names(records, records) == {}


@given(sides, sides)
def test_swapping_the_sides_swaps_missing_and_extra(left: dict[int, bytes], right: dict[int, bytes]) -> None:
    swapped = {Class.MISSING: Class.EXTRA, Class.EXTRA: Class.MISSING}
    assert names(right, left) == {swapped.get(kind, kind): count for kind, count in names(left, right).items()}


@given(sides, sides)
def test_sides_that_differ_are_never_clean(left: dict[int, bytes], right: dict[int, bytes]) -> None:
    assert bool(names(left, right)) is (left != right)
