"""What long operations report while they run: values, rendered by the command line and counted by metrics."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """A drain knows what it will do.

    Attributes:
        topic: the topic.
        origin: where the start was taken from.
        resumed: whether an earlier run's position was taken up.
        total: how many offsets lie between start and end; None when following.
        notes: what the user should know; one sentence each.
    """

    topic: str
    origin: str
    resumed: bool
    total: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a topic's drain stands.

    Attributes:
        topic: the topic.
        rows: rows committed by this run.
        dead: dead letters committed by this run.
        done: offsets accounted for by this run.
        remaining: offsets still to go; None when following.
        rows_per_second: over this run so far.
        seconds_left: estimated; None when unknown.
    """

    topic: str
    rows: int
    dead: int
    done: int
    remaining: int | None
    rows_per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """Where a verification stands.

    Attributes:
        topic: the topic.
        done: offsets compared so far.
        total: offsets to compare in all.
        differences: messages that differ, so far.
        per_second: offsets a second, over this run so far.
        seconds_left: estimated; None when unknown.
    """

    topic: str
    done: int
    total: int
    differences: int
    per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something outside is not there at the moment; the drain waits and loses nothing.

    Attributes:
        reason: what is missing, such as ``Postgres: connection refused``.
        seconds: for how long already.
    """

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence that the user should read."""

    text: str


Event = Started | Progress | Compared | Waiting | Notice
Listener = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """A listener for those who do not want to know."""
