"""Group roles with least rights. People grant them to their own login roles; nothing here needs a superuser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store.schema import Line
from shim.store.statements import Statements, quoted

Connection = psycopg.Connection[TupleRow]

MIGRATOR = "job_queue_migrator"
ROLES = ("job_queue_worker", "job_queue_producer", "job_queue_reader", MIGRATOR)


@dataclass(frozen=True, slots=True)
class RoleState:
    """What became of the group roles.

    Attributes:
        created: roles made just now.
        missing: roles that are not there and that the connected user may not make.
        refused: why rights could not be given, in Postgres' words; empty when all were.
    """

    created: tuple[str, ...]
    missing: tuple[str, ...]
    refused: str = ""

    @property
    def complete(self) -> bool:
        """Whether every role is there with its rights."""
        return not (self.missing or self.refused)


def ensure(conn: Connection, line: Line, owned_schemas: Sequence[str] = (), *, create: bool = True) -> RoleState:
    """Makes the roles if the connected user may, and gives those that exist their rights.

    Args:
        conn: a connection in autocommit, of the tables' owner.
        line: the queue's line.
        owned_schemas: schemas of which the migrator role gets everything, later tables included.
        create: without it no role is made, for whoever has none wants none.
    """
    statements = _statements(line)
    with conn.transaction():
        # Two grants on one table at the same time fail with "tuple concurrently updated".
        conn.execute(line.statements["lock_line"], {"line": line.name, "schema": line.schema})
        before = _present(conn, statements)
        may_create = conn.execute(statements["may_create_roles"]).fetchone()
        if create and len(before) < len(ROLES) and may_create and may_create[0]:
            conn.execute(statements["create_roles"])
        present = _present(conn, statements)
        refused = _grant(conn, [text for role in present for text in _grants(line, role, owned_schemas)])
    return RoleState(
        created=tuple(role for role in present if role not in before),
        missing=tuple(role for role in ROLES if role not in present),
        refused=refused,
    )


def script(line: Line, owned_schemas: Sequence[str] = ()) -> str:
    """Returns everything that `ensure` would run, for a DBA's psql."""
    texts = [_statements(line)["create_roles"]]
    texts += [text for role in ROLES for text in _grants(line, role, owned_schemas)]
    return "begin;\n\n" + ";\n\n".join(texts) + ";\n\ncommit;\n"


def _present(conn: Connection, statements: Statements) -> tuple[str, ...]:
    rows = conn.execute(statements["read_roles"], {"roles": list(ROLES)}).fetchall()
    found = {row[0] for row in rows}
    return tuple(role for role in ROLES if role in found)


def _grant(conn: Connection, texts: Sequence[LiteralString]) -> str:
    try:
        with conn.transaction():
            for text in texts:
                conn.execute(text)
    except psycopg.errors.InsufficientPrivilege as error:
        return error.diag.message_primary or "permission denied"
    return ""


def _grants(line: Line, role: str, owned_schemas: Sequence[str]) -> list[LiteralString]:
    texts = [f"grant usage on schema {quoted(line.schema)} to {role}", _statements(line)[f"grant_{role}"]]
    if role == MIGRATOR:
        texts += [text for schema in owned_schemas for text in _everything_in(schema)]
    return texts


def _everything_in(schema: str) -> list[LiteralString]:
    rows = "select, insert, update, delete"
    name = quoted(schema)
    return [
        f"grant usage on schema {name} to {MIGRATOR}",
        f"grant {rows} on all tables in schema {name} to {MIGRATOR}",
        f"grant usage on all sequences in schema {name} to {MIGRATOR}",
        f"alter default privileges in schema {name} grant {rows} on tables to {MIGRATOR}",
        f"alter default privileges in schema {name} grant usage on sequences to {MIGRATOR}",
    ]


def _statements(line: Line) -> Statements:
    return Statements("shim.store.sql", "roles.sql", line.schemas)
