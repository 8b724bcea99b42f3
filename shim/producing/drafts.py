"""Messages as they are sent, with one list for each of their fields."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
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
    delays_us: list[int | None] = field(default_factory=list)
    deduplication_keys: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tails)

    def __iter__(self) -> Iterator[Draft]:
        return map(_DRAFT, zip(*self._fields, strict=True))

    @overload
    def __getitem__(self, place: int) -> Draft: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Draft | Self:
        if isinstance(place, slice):
            return type(self)(*(values[place] for values in self._fields))
        return Draft(*(values[place] for values in self._fields))

    def add(
        self,
        topic: str,
        partition: int,
        tail: bytes,
        delay_us: int | None = None,
        deduplication_key: str | None = None,
    ) -> None:
        """Adds a draft at the end."""
        self.topics.append(topic)
        self.partitions.append(partition)
        self.tails.append(tail)
        self.delays_us.append(delay_us)
        self.deduplication_keys.append(deduplication_key)

    def pick(self, places: Sequence[int]) -> Self:
        """Returns the drafts at some places, in that order."""
        return type(self)(*([values[place] for place in places] for values in self._fields))

    @property
    def _fields(self) -> tuple[list[Any], ...]:
        return self.topics, self.partitions, self.tails, self.delays_us, self.deduplication_keys
