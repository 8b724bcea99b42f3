"""What a share consumer has been handed and not yet settled, and what its application said of each record. Pure.

In implicit mode everything is accepted at once, so nothing is kept or looked up for single records there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shim.model import AcknowledgeType
from shim.store.claims import Claimed, Place
from shim.store.settlements import Rejection, Release

_AT_ONCE_MS = 0


class Word(NamedTuple):
    """What an application said of a record.

    Attributes:
        type: accept, release or reject.
        error: what ``last_error`` shall say; None for nothing of the application's own.
        pause_ms: how long a released record waits; None for what its topic says.
    """

    type: AcknowledgeType
    error: str | None = None
    pause_ms: int | None = None


ACCEPTED = Word(AcknowledgeType.ACCEPT)
RELEASED_AT_ONCE = Word(AcknowledgeType.RELEASE, pause_ms=_AT_ONCE_MS)


class Delivery(NamedTuple):
    """Jobs of one claim.

    Attributes:
        lease: the claim's token.
        jobs: all of one topic.
    """

    lease: int
    jobs: Sequence[Claimed]


@dataclass(slots=True)
class Settling:
    """What is to become of jobs of one claim.

    Attributes:
        lease: the claim's token.
        jobs: all of them.
        accepted: the ids of those that are done.
        released: those that are to be delivered again.
        rejected: those that have failed.
        retried: whether an earlier try may have got through.
    """

    lease: int
    jobs: list[Claimed] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    released: list[Release] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    retried: bool = False

    @property
    def plain(self) -> bool:
        """Whether there is nothing but what is done, and it is tried for the first time."""
        return not (self.released or self.rejected or self.retried)

    @property
    def ids(self) -> list[int]:
        """The ids of all jobs."""
        return [job.id for job in self.jobs]

    def accept(self, jobs: Sequence[Claimed]) -> None:
        """Adds jobs that are done."""
        self.jobs += jobs
        self.accepted += [job.id for job in jobs]

    def add(self, job: Claimed, word: Word) -> None:
        """Adds what was said of one job."""
        self.jobs.append(job)
        if word.type is AcknowledgeType.ACCEPT:
            self.accepted.append(job.id)
        elif word.type is AcknowledgeType.RELEASE:
            self.released.append(Release(job.id, word.error, word.pause_ms))
        else:
            self.rejected.append(Rejection(job.id, word.error))

    def join(self, later: "Settling") -> None:
        """Adds what was said later of other jobs of the claim."""
        self.jobs += later.jobs
        self.accepted += later.accepted
        self.released += later.released
        self.rejected += later.rejected


class Flight:
    """Records in flight, in the order in which they were handed out."""

    def __init__(self) -> None:
        self.clear()

    def __len__(self) -> int:
        return sum(len(delivery.jobs) for delivery in self._handed)

    def clear(self) -> None:
        """Forgets everything. For the forked child, whose parent has the claims."""
        self._handed: list[Delivery] = []
        self._places: set[Place] = set()
        self._words: dict[Place, Word] = {}
        self._of_the_rest: Word | None = None

    @property
    def unacknowledged(self) -> int:
        """Of how many records nothing has been said."""
        if self._of_the_rest is not None:
            return 0
        return len(self) - len(self._words)

    def add(self, delivery: Delivery) -> None:
        """Takes note of what is handed out."""
        self._handed.append(delivery)
        self._places.clear()

    def say(self, place: Place, word: Word) -> bool:
        """Takes note of what is said of a record, in place of what was said before; False when it is not in flight."""
        if not self._places:
            self._places = {job.place for delivery in self._handed for job in delivery.jobs}
        there = place in self._places
        if there:
            self._words[place] = word
        return there

    def say_of_all(self, word: Word) -> None:
        """Says the same of every record of which nothing has been said."""
        if self._of_the_rest is None:
            self._of_the_rest = word

    def take(self) -> list[Settling]:
        """Returns what was said, claim by claim, and is done with those records."""
        if not self._words and self._of_the_rest is None:
            return []
        settlings: dict[int, Settling] = {}
        left: list[Delivery] = []
        for lease, jobs in self._handed:
            settling = settlings.setdefault(lease, Settling(lease))
            silent = self._spoken_of(jobs, settling)
            if silent:
                left.append(Delivery(lease, silent))
        self.clear()
        self._handed = left
        return [settling for settling in settlings.values() if settling.jobs]

    def _spoken_of(self, jobs: Sequence[Claimed], settling: Settling) -> list[Claimed]:
        """Adds what was said, and returns those jobs of which nothing was."""
        words, rest = self._words, self._of_the_rest
        if rest is ACCEPTED and not words:
            settling.accept(jobs)
            return []
        silent: list[Claimed] = []
        for job in jobs:
            word = words.get(job.place, rest)
            if word is None:
                silent.append(job)
            else:
                settling.add(job, word)
        return silent
