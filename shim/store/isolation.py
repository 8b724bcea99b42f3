"""What an application's own transaction can see: not every isolation level shows what others have committed since."""

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.rows import scalar_row

from shim.store.statements import Schemas, Statements

Texts = Mapping[str, LiteralString]


def load(schemas: Schemas) -> Texts:
    """Returns the statement that `sees_the_present` runs."""
    return Statements("shim.store.sql", "isolation.sql", schemas)


def sees_the_present(conn: psycopg.Connection[Any], texts: Texts) -> bool:
    """Whether each statement of a transaction sees what others committed before it, as in READ COMMITTED.

    In the others a lock on a row is no proof of what the row holds now: ``for key share`` is given on a version that
    somebody has replaced since.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        return bool(cursor.execute(texts["read_isolation"]).fetchone())
