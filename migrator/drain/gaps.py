"""Verdicts for offsets that did not arrive: looked up on the broker while the batch is still open."""

from collections.abc import Callable
from dataclasses import dataclass

from migrator.drain.batch import Gaps, Offsets, classify_missing
from migrator.drain.reading import Missing, Track

MARKER_BOUND = 64
"""The longest run of control records that is believed without compaction: so many transactions that ended on one
partition with no record between them."""

Readable = Callable[[str, int, int, int], Offsets]
"""Which offsets of a topic's partition, from and up to, a read_uncommitted consumer is given."""

LowWatermark = Callable[[str, int], int]


@dataclass(frozen=True, slots=True)
class GapLookup:
    """Judges missing offsets by a second reading.

    Attributes:
        readable: reads a range again, records of aborted transactions included.
        low_watermark: where a partition's log begins by now.
    """

    readable: Readable
    low_watermark: LowWatermark

    def judge(self, track: Track, missing: Missing) -> Gaps:
        """Returns the verdicts.

        Where the log begins is asked after the reading. What it has dropped since then cannot be read again: on a
        topic that compacts, the cleaner had removed it; elsewhere nobody can say, and it is called unexplained.
        """
        topic, partition = track.place.topic, track.place.partition
        readable = self.readable(topic, partition, missing[0][0], missing[-1][1])
        low = self.low_watermark(topic, partition)
        here = [(max(start, low), stop) for start, stop in missing if stop > low]
        gone = sum(min(stop, low) - start for start, stop in missing if start < low)
        verdict = Gaps(compacted=gone) if track.compacted else Gaps(unexplained=gone)
        return verdict + classify_missing(here, readable, compacted=track.compacted, marker_bound=MARKER_BOUND)
