"""Adoption: brings a ``job_queue`` of the article's shape, rows and all, to the shape of the first migration.

Nothing is rewritten and nobody is locked out for longer than a catalog change takes: columns come with constant
defaults, checks are added unvalidated and then validated, indexes are built concurrently. What is left to do is read
off the catalog before each step, so a run that was killed anywhere is simply run again.
"""

import re
from collections.abc import Callable
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store import schema
from shim.store.errors import ForeignTableError, StoreError
from shim.store.schema import Line, Migration
from shim.store.shape import Column, Constraint, Index, Shape, Step, Table, differences, plan
from shim.store.statements import Schemas, Statements, quoted

Connection = psycopg.Connection[TupleRow]

_LOCK_TIMEOUT_MS = 3000
_LOCK_ATTEMPTS = 10
_FILL_ROWS = 5000
_PARTS = re.compile(r"^-- part: (\w+)$", re.MULTILINE)
_INDEX = re.compile(r"^create index (\w+) (on [^;]+);", re.MULTILINE)
# The catalog is not what it was a moment ago, or a name that we need is taken elsewhere in the schema.
_DISTURBED = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DeadlockDetected,
)


class AdoptionStuckError(StoreError):
    """A step failed or did not last: somebody else changes the table, or took a name that it needs."""


def needed(conn: Connection, line: Line) -> bool:
    """Tells whether a ``job_queue`` is there that no migration of ours made."""
    state = schema.check(conn, line)
    found = conn.execute(
        line.statements["relation_exists"], {"schema": line.schema, "relation": "job_queue"}
    ).fetchone()
    return not state.applied and bool(found and found[0])


def steps(conn: Connection, line: Line) -> tuple[Step, ...]:
    """Returns what adoption would still do to the table; changes nothing.

    Raises:
        ForeignTableError: the table is not the article's.
    """
    return _steps(conn, line, _wanted(conn, line))


def adopt(
    conn: Connection,
    line: Line,
    on_step: Callable[[str], None] = lambda _title: None,
    *,
    lock_timeout_ms: int = _LOCK_TIMEOUT_MS,
) -> None:
    """Brings the table to the first migration's shape, and notes that migration as applied.

    Args:
        conn: a connection in autocommit, of the table's owner.
        line: the queue's line.
        on_step: told what is done next.
        lock_timeout_ms: how long one try may wait for the table while everybody else waits behind it.

    Raises:
        UnsupportedServerError: the server is too old, or the encoding is not UTF8.
        ForeignTableError: the table is not the article's; nothing was changed.
        AdoptionStuckError: the table is being changed by somebody else.
        psycopg.Error: what Postgres refused; running it again goes on from there.
    """
    schema.require_server(conn)
    wanted = _wanted(conn, line)
    previous: Step | None = None
    _steps(conn, line, wanted)
    with conn.transaction():
        # Whoever may not create tables here learns it before the table is touched.
        schema.begin_upgrade(conn, line, lock_timeout_ms)
    while remaining := _steps(conn, line, wanted):
        if remaining[0] == previous:
            raise AdoptionStuckError(f"{line.schema}.job_queue: {previous.title} did not last")
        previous = remaining[0]
        on_step(previous.title)
        try:
            _run(conn, line, previous, lock_timeout_ms)
        except _DISTURBED as error:
            raise AdoptionStuckError(
                f"{line.schema}.job_queue: {previous.title}: {error.diag.message_primary}"
            ) from error
    on_step("add the other tables")
    _finish(conn, line, lock_timeout_ms)


def _steps(conn: Connection, line: Line, wanted: Shape) -> tuple[Step, ...]:
    with conn.transaction():
        _look_from(conn, line, quoted(line.schema))
        found = _shape(conn, line, "read_table")
    foreign = differences(wanted, found)
    if foreign:
        raise ForeignTableError(line.schema, foreign)
    return plan(f"{quoted(line.schema)}.job_queue", wanted, found, _index_texts(line))


def _run(conn: Connection, line: Line, step: Step, lock_timeout_ms: int) -> None:
    if step.fills:
        _fill_nulls(conn, line)
    if step.concurrent:
        for statement in step.statements:
            conn.execute(statement)
        return
    for attempt in range(1, _LOCK_ATTEMPTS + 1):
        try:
            _in_transaction(conn, line, step, lock_timeout_ms)
        except psycopg.errors.LockNotAvailable:
            # Others that waited behind us get their turn before the next try.
            if attempt == _LOCK_ATTEMPTS:
                raise
        else:
            return


def _in_transaction(conn: Connection, line: Line, step: Step, lock_timeout_ms: int) -> None:
    with conn.transaction():
        conn.execute(line.statements["limit_waiting"], {"lock_timeout": f"{lock_timeout_ms}ms"})
        _look_from(conn, line, quoted(line.schema))
        for statement in step.statements:
            conn.execute(statement)


def _fill_nulls(conn: Connection, line: Line) -> None:
    statements = _statements(line)
    ids: list[int] = [-(2**63)]
    while ids:
        page = conn.execute(statements["nulls_page"], {"after": ids[-1], "limit": _FILL_ROWS})
        ids = [row[0] for row in page]
        conn.execute(statements["fill_nulls"], {"ids": ids})


def _finish(conn: Connection, line: Line, lock_timeout_ms: int) -> None:
    first = _first(line)
    with conn.transaction():
        schema.begin_upgrade(conn, line, lock_timeout_ms)
        if not schema.check(conn, line).applied:
            conn.execute(line.schemas.fill(_part(first, "others")))
            schema.record(conn, line, first)


def _wanted(conn: Connection, line: Line) -> Shape:
    """The shape that the migration itself makes, read off a copy that nobody else ever sees."""
    with conn.transaction(force_rollback=True):
        _look_from(conn, line, "pg_temp")
        conn.execute(Schemas({"queue": "pg_temp"}).fill(_part(_first(line), "queue")))
        return _shape(conn, line, "scratch_table")


def _look_from(conn: Connection, line: Line, name: str) -> None:
    conn.execute(_statements(line)["look_from"], {"search_path": f"pg_catalog, {name}"})


def _shape(conn: Connection, line: Line, table: str) -> Shape:
    statements = _statements(line)
    with conn.cursor(row_factory=class_row(Table)) as cursor:
        found = cursor.execute(statements[table], {"schema": line.schema}).fetchone()
    if found is None:
        raise StoreError(f"{line.schema}.job_queue went away")
    oid = {"oid": found.oid}
    with (
        conn.cursor(row_factory=class_row(Column)) as columns,
        conn.cursor(row_factory=class_row(Constraint)) as constraints,
        conn.cursor(row_factory=class_row(Index)) as indexes,
    ):
        return Shape(
            found,
            {one.name: one for one in columns.execute(statements["read_columns"], oid)},
            {one.name: one for one in constraints.execute(statements["read_constraints"], oid)},
            {one.name: one for one in indexes.execute(statements["read_indexes"], oid)},
        )


def _statements(line: Line) -> Statements:
    return Statements("shim.store.sql", "adopt.sql", line.schemas)


def _index_texts(line: Line) -> dict[str, LiteralString]:
    """The migration's own index statements, told to build concurrently."""
    queue = line.schemas.fill(_part(_first(line), "queue"))
    return {match[1]: f"create index concurrently {match[1]} {match[2]}" for match in _INDEX.finditer(queue)}


def _first(line: Line) -> Migration:
    return line.migrations[0]


def _part(migration: Migration, name: str) -> str:
    pieces = _PARTS.split(migration.text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))[name]
