"""Status follows the group that owns a topic: rows that a consumer group has worked off are completed afterwards.

Never inside a commit, which touches no message row, and in bounded batches. Until a batch has come round the view
``job_progress`` is ahead of ``status``; it is exact at any moment.
"""

from collections.abc import Mapping
from time import monotonic
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store import bounds
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

_LOCK_SECONDS = 2
_CONNECTION_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
_INTERVAL_SECONDS = 0.5
_OWNERS_SECONDS = 30.0


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**bounds.load(schemas), **Statements("shim.store.sql", "settle.sql", schemas)}


def settle(conn: Connection, texts: Texts, *, only: str | None = None, limit: int = 2000) -> int:
    """Completes pending rows below the committed offsets of the consumer groups that own their topics.

    One transaction per batch, one settler at a time: while another one is at it, this returns at once. Rows that are
    being processed, or have failed, are left as they are.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        texts: from `load`.
        only: a topic; None for all of them.
        limit: how many rows per transaction.

    Returns:
        how many rows are completed.

    Raises:
        psycopg.Error: Postgres is gone, or a row stayed locked; what was committed until then stays done.
    """
    settled = 0
    for topic, partition, until in conn.execute(texts["unsettled"], {"topic": only}).fetchall():
        more: int | None = limit
        while more == limit:
            more, done = _settle_batch(conn, texts, {"topic": topic, "partition": partition, "until": until}, limit)
            settled += done
    return settled


class Settler(Part):
    """Settles shortly after commits of this process, several at once. Get it by `settler_for`, and tell it of commits.

    Args:
        pool: where its connections come from; it holds one only while it settles.
        schemas: which queue.

    Attributes:
        error: why the last round failed; None when it did not.
    """

    def __init__(self, pool: Pool, schemas: Schemas) -> None:
        self._pool = pool
        self._texts = load(schemas)
        self._owners: frozenset[str] | None = None
        self._owners_until = self._settled_at = 0.0
        self._doubtful = False  # whether a group has committed that owned nothing when we looked last
        self.error: Exception | None = None
        super().__init__("shim-settler")

    def committed(self, group_id: str) -> None:
        """Takes note that a group has committed: whoever owns no topic costs next to nothing."""
        owns = self._owners is None or group_id in self._owners
        if owns or not self._doubtful:
            # It may have come to own one since; what it commits last is not to wait for another commit.
            self._doubtful = self._doubtful or not owns
            self.wake()

    def round(self) -> float | None:
        """Settles, unless it has just done so."""
        early = self._settled_at + _INTERVAL_SECONDS - monotonic()
        if early > 0:
            return early
        with self._pool.connection(_CONNECTION_SECONDS, patience=_PATIENCE_SECONDS) as conn:
            if monotonic() >= self._owners_until:
                self._doubtful = False
                self._owners = frozenset(row[0] for row in conn.execute(self._texts["owners"]))
                self._owners_until = monotonic() + _OWNERS_SECONDS
            if self._owners:
                settle(conn, self._texts)
        self._settled_at = monotonic()
        self.error = None
        return max(self._owners_until - self._settled_at, 0.0) if self._doubtful else None

    def failed(self, error: Exception) -> None:
        """Remembers why; the next round comes by itself."""
        self.error = error


def settler_for(pool: Pool, schemas: Schemas) -> Settler:
    """Returns this process's settler of a queue; the first call makes it."""
    return pool.part(Settler, lambda: Settler(pool, schemas), schemas.names["queue"])


def _settle_batch(conn: Connection, texts: Texts, place: dict[str, object], limit: int) -> tuple[int, int]:
    """Returns how many rows were looked at, and how many of them are completed now."""
    with conn.transaction():
        bounds.bound(conn, texts, lock_s=_LOCK_SECONDS)
        alone = conn.execute(texts["try_settling"]).fetchone()
        if not (alone and alone[0]):
            return 0, 0
        seen, last, done = conn.execute(texts["settle"], {**place, "limit": limit}).fetchone() or (0, None, 0)
        reached = place["until"] if seen < limit else last + 1
        conn.execute(texts["move_settled"], {**place, "settled_offset": reached})
        return seen, done
