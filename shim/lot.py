"""Messages in a row, as they were produced and as they are sent, with one list for each of their fields."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Self, overload

from shim.outgoing import OnDelivery, Outgoing, RawHeaders, Row
from shim.store.append import Draft


@dataclass(slots=True)
class Lot:
    """Messages in the order in which they were produced. Nothing of a lot is changed but by `extend`."""

    topics: list[str] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[RawHeaders | None] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    callbacks: list[OnDelivery | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    queued_at: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Returns a lot of these messages."""
        return cls(*map(list, zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.topics)

    def __getitem__(self, place: int) -> Outgoing:
        return Outgoing(*(column[place] for column in self._columns()))

    @property
    def size(self) -> int:
        """How many bytes the messages take of the queue."""
        return sum(self.sizes)

    def extend(self, other: Self) -> None:
        """Adds messages at the end."""
        for column, more in zip(self._columns(), other._columns(), strict=True):
            column.extend(more)

    def split(self, count: int) -> tuple[Self, Self]:
        """Returns the first messages, and the rest."""
        first = type(self)(*(column[:count] for column in self._columns()))
        return first, type(self)(*(column[count:] for column in self._columns()))

    def pick(self, places: Sequence[int]) -> Self:
        """Returns the messages at some places, in that order."""
        return type(self)(*([column[place] for place in places] for column in self._columns()))

    def older(self, limit: float) -> int:
        """Returns how many messages at the front were produced up to ``limit``."""
        return next((place for place, queued_at in enumerate(self.queued_at) if queued_at > limit), len(self))

    def _columns(self) -> Iterable[list[Any]]:
        return (
            self.topics,
            self.partitions,
            self.keys,
            self.values,
            self.headers,
            self.timestamps_ms,
            self.callbacks,
            self.sizes,
            self.queued_at,
        )


@dataclass(slots=True)
class Drafts(Sequence[Draft]):
    """The messages of a lot encoded, in their order; none before it is packed.

    Each `Draft` is made when it is looked at.
    """

    topics: list[str] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    tails: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tails)

    def __iter__(self) -> Iterator[Draft]:
        return map(Draft._make, zip(self.topics, self.partitions, self.tails, repeat(None)))

    @overload
    def __getitem__(self, place: int) -> Draft: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Draft | Self:
        if isinstance(place, slice):
            return type(self)(self.topics[place], self.partitions[place], self.tails[place])
        return Draft(self.topics[place], self.partitions[place], self.tails[place])

    def add(self, topic: str, partition: int, tail: bytes) -> None:
        """Adds a draft at the end."""
        self.topics.append(topic)
        self.partitions.append(partition)
        self.tails.append(tail)

    def pick(self, places: Sequence[int]) -> Self:
        """Returns the drafts at some places, in that order."""
        topics, partitions, tails = self.topics, self.partitions, self.tails
        return type(self)(
            [topics[place] for place in places],
            [partitions[place] for place in places],
            [tails[place] for place in places],
        )
