"""What a commit waits for, and whether it happened when its reply was lost.

A client that asks for ``acks=all`` must not be answered before its rows are on disk.
"""

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store.errors import StoreError
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


class AsynchronousCommitError(StoreError):
    """The session answers commits before they are on disk, so a crash of Postgres loses what it acknowledged."""

    def __init__(self) -> None:
        super().__init__("synchronous_commit is off in this session")


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "durability.sql", schemas)


def require_durable(conn: Connection, statements: Texts) -> None:
    """Makes sure that the transaction, or the session, waits for its commit to be on disk.

    Behind a pooler each transaction may run in another session, so ask inside the one that counts.

    Raises:
        AsynchronousCommitError: it does not.
    """
    (level,) = conn.execute(statements["read_durability"]).fetchone() or ("off",)
    if level == "off":
        raise AsynchronousCommitError


def has_committed(conn: Connection, statements: Texts, xid: str) -> bool | None:
    """Tells whether a transaction of this id has committed, be it another server's; None while that is not clear."""
    try:
        status, standby = conn.execute(statements["read_outcome"], {"xid": xid}).fetchone() or (None, True)
    except psycopg.errors.InvalidParameterValue:
        # The id lies in this server's future: it took over from one that had gone further.
        return False
    if standby or status == "in progress":
        return None
    return bool(status != "aborted")
