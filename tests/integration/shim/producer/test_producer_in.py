"""``produce_in``: a message that exists when and if the application's own transaction commits."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import psycopg2  # type: ignore[import-untyped]  # it ships no type information
import pytest
import sqlalchemy
from django.conf import settings  # type: ignore[import-untyped]  # it ships no type information
from django.db.utils import ConnectionHandler  # type: ignore[import-untyped]  # the same
from psycopg.rows import dict_row
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from migrator.postgres import Connection
from shim.errors import KafkaException
from shim.producer import Producer
from shim.protocol.codes import Broker, Local
from shim.store import sequence
from shim.store.partitioner import crc32
from shim.store.schema import Line
from tests.integration.shim.producer.scene import MakeProducer, make_topic, stored

COUNT = "select count(*) as rows, count(log_offset) as numbered from job_queue"


@pytest.fixture
def conn(migrated_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The application's connection; its rows are dicts."""
    with closing(psycopg.connect(migrated_url, row_factory=dict_row)) as opened:
        opened.execute("create table orders (id integer)")
        opened.commit()
        yield opened


@pytest.fixture
def number(migrated: Connection, line: Line) -> Callable[[str], int]:
    """Gives offsets to what was committed, as consumers do."""
    texts = sequence.load(line.schemas)
    return lambda topic: sequence.sequence(migrated, texts, topic)


def test_the_message_and_the_applications_rows_commit_together(
    producer: Producer,
    conn: psycopg.Connection[Any],
    migrated: Connection,
    number: Callable[[str], int],
) -> None:
    make_topic(migrated, "topic", 12)
    conn.execute("insert into orders values (1)")
    producer.produce_in(conn, "topic", '{"order": 1}', "order-1", timestamp=77, headers={"h": "1"})
    assert migrated.execute(COUNT).fetchone() == (0, 0)
    conn.commit()
    assert migrated.execute(COUNT).fetchone() == (1, 0)
    assert number("topic") == 1
    (row,) = stored(migrated, "topic")
    assert (row.partition, row.offset) == (crc32(b"order-1") % 12, 0)
    assert (row.key, row.value, row.headers) == (b"order-1", b'{"order": 1}', [b"h", b"1"])
    assert (row.encoding, row.payload, row.timestamp_ms) == ("json", {"order": 1}, 77)


def test_they_roll_back_together(producer: Producer, conn: psycopg.Connection[Any], migrated: Connection) -> None:
    conn.execute("insert into orders values (1)")
    producer.produce_in(conn, "topic", "v")
    conn.rollback()
    assert migrated.execute(COUNT).fetchone() == (0, 0)
    assert migrated.execute("select count(*) from orders").fetchone() == (0,)
    assert len(producer) == 0


def test_a_savepoint(producer: Producer, conn: psycopg.Connection[Any], migrated: Connection) -> None:
    with conn.transaction():
        producer.produce_in(conn, "topic", "kept")
        with conn.transaction(force_rollback=True):
            producer.produce_in(conn, "topic", "dropped")
    assert [row.value for row in stored(migrated, "topic")] == [b"kept"]


def test_without_a_transaction_it_commits_at_once(producer: Producer, migrated: Connection) -> None:
    producer.produce_in(migrated, "topic", "v")
    assert migrated.execute(COUNT).fetchone() == (1, 0)


def test_it_holds_up_nobody(producer: Producer, conn: psycopg.Connection[Any], migrated: Connection) -> None:
    """Others produce to the partition, and read it, while the transaction is open."""
    make_topic(migrated, "topic")
    producer.produce_in(conn, "topic", "waits")
    producer.produce("topic", "passes")
    assert producer.flush(20) == 0
    assert [(row.value, row.offset) for row in stored(migrated, "topic")] == [(b"passes", 0)]
    conn.commit()


@pytest.mark.parametrize(
    ("value", "encoding"),
    [(b"{text}", "text"), (b'{"nul": "\\u0000"}', "json-22P05"), (b"\xff", "bytes"), (None, "tombstone")],
    ids=repr,
)
def test_no_value_breaks_the_transaction(
    producer: Producer, conn: psycopg.Connection[Any], migrated: Connection, value: bytes | None, encoding: str
) -> None:
    producer.produce_in(conn, "topic", value)
    conn.execute("insert into orders values (1)")
    conn.commit()
    assert [(row.value, row.encoding) for row in stored(migrated, "topic")] == [(value, encoding)]


def test_what_cannot_go_leaves_the_transaction_as_it_is(
    producer: Producer, conn: psycopg.Connection[Any], migrated: Connection
) -> None:
    make_topic(migrated, "theirs")
    make_topic(migrated, "topic")
    migrated.execute("update job_topic set sequencer = 'kafka' where topic = 'theirs'")
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"topic": "theirs"}, Local.STATE),
        ({"topic": "no name"}, Broker.TOPIC_EXCEPTION),
        ({"topic": "topic", "partition": 1}, Local.UNKNOWN_PARTITION),
        ({"topic": "topic", "partition": -2}, Local.UNKNOWN_PARTITION),
        ({"topic": "topic", "value": b"v" * 1_000_001}, Broker.MSG_SIZE_TOO_LARGE),
    ]
    conn.execute("insert into orders values (1)")
    for fields, code in wrong:
        with pytest.raises(KafkaException) as caught:
            producer.produce_in(conn, **fields)
        assert caught.value.args[0].code() == code
    with pytest.raises(TypeError):
        producer.produce_in(conn, "topic", 5)  # type: ignore[arg-type]  # that is the test
    producer.produce_in(conn, "topic", "v")
    conn.commit()
    assert migrated.execute(COUNT).fetchone() == (1, 0)
    assert migrated.execute("select count(*) from orders").fetchone() == (1,)


def test_a_cutover_back_is_noticed(producer: Producer, conn: psycopg.Connection[Any], migrated: Connection) -> None:
    producer.produce_in(conn, "topic", "v")
    conn.commit()
    migrated.execute("update job_topic set sequencer = 'kafka'")
    with pytest.raises(KafkaException, match="migrator cutover"):
        producer.produce_in(conn, "topic", "v")


def test_a_topic_of_the_transactions_own(producer: Producer, conn: psycopg.Connection[Any]) -> None:
    conn.execute("insert into job_topic (topic, partitions) values ('own', 1)")
    conn.execute("insert into job_partition (topic, partition) values ('own', 0)")
    producer.produce_in(conn, "own", "v")
    conn.commit()
    assert conn.execute(COUNT).fetchone() == {"rows": 1, "numbered": 0}


def test_a_transaction_older_than_the_topic(
    producer: Producer, conn: psycopg.Connection[Any], migrated: Connection
) -> None:
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.execute("select from orders")
    with pytest.raises(KafkaException, match="does not see topic") as caught:
        producer.produce_in(conn, "topic", "v")
    assert caught.value.args[0].code() == Broker.UNKNOWN_TOPIC_OR_PART
    conn.rollback()
    producer.produce_in(conn, "topic", "v")
    conn.commit()
    assert migrated.execute(COUNT).fetchone() == (1, 0)


def test_errors_of_the_transaction_are_the_drivers(producer: Producer, conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn):
        conn.execute("select nothing")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        producer.produce_in(conn, "topic", "v")


def test_another_database(producer_of: MakeProducer, conn: psycopg.Connection[Any], migrated: Connection) -> None:
    """The message goes where the transaction is, and the producer needs no database of its own for a known topic."""
    make_topic(migrated, "topic")
    producer = producer_of("postgresql://nobody@127.0.0.1:9/none")
    producer.produce_in(conn, "topic", "v")
    conn.commit()
    assert migrated.execute(COUNT).fetchone() == (1, 0)
    with pytest.raises(KafkaException) as caught:
        producer.produce_in(conn, "unknown", "v")
    assert caught.value.args[0].code() == Local.TRANSPORT


@contextmanager
def engine(url: str, driver: str) -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine(url.replace("postgresql://", f"postgresql+{driver}://"))
    yield made
    made.dispose()


@pytest.fixture
def alchemy(migrated_url: str) -> Iterator[sqlalchemy.Engine]:
    with engine(migrated_url, "psycopg") as made:
        yield made


def django_connection(url: str) -> Any:
    """Django's wrapper of a connection, which connects when it is first used."""
    if not settings.configured:
        settings.configure()
    parts = urlsplit(url)
    where = {"NAME": parts.path[1:], "USER": parts.username, "HOST": parts.hostname, "PORT": parts.port}
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql", **where}})
    return handler["default"]


def test_a_session_of_sqlalchemy(producer: Producer, alchemy: sqlalchemy.Engine, migrated: Connection) -> None:
    with Session(alchemy) as session:
        producer.produce_in(session, "topic", "dropped")
        session.rollback()
        session.execute(sqlalchemy.text("create table orders ()"))
        producer.produce_in(session, "topic", "kept")
        assert migrated.execute(COUNT).fetchone() == (0, 0)
        session.commit()
    assert [row.value for row in stored(migrated, "topic")] == [b"kept"]
    assert migrated.execute("select count(*) from orders").fetchone() == (0,)


def test_a_scoped_session_of_sqlalchemy(producer: Producer, alchemy: sqlalchemy.Engine, migrated: Connection) -> None:
    session = scoped_session(sessionmaker(alchemy))
    producer.produce_in(session, "topic", "v")
    session.commit()
    session.remove()
    assert migrated.execute(COUNT).fetchone() == (1, 0)


def test_a_connection_of_sqlalchemy(producer: Producer, alchemy: sqlalchemy.Engine, migrated: Connection) -> None:
    with alchemy.begin() as connection:
        producer.produce_in(connection, "topic", "v")
    assert migrated.execute(COUNT).fetchone() == (1, 0)


def test_djangos_connection(producer: Producer, migrated: Connection, migrated_url: str) -> None:
    with closing(django_connection(migrated_url)) as connection:
        connection.set_autocommit(False)
        producer.produce_in(connection, "topic", "dropped")
        connection.rollback()
        producer.produce_in(connection, "topic", "kept")
        assert migrated.execute(COUNT).fetchone() == (0, 0)
        connection.commit()
    assert [row.value for row in stored(migrated, "topic")] == [b"kept"]


@pytest.mark.parametrize("given", [None, "postgresql://localhost", 5, object()], ids=lambda given: type(given).__name__)
def test_what_is_no_connection(producer: Producer, given: object) -> None:
    with pytest.raises(TypeError, match="expected a psycopg connection"):
        producer.produce_in(given, "topic", "v")


def test_a_connection_of_psycopg2(producer: Producer, migrated_url: str) -> None:
    with closing(psycopg2.connect(migrated_url)) as bare, pytest.raises(TypeError, match="a connection of psycopg2"):
        producer.produce_in(bare, "topic", "v")


def test_a_session_on_psycopg2(producer: Producer, migrated_url: str) -> None:
    with engine(migrated_url, "psycopg2") as made, Session(made) as session, pytest.raises(TypeError, match="psycopg2"):
        producer.produce_in(session, "topic", "v")


def test_an_asynchronous_connection(producer: Producer, migrated_url: str) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(migrated_url) as bare:
            with pytest.raises(TypeError, match="a synchronous connection"):
                producer.produce_in(bare, "topic", "v")

    asyncio.run(work())


class AsyncSession:
    """Named like SQLAlchemy's, which needs another package to be imported."""

    __module__ = "sqlalchemy.ext.asyncio.session"


def test_an_asynchronous_session(producer: Producer) -> None:
    with pytest.raises(TypeError, match="a synchronous connection"):
        producer.produce_in(AsyncSession(), "topic", "v")
