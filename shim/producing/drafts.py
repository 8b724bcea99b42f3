"""Messages as they are sent, with one list for each of their fields."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, Self, overload

from shim.store.append import Draft

_DRAFT: Callable[[Sequence[Any]], Draft] = partial(tuple.__new__, Draft)  # Draft's own constructor costs far more


@dataclass(slots=True)
class Drafts(Sequence[Draft]):
    """The messages of a parcel encoded, in their order; none before it is packed.

    Each `Draft` is made when it is looked at: ten thousand objects that live for an append would keep Python's
    collector busy.
    """

    topics: list[str] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    tails: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tails)

    def __iter__(self) -> Iterator[Draft]:
        return map(_DRAFT, zip(self.topics, self.partitions, self.tails, repeat(None)))

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
