"""An application's effects, what it produces and its offsets in one transaction, by whatever it works with.

A message is read, a row is written, another message follows from it, and the offset is committed: all of it comes
true, or none. Each way is written as an application writes it.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import django  # type: ignore[import-untyped]  # it ships no type information
import psycopg
import psycopg2  # type: ignore[import-untyped]  # the same
import pytest
import sqlalchemy
from django.conf import settings  # type: ignore[import-untyped]  # the same
from django.db import transaction  # type: ignore[import-untyped]  # the same
from django.db.utils import ConnectionHandler  # type: ignore[import-untyped]  # the same
from sqlalchemy.orm import Session

from migrator.postgres import Connection
from shim import Consumer, Producer
from tests.fixtures.pgbouncer import client_settings

SECONDS = 20.0
REFUSAL = r"this is a connection of psycopg2; wanted is one of psycopg 3 \(package 'psycopg'\)"

Execute = Callable[[str], object]
Way = Callable[[str], AbstractContextManager[tuple[Any, Execute]]]


@contextmanager
def psycopg_transaction(url: str) -> Iterator[tuple[Any, Execute]]:
    with psycopg.connect(url, prepare_threshold=None) as conn:
        yield conn, lambda statement: conn.execute(statement.encode())


@contextmanager
def engine_of(url: str, driver: str = "psycopg") -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine(url.replace("postgresql:", f"postgresql+{driver}:"))
    try:
        yield made
    finally:
        made.dispose()


@contextmanager
def sqlalchemy_session(url: str) -> Iterator[tuple[Any, Execute]]:
    with engine_of(url) as engine, Session(engine) as session, session.begin():
        yield session, lambda statement: session.execute(sqlalchemy.text(statement))


@contextmanager
def sqlalchemy_connection(url: str) -> Iterator[tuple[Any, Execute]]:
    with engine_of(url) as engine, engine.begin() as conn:
        yield conn, lambda statement: conn.execute(sqlalchemy.text(statement))


@contextmanager
def django_atomic(url: str) -> Iterator[tuple[Any, Execute]]:
    if not settings.configured:
        settings.configure()
    django.setup()
    parts = urlsplit(url)
    where = {"NAME": parts.path[1:], "USER": parts.username, "HOST": parts.hostname, "PORT": parts.port}
    connections = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql", **where}})
    with pytest.MonkeyPatch.context() as patch, closing(connections["default"]) as connection:
        patch.setattr(transaction, "connections", connections)  # in place of a site's own settings
        with transaction.atomic(), connection.cursor() as cursor:
            yield connection, cursor.execute


WAYS = [psycopg_transaction, sqlalchemy_session, sqlalchemy_connection, django_atomic]


@pytest.fixture
def conf(migrated_url: str) -> dict[str, object]:
    return {"shim.dsn": migrated_url, **client_settings()}


@pytest.fixture
def producer(conf: dict[str, object]) -> Iterator[Producer]:
    with Producer({**conf, "linger.ms": 0}) as made:
        made.produce("orders", "order 1")
        assert made.flush(SECONDS) == 0
        yield made


@pytest.fixture
def consumer(conf: dict[str, object], producer: Producer) -> Iterator[Consumer]:  # noqa: ARG001  it makes the topic
    group = {"group.id": "workers", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    with Consumer({**conf, **group}) as made:
        made.subscribe(["orders"])
        yield made


@pytest.fixture
def conn(migrated: Connection) -> Connection:
    """A look from outside of the transaction."""
    migrated.execute("create table invoice (text text)")
    return migrated


def work(url: str, way: Way, consumer: Consumer, producer: Producer) -> Generator[None, None, None]:
    """Does one message's work; stops once, when all is done and nothing committed."""
    message = consumer.poll(SECONDS)
    assert message is not None
    assert message.value() == b"order 1"
    with way(url) as (connection, execute):
        execute("insert into invoice values ('of order 1')")
        producer.produce_in(connection, "mails", "about order 1")
        consumer.commit_in(connection, message)
        yield


def outcome(conn: Connection) -> tuple[list[str], list[bytes], list[int]]:
    """The effects, the messages that followed, and the group's offsets."""
    invoices = [row[0] for row in conn.execute("select text from invoice")]
    mails = [row[0] for row in conn.execute("select value from job_queue where topic = 'mails'")]
    offsets = [row[0] for row in conn.execute("select committed_offset from job_group_offset")]
    return invoices, mails, offsets


@pytest.mark.parametrize("way", WAYS)
def test_all_come_true_together(
    consumer: Consumer, producer: Producer, conn: Connection, migrated_url: str, way: Way
) -> None:
    for _ in work(migrated_url, way, consumer, producer):
        assert outcome(conn) == ([], [], [])
    assert outcome(conn) == (["of order 1"], [b"about order 1"], [1])


@pytest.mark.parametrize("way", WAYS)
def test_or_none_does(consumer: Consumer, producer: Producer, conn: Connection, migrated_url: str, way: Way) -> None:
    at_work = work(migrated_url, way, consumer, producer)
    next(at_work)
    with pytest.raises(ZeroDivisionError):
        at_work.throw(ZeroDivisionError())
    assert outcome(conn) == ([], [], [])


@contextmanager
def bare_psycopg2(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url)) as conn:
        yield conn


@contextmanager
def session_on_psycopg2(url: str) -> Iterator[Any]:
    with engine_of(url, "psycopg2") as engine, Session(engine) as session:
        yield session


@contextmanager
def connection_on_psycopg2(url: str) -> Iterator[Any]:
    with engine_of(url, "psycopg2") as engine, engine.connect() as conn:
        yield conn


@pytest.mark.parametrize("way", [bare_psycopg2, session_on_psycopg2, connection_on_psycopg2])
def test_psycopg2_is_refused_with_what_it_takes(
    consumer: Consumer,
    producer: Producer,
    conn: Connection,
    migrated_url: str,
    way: Callable[[str], AbstractContextManager[Any]],
) -> None:
    message = consumer.poll(SECONDS)
    with way(migrated_url) as connection:
        with pytest.raises(TypeError, match=REFUSAL):
            producer.produce_in(connection, "mails", "v")
        with pytest.raises(TypeError, match=REFUSAL):
            consumer.commit_in(connection, message)
    assert outcome(conn) == ([], [], [])
