"""A correct log with its clients, small enough to be looked through: whatever they do, their history is clean."""

from collections import defaultdict
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from tests.histories.operation import NOTHING, Facts, Kind, Log, Operation, Outcome, Position, Rebalance, Record, Send

TOPIC = "model"
GROUP = "members"
PARTITIONS = 2
_LOGS: tuple[Log, ...] = tuple((TOPIC, partition) for partition in range(PARTITIONS))

Action = Literal["send", "begin", "commit", "roll back", "read", "seek", "take", "fetch", "settle", "ask", "affect"]


class Step(NamedTuple):
    """What one of three actors does, and a number that decides how it goes."""

    action: Action
    actor: int
    number: int


class _Open(NamedTuple):
    number: int
    invoked: float
    facts: Facts


class Model:
    """Takes steps, and writes the history of them.

    Attributes:
        history: what happened so far.
    """

    def __init__(self) -> None:
        self.history: list[Operation] = []
        self._now = 0.0
        self._values: dict[Log, list[str]] = {log: [] for log in _LOGS}
        self._open: dict[int, _Open] = {}
        self._positions: dict[int, dict[Log, int]] = defaultdict(lambda: dict.fromkeys(_LOGS, 0))
        self._holders: dict[Log, int] = {}
        self._committed: dict[Log, int] = dict.fromkeys(_LOGS, 0)
        self._given: dict[Log, int] = {}
        self._actions: dict[Action, Callable[[int, int], None]] = {
            "send": self._send,
            "begin": self._begin,
            "commit": self._commit,
            "roll back": self._roll_back,
            "read": self._read,
            "seek": self._seek,
            "take": self._take,
            "fetch": self._fetch,
            "settle": self._settle,
            "ask": self._ask,
            "affect": self._affect,
        }

    def take(self, step: Step) -> None:
        """Lets one actor do one thing, if it can."""
        self._now += 1
        self._actions[step.action](step.actor, step.number)

    def finish(self) -> list[Operation]:
        """Gives up what is open, reads everything, and returns the history in its order."""
        for actor in list(self._open):
            self._roll_back(actor, 0)
        self._now += 1
        self._record("final", "assign", Facts(positions=tuple(Position(*log, 0) for log in _LOGS)))
        found = tuple(record for log in _LOGS for record in self._standing(log, 0, len(self._values[log])))
        self._record("final", "poll", Facts(records=found))
        return sorted(self.history, key=lambda one: one.invoked)

    def _send(self, actor: int, number: int) -> None:
        topic, partition = log = _LOGS[number % PARTITIONS]
        value = f"s{len(self.history)}"
        outcome: Outcome = ("ok", "ok", "info", "info", "fail")[number % 5]
        place: tuple[int, ...] = ()
        if outcome == "ok":
            place = (partition, len(self._values[log]))
        if outcome == "ok" or number % 10 == 2:
            self._values[log].append(value)
        self._record(f"producer-{actor}", "send", Facts(sends=(Send(value, topic, *place),)), outcome, number % 4)

    def _begin(self, actor: int, number: int) -> None:
        if actor not in self._open:
            values = [f"t{len(self.history)}.{self._now}.{place}" for place in range(1 + number % 4)]
            facts = Facts(sends=tuple(Send(value, TOPIC) for value in values))
            self._open[actor] = _Open(number, self._now, facts)

    def _commit(self, actor: int, number: int) -> None:
        if actor in self._open:
            begun = self._open.pop(actor)
            for place, send in enumerate(begun.facts.sends):
                self._values[_LOGS[(begun.number + place) % PARTITIONS]].append(send.value)
            self._end(actor, begun, "info" if number % 3 == 0 else "ok")

    def _roll_back(self, actor: int, number: int) -> None:
        if actor in self._open:
            self._end(actor, self._open.pop(actor), "info" if number % 3 == 0 else "fail")

    def _end(self, actor: int, begun: _Open, outcome: Outcome) -> None:
        facts = Facts(committing=None if outcome == "fail" else self._now).over(begun.facts)
        process, number = f"writer-{actor}", len(self.history)
        ended = self._now + 0.5
        self.history.append(Operation(process, number, "transaction", outcome, facts, begun.invoked, ended))

    def _read(self, actor: int, number: int) -> None:
        positions = self._positions[actor]
        self._record(f"reader-{actor}", "poll", Facts(records=self._next(positions, list(_LOGS), number)))

    def _seek(self, actor: int, number: int) -> None:
        log = _LOGS[number % PARTITIONS]
        offset = number % (len(self._values[log]) + 1)
        self._positions[actor][log] = offset
        self._record(f"reader-{actor}", "assign", Facts(positions=(Position(*log, offset),)))

    def _take(self, actor: int, number: int) -> None:
        """A member is assigned a log that another one may have held until now."""
        log = _LOGS[number % PARTITIONS]
        self._holders[log] = actor
        self._given[log] = self._committed[log]
        self._fetch(actor, number, (Rebalance("revoke", (log,)), Rebalance("assign", (log,))))

    def _fetch(self, actor: int, number: int, moved: tuple[Rebalance, ...] = ()) -> None:
        held = [log for log, holder in self._holders.items() if holder == actor]
        found = self._next(self._given, held, number)
        self._record(f"member-{actor}", "poll", Facts(records=found, rebalances=moved, group=GROUP))

    def _settle(self, actor: int, number: int) -> None:
        held = {log: self._given[log] for log, holder in self._holders.items() if holder == actor}
        outcome: Outcome = ("ok", "ok", "info", "info")[number % 4]
        if held:
            if number % 4 != 3:
                self._committed.update(held)
            self._record(f"member-{actor}", "commit", _standing_at(held), outcome)

    def _ask(self, actor: int, number: int) -> None:
        log = _LOGS[number % PARTITIONS]
        if self._committed[log]:
            self._record(f"member-{actor}", "committed", _standing_at({log: self._committed[log]}))

    def _affect(self, actor: int, number: int) -> None:
        """What a group of its own makes of a few records, in one transaction with their offset."""
        log = _LOGS[0]
        start = self._positions[-1][log]
        found = self._standing(log, start, start + 1 + number % 3)
        if not found:
            return
        facts = Facts(records=found, group="relay")
        moved = (Rebalance("assign", (log,)),)
        self._record(f"relay-{actor}", "poll", Facts(rebalances=moved).over(facts))
        sends = (Send(f"e{len(self.history)}", TOPIC),)
        end = (Position(*log, found[-1].offset + 1),)
        happens, known = number % 4 != 3, number % 2 == 0
        if happens:
            self._values[_LOGS[1]].append(sends[0].value)
            self._positions[-1][log] = end[0].offset
        outcome: Outcome = ("ok" if happens else "fail") if known else "info"
        self._record(f"relay-{actor}", "transaction", Facts(sends=sends, positions=end).over(facts), outcome)

    def _next(self, positions: dict[Log, int], logs: list[Log], number: int) -> tuple[Record, ...]:
        found: list[Record] = []
        for log in logs:
            records = self._standing(log, positions[log], positions[log] + number % 4)
            positions[log] += len(records)
            found += records
        return tuple(found)

    def _standing(self, log: Log, start: int, end: int) -> tuple[Record, ...]:
        return tuple(Record(*log, start + place, value) for place, value in enumerate(self._values[log][start:end]))

    def _record(
        self, process: str, kind: Kind, facts: Facts = NOTHING, outcome: Outcome = "ok", lasts: float = 0
    ) -> None:
        ended = self._now + lasts + 0.5
        self.history.append(Operation(process, len(self.history), kind, outcome, facts, self._now, ended))


ACTIONS: tuple[Action, ...] = get_args(Action)


def _standing_at(offsets: dict[Log, int]) -> Facts:
    return Facts(positions=tuple(Position(*log, offset) for log, offset in offsets.items()), group=GROUP)
