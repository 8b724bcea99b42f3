"""What an example begins with, and what its commands say: plain values that Hypothesis draws."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from hypothesis import strategies as st

from tests.conformance.machine.cursor import BEGINNING, END, INVALID, STORED
from tests.conformance.machine.model import Habits

BEYOND = 1_000_000
"""An offset behind any end."""


class Spot(NamedTuple):
    """A partition of the example's; the numbers are taken modulo what there is.

    Attributes:
        held: whether one is meant that the consumer is assigned, if it is assigned any.
        topic: which topic, where it is not.
        partition: which of its partitions, or of those that are held.
    """

    held: bool
    topic: int
    partition: int


@dataclass(frozen=True)
class Cast:
    """A consumer of the example.

    Attributes:
        group: which group.
        habits: its configuration.
        role: how it begins: subscribed, assigned everything by hand, or with nothing.
    """

    group: int
    habits: Habits
    role: Literal["member", "reader", "idle"]


@dataclass(frozen=True)
class Scene:
    """An example's beginning.

    Attributes:
        partitions: of each topic.
        strategies: of each group.
        cast: the consumers.
        records: what each topic holds.
    """

    partitions: tuple[int, ...]
    strategies: tuple[str, ...]
    cast: tuple[Cast, ...]
    records: tuple["Draft", ...]


@dataclass(frozen=True)
class Draft:
    """A record to be produced.

    Attributes:
        partition: where to; None for where its key belongs.
        key: the key.
        value: the value; None for a tombstone.
        headers: in order; None for none.
        age: how many milliseconds after the example's beginning it says that it was made; None for no word of it.
    """

    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] | None
    age: int | None


habits = st.builds(
    Habits,
    reset=st.sampled_from(["earliest", "earliest", "latest", "error"]),
    auto_commit=st.booleans(),
    auto_store=st.booleans(),
)
strategies = st.sampled_from(["range", "range", "roundrobin", "cooperative-sticky"])
consumers = st.integers(0, 11)
topics = st.integers(0, 1)
spots = st.builds(Spot, st.sampled_from([True, True, True, False]), topics, st.integers(0, 3))
several_spots = st.lists(spots, min_size=1, max_size=4, unique=True)
numbers = st.one_of(st.integers(0, 12), st.just(BEYOND))
starts = st.one_of(st.sampled_from([BEGINNING, END, STORED, INVALID]), numbers)
targets = st.one_of(st.sampled_from([BEGINNING, END]), numbers, numbers)

_few_bytes = st.none() | st.binary(max_size=4)
_headers = st.lists(st.tuples(st.sampled_from(["trace", "kind"]), _few_bytes), min_size=1, max_size=3).map(tuple)
_ages = st.none() | st.integers(0, 50)
_addressed = st.builds(Draft, st.integers(0, 3), _few_bytes, _few_bytes, st.none() | _headers, _ages)
_keyed = st.builds(Draft, st.none(), st.binary(min_size=1, max_size=4), _few_bytes, st.none(), _ages)
drafts = st.lists(_addressed | _keyed, min_size=1, max_size=8)

_roles = st.sampled_from(["member", "member", "reader", "idle"])
scenes = st.builds(
    Scene,
    partitions=st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple),
    strategies=st.tuples(strategies, strategies),
    cast=st.lists(st.builds(Cast, st.sampled_from([0, 0, 1]), habits, _roles), min_size=2, max_size=3).map(tuple),
    records=drafts.map(tuple),
)
