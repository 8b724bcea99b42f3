"""A batch's books: the position, which is the truth, and the account of every offset, which outlives the jobs.

Every method works in the caller's transaction, so that a position commits with the rows that it speaks of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple

from migrator.drain.batch import Gaps, Place, Span
from migrator.drain.copying import Account
from migrator.drain.sheet import DeadLetter
from migrator.kafka.records import SourceRecord
from migrator.postgres import Connection
from shim.store.statements import Schemas, Statements


class Position(NamedTuple):
    """Where a partition stands: in whose epoch, and the next offset."""

    epoch: int
    next_offset: int


class Moved(NamedTuple):
    """How many partitions were moved, and the database's clock then, in microseconds since 2000."""

    partitions: int
    now_us: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a batch's transaction, whatever the role's own settings are; times as Postgres spells them.

    Attributes:
        lease_seconds: for how long a batch renews its hold on its partitions.
        lock_timeout: how long it waits for somebody else's lock on the table.
        statement_timeout: how long one statement may take.
        idle_timeout: how long the server keeps a transaction whose client has gone silent.
        check_interval: how soon the server notices that its client is dead while a statement runs.
    """

    lease_seconds: int = 10
    lock_timeout: str = "10s"
    statement_timeout: str = "300s"
    idle_timeout: str = "60s"
    check_interval: str = "2s"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The drain's tables as a batch uses them."""

    statements: Mapping[str, LiteralString]
    limits: Limits

    @classmethod
    def load(cls, schemas: Schemas, limits: Limits) -> "Ledger":
        """Reads the statements."""
        return cls(Statements("migrator.sql", "drain.sql", schemas), limits)

    def bound(self, conn: Connection) -> None:
        """Puts the limits on the caller's transaction."""
        limits = self.limits
        conn.execute(
            self.statements["bound_transaction"],
            {
                "lock_timeout": limits.lock_timeout,
                "statement_timeout": limits.statement_timeout,
                "idle_timeout": limits.idle_timeout,
                "check_interval": limits.check_interval,
            },
        )

    def set_position(self, conn: Connection, spans: Sequence[Span]) -> Moved:
        """Moves those spans' partitions from start to stop that stand at their start, in the span's epoch.

        Unless all have moved, the caller must roll back.
        """
        self.bound(conn)
        arguments = _spans(spans) | {"lease_seconds": self.limits.lease_seconds}
        moved = conn.execute(self.statements["compare_and_set"], arguments).fetchall()
        return Moved(len(moved), int(moved[0][0]) if moved else 0)

    def positions(self, conn: Connection, places: Sequence[Place]) -> dict[Place, Position]:
        """Returns where partitions stand now."""
        stored = {}
        for source_id in {place.source_id for place in places}:
            for row in conn.execute(self.statements["read_offsets"], {"source_id": source_id}):
                stored[source_id, row[0]] = Position(row[1], row[5])
        return {
            place: stored[place.source_id, place.partition]
            for place in places
            if (place.source_id, place.partition) in stored
        }

    def insert_dead_letters(self, conn: Connection, spans: Sequence[Span], accounts: Sequence[Account]) -> None:
        """Writes the records that become no row, with all their bytes."""
        letters = [
            _dead_letter(span, letter) for span, account in zip(spans, accounts, strict=True) for letter in account.dead
        ]
        if letters:
            with conn.cursor() as cursor:
                cursor.executemany(self.statements["insert_dead_letter"], letters)

    def settle_counters(self, conn: Connection, spans: Sequence[Span], accounts: Sequence[Account]) -> None:
        """Corrects the partitions' counters for dead letters and held rows."""
        if not any(account.dead or account.held for account in accounts):
            return
        arguments = {
            "source_ids": [span.place.source_id for span in spans],
            "partitions": [span.place.partition for span in spans],
            "dead": [len(account.dead) for account in accounts],
            "held": [account.held for account in accounts],
        }
        conn.execute(self.statements["set_aside"], arguments)

    def insert_ledger(self, conn: Connection, spans: Sequence[Span], accounts: Sequence[Account]) -> None:
        """Writes the batch's account, one row per partition."""
        timestamps = [[record.timestamp_ms for record in span.records] for span in spans]
        arguments = _spans(spans) | {
            "rows": [account.rows for account in accounts],
            "dead": [len(account.dead) for account in accounts],
            "held": [account.held for account in accounts],
            "min_timestamps": [min(times, default=None) for times in timestamps],
            "max_timestamps": [max(times, default=None) for times in timestamps],
            "digests_high": [account.digest_high for account in accounts],
            "digests_low": [account.digest_low for account in accounts],
        }
        conn.execute(self.statements["insert_ledger"], arguments)


def _spans(spans: Sequence[Span]) -> dict[str, Any]:
    gaps: list[Gaps] = [span.gaps for span in spans]
    return {
        "source_ids": [span.place.source_id for span in spans],
        "partitions": [span.place.partition for span in spans],
        "epochs": [span.epoch for span in spans],
        "from_offsets": [span.start for span in spans],
        "to_offsets": [span.stop for span in spans],
        "delivered": [span.delivered for span in spans],
        "skipped": [span.skipped for span in spans],
        "compacted": [gap.compacted for gap in gaps],
        "aborted": [gap.aborted for gap in gaps],
        "marker": [gap.marker for gap in gaps],
        "lost": [gap.lost for gap in gaps],
        "unexplained": [gap.unexplained for gap in gaps],
    }


def _dead_letter(span: Span, letter: DeadLetter) -> dict[str, Any]:
    record = letter.record
    headers = record.headers if isinstance(record, SourceRecord) else None
    return {
        "source_id": span.place.source_id,
        "partition": span.place.partition,
        "log_offset": record.offset,
        "key": record.key,
        "value": record.value,
        "headers": None if headers is None else [element for header in headers for element in header],
        "timestamp_ms": record.timestamp_ms,
        "timestamp_type": record.timestamp_type,
        "stage": letter.stage,
        "sqlstate": letter.sqlstate,
        "constraint_name": letter.constraint,
        "column_name": letter.column,
        "reason": letter.reason,
    }
