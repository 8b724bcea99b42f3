"""Offsets in the application's own transaction: they come true with its effects, or not at all."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import psycopg2  # type: ignore[import-untyped]  # it ships no type information
import pytest
import sqlalchemy
from django.conf import settings  # type: ignore[import-untyped]  # it ships no type information
from django.db.utils import ConnectionHandler  # type: ignore[import-untyped]  # the same
from sqlalchemy.orm import Session

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaError, KafkaException
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import (
    WAIT_SECONDS,
    MakeConsumer,
    committed,
    expire,
    fill,
    make_topic,
    members,
    oust,
    take,
    until,
    values,
)

Open = Callable[[str], Any]

ROOT = Path(__file__).parents[4]


@pytest.fixture
def topic(migrated: Connection) -> str:
    topic = make_topic(migrated)
    fill(migrated, topic, 5)
    migrated.execute("create table effect (value text)")
    return topic


@pytest.fixture
def reading(consumer: Consumer, topic: str) -> Consumer:
    consumer.subscribe([topic])
    return consumer


def effects(conn: Connection) -> list[str]:
    return [row[0] for row in conn.execute("select value from effect order by value")]


@contextmanager
def by_psycopg(url: str) -> Iterator[tuple[Any, Callable[[str], object]]]:
    with psycopg.connect(url) as conn:
        yield conn, lambda value: conn.execute("insert into effect values (%s)", [value])


@contextmanager
def by_psycopg_autocommit(url: str) -> Iterator[tuple[Any, Callable[[str], object]]]:
    with psycopg.connect(url, autocommit=True) as conn, conn.transaction():
        yield conn, lambda value: conn.execute("insert into effect values (%s)", [value])


@contextmanager
def engine_of(url: str, driver: str = "psycopg") -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", f"postgresql+{driver}://"))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def by_sqlalchemy_session(url: str) -> Iterator[tuple[Any, Callable[[str], object]]]:
    with engine_of(url) as engine, Session(engine) as session, session.begin():
        yield session, lambda value: session.execute(sqlalchemy.text("insert into effect values (:v)"), {"v": value})


@contextmanager
def by_sqlalchemy_connection(url: str) -> Iterator[tuple[Any, Callable[[str], object]]]:
    with engine_of(url) as engine, engine.begin() as conn:
        yield conn, lambda value: conn.execute(sqlalchemy.text("insert into effect values (:v)"), {"v": value})


@contextmanager
def by_django(url: str) -> Iterator[tuple[Any, Callable[[str], object]]]:
    if not settings.configured:
        settings.configure()
    parts = urlsplit(url)
    where = {"NAME": parts.path[1:], "USER": parts.username, "HOST": parts.hostname, "PORT": parts.port}
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql", **where}})
    with closing(handler["default"]) as connection:
        connection.set_autocommit(False)
        own = connection.connection  # Django's cursors want an application around them
        yield connection, lambda value: own.execute("insert into effect values (%s)", [value])
        connection.commit()


WAYS = [by_psycopg, by_psycopg_autocommit, by_sqlalchemy_session, by_sqlalchemy_connection, by_django]


@pytest.mark.parametrize("way", WAYS)
def test_an_offset_comes_true_with_its_effects(
    reading: Consumer, migrated_url: str, migrated: Connection, group: str, way: Open
) -> None:
    message = take(reading, 1)[0]
    with way(migrated_url) as (connection, effect):
        effect((message.value() or b"").decode())
        reading.commit_in(connection, message)
        assert (effects(migrated), committed(migrated, group)) == ([], {})
    assert (effects(migrated), committed(migrated, group)) == (["0"], {0: 1})


@pytest.mark.parametrize("way", WAYS)
def test_or_neither(reading: Consumer, migrated_url: str, migrated: Connection, group: str, way: Open) -> None:
    message = take(reading, 1)[0]
    with suppress(ZeroDivisionError), way(migrated_url) as (connection, effect):
        effect("x")
        reading.commit_in(connection, message)
        raise ZeroDivisionError
    assert (effects(migrated), committed(migrated, group)) == ([], {})


def test_all_forms(reading: Consumer, topic: str, migrated_url: str, migrated: Connection, group: str) -> None:
    take(reading, 3)
    with psycopg.connect(migrated_url) as conn:
        reading.commit_in(conn)
        conn.commit()
        assert committed(migrated, group) == {0: 3}
        reading.commit_in(conn, offsets=[TopicPartition(topic, 0, 2, "beside")])
        reading.commit_in(conn, offsets=[TopicPartition(topic, 0, 4, "beside")])
        conn.commit()
        assert committed(migrated, group) == {0: 4}
        with pytest.raises(KafkaException) as nothing:
            reading.commit_in(conn, offsets=[])
        assert nothing.value.args[0].code() == KafkaError._NO_OFFSET  # noqa: SLF001
        with pytest.raises(ValueError, match="mutually exclusive"):
            reading.commit_in(conn, take(reading, 1)[0], [])
    reading.close()
    with psycopg.connect(migrated_url) as conn, pytest.raises(RuntimeError, match="Consumer closed"):
        reading.commit_in(conn)


@pytest.mark.parametrize("isolation", list(psycopg.IsolationLevel))
def test_whoever_lost_the_partition_cannot_commit(
    reading: Consumer, topic: str, migrated_url: str, migrated: Connection, group: str, isolation: Any
) -> None:
    message = take(reading, 1)[0]
    with psycopg.connect(migrated_url) as conn:
        conn.isolation_level = isolation
        conn.execute("insert into effect values ('of the fenced one')")
        oust(migrated, reading.memberid(), topic, group)
        with pytest.raises((KafkaException, psycopg.errors.SerializationFailure)) as fenced:
            reading.commit_in(conn, message)
        conn.rollback()
    if isinstance(fenced.value, KafkaException):
        assert fenced.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    assert (effects(migrated), committed(migrated, group)) == ([], {})


def test_nobody_takes_over_while_the_transaction_is_open(
    reading: Consumer,
    consumer_of: MakeConsumer,
    topic: str,
    migrated_url: str,
    migrated: Connection,
    group: str,
) -> None:
    """A member that is taken for dead in the middle of its transaction: its heir starts behind it, and not before."""
    message = take(reading, 1)[0]
    heir = consumer_of(migrated_url, group, enable_auto_commit=False)
    heir.subscribe([topic])
    with psycopg.connect(migrated_url) as conn:
        conn.execute("insert into effect values ('0')")
        reading.commit_in(conn, message)
        expire(migrated, reading)
        until(heir, lambda: members(migrated, group) == [heir.memberid()])
        assert heir.poll(0.5) is None
        assert heir.assignment() == []
    assert values(take(heir, 1)) == [b"1"]
    assert (effects(migrated), committed(migrated, group)) == (["0"], {0: 1})


def test_a_rebalance_waits_for_the_transaction(
    reading: Consumer, consumer_of: MakeConsumer, topic: str, migrated_url: str, migrated: Connection, group: str
) -> None:
    """Both polled in one thread, whose own transaction is open: nothing may wait for itself."""
    other = consumer_of(migrated_url, group, enable_auto_commit=False, group_instance_id="0")  # comes first by its id
    message = take(reading, 1)[0]
    with psycopg.connect(migrated_url) as conn:
        reading.commit_in(conn, message)
        other.subscribe([topic])
        until([reading, other], lambda: reading.assignment() == [] and len(members(migrated, group)) == 2)
        assert other.poll(0.3) is None
        assert other.assignment() == []
        assert reading.poll(0.3) is None
    until([reading, other], lambda: reading.assignment() or other.assignment())
    assert committed(migrated, group) == {0: 1}


def test_a_commit_that_would_wait_for_itself_is_refused(
    reading: Consumer, topic: str, migrated_url: str, migrated: Connection, group: str
) -> None:
    message = take(reading, 1)[0]
    with psycopg.connect(migrated_url) as conn:
        reading.commit_in(conn, message)
        with pytest.raises(KafkaException) as refused:
            reading.commit(message, asynchronous=False)
        assert refused.value.args[0].code() == KafkaError._STATE  # noqa: SLF001
        reading.commit_in(conn, offsets=[TopicPartition(topic, 0, 2)])
    reading.commit(message, asynchronous=False)
    assert committed(migrated, group) == {0: 1}


def test_closing_inside_the_transaction(
    reading: Consumer, consumer_of: MakeConsumer, topic: str, migrated_url: str, migrated: Connection, group: str
) -> None:
    message = take(reading, 1)[0]
    with psycopg.connect(migrated_url) as conn:
        reading.commit_in(conn, message)
        reading.close()
    assert committed(migrated, group) == {0: 1}
    heir = consumer_of(migrated_url, group)
    heir.subscribe([topic])
    assert values(take(heir, 1)) == [b"1"]


@pytest.mark.parametrize("settings_of", [{"enable_auto_commit": False}, {"enable_auto_offset_store": False}])
def test_what_it_needs(
    consumer_of: MakeConsumer, topic: str, migrated_url: str, group: str, settings_of: dict[str, Any]
) -> None:
    one = [TopicPartition(topic, 0, 1)]
    with psycopg.connect(migrated_url) as conn:
        with pytest.raises(KafkaException, match=r"enable\.auto\.commit") as automatic:
            consumer_of(migrated_url, group).commit_in(conn, offsets=one)
        assert automatic.value.args[0].code() == KafkaError._STATE  # noqa: SLF001
        consumer_of(migrated_url, group, **settings_of).commit_in(conn, offsets=one)
        conn.rollback()
        conn.autocommit = True
        with pytest.raises(KafkaException, match="autocommit") as no_transaction:
            consumer_of(migrated_url, group, **settings_of).commit_in(conn, offsets=one)
        assert no_transaction.value.args[0].code() == KafkaError._STATE  # noqa: SLF001


def test_other_drivers_are_refused(consumer: Consumer, migrated_url: str, migrated: Connection, group: str) -> None:
    with closing(psycopg2.connect(migrated_url)) as conn, pytest.raises(TypeError, match="psycopg2"):
        consumer.commit_in(conn, offsets=[])
    refused = pytest.raises(TypeError, match="psycopg2")
    with engine_of(migrated_url, "psycopg2") as engine, engine.connect() as other, refused:
        consumer.commit_in(other, offsets=[])
    with pytest.raises(TypeError, match="expected a psycopg connection"):
        consumer.commit_in("postgresql://", offsets=[])
    assert committed(migrated, group) == {}


def test_a_transaction_that_sqlalchemy_has_not_begun(
    reading: Consumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    """The commit is the first thing that the connection is used for, and SQLAlchemy's own ``commit()`` ends it."""
    message = take(reading, 1)[0]
    with engine_of(migrated_url) as engine, engine.connect() as conn:
        reading.commit_in(conn, message)
        conn.commit()
    assert committed(migrated, group) == {0: 1}


def test_effects_happen_once_whatever_happens_to_the_consumers(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, topic: str
) -> None:
    """Two workers, of which one loses its membership again and again in the midst of its work."""
    fill(migrated, topic, [b"%d" % number for number in range(5, 300)])
    done = threading.Event()

    def work(consumer: Consumer) -> None:
        consumer.subscribe([topic])
        with psycopg.connect(migrated_url, prepare_threshold=None) as conn:  # as behind a pooler
            while not done.is_set():
                message = consumer.poll(0.1)
                if message is None or message.error() is not None:
                    continue
                try:
                    with conn.transaction():
                        conn.execute("insert into effect values (%s)", [(message.value() or b"").decode()])
                        consumer.commit_in(conn, message)
                except KafkaException as fenced:
                    error = fenced.args[0].code()
                    assert error in {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION}
                    refused.append(error)

    refused: list[int] = []
    workers = [consumer_of(migrated_url, group, enable_auto_commit=False) for _ in range(2)]
    threads = [threading.Thread(target=work, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for stage in range(20, 300, 40):
            assert wait_until(lambda: len(effects(migrated)) >= stage, WAIT_SECONDS)  # noqa: B023  awaited here
            migrated.execute(
                "update job_group_member set lease_until = clock_timestamp() - interval '1 second'"
                " where member_id in (select holder from job_group_partition)"
            )
        assert wait_until(lambda: committed(migrated, group) == {0: 300}, WAIT_SECONDS)
    finally:
        done.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
    assert sorted(map(int, effects(migrated))) == list(range(300))
    assert refused


WORKER = """
import sys
import psycopg
from shim.consumer import Consumer
from shim.errors import KafkaException
url, topic, group = sys.argv[1:]
conf = {"shim.dsn": url, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
consumer = Consumer({**conf, "session.timeout.ms": 1000, "heartbeat.interval.ms": 100})
consumer.subscribe([topic])
with psycopg.connect(url, prepare_threshold=None) as conn:  # as behind a pooler
    while True:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            try:
                with conn.transaction():
                    conn.execute("insert into effect values (%s)", [message.value().decode()])
                    consumer.commit_in(conn, message)
            except KafkaException:
                pass  # somebody else has it
"""


def test_effects_happen_once_whatever_is_killed(
    migrated_url: str, migrated: Connection, group: str, topic: str
) -> None:
    fill(migrated, topic, [b"%d" % number for number in range(5, 2000)])

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", WORKER, migrated_url, topic, group], cwd=ROOT)

    workers = [start(), start()]
    try:
        for stage in range(200, 2000, 400):
            assert wait_until(lambda: len(effects(migrated)) >= stage, WAIT_SECONDS)  # noqa: B023  awaited here
            holder = workers.pop(0)
            holder.kill()
            holder.wait(WAIT_SECONDS)
            workers.append(start())
        assert wait_until(lambda: committed(migrated, group) == {0: 2000}, 3 * WAIT_SECONDS)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(WAIT_SECONDS)
    assert sorted(map(int, effects(migrated))) == list(range(2000))
