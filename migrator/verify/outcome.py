"""How a verification ended: the same facts for people, for scripts and for the exit status. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from migrator.errors import Exit
from migrator.verify.classes import Class, Difference

SCHEMA_VERSION = 1


class Result(StrEnum):
    """What the answer is."""

    PASS = "pass"  # noqa: S105  the word of the interface
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        topic: the topic.
        level: how closely it looked.
        result: the answer.
        reasons: what could not be compared or proven; one sentence each.
        compared: how many messages the two sides were compared by.
        classes: messages by class.
        differences: the first of those that differ, in the order of their places.
        ranges: the offsets that the answer is about, by partition.
        modulus: the answer is about one message in so many.
        beyond: offsets behind the drain's frozen end, which are no part of the answer.
        seconds: how long it took.
        report: the file to which a report was written; None without one.
    """

    topic: str
    level: str
    result: Result
    reasons: tuple[str, ...]
    compared: int
    classes: Counter[Class]
    differences: tuple[Difference, ...]
    ranges: Mapping[int, range]
    modulus: int
    beyond: int
    seconds: float
    report: str | None = None

    @property
    def exit(self) -> Exit:
        """The exit status."""
        return {Result.PASS: Exit.DONE, Result.FAIL: Exit.ANSWER_IS_NO, Result.INCONCLUSIVE: Exit.INCONCLUSIVE}[
            self.result
        ]

    def document(self) -> dict[str, Any]:
        """Returns the run as ``--json`` shows it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "verify",
            "topic": self.topic,
            "level": self.level,
            "result": self.result,
            "reasons": list(self.reasons),
            "compared": self.compared,
            "classes": {kind.value: self.classes[kind] for kind in Class},
            "differences": [_difference(one) for one in self.differences],
            "partitions": [
                {"partition": partition, "from_offset": offsets.start, "to_offset": offsets.stop}
                for partition, offsets in self.ranges.items()
            ],
            "sample": f"1/{self.modulus}",
            "beyond_end": self.beyond,
            "seconds": round(self.seconds, 3),
            "report": self.report,
        }


def decide(
    classes: Counter[Class], compared: int, doubts: Sequence[str], fail_on: frozenset[Class]
) -> tuple[Result, tuple[str, ...]]:
    """Returns the answer, and what could not be proven. Where nothing was compared, nothing is."""
    if any(classes[kind] > 0 for kind in fail_on):
        return Result.FAIL, tuple(doubts)
    reasons = [*doubts]
    if not compared:
        reasons.append("nothing was compared")
    if classes[Class.IN_FLIGHT]:
        reasons.append(f"the drain has still {classes[Class.IN_FLIGHT]:,} offsets to come to")
    if classes[Class.UNREADABLE]:
        reasons.append(f"{classes[Class.UNREADABLE]:,} records have headers that the client library cannot decode")
    return (Result.INCONCLUSIVE if reasons else Result.PASS), tuple(reasons)


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "class": one.kind.value,
        "partition": one.place.partition,
        "offset": one.place.offset,
        "stop_offset": one.stop,
        "count": one.count,
        "message_id": None,
        "job_id": one.job,
        "kafka_digest": one.kafka,
        "table_digest": one.table,
        "of": None if one.of is None else {"partition": one.of.partition, "offset": one.of.offset},
    }
