"""Retention: what is older than its topic keeps it goes, and never behind a reader's back.

A log loses its oldest rows, in the order of their offsets, by their age. Jobs, of a share group or of plain SQL, go
once they have been finished for long enough, wherever they stand; those that are not finished stay. Who decides how
long is `shim.store.keep_times`.

No index leads to finished jobs: each job would pay for it when it is completed (5 % more WAL). The search walks a
partition's offsets instead, a bounded piece at a time, and goes on from there.

A group that still lives holds its rows until it has committed past them. One that nobody has used for as long as the
topic keeps its rows is passed, and what it lost is told.
"""

from collections.abc import Callable, Iterator
from random import SystemRandom
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store import bounds, settle, topics
from shim.store.meter import meter
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


class Removed(NamedTuple):
    """Rows that are gone from one place, as an account of the place needs to know it.

    Attributes:
        topic: the topic.
        partition: the partition; None for jobs that never got an offset.
        first_offset: the lowest of their offsets; None without any.
        last_offset: the highest; of the offsets between, some may still be there.
        rows: how many rows.
    """

    topic: str
    partition: int | None
    first_offset: int | None
    last_offset: int | None
    rows: int


class Swept(NamedTuple):
    """What one round of retention did.

    Attributes:
        removed: what is gone; a place is named once for each transaction.
        passed: the groups that lost something by it.
        more: whether the round ended before the work did.
    """

    removed: tuple[Removed, ...] = ()
    passed: tuple[Passed, ...] = ()
    more: bool = False

    @property
    def deleted(self) -> int:
        """How many rows are gone."""
        return sum(one.rows for one in self.removed)

    def __bool__(self) -> bool:
        """Whether anything was done."""
        return bool(self.removed or self.passed)

    def __add__(self, other: object) -> "Swept":
        """Returns what both did."""
        if not isinstance(other, Swept):
            return NotImplemented
        return Swept(self.removed + other.removed, self.passed + other.passed, self.more or other.more)


_NOTHING = Swept()


class _Place(NamedTuple):
    """Where a round removes rows, and how many it may look at."""

    topic: str
    partition: int | None
    limit: int


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    texts = (Statements("shim.store.sql", name, schemas) for name in ("retention.sql", "finished.sql"))
    return {**topics.load(schemas), **{name: text for own in texts for name, text in own.items()}}


def sweep(conn: Connection, statements: Texts, *, limit: int = 5000) -> Swept:
    """Removes rows of all topics that are older than their topic keeps them; one partition per transaction.

    A partition of a log loses rows up to the first that is younger, or that a group holds, or that somebody works on;
    its low watermark moves along. Where a share group owns the topic, finished jobs go wherever they stand, and the
    search goes on where the last one ended. A topic is left alone while Kafka numbers it, and while its gate is closed.
    One sweep at a time: while another one is at it, this returns at once.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        limit: how many rows per partition to look at, at most; the round ends once as many have gone in all.

    Raises:
        psycopg.Error: Postgres is gone; what was committed until then stays done.
    """
    done = _NOTHING
    for topic, partition, shared in conn.execute(statements["due_partitions"]).fetchall():
        if done.deleted >= limit:
            return done._replace(more=True)
        remove = _plain if partition is None else _finished if shared else _expired
        with conn.transaction():
            if _may_sweep(conn, statements, topic):
                done += remove(conn, statements, _Place(topic, partition, limit))
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
            for one in swept.removed:
                meter.count("retention_rows", one.topic, by=one.rows)
            more = swept.more
            yield swept


def sweeper_for(pool: Pool, schemas: Schemas, on_swept: Callable[[Swept], None] = lambda _swept: None) -> Sweeper:
    """Returns this process's sweeper of a queue; the first call makes it, and decides who is told."""
    return pool.part(Sweeper, lambda: Sweeper(pool, schemas, on_swept), schemas.names["queue"])


def _may_sweep(conn: Connection, statements: Texts, topic: str) -> bool:
    """Whether the topic is ours to sweep, and nobody else sweeps; both hold until the transaction ends."""
    bounds.bound(conn, statements)
    gate = topics.share_gate(conn, statements, [topic]).get(topic)
    alone = conn.execute(statements["try_sweeping"]).fetchone()
    return gate is not None and gate.sequencer == "postgres" and gate.gate == "open" and bool(alone and alone[0])


def _expired(conn: Connection, statements: Texts, place: _Place) -> Swept:
    """Removes the oldest rows of a partition of a log."""
    found = conn.execute(statements["find_expired"], _held(conn, statements, place)).fetchone()
    start, expired, count = found or (None, None, 0)
    if expired is None:
        return _NOTHING
    span = {**place._asdict(), "start": start, "expired": expired}
    swept = _removed(conn, statements, place, _offsets(conn.execute(statements["delete_expired"], span)))
    _move_start(conn, statements, place, start, expired)
    return swept._replace(more=bool(swept) and count == place.limit)


def _finished(conn: Connection, statements: Texts, place: _Place) -> Swept:
    """Removes finished jobs from the next rows of a partition that a share group owns."""
    found = conn.execute(statements["find_finished"], _held(conn, statements, place)).fetchone()
    start, ids, go_on, is_done = found or (0, [], 0, True)
    offsets = _offsets(conn.execute(statements["delete_finished"], {"ids": ids})) if ids else []
    if offsets:
        _move_start(conn, statements, place, start, offsets[-1])
    conn.execute(statements["move_swept"], {**place._asdict(), "swept_offset": 0 if is_done else go_on})
    # What is kept is passed by slowly, so that a queue full of it costs little.
    return _removed(conn, statements, place, offsets)._replace(more=bool(offsets) and not is_done)


def _plain(conn: Connection, statements: Texts, place: _Place) -> Swept:
    """Removes finished jobs that never got an offset."""
    rows = conn.execute(statements["delete_plain"], place._asdict()).rowcount
    removed = (Removed(place.topic, None, None, None, rows),) if rows else ()
    return Swept(removed, more=rows == place.limit)


def _held(conn: Connection, statements: Texts, place: _Place) -> dict[str, object]:
    (held_from,) = conn.execute(statements["held_from"], place._asdict()).fetchone() or (None,)
    return {**place._asdict(), "held_from": held_from}


def _offsets(deleted: psycopg.Cursor[TupleRow]) -> list[int]:
    return sorted(row[0] for row in deleted)


def _removed(conn: Connection, statements: Texts, place: _Place, offsets: list[int]) -> Swept:
    """Accounts for rows that are gone, and for the groups that had not read them."""
    if not offsets:
        return _NOTHING
    removed = Removed(place.topic, place.partition, offsets[0], offsets[-1], len(offsets))
    passed = conn.execute(statements["passed_groups"], {**place._asdict(), "offsets": offsets})
    return Swept((removed,), tuple(Passed(*row) for row in passed))


def _move_start(conn: Connection, statements: Texts, place: _Place, start: int, last: int) -> None:
    """Moves the low watermark to the first row up to the last one that went, or behind it."""
    (first,) = conn.execute(
        statements["first_left"], {**place._asdict(), "start": start, "expired": last}
    ).fetchone() or (None,)
    conn.execute(statements["move_start"], {**place._asdict(), "start_offset": last + 1 if first is None else first})
