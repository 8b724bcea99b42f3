"""Migrations: numbered ``.sql`` files, each applied once, in order; on a queue in use in a transaction of its own.

Files come in independent *lines*. The line ``store`` is the queue and stays for good; other lines (the migrator's) use
the same runner in a schema of their own, so that they can leave with one statement.
"""

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from random import SystemRandom
from typing import Any, LiteralString, NamedTuple, cast

import psycopg
from psycopg import sql as composing
from psycopg.rows import TupleRow, class_row

from shim.store.errors import SchemaChangedError, SchemaMissingError, SchemaVersionError, StoreError
from shim.store.statements import Schemas, Statements, quoted, read_sql

Connection = psycopg.Connection[TupleRow]

OLDEST_SERVER = 140000
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_PLACEHOLDER_TABLE = ".schema_migration"
_COLUMN = re.compile(r"^alter table [^;]+?\s+add column if not exists [^;]+", re.MULTILINE)
_INDEX = re.compile(r"^create (?:unique )?index if not exists (\w+) on [^;]+", re.MULTILINE)
_ALTERED = re.compile(r"^alter table /\*\w+\.\*/(\w+)", re.MULTILINE)
_LOCK_TIMEOUT_MS = 800
_LOCK_ATTEMPTS = 30
_BUILDING_SECONDS = 0.2
_DISTURBED = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
)


class UnsupportedServerError(StoreError):
    """The server is too old, or the database cannot hold every text.

    Attributes:
        version: the server's version number, such as 150018.
        encoding: the database's encoding, such as ``UTF8``.
    """

    def __init__(self, version: int, encoding: str) -> None:
        super().__init__(
            f"Postgres 14 or later and encoding UTF8 are needed, this is {version // 10000} with {encoding}"
        )
        self.version = version
        self.encoding = encoding


class Migration(NamedTuple):
    """One numbered file of a line; its markers are not filled."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the text, whatever line ends the file was checked out with."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """One migration as the database remembers it."""

    version: int
    name: str
    checksum: str
    applied_at: datetime
    release: str


@dataclass(frozen=True)
class Line:
    """An independent line of migrations.

    Attributes:
        name: such as ``store``.
        package: the package that holds the files.
        schema: where the line's tables and its bookkeeping live.
        table: the bookkeeping table's name.
        schemas: what the markers in the files stand for.
    """

    name: str
    package: str
    schema: str
    table: str
    schemas: Schemas

    @cached_property
    def migrations(self) -> tuple[Migration, ...]:
        """Every migration that this release ships, in order."""
        matches = sorted(
            (match for entry in files(self.package).iterdir() if (match := _FILE.fullmatch(entry.name))),
            key=lambda match: match[0],
        )
        return tuple(Migration(int(match[1]), match[2], read_sql(self.package, match[0])) for match in matches)

    @cached_property
    def statements(self) -> dict[str, LiteralString]:
        """The bookkeeping's statements, with this line's schema and table in place."""
        filled = Statements("shim.store.sql", "schema.sql", Schemas({"line": self.schema}))
        return {name: self._with_table(text) for name, text in filled.items()}

    def _with_table(self, text: str) -> LiteralString:
        return text.replace(_PLACEHOLDER_TABLE, "." + quoted(self.table))


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How a line in the database compares with this release.

    Attributes:
        line: which line.
        applied: what the database remembers, in order.
        missing: what this release ships and the database lacks, in order.
        changed: applied migrations whose text differs from this release's.
        newer: applied migrations that this release does not know.
    """

    line: Line
    applied: tuple[Applied, ...]
    missing: tuple[Migration, ...]
    changed: tuple[Applied, ...]
    newer: tuple[Applied, ...]

    @property
    def current(self) -> bool:
        """Whether the database stands exactly where this release does."""
        return not (self.missing or self.changed or self.newer)

    @property
    def version(self) -> int:
        """The newest applied migration; 0 when there is none."""
        return max((applied.version for applied in self.applied), default=0)

    def refuse_unknown(self) -> None:
        """Lets nothing pass that another release made.

        Raises:
            SchemaVersionError: the database is newer than this release.
            SchemaChangedError: an applied migration has another text in this release.
        """
        if self.newer:
            raise SchemaVersionError(self.line.name, self.version, self.line.migrations[-1].version)
        if self.changed:
            names = ", ".join(f"{one.version:04}_{one.name}" for one in self.changed)
            raise SchemaChangedError(f"line {self.line.name!r}: applied with another text: {names}")


def store_line(schema: str = "public") -> Line:
    """Returns the queue's own line, in the given schema."""
    return Line(
        name="store",
        package="shim.store.sql.migrations",
        schema=schema,
        table="job_schema_migration",
        schemas=Schemas({"queue": schema}),
    )


def check(conn: Connection, line: Line) -> SchemaState:
    """Compares the database with this release; changes nothing."""
    applied = _applied(conn, line)
    shipped = {migration.version: migration for migration in line.migrations}
    seen = {one.version for one in applied}
    return SchemaState(
        line=line,
        applied=applied,
        missing=tuple(migration for migration in line.migrations if migration.version not in seen),
        changed=tuple(
            one for one in applied if one.version in shipped and shipped[one.version].checksum != one.checksum
        ),
        newer=tuple(one for one in applied if one.version not in shipped),
    )


def require(conn: Connection, line: Line) -> None:
    """Makes sure that the database stands where this release does.

    Raises:
        SchemaMissingError: nothing of the line was ever applied.
        SchemaVersionError: the database is older or newer.
        SchemaChangedError: an applied migration has another text in this release.
    """
    state = check(conn, line)
    if not state.applied:
        raise SchemaMissingError(line.schema, line.name)
    state.refuse_unknown()
    if state.missing:
        raise SchemaVersionError(line.name, state.version, line.migrations[-1].version)


def upgrade(
    conn: Connection, line: Line, *, dry_run: bool = False, lock_timeout_ms: int = _LOCK_TIMEOUT_MS
) -> tuple[Migration, ...]:
    """Applies what is missing, and returns what that was.

    Where there is nothing yet, it is all or nothing. On a queue that is in use each migration has a transaction of its
    own, and before that come its columns and indexes that say ``if not exists``: the indexes are built concurrently, so
    that nobody who writes has to wait for them. One that is there when a later step fails stays, and is found by the
    next run.

    While it waits for a table, everybody else waits behind it. So it gives up soon and comes again after a pause: the
    default is shorter than ``deadlock_timeout``, so that it is never somebody else who is ended for having met it.

    Args:
        conn: a connection in autocommit.
        line: the line to bring up to date.
        dry_run: do it all in one transaction, columns and indexes too, and roll back.
        lock_timeout_ms: how long one try may wait for locks; there are 30.

    Raises:
        UnsupportedServerError: the server is too old, or the encoding is not UTF8.
        SchemaVersionError: the database is newer than this release.
        SchemaChangedError: an applied migration has another text in this release.
        psycopg.Error: what Postgres refused; the migrations before that are applied, and running it again goes on.
    """
    require_server(conn)
    state = check(conn, line)
    state.refuse_unknown()
    newest = line.migrations[-1].version
    if dry_run or not state.applied:
        return _patiently(lambda: _apply(conn, line, newest, lock_timeout_ms, dry_run=dry_run), lock_timeout_ms)
    applied: list[Migration] = []
    for migration in state.missing:
        _prepare(conn, line, migration, lock_timeout_ms)
        applied += _patiently(partial(_apply, conn, line, migration.version, lock_timeout_ms), lock_timeout_ms)
    return tuple(applied)


def begin_upgrade(conn: Connection, line: Line, lock_timeout_ms: int) -> None:
    """Inside a transaction: takes the line's lock and makes its schema and bookkeeping, if missing."""
    statements = line.statements
    conn.execute(statements["limit_waiting"], {"lock_timeout": f"{lock_timeout_ms}ms"})
    conn.execute(statements["lock_line"], {"line": line.name, "schema": line.schema})
    if not _answer(conn, statements["schema_exists"], {"schema": line.schema}):
        conn.execute(_create_schema(line.schema))
    if not _answer(conn, statements["relation_exists"], {"schema": line.schema, "relation": line.table}):
        conn.execute(statements["create_bookkeeping"])


def record(conn: Connection, line: Line, migration: Migration) -> None:
    """Notes a migration as applied, in the caller's transaction."""
    conn.execute(line.statements["record_applied"], _bookkeeping_row(line, migration))


def require_server(conn: Connection) -> None:
    """Makes sure that the server can hold the tables and every text.

    Raises:
        UnsupportedServerError: it is older than Postgres 14, or the database's encoding is not UTF8.
    """
    row = conn.execute(Statements("shim.store.sql", "schema.sql", Schemas({"line": ""}))["read_server"])
    version, encoding = cast("tuple[int, str]", row.fetchone())
    if version < OLDEST_SERVER or encoding != "UTF8":
        raise UnsupportedServerError(version, encoding)


def script(line: Line, migrations: Sequence[Migration] | None = None) -> str:
    """Returns what `upgrade` would run on an empty database, for psql or another migration tool.

    Args:
        line: the line to print.
        migrations: which of its migrations; all when not given.
    """
    body = "\n".join(
        f"{line.schemas.fill(migration.text).strip()}\n\n{_recording(line, migration)};\n"
        for migration in (line.migrations if migrations is None else migrations)
    )
    # Everybody has "public", and saying so again would need a right on the whole database.
    prelude = "" if line.schema == "public" else f"{_create_schema(line.schema)};\n\n"
    return f"begin;\n\n{prelude}{line.statements['create_bookkeeping']};\n\n{body}\ncommit;\n"


def release() -> str:
    """Returns the release of this distribution, or ``unknown`` when it runs from a plain checkout."""
    try:
        return version("kafka-to-postgres")
    except PackageNotFoundError:
        return "unknown"


def _patiently(attempt: Callable[[], tuple[Migration, ...]], lock_timeout_ms: int) -> tuple[Migration, ...]:
    """Tries again what was disturbed; those that waited behind it get their turn before the next try."""
    for _ in range(_LOCK_ATTEMPTS - 1):
        try:
            return attempt()
        except _DISTURBED:
            time.sleep(lock_timeout_ms / 1000 * SystemRandom().uniform(1.0, 2.0))
    return attempt()


def _apply(
    conn: Connection, line: Line, newest: int, lock_timeout_ms: int, *, dry_run: bool = False
) -> tuple[Migration, ...]:
    with conn.transaction(force_rollback=dry_run):
        begin_upgrade(conn, line, lock_timeout_ms)
        state = check(conn, line)
        state.refuse_unknown()
        missing = tuple(migration for migration in state.missing if migration.version <= newest)
        _lock_tables(conn, line, missing, lock_timeout_ms)
        for migration in missing:
            conn.execute(line.schemas.fill(migration.text))
            record(conn, line, migration)
    return missing


def _prepare(conn: Connection, line: Line, migration: Migration, lock_timeout_ms: int) -> None:
    if _COLUMN.search(migration.text):
        _patiently(partial(_add_columns, conn, line, migration, lock_timeout_ms), lock_timeout_ms)
    for index in _INDEX.finditer(migration.text):
        _patiently(partial(_build_index, conn, line, index[1], line.schemas.fill(index[0])), lock_timeout_ms)


def _add_columns(conn: Connection, line: Line, migration: Migration, lock_timeout_ms: int) -> tuple[Migration, ...]:
    with conn.transaction():
        conn.execute(line.statements["limit_waiting"], {"lock_timeout": f"{lock_timeout_ms}ms"})
        for column in _COLUMN.findall(migration.text):
            conn.execute(line.schemas.fill(column))
    return ()


def _lock_tables(conn: Connection, line: Line, missing: Sequence[Migration], lock_timeout_ms: int) -> None:
    """Takes every table that is about to change, in one statement whose time is limited as a whole.

    Taken one by one as the migrations come to them, each could be waited for while the others are held.
    """
    named = dict.fromkeys(name for migration in missing for name in _ALTERED.findall(migration.text))
    place = {"schema": line.schema}
    found = [name for name in named if _answer(conn, line.statements["relation_exists"], {**place, "relation": name})]
    if found:
        # A little longer, so that what is waited for in vain is called a lock.
        conn.execute(line.statements["limit_locking"], {"statement_timeout": f"{lock_timeout_ms * 9 // 8}ms"})
        names = ", ".join(f"{quoted(line.schema)}.{quoted(name)}" for name in found)
        conn.execute(f"lock table {names} in access exclusive mode")
        conn.execute(line.statements["limit_waiting"], {"lock_timeout": f"{lock_timeout_ms}ms"})


def _build_index(conn: Connection, line: Line, name: str, statement: LiteralString) -> tuple[Migration, ...]:
    place = {"schema": line.schema, "relation": name}
    while _answer(conn, line.statements["index_is_being_built"], place):
        time.sleep(_BUILDING_SECONDS)  # another upgrade is at it, and would wait for a statement that waits for it
    if _answer(conn, line.statements["index_is_broken"], place):
        # What a killed build left is invalid and cannot be mended.
        conn.execute(f"drop index concurrently if exists {quoted(line.schema)}.{quoted(name)}")
    conn.execute(statement.replace(" index ", " index concurrently ", 1))
    return ()


def _applied(conn: Connection, line: Line) -> tuple[Applied, ...]:
    place = {"schema": line.schema, "relation": line.table}
    if not _answer(conn, line.statements["relation_exists"], place):
        return ()
    with conn.cursor(row_factory=class_row(Applied)) as cursor:
        return tuple(cursor.execute(line.statements["read_applied"], {"line": line.name}))


def _answer(conn: Connection, statement: LiteralString, arguments: dict[str, str]) -> bool:
    row = conn.execute(statement, arguments).fetchone()
    return bool(row and row[0])


def _bookkeeping_row(line: Line, migration: Migration) -> dict[str, Any]:
    return {
        "line": line.name,
        "version": migration.version,
        "name": migration.name,
        "checksum": migration.checksum,
        "release": release(),
    }


def _recording(line: Line, migration: Migration) -> str:
    literals = {name: composing.Literal(value).as_string() for name, value in _bookkeeping_row(line, migration).items()}
    return line.statements["record_applied"] % literals


def _create_schema(schema: str) -> LiteralString:
    return f"create schema if not exists {quoted(schema)}"
