"""How the migrator reaches Postgres, and what it tells people when Postgres says no."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from migrator.errors import CannotStartError, MigratorError, RefusedError, StoppedError, UsageError
from shim.store.adopt import AdoptionStuckError
from shim.store.errors import (
    ForeignTableError,
    SchemaChangedError,
    SchemaMissingError,
    SchemaVersionError,
    StoreError,
)
from shim.store.schema import Line, UnsupportedServerError
from shim.store.statements import Schemas, quoted
from shim.store.topics import UnknownTopicError

Connection = psycopg.Connection[TupleRow]
_PAYLOAD = re.compile(r"COPY \w+, line \d+, column payload")
Fault = Literal["record", "environment", "setup", "protocol"]

SCHEMA = "kafka_migrator"
"""Where the migrator's own tables live: a schema of their own, so that leaving is one statement."""

# All of these are the client's own affair: a pooler sees none of them.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# libpq gives no SQLSTATE for a refused connection, so its text decides; in another language the general case is told.
_REFUSALS = (
    ("password authentication failed", "postgres-password"),
    ("no password supplied", "postgres-password"),
    ("no pg_hba.conf entry", "postgres-access"),
    ("role ", "postgres-user"),
    ("database ", "postgres-database"),
    ("unsupported startup parameter", "postgres-pooler-option"),
)
_LOCAL = "local socket"
_RECORD_CLASSES = ("22", "23", "54")
_ENVIRONMENT_CLASSES = ("08", "25", "40", "53", "55", "57", "58", "72", "XX")
_NOT_NULL_VIOLATION = "23502"
_UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True, slots=True)
class Target:
    """Which database is meant, without anything secret."""

    host: str
    port: str
    dbname: str
    user: str

    @classmethod
    def of(cls, conninfo: str) -> Self:
        """Tells where libpq would go with a connection string, its own environment variables included.

        Raises:
            UsageError: libpq cannot read the string; the string is never quoted, since it may hold a password.
        """
        known = _environment() | _parsed(conninfo)
        user = known.get("user", "")
        host = known.get("host") or known.get("hostaddr") or _LOCAL
        return cls(host, known.get("port", ""), known.get("dbname") or user, user)

    @classmethod
    def connected(cls, conn: Connection) -> Self:
        """Tells where an open connection went."""
        info = conn.info
        return cls(info.host, str(info.port), info.dbname, info.user)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.dbname} as {self.user}"


def connect(conninfo: str, purpose: str) -> Connection:
    """Opens a connection in autocommit, fit for a pooler in transaction mode.

    Args:
        conninfo: a connection string or URL; empty leaves everything to libpq's own environment variables and files.
        purpose: what the connection is for; operators see ``migrator-<purpose>`` in ``pg_stat_activity``.

    Raises:
        UsageError: libpq cannot read the string.
        CannotStartError: nobody answers, or the server refuses.
    """
    target = Target.of(conninfo)
    try:
        return psycopg.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            client_encoding="UTF8",
            application_name=f"migrator-{purpose}",
            **_patience(conninfo),
        )
    except psycopg.OperationalError as error:
        raise _refused(error, target) from None


def schemas(queue_schema: str) -> Schemas:
    """Returns what the markers in the migrator's statements stand for."""
    return Schemas({"queue": queue_schema, "migrator": SCHEMA})


def migrator_line(queue_schema: str = "public") -> Line:
    """Returns the line of the migrator's own tables."""
    return Line(
        name="migrator",
        package="migrator.sql.migrations",
        schema=SCHEMA,
        table="schema_migration",
        schemas=schemas(queue_schema),
    )


def classify(error: psycopg.Error) -> Fault:
    """Tells whose fault a failure is; only a ``record`` may ever become a dead letter.

    Returns:
        ``record``: the data cannot be stored. ``environment``: an outage, so wait or stop. ``setup``: a permission,
        an object or a setting, so stop and tell. ``protocol``: a row that only a second writer, or a bug of ours,
        could have put there, so stop.
    """
    if error.sqlstate is None:
        return _without_sqlstate(error)
    if error.sqlstate == "XX000" and _PAYLOAD.search(error.diag.context or ""):
        # jsonb's parser asked for more than a gigabyte: this one value's doing.
        return "record"
    return fault_of(error.sqlstate, error.diag.constraint_name, error.diag.table_name)


def fault_of(sqlstate: str, constraint: str | None = None, table: str | None = None) -> Fault:
    """Tells whose fault an SQLSTATE is, given the constraint and the table that Postgres named."""
    if sqlstate.startswith("23") and (table or "").startswith("drain_"):
        return "protocol"
    if sqlstate == _UNIQUE_VIOLATION and constraint == "job_queue_log_key":
        return "protocol"
    if sqlstate == _UNIQUE_VIOLATION and constraint == "job_queue_pkey":
        # The sequence stands behind the ids, as after a restore: no record is to blame.
        return "setup"
    if sqlstate == _NOT_NULL_VIOLATION and table == "job_queue":
        # A column of the user's own without a default: every record would fail, and none is to blame.
        return "setup"
    if sqlstate.startswith(_RECORD_CLASSES):
        return "record"
    return "environment" if sqlstate.startswith(_ENVIRONMENT_CLASSES) else "setup"


@contextmanager
def explained(target: Target) -> Iterator[None]:
    """Turns what Postgres and the store raise inside into errors for people."""
    try:
        yield
    except psycopg.Error as error:
        # The cause may quote a row.
        raise explain(error, target) from (error if _quotable(error) else None)
    except StoreError as error:
        raise explain_store(error, target) from error


def told(error: psycopg.Error) -> str:
    """Returns what Postgres said of a failure in one line, or no more than its place where that may quote a row."""
    if not _quotable(error):
        return _place(error)
    diag = error.diag
    said = [diag.message_primary or " ".join(str(error).split()), diag.message_detail, diag.message_hint]
    return "; ".join(part for part in said if part)


def _quotable(error: psycopg.Error) -> bool:
    # Whatever fails while a row goes in says so in its context; so does what a user's own function raises.
    context = error.diag.context or ""
    return classify(error) not in ("record", "protocol") and "function" not in context and "COPY " not in context


def explain(error: psycopg.Error, target: Target) -> MigratorError:
    """Returns the error for people that a failed statement means; never with a payload in it."""
    fault = classify(error)
    if error.sqlstate in _SETUP:
        return _setup_error(error, target)
    if fault == "environment":
        return StoppedError(
            f"Postgres at {target} stopped answering as needed: {told(error)}",
            code="postgres-outage",
            hint="run the same command again once the server is well: it goes on where it stopped",
        )
    if fault == "setup":
        return CannotStartError(
            f"Postgres at {target} refused: {told(error)}", code="postgres-refused", hint=_refused_hint(error)
        )
    if fault == "record":
        return RefusedError(f"Postgres at {target} does not take the data: {_place(error)}", code="postgres-data")
    return MigratorError(f"a row stands in the way that nothing explains: {_place(error)}", code="postgres-protocol")


def _refused_hint(error: psycopg.Error) -> str:
    if error.sqlstate == _NOT_NULL_VIOLATION:
        column = quoted(error.diag.column_name or "")
        return f"a column of yours that no record can fill: alter table job_queue alter column {column} drop not null;"
    return "migrator doctor"


def explain_store(error: StoreError, target: Target) -> MigratorError:
    """Returns the error for people that a failure of the store means."""
    match error:
        case SchemaMissingError():
            return CannotStartError(
                f"{target} has no tables of ours in schema {error.schema!r}",
                code="schema-missing",
                hint="migrator init",
            )
        case SchemaVersionError() if error.found < error.known:
            return CannotStartError(f"{target}: {error}", code="schema-old", hint="migrator schema upgrade")
        case SchemaVersionError():
            return CannotStartError(
                f"{target}: {error}", code="schema-new", hint="pip install --upgrade kafka-to-postgres"
            )
        case SchemaChangedError():
            return CannotStartError(f"{target}: {error}", code="schema-changed", hint="migrator schema check")
        case ForeignTableError():
            return RefusedError(f"{target}: {error}", code="foreign-table", hint=_FOREIGN_HINT)
        case AdoptionStuckError():
            return StoppedError(
                f"{target}: {error}",
                code="adoption-stuck",
                hint="migrator init goes on from here, once nobody else changes the table",
            )
        case UnsupportedServerError():
            return CannotStartError(f"{target}: {error}", code="postgres-unsupported", hint=_SERVER_HINT)
        case UnknownTopicError():
            return CannotStartError(
                f"{target}: {error}", code="topic-unknown", hint="migrator gate status lists the topics"
            )
        case _:
            return MigratorError(f"{target}: {error}", code="store")


def _parsed(conninfo: str) -> dict[str, str]:
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # libpq's own text repeats the string, password included.
        raise UsageError(
            "the connection string (--dsn or DATABASE_URL) is not one that libpq can read",
            code="dsn-unreadable",
            hint="use postgresql://user@host:5432/dbname: no driver name behind the scheme (postgresql+psycopg://), "
            "no parameters of other libraries (?schema=...), special characters in a password percent-encoded",
        ) from None
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def _environment() -> dict[str, str]:
    defaults = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in defaults if option.val}


def _patience(conninfo: str) -> dict[str, Any]:
    decided = _environment() | _parsed(conninfo)
    return {name: value for name, value in _PATIENCE.items() if name not in decided}


def _refused(error: psycopg.OperationalError, target: Target) -> CannotStartError:
    text = " ".join(str(error).split())
    code = next((code for phrase, code in _REFUSALS if f"FATAL: {phrase}" in text), "postgres-unreachable")
    return CannotStartError(
        f"cannot connect to Postgres at {target}: {text}", code=code, hint=_refusal_hint(code, target)
    )


def _refusal_hint(code: str, target: Target) -> str:
    hints = {
        "postgres-password": f"check the password of {target.user!r}: PGPASSWORD, ~/.pgpass or the one in DATABASE_URL",
        "postgres-access": f"let {target.user!r} in from this machine in the server's pg_hba.conf, then reload it",
        "postgres-user": f"createuser {target.user}, or name another user in --dsn or PGUSER",
        "postgres-database": f"createdb {target.dbname}, or name another database in --dsn or PGDATABASE",
        "postgres-pooler-option": "unset PGOPTIONS and take options=... out of the DSN: the pooler forwards no options",
    }
    probe = f"pg_isready -p {target.port}" if target.host == _LOCAL else f"pg_isready -h {target.host} -p {target.port}"
    unreachable = f"check that the server runs: {probe}; --dsn or DATABASE_URL names another"
    return hints.get(code, unreachable)


_FOREIGN_HINT = "put the queue into a schema of its own: migrator init --schema jobs"
_SERVER_HINT = "createdb --encoding=UTF8 --template=template0 NAME, on Postgres 14 or later"
_SETUP = {
    "42P01": "schema-missing",
    "3F000": "schema-missing",
    "42704": "schema-missing",
    "42703": "schema-old",
    "42883": "schema-old",
    "42P07": "object-exists",
    "42710": "object-exists",
    "42501": "permission",
    "25006": "read-only",
    "55P03": "lock-timeout",
    "53300": "too-many-connections",
}


def _setup_error(error: psycopg.Error, target: Target) -> CannotStartError:
    code = _SETUP[error.sqlstate or ""]
    return CannotStartError(f"{target}: {told(error)}", code=code, hint=_setup_hint(code, error, target))


def _setup_hint(code: str, error: psycopg.Error, target: Target) -> str:
    hints = {
        "schema-missing": "migrator init",
        "schema-old": "migrator schema upgrade",
        "object-exists": _FOREIGN_HINT,
        "read-only": "connect to the primary: this server is a replica, or default_transaction_read_only is on",
        "lock-timeout": "run the same command again; who holds the lock: "
        "select pid, state, query from pg_stat_activity where state <> 'idle' order by xact_start",
        "too-many-connections": "run the same command again when connections are free, or go through a pooler",
    }
    return hints.get(code) or _grant(error.diag.message_primary or "", target)


def _grant(message: str, target: Target) -> str:
    user = target.user if re.fullmatch(r"[a-z_][a-z0-9_]*", target.user) else quoted(target.user)
    found = re.search(r"(must be owner of|permission denied for) (\w+) (\S+)", message)
    match (found[1], found[2]) if found else ("", ""):
        case ("must be owner of", _):
            return "run it as the owner of the table, or let the owner run: migrator schema sql --roles | psql"
        case (_, "database"):
            return f"grant create, temporary on database {quoted(target.dbname)} to {user};"
        case (_, "schema") if found and found[3] not in (SCHEMA, "job_queue"):
            return f"grant usage, create on schema {found[3]} to {user};"
        case _:
            return f"grant job_queue_migrator to {user};  -- the role is made by: migrator init"


def _without_sqlstate(error: psycopg.Error) -> Fault:
    if isinstance(error, psycopg.DataError):
        return "record"
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return "environment"
    return "setup"


def _place(error: psycopg.Error) -> str:
    diag = error.diag
    place = {
        "table": diag.table_name,
        "column": diag.column_name,
        "constraint": diag.constraint_name,
    }
    named = ", ".join(f"{kind} {name}" for kind, name in place.items() if name)
    return f"SQLSTATE {error.sqlstate or 'unknown'} ({type(error).__name__})" + (f", {named}" if named else "")
