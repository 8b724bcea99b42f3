"""What is delivered becomes batches in which every offset is accounted for, once."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.drain.batch import Batch, Gaps, Place, classify_missing
from migrator.drain.reading import Missing, Reader, Track
from migrator.errors import RefusedError
from migrator.kafka.records import EndOfPartition, Event, SourceRecord


def record(offset: int, partition: int = 0, value: bytes = b"{}") -> SourceRecord:
    return SourceRecord("emails", partition, offset, None, value, None, 0, 1)


def track(partition: int = 0, start: int = 0, end: int | None = 10, skip_below: int = 0) -> Track:
    return Track(Place(1, "emails", partition), 1, start, end, skip_below)


def as_markers(_track: Track, missing: Missing) -> Gaps:
    return Gaps(marker=sum(stop - start for start, stop in missing))


def reader(*tracks: Track, writers: int = 1, batch_rows: int = 1000, batch_bytes: int = 1 << 20) -> Reader:
    by_key = {(one.place.topic, one.place.partition): one for one in tracks}
    return Reader(by_key, as_markers, writers=writers, batch_rows=batch_rows, batch_bytes=batch_bytes)


def batches(read: Reader, events: Iterable[Event], most: int | None = None) -> list[Batch]:
    return [batch for _, batch in [*read.feed(events, most), *read.flush()]]


def test_records_and_the_gap_between_them_are_one_span() -> None:
    (batch,) = batches(reader(track()), [record(0), record(1), record(4)])

    (span,) = batch.spans
    assert (span.start, span.stop, span.delivered, span.gaps) == (0, 5, 3, Gaps(marker=2))


def test_the_end_event_accounts_for_what_no_record_follows() -> None:
    read = reader(track())

    (batch,) = batches(read, [record(0), EndOfPartition("emails", 0, 10)])

    assert read.done
    assert batch.spans[0].stop == 10
    assert batch.spans[0].gaps == Gaps(marker=9)


def test_an_end_event_before_the_frozen_end_is_not_the_end() -> None:
    read = reader(track())

    batches(read, [record(0), EndOfPartition("emails", 0, 7)])

    assert not read.done


def test_records_behind_the_frozen_end_are_left_alone() -> None:
    read = reader(track(end=2))

    (batch,) = batches(read, [record(0), record(5), record(6)])

    assert read.done
    assert [one.offset for one in batch.spans[0].records] == [0]
    assert (batch.spans[0].stop, batch.spans[0].gaps) == (2, Gaps(marker=1))


def test_a_record_below_the_position_is_a_truncated_log() -> None:
    read = reader(track(start=5))

    with pytest.raises(RefusedError, match="truncated"):
        batches(read, [record(5), record(3)])


def test_skipped_records_are_counted_and_not_written() -> None:
    (batch,) = batches(reader(track(skip_below=2)), [record(0), record(1), record(2)])

    assert (batch.spans[0].skipped, len(batch.spans[0].records), batch.spans[0].delivered) == (2, 1, 3)


def test_a_full_batch_is_handed_over_at_once() -> None:
    read = reader(track(end=None), batch_rows=2)

    assert [len(batch.spans[0].records) for batch in batches(read, map(record, range(5)))] == [2, 2, 1]


def test_a_large_record_fills_a_batch_by_its_bytes() -> None:
    read = reader(track(end=None), batch_bytes=1000)

    sizes = [
        len(batch.spans[0].records) for batch in batches(read, [record(0), record(1, value=b"x" * 2000), record(2)])
    ]

    assert sizes == [2, 1]


def test_a_partition_stays_with_its_writer() -> None:
    read = reader(*(track(partition) for partition in range(4)), writers=2, batch_rows=1)
    events = [record(offset, partition) for offset in range(3) for partition in range(4)]

    writers: dict[int, set[int]] = {}
    for writer, batch in read.feed(events):
        for span in batch.spans:
            writers.setdefault(span.place.partition, set()).add(writer)

    assert writers == {0: {0}, 1: {1}, 2: {0}, 3: {1}}


def test_no_more_records_are_taken_than_were_asked_for() -> None:
    read = reader(track())

    (batch,) = batches(read, map(record, range(10)), most=3)

    assert batch.spans[0].stop == 3


def test_a_lost_range_is_accounted_for() -> None:
    one = track()
    read = reader(one)

    assert one.lose(4) == 4
    (batch,) = batches(read, [record(4)])

    assert (batch.spans[0].start, batch.spans[0].stop, batch.spans[0].gaps) == (0, 5, Gaps(lost=4))


@given(
    offsets=st.sets(st.integers(0, 60)),
    end=st.integers(1, 60),
    batch_rows=st.integers(1, 7),
    chunk=st.integers(1, 9),
)
def test_spans_are_contiguous_and_account_for_every_offset(
    offsets: set[int], end: int, batch_rows: int, chunk: int
) -> None:
    read = reader(track(end=end), batch_rows=batch_rows)
    events: Sequence[Event] = [*map(record, sorted(offsets)), EndOfPartition("emails", 0, 61)]

    spans = [
        span
        for start in range(0, len(events), chunk)
        for _, batch in [*read.feed(events[start : start + chunk]), *(read.flush() if start % 2 else ())]
        for span in batch.spans
    ] + [span for _, batch in read.flush() for span in batch.spans]

    assert [one.offset for span in spans for one in span.records] == sorted(o for o in offsets if o < end)
    assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
    assert spans[-1].stop == end
    assert all(span.stop - span.start == span.delivered + span.gaps.total for span in spans)


def test_readable_offsets_in_a_gap_were_aborted_and_the_rest_are_markers() -> None:
    gaps = classify_missing([(5, 9), (20, 21)], frozenset({5, 6, 7}), compacted=False, marker_bound=3)

    assert gaps == Gaps(aborted=3, marker=2)


def test_a_long_unreadable_run_is_not_explained_by_markers() -> None:
    gaps = classify_missing([(0, 4), (10, 12)], frozenset(), compacted=False, marker_bound=3)

    assert gaps == Gaps(unexplained=4, marker=2)


def test_compaction_explains_any_run() -> None:
    gaps = classify_missing([(0, 1000)], frozenset({10}), compacted=True, marker_bound=3)

    assert gaps == Gaps(aborted=1, compacted=999)
