"""A transaction that somebody leaves open: it has a snapshot and an xid, so VACUUM removes nothing that died since."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def held(url: str) -> Iterator[None]:
    """Holds a transaction open on a connection of its own, and rolls it back."""
    with psycopg.connect(url) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("select pg_current_xact_id()")
        conn.execute("select from job_queue limit 1")
        yield
        conn.rollback()
