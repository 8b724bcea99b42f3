"""SQL that a reader can paste into psql, and what it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from migrator.postgres import SCHEMA, Connection
from shim.store.statements import Schemas, Statements


@dataclass(frozen=True, slots=True)
class Shown:
    """A statement and its result.

    Attributes:
        sql: as it was run.
        columns: their names.
        rows: as text that no terminal obeys.
    """

    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def load(schema: str = "public") -> Mapping[str, LiteralString]:
    """Returns the demo's statements."""
    return Statements("migrator.sql", "demo.sql", Schemas({"queue": schema, "migrator": SCHEMA}))


def pasted(statement: LiteralString) -> LiteralString:
    """Returns a statement as one would type it: in the schema that psql looks into, without needless quotes."""
    return statement.replace('"public".', "").replace(f'"{SCHEMA}"', SCHEMA)


def show(conn: Connection, statement: LiteralString) -> Shown:
    """Runs a statement just as it is shown."""
    sql = pasted(statement)
    cursor = conn.execute(sql)
    columns = tuple(column.name for column in cursor.description or ())
    return Shown(sql, columns, tuple(_texts(row) for row in cursor.fetchall()))


def _texts(row: Sequence[object]) -> tuple[str, ...]:
    texts = ("" if cell is None else str(cell) for cell in row)
    return tuple(text if text.isprintable() else ascii(text) for text in texts)
