"""Retention: rows that are older than their topic keeps them go, oldest offset first, and never behind a reader's back.

A group that still lives holds its rows until it has committed past them. One that nobody has used for as long as the
topic keeps its rows is passed, and what it lost is told.
"""

from collections.abc import Callable, Iterator
from random import SystemRandom
from typing import NamedTuple, cast

import psycopg
from psycopg.rows import TupleRow

from shim.store import bounds, settle, topics
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.statements import Schemas, Statements
from shim.store.topics import Texts

Connection = psycopg.Connection[TupleRow]

_INTERVAL_SECONDS = 60.0
_PATIENCE_SECONDS = 30.0


class Passed(NamedTuple):
    """A group that nobody uses any more, and that retention did not wait for.

    Attributes:
        group_id: the group.
        topic: the topic.
        partition: the partition.
        offsets: how many offsets behind its committed one it can no longer read.
    """

    group_id: str
    topic: str
    partition: int
    offsets: int


class Swept(NamedTuple):
    """What one round of retention did.

    Attributes:
        deleted: how many rows are gone.
        passed: the groups that lost something by it.
        more: whether the round ended before the work did.
    """

    deleted: int = 0
    passed: tuple[Passed, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        """Whether anything was done."""
        return bool(self.deleted or self.passed)


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**topics.load(schemas), **Statements("shim.store.sql", "retention.sql", schemas)}


def sweep(conn: Connection, statements: Texts, *, limit: int = 5000) -> Swept:
    """Removes rows of all topics that are older than their topic keeps them; one partition per transaction.

    A partition loses rows in the order of their offsets, up to the first that is younger, or that a group holds, or
    that a share group has not finished; its low watermark moves along. A topic is left alone while Kafka numbers it,
    and while its gate is closed. One sweep at a time: while another one is at it, this returns at once.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        limit: how many rows per partition at most; the round ends once as many have gone in all.

    Raises:
        psycopg.Error: Postgres is gone; what was committed until then stays done.
    """
    done = Swept()
    for topic, partition in conn.execute(statements["due_partitions"]).fetchall():
        if done.deleted >= limit:
            return done._replace(more=True)
        swept = _sweep_partition(conn, statements, topic, partition, limit)
        done = Swept(done.deleted + swept.deleted, done.passed + swept.passed, done.more or swept.more)
    return done


class Sweeper(Part):
    """Sweeps once a minute, in any process that uses the queue; while rows are left, at once again.

    Get it by `sweeper_for`, and `start` it.

    Args:
        pool: where its connections come from; it holds one only while it sweeps.
        schemas: which queue.
        on_swept: told, in the sweeper's thread, of each round that did something.

    Attributes:
        error: why the last round failed; None when it did not.
    """

    def __init__(self, pool: Pool, schemas: Schemas, on_swept: Callable[[Swept], None]) -> None:
        super().__init__("shim-sweeper")
        self._pool = pool
        self._statements = {**load(schemas), **settle.load(schemas)}
        self._on_swept = on_swept
        self.error: Exception | None = None

    def round(self) -> float:
        """Sweeps until nothing is left to do, lending its connection back in between.

        Before, it settles what the last commits of processes that are gone have left.
        """
        with self._pool.connection(patience=_PATIENCE_SECONDS) as conn:
            settle.settle(conn, self._statements)
        for swept in self._sweeps():
            if swept:
                self._on_swept(swept)
        self.error = None
        # Processes that were started together do not sweep together for ever.
        return _INTERVAL_SECONDS * SystemRandom().uniform(0.8, 1.2)

    def failed(self, error: Exception) -> None:
        """Remembers why; the next round comes by itself."""
        self.error = error

    def _sweeps(self) -> Iterator[Swept]:
        more = True
        while more and not self.closed:
            with self._pool.connection(patience=_PATIENCE_SECONDS) as conn:
                swept = sweep(conn, self._statements)
            more = swept.more
            yield swept


def sweeper_for(pool: Pool, schemas: Schemas, on_swept: Callable[[Swept], None] = lambda _swept: None) -> Sweeper:
    """Returns this process's sweeper of a queue; the first call makes it, and decides who is told."""
    return pool.part(Sweeper, lambda: Sweeper(pool, schemas, on_swept), schemas.names["queue"])


def _sweep_partition(conn: Connection, statements: Texts, topic: str, partition: int, limit: int) -> Swept:
    place: dict[str, object] = {"topic": topic, "partition": partition}
    with conn.transaction():
        bounds.bound(conn, statements)
        gate = topics.share_gate(conn, statements, [topic]).get(topic)
        alone = conn.execute(statements["try_sweeping"]).fetchone()
        if gate is None or gate.sequencer == "kafka" or gate.gate == "closed" or not (alone and alone[0]):
            return Swept()
        found = conn.execute(statements["find_expired"], {**place, "limit": limit}).fetchone()
        start, expired, count = found or (None, None, 0)
        if expired is None:
            return Swept()
        span = {**place, "start": start, "expired": expired}
        deleted = conn.execute(statements["delete_expired"], span).rowcount
        passed = _move_start(conn, statements, span)
    return Swept(deleted, passed, more=deleted > 0 and count == limit)


def _move_start(conn: Connection, statements: Texts, span: dict[str, object]) -> tuple[Passed, ...]:
    (first,) = conn.execute(statements["first_left"], span).fetchone() or (None,)
    target = {**span, "start_offset": cast("int", span["expired"]) + 1 if first is None else first}
    passed = tuple(Passed(*row) for row in conn.execute(statements["passed_groups"], target))
    conn.execute(statements["move_start"], target)
    return passed
