"""Every named statement of every ``.sql`` file runs on the migrated schema, or can at least be prepared there."""

import re
import struct
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files

import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import roles, schema
from shim.store.statements import Schemas, Statements
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

PACKAGES = ("shim.store.sql", "migrator.sql")
FILES = [
    (package, entry.name) for package in PACKAGES for entry in files(package).iterdir() if entry.name.endswith(".sql")
]
NO_ROWS = b"PGCOPY\n\xff\r\n\0" + struct.pack("!iih", 0, 0, -1)


def named(package: str, filename: str) -> dict[str, str]:
    if filename == "schema.sql":
        return dict(schema.store_line().statements)
    return dict(Statements(package, filename, Schemas({"queue": "public", "migrator": postgres.SCHEMA})))


def dollars(statement: str) -> str:
    """The statement with $1, $2 ... for its named placeholders, as psycopg sends it."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    for number, name in enumerate(names, start=1):
        statement = statement.replace(f"%({name})s", f"${number}")
    return statement.replace("%%", "%")


CASES = [(package, filename, name) for package, filename in FILES for name in named(package, filename)]


def test_there_are_statements_of_both_packages() -> None:
    assert {package for package, _, _ in CASES} == set(PACKAGES)


@pytest.fixture(scope="module")
def shared(databases: Databases) -> Iterator[Connection]:
    """One migrated database for all of them: each rolls its own work back."""
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        yield conn
    databases.drop(url)


@pytest.mark.parametrize(("package", "filename", "name"), CASES, ids=str)
def test_statement_fits_the_schema(shared: Connection, package: str, filename: str, name: str) -> None:
    statement = named(package, filename)[name]
    verb = statement.split()[0].lower()
    with shared.transaction(force_rollback=True):
        if verb in ("select", "insert", "update", "delete", "with", "merge"):
            shared.execute(f"prepare under_test as {dollars(statement)}")
            shared.execute("deallocate under_test")
        elif verb == "copy":
            with shared.cursor().copy(statement) as copy:
                copy.write(NO_ROWS)
        else:
            roles.ensure(shared, schema.store_line())
            shared.execute(statement)
