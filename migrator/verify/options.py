"""What a verifier is asked to do. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from migrator.verify.classes import FATAL, Class


class Level(StrEnum):
    """How closely it looks."""

    COUNT = "count"
    LEAF = "leaf"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Everything that one run takes from the user.

    Attributes:
        topic: the topic.
        level: ``count`` compares how many messages each leaf has, ``leaf`` their digests, ``full`` reads differing
            leaves again and names every message.
        partitions: only these; None for all.
        start: no leaf that ends at or before this offset; None for no such bound.
        stop: no leaf that begins at or behind this offset.
        modulus: one message in so many is looked at.
        max_diffs: how many differences are named; what is beyond them is counted.
        grace: seconds that the drain is given to come to where the log ended.
        fail_on: the classes that make the answer no.
        without_values: whether to leave values out.
        resume: the file in which the run keeps how far it has come, and from which it goes on; None for none.
    """

    topic: str
    level: Level = Level.FULL
    partitions: Collection[int] | None = None
    start: int | None = None
    stop: int | None = None
    modulus: int = 1
    max_diffs: int = 1_000
    grace: float = 30.0
    fail_on: frozenset[Class] = FATAL
    without_values: bool = False
    resume: Path | None = None

    @property
    def whole(self) -> bool:
        """Whether all offsets of the partitions are meant."""
        return self.start is None and self.stop is None
