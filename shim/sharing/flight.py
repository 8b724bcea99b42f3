"""What a share consumer has been handed and not yet settled, and what its application said of each record. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shim.model import AcknowledgeType
from shim.store.claims import Claimed
from shim.store.settlements import Rejection, Release

Place = tuple[str, int, int]
"""Topic, partition and offset: how an application names a record."""

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


@dataclass(slots=True)
class Settling:
    """What is to become of records of one claim.

    Attributes:
        lease: the claim's token.
        accepted: the jobs that are done.
        released: those that are to be delivered again.
        rejected: those that have failed.
        places: where each job's record is, by the job's id.
        retried: whether an earlier try may have got through.
    """

    lease: int
    accepted: list[int] = field(default_factory=list)
    released: list[Release] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    retried: bool = False

    @property
    def plain(self) -> bool:
        """Whether there is nothing but what is done, and it is tried for the first time."""
        return not (self.released or self.rejected or self.retried)

    def add(self, job_id: int, place: Place, word: Word) -> None:
        """Adds what was said of one job."""
        self.places[job_id] = place
        if word.type is AcknowledgeType.ACCEPT:
            self.accepted.append(job_id)
        elif word.type is AcknowledgeType.RELEASE:
            self.released.append(Release(job_id, word.error, word.pause_ms))
        else:
            self.rejected.append(Rejection(job_id, word.error))


class _Record:
    __slots__ = ("job_id", "lease", "word")

    def __init__(self, job_id: int, lease: int) -> None:
        self.job_id = job_id
        self.lease = lease
        self.word: Word | None = None


class Flight:
    """Records in flight, in the order in which they were handed out."""

    def __init__(self) -> None:
        self._records: dict[Place, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def unacknowledged(self) -> int:
        """Of how many records nothing has been said."""
        return sum(record.word is None for record in self._records.values())

    def add(self, lease: int, jobs: Iterable[Claimed]) -> None:
        """Takes note of what is handed out."""
        for job in jobs:
            self._records[job.record[:3]] = _Record(job.id, lease)

    def say(self, place: Place, word: Word) -> bool:
        """Takes note of what is said of a record, in place of what was said before; False when it is not in flight."""
        record = self._records.get(place)
        if record is not None:
            record.word = word
        return record is not None

    def say_of_all(self, word: Word) -> None:
        """Says the same of every record of which nothing has been said."""
        for record in self._records.values():
            if record.word is None:
                record.word = word

    def take(self) -> list[Settling]:
        """Returns what was said, claim by claim, and is done with those records."""
        settlings: dict[int, Settling] = {}
        for place, record in self._spoken_of():
            settling = settlings.setdefault(record.lease, Settling(record.lease))
            settling.add(record.job_id, place, record.word or ACCEPTED)
            del self._records[place]
        return list(settlings.values())

    def clear(self) -> None:
        """Forgets everything. For the forked child, whose parent has the claims."""
        self._records.clear()

    def _spoken_of(self) -> Sequence[tuple[Place, _Record]]:
        return [(place, record) for place, record in self._records.items() if record.word is not None]


def places_of(settlings: Iterable[Settling]) -> Iterator[Place]:
    """Yields where the records are."""
    for settling in settlings:
        yield from settling.places.values()
