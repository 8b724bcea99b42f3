"""The two sides as fixtures, and the counts at the end of a run."""

import gc
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from migrator.embedded.parts import Broker
from shim.store import schema
from shim.store.pool import close_all
from tests.conformance.comparison import PROPERTY, Comparison, case_of, differs
from tests.conformance.side import Family, Side
from tests.fixtures import pgbouncer
from tests.fixtures.postgres import Databases


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "differs(name): expects the named line of tests.conformance.differences")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        case = case_of(item)
        if case is not None:
            item.user_properties.append((PROPERTY, list(case)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    comparison = Comparison(report for report in reports if isinstance(report, pytest.TestReport))
    if comparison:
        for line in comparison.lines():
            terminalreporter.write_line(line)


def _migrate(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as conn:
        schema.upgrade(conn, schema.store_line())


@pytest.fixture(scope="session")
def queue_url(databases: Databases) -> Iterator[str]:
    """A database with the queue's tables, for the session; topics and groups in it are a test's own."""
    url = databases.create(_migrate)
    yield url
    close_all()
    databases.drop(url)


@pytest.fixture(scope="session")
def kafka_family(broker: Broker) -> Iterator[Family]:
    """The original on Apache Kafka."""
    if broker.kind == "mock":
        pytest.skip("the specification is what Apache Kafka does, and there is only the mock cluster")
    yield Family("kafka", "confluent_kafka", broker.bootstrap_servers)
    gc.collect()  # clients in tracebacks of expected errors would complain that the broker is gone


@pytest.fixture(scope="session")
def shim_family(queue_url: str) -> Family:
    """The shim on Postgres."""
    return Family("shim", "shim", queue_url, pgbouncer.client_settings())


@pytest.fixture(scope="session", params=["kafka", "shim"])
def family(request: pytest.FixtureRequest) -> Family:
    """The client and its server: each test runs once on either."""
    found: Family = request.getfixturevalue(f"{request.param}_family")
    return found


@pytest.fixture
def side(family: Family, request: pytest.FixtureRequest) -> Iterator[Side]:
    """One side's names, and clients that are closed when the test is over."""
    opened = Side(family, differs(request.node) or None)
    yield opened
    opened.close()
