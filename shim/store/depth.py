"""How the queues stand, as figures: depth and age by topic, lag by group, dead rows. For dashboards and alerts."""

from collections.abc import Mapping, Sequence
from typing import LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store import bounds
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


class Depth(NamedTuple):
    """One topic's.

    Attributes:
        topic: its name.
        due: jobs that may run now.
        delayed: jobs that wait for their time, or for their next delivery.
        parked: jobs behind a closed gate, or held for a person.
        processing: jobs that somebody works on.
        failed: jobs that have failed for good.
        oldest_due_s: for how many seconds the oldest of the due jobs has waited; None without any.
    """

    topic: str
    due: int
    delayed: int
    parked: int
    processing: int
    failed: int
    oldest_due_s: float | None


class Lag(NamedTuple):
    """How many offsets a consumer group is behind in a topic."""

    group_id: str
    topic: str
    offsets: int


class Figures(NamedTuple):
    """All of them, at one moment."""

    depths: Sequence[Depth]
    lags: Sequence[Lag]
    dead_rows: int


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**bounds.load(schemas), **Statements("shim.store.sql", "depth.sql", schemas)}


def read(conn: Connection, texts: Texts, *, statement_s: int) -> Figures:
    """Returns the figures. Pending jobs are counted, so it takes the longer the deeper the queues are.

    Args:
        conn: a connection outside of any transaction.
        texts: from `load`.
        statement_s: how many seconds a statement may take.

    Raises:
        psycopg.errors.QueryCanceled: it took longer.
    """
    with conn.transaction():
        bounds.bound(conn, texts, lock_s=statement_s, statement_s=statement_s)
        depths = [Depth(*row) for row in conn.execute(texts["read_depth"])]
        lags = [Lag(*row) for row in conn.execute(texts["read_lags"])]
        (dead,) = conn.execute(texts["read_dead"]).fetchone() or (0,)
    return Figures(depths, lags, dead)
