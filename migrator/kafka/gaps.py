"""Which offsets of a range can be read at all: the question that tells aborted records from control records.

A consumer that reads only what is committed is given neither. One that reads everything is given the records of
aborted transactions, and never a control record, nor what compaction removed.
"""

import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from confluent_kafka import OFFSET_BEGINNING

from migrator.errors import StoppedError
from migrator.kafka.properties import KafkaProperties
from migrator.kafka.records import EndOfPartition, Event, OutOfRange
from migrator.kafka.source import ConfluentSource

_QUEUE_KBYTES = 8_192
_READ_RECORDS = 10_000
_READ_SECONDS = 0.1


class OffsetSet(Collection[int]):
    """A set of offsets, kept as its unbroken runs: what it costs grows with the gaps, not with the offsets."""

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        """Take offsets in ascending order."""
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.update(offsets)

    def update(self, offsets: Iterable[int]) -> None:
        """Adds offsets in ascending order, none of them below one that is there."""
        starts, stops = self._starts, self._stops
        for offset in offsets:
            if stops and offset <= stops[-1]:
                stops[-1] = max(stops[-1], offset + 1)
            else:
                starts.append(offset)
                stops.append(offset + 1)

    @property
    def runs(self) -> tuple[range, ...]:
        """The unbroken runs, ascending."""
        return tuple(map(range, self._starts, self._stops))

    def __contains__(self, offset: object) -> bool:
        if not isinstance(offset, int):
            return False
        at = bisect_right(self._starts, offset)
        return at > 0 and offset < self._stops[at - 1]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self.runs)

    def __len__(self) -> int:
        return sum(self._stops) - sum(self._starts)

    def __repr__(self) -> str:
        return f"OffsetSet({len(self)} offsets in {len(self._starts)} runs)"


def readable_offsets(
    properties: KafkaProperties, topic: str, partition: int, start: int, stop: int, timeout: float = 30.0
) -> OffsetSet:
    """Reads ``[start, stop)`` of a partition once more, uncommitted and aborted records included.

    Args:
        properties: how to reach the cluster.
        topic: the topic.
        partition: the partition.
        start: the first offset.
        stop: the offset behind the last one; it may lie beyond the end of the log.
        timeout: seconds without any progress after which it is given up.

    Returns:
        The offsets that hold a record. Offsets that the log no longer holds are not among them: where the log begins
        must be asked afterwards.

    Raises:
        StoppedError: ``gap-unread``: Kafka stopped answering.
        MigratorError: what `ConfluentSource.read` raises.
    """
    with ConfluentSource(properties, isolation="read_uncommitted", queue_kbytes=_QUEUE_KBYTES) as source:
        return _Rereading(source, (topic, partition), range(start, stop), timeout).run()


class _Rereading:
    """One range that is read once more."""

    def __init__(self, source: ConfluentSource, place: tuple[str, int], wanted: range, timeout: float) -> None:
        self._source = source
        self._place = place
        self._wanted = wanted
        self._timeout = timeout
        self._reached = wanted.start
        self._from_the_beginning = False

    def run(self) -> OffsetSet:
        readable = OffsetSet()
        heard = time.monotonic()
        self._source.assign({self._place: self._wanted.start})
        while self._reached < self._wanted.stop:
            events = self._source.read(_READ_RECORDS, _READ_SECONDS)
            if events:
                heard = time.monotonic()
                readable.update(self._offsets(events))
            elif time.monotonic() > heard + self._timeout:
                raise _unread(self._source, self._place, self._timeout)
        return readable

    def _offsets(self, events: Iterable[Event]) -> Iterator[int]:
        """The wanted offsets among events; moves on, to the end of what is wanted where nothing more can come."""
        for event in events:
            if isinstance(event, OutOfRange):
                self._begin_anew()
            elif isinstance(event, EndOfPartition) or event.offset < self._wanted.start:
                self._reached = self._wanted.stop
            else:
                self._reached = event.offset + 1
                if event.offset in self._wanted:
                    yield event.offset

    def _begin_anew(self) -> None:
        """The log begins above the range's start by now, or ends below it: what it holds first tells which."""
        if self._from_the_beginning:
            self._reached = self._wanted.stop
        self._from_the_beginning = True
        self._source.assign({self._place: OFFSET_BEGINNING})


def _unread(source: ConfluentSource, place: tuple[str, int], timeout: float) -> StoppedError:
    why = f": {source.trouble.text}" if source.trouble else ""
    return StoppedError(
        f"offsets of {place[0]}/{place[1]} that did not arrive could not be read again: Kafka said nothing for "
        f"{timeout:g} s{why}",
        code="gap-unread",
        hint="run the same command again: it resumes where it stopped",
    )
