"""What a process did: each operation as it began and as it ended, and the lines in which both are written down."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from sys import intern
from typing import Any, Literal, NamedTuple, Self

Kind = Literal["send", "transaction", "poll", "assign", "commit", "committed"]
"""``assign`` goes to given positions, by assigning or by seeking; ``committed`` asks where a group stands."""

Outcome = Literal["ok", "fail", "info"]
"""``fail``: it certainly did not happen, and never will; ``info``: nobody knows."""

EventType = Literal["invoke"] | Outcome

Log = tuple[str, int]
"""A topic's partition."""


class Send(NamedTuple):
    """A value, which nobody else ever sends, and where it came to stand, as far as its producer was told."""

    value: str
    topic: str
    partition: int | None = None
    offset: int | None = None


class Record(NamedTuple):
    """What a poll returned."""

    topic: str
    partition: int
    offset: int
    value: str

    @property
    def log(self) -> Log:
        """Where it stands."""
        return self.topic, self.partition


class Position(NamedTuple):
    """The next offset to be read in a log."""

    topic: str
    partition: int
    offset: int

    @property
    def log(self) -> Log:
        """Which log."""
        return self.topic, self.partition


class Rebalance(NamedTuple):
    """A rebalance callback during a poll, before any of its records."""

    kind: Literal["assign", "revoke", "lost"]
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an operation beside its outcome.

    Attributes:
        sends: what is written; all of it or nothing in a transaction.
        records: what was read; by a transaction, what it was made of.
        rebalances: the callbacks, in order.
        positions: where an ``assign`` goes, what a ``commit`` or a transaction commits, what ``committed`` answered.
        group: as whose member; None for what is assigned by hand.
        paused: logs that a poll was to return nothing of.
        committing: when a transaction's COMMIT was sent; None if it never was.
        error: what went wrong, for whoever reads the history.
    """

    sends: tuple[Send, ...] = ()
    records: tuple[Record, ...] = ()
    rebalances: tuple[Rebalance, ...] = ()
    positions: tuple[Position, ...] = ()
    group: str | None = None
    paused: tuple[Log, ...] = ()
    committing: float | None = None
    error: str | None = None

    def over(self, earlier: Self) -> Self:
        """Everything of these that is known, and the earlier facts where nothing is."""
        return type(self)(**{name: getattr(self, name) or getattr(earlier, name) for name in _FACTS})

    def document(self) -> dict[str, Any]:
        """What is known, as JSON takes it."""
        return {name: known for name in _FACTS if (known := getattr(self, name))}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Reads `document` again."""
        return cls(
            sends=tuple(Send(*one) for one in document.get("sends", ())),
            records=tuple(
                Record(intern(topic), partition, offset, intern(value))  # many read the same
                for topic, partition, offset, value in document.get("records", ())
            ),
            rebalances=tuple(
                Rebalance(kind, tuple((topic, partition) for topic, partition in logs))
                for kind, logs in document.get("rebalances", ())
            ),
            positions=tuple(Position(*one) for one in document.get("positions", ())),
            group=document.get("group"),
            paused=tuple((topic, partition) for topic, partition in document.get("paused", ())),
            committing=document.get("committing"),
            error=document.get("error"),
        )


_FACTS = tuple(field.name for field in fields(Facts))
_EVENT = ("process", "number", "kind", "type", "time")
NOTHING = Facts()


@dataclass(frozen=True, slots=True)
class Event:
    """The beginning or the end of an operation.

    Attributes:
        process: whose; a process that was started again is another one.
        number: which of its operations.
        kind: what it does.
        type: ``invoke``, or the outcome.
        time: when, by ``time.monotonic``, which all processes of a machine share.
        facts: what was known then.
    """

    process: str
    number: int
    kind: Kind
    type: EventType
    time: float
    facts: Facts = NOTHING

    def line(self) -> str:
        """One line of JSON."""
        document = {name: getattr(self, name) for name in _EVENT}
        return json.dumps({**document, **self.facts.document()}, separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Reads a line again.

        Raises:
            ValueError: it is torn.
        """
        document = json.loads(line)
        return cls(**{name: document[name] for name in _EVENT}, facts=Facts.of(document))


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation with what is known of it.

    Attributes:
        process: whose.
        number: which of its operations.
        kind: what it does.
        outcome: what came of it; ``info`` where its end was never written down.
        facts: what is known.
        invoked: when it began.
        ended: when it ended; infinite where that is unknown.
    """

    process: str
    number: int
    kind: Kind
    outcome: Outcome
    facts: Facts
    invoked: float
    ended: float = inf

    @classmethod
    def of(cls, began: Event, ended: Event | None) -> Self:
        """Joins the two events, or makes do with the first."""
        if ended is None or ended.type == "invoke":
            return cls(began.process, began.number, began.kind, "info", began.facts, began.time)
        facts = ended.facts.over(began.facts)
        return cls(began.process, began.number, began.kind, ended.type, facts, began.time, ended.time)

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of {self.process} ({self.outcome})"
