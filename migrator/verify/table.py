"""Postgres' side: sums that the server computes, and single rows where it comes to that."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

from migrator.digest import Fingerprint, Sums
from migrator.postgres import Connection
from migrator.verify.classes import Place, Row
from migrator.verify.leaf import Found, Leaf
from migrator.verify.ledger import Source
from shim.store.statements import Schemas, Statements

_NONE = Found()


@dataclass(frozen=True, slots=True)
class Stranger:
    """A row where the drain wrote none."""

    place: Place
    row: Row


@dataclass(frozen=True, slots=True)
class Table:
    """One topic's rows and dead letters.

    Attributes:
        conn: a connection that nobody else uses meanwhile.
        statements: of ``verify.sql``.
        source: the topic.
        values: whether values are compared; without them every value counts as null.
        modulus: one message in so many is looked at.
    """

    conn: Connection
    statements: Mapping[str, LiteralString]
    source: Source
    values: bool = True
    modulus: int = 1

    @classmethod
    def open(cls, conn: Connection, schemas: Schemas, source: Source, *, values: bool, modulus: int) -> "Table":
        """Reads the statements."""
        return cls(conn, Statements("migrator.sql", "verify.sql", schemas), source, values, modulus)

    def whole(self) -> "Table":
        """Returns the same side with its values."""
        return replace(self, values=True)

    def sums(self, leaves: Sequence[Leaf], *, digests: bool = True) -> list[Found]:
        """Returns what is there of each of the leaves, which follow one another.

        Args:
            leaves: of one partition.
            digests: whether more than the counts is wanted.
        """
        arguments = self._range(leaves[0].partition, leaves[0].start, leaves[-1].stop)
        arguments["bounds"] = [leaf.start for leaf in leaves]
        statement = self.statements["sum_leaves" if digests else "count_leaves"]
        found = {row[0]: row[1:] for row in self.conn.execute(statement, arguments)}
        return [_found(found[at]) if at in found else _NONE for at in range(1, len(leaves) + 1)]

    def fingerprints(self, partition: int, start: int, stop: int) -> dict[int, list[Row]]:
        """Returns the rows and dead letters of a range by their offsets."""
        rows: dict[int, list[Row]] = defaultdict(list)
        for job, offset, timestamp, high, low, content in self.conn.execute(
            self.statements["read_fingerprints"], self._range(partition, start, stop)
        ):
            rows[offset].append(Row(job, timestamp, Fingerprint(high, low, content)))
        return rows

    def strangers(self, limit: int) -> list[Stranger]:
        """Returns rows outside of what the drain wrote that nobody can have numbered, in the order of their places."""
        arguments = self._topic() | {"partitions": self.source.partitions, "limit": limit}
        rows = self.conn.execute(self.statements["read_strangers"], arguments)
        return [
            Stranger(Place(partition, offset), Row(job, timestamp, Fingerprint(0, 0, content)))
            for job, partition, offset, timestamp, content in rows
        ]

    def native(self) -> int:
        """Counts the rows that never were in Kafka."""
        row = self.conn.execute(self.statements["count_native"], self._topic()).fetchone()
        return int(row[0]) if row else 0

    def copies(self, rows: Sequence[Row]) -> dict[bytes, Place]:
        """Returns for contents of rows where another row with the same is; of several the first."""
        places: dict[bytes, Place] = {}
        own = {row.id for row in rows}
        arguments = self._topic() | {
            "timestamps": sorted({row.timestamp_ms for row in rows if row.timestamp_ms is not None}),
            "contents": [row.print.content for row in rows],
        }
        for job, partition, offset, content in self.conn.execute(self.statements["find_copies"], arguments):
            if job not in own:
                places.setdefault(content, Place(partition, offset))
        return places

    def _topic(self) -> dict[str, object]:
        return {"topic": self.source.topic, "source_id": self.source.id, "values": self.values}

    def _range(self, partition: int, start: int, stop: int) -> dict[str, object]:
        place = {"partition": partition, "start": start, "stop": stop, "modulus": self.modulus}
        return self._topic() | place


def _found(row: Sequence[int]) -> Found:
    numbers = [int(number) for number in row]
    return Found(Sums(*numbers[:3]), Sums(*numbers[3:]))
