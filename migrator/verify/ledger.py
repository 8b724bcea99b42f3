"""What the drain wrote down: whose topic it was, how far it came, and what each range of offsets became."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import class_row

from migrator.digest import Sums
from migrator.errors import RefusedError
from migrator.postgres import Connection
from migrator.verify.leaf import Leaf
from shim.store.statements import Schemas, Statements

LEAF_OFFSETS = 8_192
WINDOW_LEAVES = 32
"""How many leaves are asked for at once: what a verifier holds in memory, whatever the topic's size."""


@dataclass(frozen=True, slots=True)
class Source:
    """A topic as it was frozen when its drain began, and what its queue is now."""

    id: int
    topic: str
    cluster_id: str
    topic_id: str | None
    partitions: int
    cleanup_policy: str
    uncertain: str
    sequencer: str
    keep_value: bool

    @property
    def compacted(self) -> bool:
        """Whether the log cleaner may remove records from the middle of the log."""
        return "compact" in self.cleanup_policy


@dataclass(frozen=True, slots=True)
class Position:
    """Where the drain of one partition began, and where it stands."""

    partition: int
    start_offset: int
    next_offset: int
    end_offset: int | None
    window_end: int
    lost: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads the drain's books, and changes nothing."""

    conn: Connection
    queue_schema: str
    statements: Mapping[str, LiteralString]

    @classmethod
    def open(cls, conn: Connection, schemas: Schemas) -> "Ledger":
        """Reads the statements."""
        return cls(conn, schemas.names["queue"], Statements("migrator.sql", "ledger.sql", schemas))

    def source(self, topic: str) -> Source | None:
        """Returns what was frozen, or None where the topic was never drained."""
        with self.conn.cursor(row_factory=class_row(Source)) as cursor:
            arguments = {"queue_schema": self.queue_schema, "topic": topic}
            return cursor.execute(self.statements["read_source"], arguments).fetchone()

    def positions(self, source: Source) -> list[Position]:
        """Returns where every partition stands, in order."""
        with self.conn.cursor(row_factory=class_row(Position)) as cursor:
            return cursor.execute(self.statements["read_positions"], {"source_id": source.id}).fetchall()

    def low_watermarks(self, topic: str) -> dict[int, int]:
        """Returns for each partition the offset below which retention has removed the rows."""
        return dict(self.conn.execute(self.statements["read_low_watermarks"], {"topic": topic}).fetchall())

    def windows(self, source: Source, partition: int, start: int, stop: int) -> Iterator[list[Leaf]]:
        """Yields a range's leaves, some at a time; together they hold every offset once.

        Args:
            source: the topic.
            partition: the partition.
            start: where a batch of the drain begins.
            stop: where one ends.

        Raises:
            RefusedError: ``ledger-broken``: rows of the ledger are missing.
        """
        while start < stop:
            leaves = self._leaves(source, partition, start, stop)
            if not leaves or leaves[0].start != start:
                raise _broken(source.topic, partition, start)
            start = leaves[-1].stop
            yield leaves

    def batch(self, source: Source, partition: int, offset: int) -> range:
        """Returns the offsets of the batch that accounts for one of them; an empty range there where none does."""
        arguments = {"source_id": source.id, "partition": partition, "offset": offset}
        row = self.conn.execute(self.statements["find_batch"], arguments).fetchone()
        return range(row[0], row[1]) if row else range(offset, offset)

    def _leaves(self, source: Source, partition: int, start: int, stop: int) -> list[Leaf]:
        arguments = {
            "source_id": source.id,
            "partition": partition,
            "start": start,
            "stop": min(stop, start + WINDOW_LEAVES * LEAF_OFFSETS),
            "width": LEAF_OFFSETS,
        }
        leaves: list[Leaf] = []
        for first, behind, offsets, *sums in self.conn.execute(self.statements["read_leaves"], arguments):
            if behind - first != offsets or (leaves and leaves[-1].stop != first):
                raise _broken(source.topic, partition, first)
            leaves.append(Leaf(partition, first, behind, Sums(*map(int, sums))))
        return leaves


def _broken(topic: str, partition: int, offset: int) -> RefusedError:
    return RefusedError(
        f"the drain's ledger of topic {topic!r} has a hole in partition {partition} at offset {offset}: "
        "what was written there cannot be known",
        code="ledger-broken",
        hint="somebody has changed kafka_migrator.drain_batch; a restore brings it back",
    )
