"""How a history is made by hand: operation after operation, on one topic."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.histories.checker.anomaly import Anomaly
from tests.histories.operation import Facts, Kind, Log, Operation, Outcome, Position, Rebalance, Record, Send

TOPIC = "t"
GROUP = "g"


def records(*values: str, start: int = 0, partition: int = 0) -> tuple[Record, ...]:
    """Records at consecutive offsets."""
    return tuple(Record(TOPIC, partition, start + i, value) for i, value in enumerate(values))


class Story:
    """Operations that follow one another, each lasting one second, unless they are told to ``last`` longer."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._now = 0.0

    def send(
        self, process: str, value: str, at: int | None = None, outcome: Outcome = "ok", partition: int = 0
    ) -> None:
        """A single value, acknowledged at an offset."""
        place = None if at is None else partition
        self._add(process, "send", Facts(sends=(Send(value, TOPIC, place, at),)), outcome)

    def transaction(
        self,
        process: str,
        *values: str,
        outcome: Outcome = "ok",
        made_of: Sequence[Record] = (),
        commits: int | None = None,
        committing: float | None = None,
    ) -> None:
        """Several values at once, perhaps made of records whose offset is committed with them."""
        facts = Facts(
            sends=tuple(Send(value, TOPIC) for value in values),
            records=tuple(made_of),
            positions=() if commits is None else (Position(TOPIC, 0, commits),),
            group=None if commits is None else GROUP,
            committing=committing,
        )
        self._add(process, "transaction", facts, outcome)

    def poll(self, process: str, *found: Record, group: str | None = None, moved: Iterable[Rebalance] = ()) -> None:
        """What one poll returned, after the callbacks."""
        self._add(process, "poll", Facts(records=found, group=group, rebalances=tuple(moved)))

    def join(self, process: str, *found: Record, partitions: Iterable[int] = (0,)) -> None:
        """A poll of a member of the group that is assigned partitions first."""
        logs: tuple[Log, ...] = tuple((TOPIC, partition) for partition in partitions)
        self.poll(process, *found, group=GROUP, moved=[Rebalance("assign", logs)])

    def assign(self, process: str, offset: int, partition: int = 0, outcome: Outcome = "ok") -> None:
        """Goes to an offset."""
        self._add(process, "assign", Facts(positions=(Position(TOPIC, partition, offset),)), outcome)

    def commit(self, process: str, offset: int, outcome: Outcome = "ok", last: float = 1) -> None:
        """Commits for the group."""
        self._add(process, "commit", Facts(positions=(Position(TOPIC, 0, offset),), group=GROUP), outcome, last)

    def committed(self, process: str, offset: int) -> None:
        """Asks where the group stands."""
        self._add(process, "committed", Facts(positions=(Position(TOPIC, 0, offset),), group=GROUP))

    def sent(self, *values: str) -> None:
        """Values in a row, from offset 0 on, by one process."""
        for offset, value in enumerate(values):
            self.send("p", value, at=offset)

    def final(self, *found: Record) -> None:
        """The last poll of all, from the beginning."""
        for log in sorted({record.log for record in found}):
            self.assign("final", 0, partition=log[1])
        self.poll("final", *found)

    def _add(self, process: str, kind: Kind, facts: Facts, outcome: Outcome = "ok", last: float = 1) -> None:
        number = len(self.operations)
        ended = self._now + last
        self.operations.append(Operation(process, number, kind, outcome, facts, self._now, ended))
        self._now += 1


Telling = Callable[[Story], None]


class Pair(NamedTuple):
    """An anomaly's history, and one that comes close to it and has nothing that is fatal."""

    anomaly: Anomaly
    wrong: Telling
    right: Telling


def two_values(story: Story) -> None:
    """Two values, read to the end: the clean part of most histories."""
    story.sent("a", "b")
    story.final(*records("a", "b"))
