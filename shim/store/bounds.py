"""Limits on a short transaction that others wait for: of its own, whatever the role's settings are."""

from collections.abc import Mapping
from typing import Literal, LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
SynchronousCommit = Literal["on", "remote_write", "remote_apply", "local", "off"]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "bounds.sql", schemas)


def bound(conn: Connection, statements: Texts, *, lock_s: int = 10, statement_s: int = 60, idle_s: int = 15) -> None:
    """Puts limits on the caller's transaction; they end with it, and a pooler never sees them.

    A client that froze or vanished while it held a partition's head is gone after half a minute, and the head is free.

    Args:
        conn: a connection inside a transaction.
        statements: from `load`.
        lock_s: how long to wait for any one lock.
        statement_s: how long any one statement may take.
        idle_s: how long the server waits for the next statement.
    """
    arguments = {
        "lock_timeout": f"{lock_s}s",
        "statement_timeout": f"{statement_s}s",
        "idle_timeout": f"{idle_s}s",
    }
    conn.execute(statements["bound"], arguments)


def commit_as(conn: Connection, statements: Texts, synchronous_commit: SynchronousCommit) -> None:
    """Decides what the commit of the caller's transaction waits for; it ends with that transaction."""
    conn.execute(statements["commit_as"], {"synchronous_commit": synchronous_commit})
