"""The model's topics: a log for each partition."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

TP = tuple[str, int]

JUST_NOW = 10**14
"""Stands for the time at which a server stamps a record: behind all that is asked for but the end of time."""


@dataclass(frozen=True)
class Record:
    """What an application produces, and another is handed.

    Attributes:
        key: the key.
        value: the value; None for a tombstone.
        headers: in order; None for none.
        timestamp: milliseconds since 1970; None where the server gave it.
    """

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] | None = None
    timestamp: int | None = None


@dataclass
class Log:
    """One partition.

    Attributes:
        start: the first offset that was not deleted.
        records: all that was ever produced.
    """

    start: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset behind the last record."""
        return len(self.records)

    def at(self, timestamp: int) -> int | None:
        """The first offset that is not older than a time."""
        behind = enumerate(self.records[self.start :], self.start)
        return next((offset for offset, one in behind if (one.timestamp or JUST_NOW) >= timestamp), None)

    def holds(self, offset: int) -> bool:
        """Whether a reader may stand there."""
        return self.start <= offset <= self.end


class Logs(dict[TP, Log]):
    """Every partition of every topic."""

    def create(self, topic: str, partitions: int) -> None:
        """Add a topic."""
        self.update({(topic, number): Log() for number in range(partitions)})

    def of(self, topics: Iterator[str] | Sequence[str] | frozenset[str]) -> list[TP]:
        """The partitions of some topics, in order."""
        wanted = set(topics)
        return sorted(tp for tp in self if tp[0] in wanted)

    def partition_for(self, topic: str, key: bytes) -> int:
        """Where the default partitioner puts a key."""
        return zlib.crc32(key) % len(self.of([topic]))
