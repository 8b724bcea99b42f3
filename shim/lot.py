"""Messages in a row, with one list for each of their fields."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Self

from shim.outgoing import OnDelivery, Outgoing, Pairs


@dataclass(slots=True)
class Lot:
    """Messages in the order in which they were produced.

    An object for each message would be the plainer way. But Python's collector goes through all that live, again and
    again while a queue fills: it took a third of the producer's time.
    """

    topics: list[str] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Pairs | None] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    callbacks: list[OnDelivery | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    queued_at: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.topics)

    def __getitem__(self, place: int) -> Outgoing:
        return Outgoing(*(column[place] for column in self._columns()))

    @property
    def size(self) -> int:
        """How many bytes the messages take of the queue."""
        return sum(self.sizes)

    def add(self, message: Outgoing) -> None:
        """Adds a message at the end."""
        topic, partition, key, value, headers, timestamp_ms, on_delivery, size, queued_at = message
        self.topics.append(topic)
        self.partitions.append(partition)
        self.keys.append(key)
        self.values.append(value)
        self.headers.append(headers)
        self.timestamps_ms.append(timestamp_ms)
        self.callbacks.append(on_delivery)
        self.sizes.append(size)
        self.queued_at.append(queued_at)

    def extend(self, other: Self) -> None:
        """Adds messages at the end."""
        for column, more in zip(self._columns(), other._columns(), strict=True):
            column.extend(more)

    def cut(self, count: int) -> Self:
        """Takes the first messages away, and returns them."""
        first = type(self)(*(column[:count] for column in self._columns()))
        for column in self._columns():
            del column[:count]
        return first

    def pick(self, places: Sequence[int]) -> Self:
        """Returns the messages at some places, in that order."""
        if len(places) < 2:  # noqa: PLR2004  itemgetter makes a tuple of two and more
            return type(self)(*([column[place] for place in places] for column in self._columns()))
        chosen = itemgetter(*places)
        return type(self)(*(list(chosen(column)) for column in self._columns()))

    def older(self, limit: float) -> int:
        """Returns how many messages at the front were produced up to ``limit``."""
        times = self.queued_at
        if not times or times[0] > limit:
            return 0
        return next((place for place, queued_at in enumerate(times) if queued_at > limit), len(times))

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
