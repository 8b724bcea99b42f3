"""What a run has found so far, in bounded memory."""

from collections import Counter
from dataclasses import dataclass, field

from migrator.verify.classes import Class, Difference, Mismatch, totals
from migrator.verify.examine import Examined, Findings


@dataclass(slots=True)
class Tally:
    """Counts everything, and keeps so many differences.

    Attributes:
        limit: how many differences are kept.
        compared: how many messages the two sides were compared by.
        counts: messages by class, as far as they are named.
        mismatches: what differs, still to be named.
        differences: what differs within ranges that were not read, or of which no more can be known.
        doubts: what could not be proven.
    """

    limit: int
    compared: int = 0
    counts: Counter[Class] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether no further difference is kept, so that leaves need not be read again to name them."""
        return len(self.mismatches) >= self.limit

    @property
    def differing(self) -> int:
        """How many messages differ so far."""
        return len(self.mismatches) + sum(totals(self.differences).values())

    def add(self, examined: Examined, findings: Findings) -> None:
        """Takes in what became of one leaf that was read again."""
        self.compared += examined.same + len(findings.mismatches)
        self.counts += findings.counts
        self.mismatches += findings.mismatches
        self.differences += findings.differences
        self.doubts += findings.doubts
