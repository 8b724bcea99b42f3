"""Which name a difference gets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from migrator.digest import Fingerprint, Record, fingerprint
from migrator.verify.classes import Class, Difference, Mismatch, Place, Row, classify, totals, unread

Sides = tuple[bytes | None, bytes | None]

contents = st.none() | st.sampled_from([b"a", b"b", b"c", b"d"])
differing = st.tuples(contents, contents).filter(lambda sides: sides[0] != sides[1])


def printed(offset: int, value: bytes) -> Fingerprint:
    return fingerprint(0, Record(offset, (1, 1), None, value, None))


def row(offset: int, value: bytes, job: int = 1) -> Row:
    return Row(job, 1, printed(offset, value))


def mismatch(offset: int, kafka: bytes | None, table: bytes | None) -> Mismatch:
    return Mismatch(
        Place(0, offset),
        None if kafka is None else printed(offset, kafka),
        None if table is None else row(offset, table),
    )


def kinds(*mismatches: Mismatch) -> dict[int, str]:
    return {one.place.offset: one.kind.value for one in classify(mismatches, {})}


def test_what_only_kafka_holds_is_missing() -> None:
    assert kinds(mismatch(3, b"a", None)) == {3: "missing"}


def test_what_only_the_table_holds_is_extra() -> None:
    assert kinds(mismatch(3, None, b"a")) == {3: "extra"}


def test_another_content_is_altered() -> None:
    assert kinds(mismatch(3, b"a", b"A")) == {3: "altered"}


def test_two_offsets_that_hold_each_other_s_contents_are_reordered() -> None:
    assert kinds(mismatch(3, b"a", b"b"), mismatch(9, b"b", b"a")) == {3: "reordered", 9: "reordered"}


def test_three_offsets_in_a_ring_are_reordered() -> None:
    ring = [mismatch(1, b"a", b"b"), mismatch(2, b"b", b"c"), mismatch(3, b"c", b"a")]
    assert kinds(*ring) == {1: "reordered", 2: "reordered", 3: "reordered"}


def test_a_row_that_overwrote_another_is_altered_and_not_reordered() -> None:
    assert kinds(mismatch(3, b"a", b"b"), mismatch(9, b"b", b"x")) == {3: "altered", 9: "altered"}


def test_partitions_do_not_exchange_contents() -> None:
    other = Mismatch(Place(1, 9), printed(9, b"b"), row(9, b"a"))
    assert [one.kind for one in classify([mismatch(3, b"a", b"b"), other], {})] == [Class.ALTERED, Class.ALTERED]


def test_an_extra_row_with_the_contents_of_another_is_a_duplicate_of_it() -> None:
    found = classify([mismatch(70, None, b"a")], {printed(0, b"a").content: Place(2, 5)})
    assert [(one.kind, one.of) for one in found] == [(Class.DUPLICATE, Place(2, 5))]


def test_an_altered_timestamp_is_altered() -> None:
    later = fingerprint(0, Record(3, (1, 2), None, b"a", None))
    found = classify([Mismatch(Place(0, 3), printed(3, b"a"), Row(1, 2, later))], {})
    assert [one.kind for one in found] == [Class.ALTERED]


@given(
    st.lists(st.tuples(st.none() | contents, st.none() | contents).filter(lambda pair: pair[0] != pair[1]), max_size=8)
)
def test_swapping_the_sides_swaps_missing_and_extra_and_nothing_else(
    pairs: list[Sides],
) -> None:
    there = kinds(*(mismatch(offset, kafka, table) for offset, (kafka, table) in enumerate(pairs)))
    back = kinds(*(mismatch(offset, table, kafka) for offset, (kafka, table) in enumerate(pairs)))
    swapped = {"missing": "extra", "extra": "missing"}
    assert back == {offset: swapped.get(kind, kind) for offset, kind in there.items()}


@given(
    st.lists(
        st.tuples(st.none() | contents, st.none() | contents).filter(lambda pair: pair != (None, None)), max_size=8
    )
)
def test_every_mismatch_gets_one_name_in_the_order_of_places(pairs: list[Sides]) -> None:
    mismatches = [mismatch(offset, *pair) for offset, pair in enumerate(pairs)]
    found = classify(mismatches[::-1], {})
    assert [one.place for one in found] == [one.place for one in mismatches]
    assert all(before.place < after.place for before, after in pairwise(found))


def test_a_range_that_was_not_read_is_named_by_its_counts() -> None:
    place = Place(0, 100)
    assert unread(place, 200, 90, 70) == Difference(Class.MISSING, place, 200, 20)
    assert unread(place, 200, 70, 90) == Difference(Class.EXTRA, place, 200, 20)
    assert unread(place, 200, 70, 70) == Difference(Class.ALTERED, place, 200, 1)


def test_totals_count_messages_and_not_entries() -> None:
    assert totals([unread(Place(0, 0), 9, 9, 2), unread(Place(0, 9), 12, 3, 2)]) == {Class.MISSING: 8}
