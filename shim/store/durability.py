"""Whether a transaction happened when the reply to its commit was lost."""

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "durability.sql", schemas)


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
