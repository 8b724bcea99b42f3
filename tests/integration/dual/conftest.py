from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator import postgres
from migrator.embedded.parts import Broker
from migrator.postgres import Connection
from shim.store import pool
from tests.fixtures.cli import create_tables
from tests.fixtures.postgres import Databases
from tests.integration.dual.scene import Scene


@pytest.fixture(autouse=True)
def _no_pool_is_left() -> Iterator[None]:
    yield
    pool.close_all()


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    with closing(postgres.connect(url, "test")) as opened:
        yield opened


@pytest.fixture
def scene(broker: Broker, url: str, conn: Connection) -> Scene:
    """A topic in Kafka that Postgres knows, and both ways to write it."""
    return Scene(broker.bootstrap_servers, url, conn)
