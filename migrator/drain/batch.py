"""What one transaction of the drain writes: records, and an account of every offset between two positions. Pure."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from migrator.kafka.records import SourceRecord, UnreadableRecord

Delivered = SourceRecord | UnreadableRecord
Offsets = Container[int]


class Place(NamedTuple):
    """A partition of a topic that is being drained."""

    source_id: int
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Which rows of a span wait for a person: those below ``below``, for ``reason``."""

    below: int
    reason: str


NO_HOLD = Hold(0, "")


@dataclass(frozen=True, slots=True)
class Gaps:
    """How many offsets bear no record, by the reason. ``marker`` is inferred: clients never see control records."""

    compacted: int = 0
    aborted: int = 0
    marker: int = 0
    lost: int = 0
    unexplained: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.compacted + self.aborted + self.marker + self.lost + self.unexplained

    def __add__(self, other: Self) -> Self:
        return replace(
            self,
            compacted=self.compacted + other.compacted,
            aborted=self.aborted + other.aborted,
            marker=self.marker + other.marker,
            lost=self.lost + other.lost,
            unexplained=self.unexplained + other.unexplained,
        )


@dataclass(frozen=True, slots=True)
class Span:
    """One partition's part of a batch: every offset from ``start`` up to, and without, ``stop``.

    Attributes:
        place: the partition.
        epoch: the epoch in which it was read.
        start: the position before the batch.
        stop: the position behind it.
        records: what arrived and is to be written, in offset order.
        skipped: how many arrived and are not to be written.
        gaps: how many offsets bear no record, and why.
    """

    place: Place
    epoch: int
    start: int
    stop: int
    records: tuple[Delivered, ...]
    skipped: int
    gaps: Gaps

    @property
    def delivered(self) -> int:
        """How many records arrived."""
        return len(self.records) + self.skipped


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes. Immutable, so that trying it again after an outage writes the same or nothing.

    ``spans`` come one per partition, ordered by source and partition: the order in which rows are locked.
    """

    spans: tuple[Span, ...]

    @property
    def delivered(self) -> int:
        """How many records arrived."""
        return sum(span.delivered for span in self.spans)


def classify_missing(
    missing: Iterable[tuple[int, int]],
    readable: Offsets,
    *,
    compacted: bool,
    marker_bound: int,
) -> Gaps:
    """Gives every missing offset its verdict.

    Args:
        missing: ranges of offsets that a read_committed consumer was not given, above the log's low watermark.
        readable: those of them that a read_uncommitted consumer was given: records of aborted transactions.
        compacted: whether the topic's cleanup policy compacts.
        marker_bound: the longest run of unreadable offsets that control records explain on a topic that is not
            compacted. A transaction leaves one marker per partition, so that a run is as long as the number of
            transactions that ended with no record between them.
    """
    aborted = unreadable = unexplained = 0
    for start, stop in missing:
        for is_readable, length in _runs(start, stop, readable):
            if is_readable:
                aborted += length
            elif length <= marker_bound or compacted:
                unreadable += length
            else:
                unexplained += length
    if compacted:
        return Gaps(aborted=aborted, compacted=unreadable)
    return Gaps(aborted=aborted, marker=unreadable, unexplained=unexplained)


def _runs(start: int, stop: int, readable: Offsets) -> Iterable[tuple[bool, int]]:
    length, state = 0, start in readable
    for offset in range(start, stop):
        if (offset in readable) is not state:
            yield state, length
            length, state = 0, not state
        length += 1
    yield state, length
