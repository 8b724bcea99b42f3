"""From what Kafka delivers to batches in which every offset is accounted for.

Nothing here touches a socket: events go in, batches come out, and whoever feeds the reader decides where gaps are
looked up. A position advances by delivered records and by end-of-partition events, and by nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migrator.drain.batch import NO_HOLD, Batch, Delivered, Gaps, Hold, Place, Span
from migrator.errors import RefusedError
from migrator.kafka.records import EndOfPartition, Event, OutOfRange, SourceRecord, UnreadableRecord

Missing = Sequence[tuple[int, int]]
GapJudge = Callable[["Track", Missing], Gaps]
"""Gives ranges of offsets that did not arrive their verdict."""

_HEADER_BYTES = 64


@dataclass(slots=True)
class Track:
    """One partition while it is read.

    Attributes:
        place: the partition.
        epoch: the epoch in which this drain holds it.
        next: the next offset to account for.
        end: the frozen end; None follows.
        skip_below: records below it are accounted for and not written.
        hold: which records wait for a person.
        compacted: whether the topic compacts.
        start: where the open span began.
        records: what the open span will write.
        skipped: how many records of the open span will not be written.
        missing: ranges of the open span that did not arrive.
        lost: how many offsets of the open span the log no longer held.
    """

    place: Place
    epoch: int
    next: int
    end: int | None
    skip_below: int = 0
    hold: Hold = NO_HOLD
    compacted: bool = False
    start: int = field(init=False)
    records: list[Delivered] = field(default_factory=list)
    skipped: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    lost: int = 0

    def __post_init__(self) -> None:
        self.start = self.next

    @property
    def done(self) -> bool:
        """Whether every offset up to the frozen end is accounted for."""
        return self.end is not None and self.next >= self.end

    @property
    def moved(self) -> bool:
        """Whether the open span has anything to write down."""
        return self.next > self.start

    def advance(self, offset: int) -> None:
        """Accounts for every offset below ``offset`` that did not arrive, as missing."""
        stop = offset if self.end is None else min(offset, self.end)
        if stop > self.next:
            self.missing.append((self.next, stop))
            self.next = stop

    def lose(self, low: int) -> int:
        """Accounts for offsets below the log's low watermark as lost, and returns how many."""
        stop = low if self.end is None else min(low, self.end)
        lost = max(0, stop - self.next)
        self.lost += lost
        self.next += lost
        return lost

    def close(self, judge: GapJudge) -> Span:
        """Returns the open span, every missing range judged, and begins the next."""
        gaps = judge(self, self.missing) if self.missing else Gaps()
        span = Span(
            place=self.place,
            epoch=self.epoch,
            start=self.start,
            stop=self.next,
            records=tuple(self.records),
            skipped=self.skipped,
            gaps=gaps + Gaps(lost=self.lost),
        )
        self.start, self.records, self.skipped, self.missing, self.lost = self.next, [], 0, [], 0
        return span


class Reader:
    """Sorts delivered records into the open batches of their writers.

    A partition belongs to one writer for good, so that its rows are written in offset order.

    Args:
        tracks: every partition that is read, by topic and partition.
        judge: gives missing offsets their verdict.
        writers: how many batches are open side by side.
        batch_rows: a batch is full at so many records ...
        batch_bytes: ... or at so many bytes of keys, values and headers.
    """

    def __init__(
        self,
        tracks: Mapping[tuple[str, int], Track],
        judge: GapJudge,
        *,
        writers: int,
        batch_rows: int,
        batch_bytes: int,
    ) -> None:
        self._tracks = tracks
        self._judge = judge
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        ordered = sorted(tracks.values(), key=lambda track: track.place)
        self._writers = [_Lane(writer, ordered[writer::writers]) for writer in range(writers)]
        self._lanes = {
            (track.place.topic, track.place.partition): (track, lane) for lane in self._writers for track in lane.tracks
        }
        self.delivered = 0

    @property
    def done(self) -> bool:
        """Whether every partition has reached its frozen end."""
        return all(track.done for track in self._tracks.values())

    def feed(self, events: Iterable[Event], most: int | None = None) -> Iterator[tuple[int, Batch]]:
        """Takes delivered events in, and yields each batch that is full with the number of its writer.

        Args:
            events: in the order of delivery; out-of-range events are the caller's affair.
            most: how many records at the most are taken in; the rest is left for another run.

        Raises:
            RefusedError: a record lies below its partition's position: the log was truncated.
        """
        lanes, batch_rows, batch_bytes = self._lanes, self._batch_rows, self._batch_bytes
        for event in events:
            if type(event) is SourceRecord or type(event) is UnreadableRecord:
                if most is not None and self.delivered >= most:
                    return
                track, lane = lanes[event[:2]]
                self._take(track, event)
                lane.rows += 1
                lane.size += _size(event)
                if lane.rows >= batch_rows or lane.size >= batch_bytes:
                    yield from self._seal(lane)
            elif type(event) is EndOfPartition:
                self._tracks[event.topic, event.partition].advance(event.offset)

    def flush(self) -> Iterator[tuple[int, Batch]]:
        """Yields every open batch that has something to write down."""
        for lane in self._writers:
            yield from self._seal(lane)

    def _take(self, track: Track, record: Delivered) -> None:
        offset = record.offset
        if offset != track.next:
            if offset < track.next:
                if track.done:
                    return
                raise _truncated(track, offset)
            track.advance(offset)
        end = track.end
        if end is not None and offset >= end:
            return
        track.next = offset + 1
        self.delivered += 1
        if offset < track.skip_below:
            track.skipped += 1
        else:
            track.records.append(record)

    def _seal(self, lane: "_Lane") -> Iterator[tuple[int, Batch]]:
        lane.rows = lane.size = 0
        spans = tuple(track.close(self._judge) for track in lane.tracks if track.moved)
        if spans:
            yield lane.writer, Batch(spans)


@dataclass(slots=True)
class _Lane:
    """The open batch of one writer: how many records it has, of how many bytes."""

    writer: int
    tracks: list[Track]
    rows: int = 0
    size: int = 0


def out_of_range(events: Iterable[Event]) -> list[tuple[str, int]]:
    """Returns the partitions in which the broker does not hold the offset that was asked for."""
    return [(event.topic, event.partition) for event in events if type(event) is OutOfRange]


def _size(record: Delivered) -> int:
    key, value = record.key, record.value
    size = _HEADER_BYTES + (len(value) if value else 0) + (len(key) if key else 0)
    if type(record) is SourceRecord and record.headers:
        for name, content in record.headers:
            size += len(name) + (len(content) if content else 0)
    return size


def _truncated(track: Track, offset: int) -> RefusedError:
    place = track.place
    return RefusedError(
        f"topic {place.topic!r} partition {place.partition} delivered offset {offset} although {track.next} came next: "
        "its log was truncated or replaced (an unclean leader election, or a recreated topic)",
        code="log-truncated",
        hint=f"compare the log with what was drained before going on: migrator drain --topic {place.topic} --dry-run",
    )
