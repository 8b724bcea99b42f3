"""How a drain ended: the same facts for people, for scripts and for the exit status."""

from dataclasses import dataclass
from typing import Any

from migrator.drain.sources import Offset, Source
from migrator.errors import Exit

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """One topic's drain as it stands now.

    Attributes:
        source: what was frozen.
        offsets: every partition.
        rows_this_run: rows that this run committed.
        seconds: how long this run took.
        dead_now: dead letters that were not retried.
        held_now: rows that wait for a person.
        gate: ``open`` or ``closed``.
    """

    source: Source
    offsets: tuple[Offset, ...]
    rows_this_run: int
    seconds: float
    dead_now: int = 0
    held_now: int = 0
    gate: str = "closed"

    def total(self, name: str) -> int:
        """Returns a counter's sum over the partitions, such as ``rows`` or ``dead``."""
        return sum(int(getattr(offset, name)) for offset in self.offsets)

    @property
    def rows_per_second(self) -> float:
        """The rate of this run."""
        return self.rows_this_run / self.seconds if self.seconds > 0 else 0.0

    def document(self) -> dict[str, Any]:
        """Returns the topic as ``--json`` shows it; counters are of the whole drain, not of this run alone."""
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "drain",
            "topic": self.source.topic,
            "cluster_id": self.source.cluster_id,
            "topic_id": self.source.topic_id,
            "complete": self.source.complete,
            **{name: self.total(name) for name in ("rows", "dead", "held", "skipped", "lost", "unexplained")},
            "rows_this_run": self.rows_this_run,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 1),
            "partitions": [_partition(offset) for offset in self.offsets],
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the whole run ended.

    Attributes:
        topics: one for each topic.
        stopped: why it ended before its end: ``max-messages``, ``others-hold-partitions``, or None.
        interrupted: whether the user stopped it.
    """

    topics: tuple[TopicOutcome, ...]
    stopped: str | None = None
    interrupted: bool = False

    @property
    def exit(self) -> Exit:
        """The exit status; an interruption's is for the command line to tell, which knows the signal."""
        if any(topic.total("unexplained") for topic in self.topics):
            return Exit.ANSWER_IS_NO
        return Exit.STOPPED if self.stopped else Exit.DONE

    def document(self) -> dict[str, Any]:
        """Returns what ``--json`` prints: one topic's document, or several under ``topics``."""
        if len(self.topics) == 1:
            return self.topics[0].document()
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "drain",
            "complete": all(topic.source.complete for topic in self.topics),
            "topics": [topic.document() for topic in self.topics],
        }


def _partition(offset: Offset) -> dict[str, Any]:
    return {
        "partition": offset.partition,
        "start": offset.start_offset,
        "end": offset.end_offset,
        "next": offset.next_offset,
        "rows": offset.rows,
        "dead": offset.dead,
        "held": offset.held,
        "skipped": offset.skipped,
        "gaps": {
            "compacted": offset.compacted,
            "aborted": offset.aborted,
            "marker": offset.marker,
            "lost": offset.lost,
            "unexplained": offset.unexplained,
        },
    }
