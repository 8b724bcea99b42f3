"""The row of a consumer group: whoever changes its members or its assignment holds it until the transaction ends."""

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

# How long a process may stand still meanwhile before the server ends its transaction.
_PATIENCE = "5s"


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "groups.sql", schemas)


def hold(conn: Connection, texts: Texts, group_id: str) -> int | None:
    """Waits for the group's row and holds it.

    Returns:
        its generation; None when there is no such group.
    """
    return _generation(conn, texts["hold_group"], group_id)


def hold_free(conn: Connection, texts: Texts, group_id: str) -> int | None:
    """Holds the group's row unless somebody else does.

    Returns:
        its generation; None when somebody else holds it, or there is no such group.
    """
    return _generation(conn, texts["hold_free_group"], group_id)


def _generation(conn: Connection, statement: LiteralString, group_id: str) -> int | None:
    row = conn.execute(statement, {"group_id": group_id, "patience": _PATIENCE}).fetchone()
    return row[0] if row else None
