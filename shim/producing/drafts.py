"""Messages as they are sent, with one list for each of their fields."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, Self, overload

from shim.producing.outgoing import Terms
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
    terms: dict[int, Terms] = field(default_factory=dict)
    """Of those few messages that have any, by their places."""

    def __len__(self) -> int:
        return len(self.tails)

    def __iter__(self) -> Iterator[Draft]:
        if self.terms:
            return (self[place] for place in range(len(self)))
        return map(_DRAFT, zip(self.topics, self.partitions, self.tails, repeat(None), repeat(None)))

    @overload
    def __getitem__(self, place: int) -> Draft: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Draft | Self:
        if isinstance(place, slice):
            return self.pick(range(len(self))[place])
        return Draft(self.topics[place], self.partitions[place], self.tails[place], *self.terms.get(place, ()))

    def add(self, topic: str, partition: int, tail: bytes, terms: Terms | None = None) -> None:
        """Adds a draft at the end."""
        if terms is not None:
            self.terms[len(self.tails)] = terms
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
            {new: self.terms[place] for new, place in enumerate(places) if place in self.terms} if self.terms else {},
        )
