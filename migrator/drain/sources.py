"""What was frozen when a topic's drain began, and where its partitions stand: one row each in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg.rows import class_row

from migrator.kafka.records import TopicFacts
from migrator.plan import TopicPlan
from migrator.postgres import Connection
from shim.store.statements import Schemas, Statements, quoted


@dataclass(frozen=True, slots=True)
class Source:
    """A topic's identity as it was frozen."""

    id: int
    topic: str
    cluster_id: str
    topic_id: str | None
    partitions: int
    cleanup_policy: str
    start_choice: str
    end_choice: str
    format: str
    uncertain: str
    uncertain_window: int
    queue_oid: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Offset:
    """Where one partition stands, by whom it is held, and what has become of its offsets so far."""

    partition: int
    epoch: int
    owner: str | None
    lease_until: datetime | None
    leased: bool | None
    next_offset: int
    start_offset: int
    end_offset: int | None
    window_end: int
    rows: int
    dead: int
    held: int
    skipped: int
    compacted: int
    aborted: int
    marker: int
    lost: int
    unexplained: int

    @property
    def done(self) -> bool:
        """Whether it has reached its end; one that follows has none."""
        return self.end_offset is not None and self.next_offset >= self.end_offset


@dataclass(frozen=True, slots=True)
class Table:
    """The ``job_queue`` that is written to; ``persistence`` is ``p`` for a table that survives a crash."""

    oid: int
    persistence: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of one ``job_queue``. Every method works in the caller's transaction."""

    queue_schema: str
    statements: Mapping[str, LiteralString]

    @classmethod
    def load(cls, schemas: Schemas) -> "Sources":
        """Reads the statements."""
        return cls(schemas.names["queue"], Statements("migrator.sql", "drain.sql", schemas))

    def find(self, conn: Connection, topic: str) -> Source | None:
        """Returns the topic's source, or None when it was never drained."""
        with conn.cursor(row_factory=class_row(Source)) as cursor:
            arguments = {"queue_schema": self.queue_schema, "topic": topic}
            return cursor.execute(self.statements["read_source"], arguments).fetchone()

    def offsets(self, conn: Connection, source_id: int) -> list[Offset]:
        """Returns every partition, in order."""
        with conn.cursor(row_factory=class_row(Offset)) as cursor:
            return cursor.execute(self.statements["read_offsets"], {"source_id": source_id}).fetchall()

    def table(self, conn: Connection) -> Table | None:
        """Returns the table that is written to, or None when there is none."""
        with conn.cursor(row_factory=class_row(Table)) as cursor:
            arguments = {"qualified": f"{quoted(self.queue_schema)}.job_queue"}
            return cursor.execute(self.statements["queue_identity"], arguments).fetchone()

    def count_rows(self, conn: Connection, source: Source) -> tuple[int, int]:
        """Returns how many rows of a topic were written, and how many are there at the same moment."""
        arguments = {"source_id": source.id, "topic": source.topic}
        row = conn.execute(self.statements["count_rows"], arguments).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def count_dead_letters(self, conn: Connection, source_id: int) -> int:
        """Returns how many of the topic's dead letters were not retried."""
        row = conn.execute(self.statements["count_dead_letters"], {"source_id": source_id}).fetchone()
        return int(row[0]) if row else 0

    def count_held(self, conn: Connection, topic: str) -> int:
        """Returns how many of the topic's rows wait for a person."""
        row = conn.execute(self.statements["count_held"], {"topic": topic}).fetchone()
        return int(row[0]) if row else 0

    def freeze(
        self,
        conn: Connection,
        facts: TopicFacts,
        plan: TopicPlan,
        table: Table,
        *,
        until: str,
        fmt: str,
        uncertain: str,
        window: int,
    ) -> None:
        """Writes down identity and ranges; what another drain wrote down an instant earlier stays."""
        conn.execute(
            self.statements["insert_source"],
            {
                "queue_schema": self.queue_schema,
                "topic": facts.topic,
                "cluster_id": facts.cluster_id,
                "topic_id": facts.topic_id,
                "partitions": len(facts.partitions),
                "cleanup_policy": facts.cleanup_policy,
                "retention_ms": facts.retention_ms,
                "start_choice": plan.origin,
                "end_choice": until,
                "format": fmt,
                "uncertain": uncertain,
                "uncertain_window": window,
                "queue_oid": table.oid,
            },
        )
        source = self.find(conn, facts.topic)
        assert source is not None  # noqa: S101  # inserted above, or there before
        conn.execute(self.statements["insert_offsets"], _ranges(source.id, facts, plan))

    def lock(self, conn: Connection, source_id: int) -> None:
        """Makes another drain of the topic that starts at this instant wait for the transaction's end."""
        conn.execute(self.statements["lock_source"], {"source_id": source_id})

    def claim(
        self,
        conn: Connection,
        source_id: int,
        partitions: Sequence[int],
        owner: str,
        dead: Sequence[str],
        lease_seconds: int,
    ) -> dict[int, tuple[int, int]]:
        """Takes partitions that nobody holds; returns epoch and next offset by partition."""
        rows = conn.execute(
            self.statements["claim_partitions"],
            {
                "source_id": source_id,
                "partitions": list(partitions),
                "owner": owner,
                "dead_owners": list(dead),
                "lease_seconds": lease_seconds,
            },
        )
        return {partition: (epoch, next_offset) for partition, epoch, next_offset in rows}

    def renew(self, conn: Connection, source_ids: Sequence[int], owner: str, lease_seconds: int) -> None:
        """Keeps the owner's partitions while nothing is written to them."""
        arguments = {"source_ids": list(source_ids), "owner": owner, "lease_seconds": lease_seconds}
        conn.execute(self.statements["renew_leases"], arguments)

    def release(self, conn: Connection, source_ids: Sequence[int], owner: str) -> None:
        """Lets the owner's partitions go."""
        conn.execute(self.statements["release_partitions"], {"source_ids": list(source_ids), "owner": owner})

    def complete(self, conn: Connection, source_id: int) -> bool:
        """Marks a source whose every partition has reached its end; returns whether that is so."""
        return conn.execute(self.statements["complete_source"], {"source_id": source_id}).fetchone() is not None

    def extend(self, conn: Connection, source_id: int, ends: Mapping[int, int | None], until: str) -> None:
        """Gives a source new ends; None follows."""
        arguments: dict[str, Any] = {
            "source_id": source_id,
            "partitions": list(ends),
            "ends": list(ends.values()),
        }
        conn.execute(self.statements["extend_ends"], arguments)
        conn.execute(self.statements["reopen_source"], {"source_id": source_id, "end_choice": until})


def _ranges(source_id: int, facts: TopicFacts, plan: TopicPlan) -> dict[str, Any]:
    return {
        "source_id": source_id,
        "partitions": [part.partition for part in plan.partitions],
        "starts": [part.start for part in plan.partitions],
        "ends": [part.end for part in plan.partitions],
        "window_ends": [part.window_end for part in plan.partitions],
        "lows": [part.low for part in facts.partitions],
        "highs": [part.high for part in facts.partitions],
        "stables": [part.last_stable for part in facts.partitions],
    }
