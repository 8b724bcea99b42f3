from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import pool, schema
from shim.store import roles as store_roles
from shim.store.schema import Line
from tests.fixtures.postgres import Databases


def migrate(url: str) -> None:
    with closing(postgres.connect(url, "test")) as conn:
        for line in (schema.store_line(), postgres.migrator_line()):
            schema.upgrade(conn, line)


@pytest.fixture(autouse=True)
def _no_pool_is_left() -> Iterator[None]:
    """What a test started ends with it, whatever the test forgot to close."""
    yield
    pool.close_all()


@pytest.fixture
def line() -> Line:
    return schema.store_line()


@pytest.fixture
def empty(database_url: str) -> Iterator[Connection]:
    """A connection to an empty database."""
    with closing(postgres.connect(database_url, "test")) as conn:
        yield conn


@pytest.fixture
def migrated_url(databases: Databases) -> Iterator[str]:
    url = databases.create(migrate)
    yield url
    databases.drop(url)


@pytest.fixture
def migrated(migrated_url: str) -> Iterator[Connection]:
    """A connection to a database with the tables of both lines."""
    with closing(postgres.connect(migrated_url, "test")) as conn:
        yield conn


@pytest.fixture
def roles(migrated: Connection, line: Line) -> tuple[str, ...]:
    """The group roles, with their rights in the migrated database; they belong to the whole server."""
    assert store_roles.ensure(migrated, line, (postgres.SCHEMA,)).complete
    return store_roles.ROLES
