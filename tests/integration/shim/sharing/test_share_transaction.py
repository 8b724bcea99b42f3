"""The job's completion and the worker's own rows in one transaction: both or neither, whatever crashes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.errors import IllegalStateException, KafkaError, KafkaException
from tests.integration.shim.consumer.scene import fill
from tests.integration.shim.sharing.conftest import MakeShareConsumer
from tests.integration.shim.sharing.scene import WAIT_SECONDS, change, deliveries, statuses, taken

ROOT = Path(__file__).parents[4]
Own = psycopg.Connection[Any]
CRASH = """
import os, signal, sys
import psycopg
from shim import ShareConsumer
url, topic, moment = sys.argv[1:]
consumer = ShareConsumer({"shim.dsn": url, "group.id": "workers"})
consumer.subscribe([topic])
with psycopg.connect(url, autocommit=True) as conn:
    with consumer.transaction(conn, 30) as messages:
        assert len(messages) == 1
        conn.execute("insert into sent values (1)")
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def own(migrated: Connection, migrated_url: str) -> Iterator[Own]:
    """The application's own connection, and its table."""
    migrated.execute("create table sent (number integer)")
    with psycopg.connect(migrated_url, autocommit=True, prepare_threshold=None) as conn:
        yield conn


def sent(conn: Connection) -> int:
    row = conn.execute("select count(*) from sent").fetchone()
    assert row is not None
    return int(row[0])


def test_both_come_true_at_the_commit(share: MakeShareConsumer, migrated: Connection, own: Own, topic: str) -> None:
    fill(migrated, topic, 2)
    consumer, other = share(), share()
    with consumer.transaction(own, 30) as messages:
        assert [message.value() for message in messages] == [b"0"]
        own.execute("insert into sent values (0)")
        assert (statuses(migrated), sent(migrated)) == (["pending", "pending"], 0)
        assert deliveries(taken(other, 1)) == [(1, 1)]
    assert (statuses(migrated), sent(migrated)) == (["completed", "processing"], 1)
    told = "select locked_by is not null, finished_at is not null from job_queue where id = 1"
    assert migrated.execute(told).fetchone() == (True, True)


def test_neither_does_where_the_work_fails_and_the_delivery_is_counted(
    share: MakeShareConsumer, migrated: Connection, own: Own, topic: str
) -> None:
    change(migrated, max_deliveries=2, retry_backoff_ms=1)
    fill(migrated, topic, 1)
    consumer = share()
    counts: list[int | None] = []

    def work() -> None:
        with consumer.transaction(own, 30) as messages:
            counts.extend(message.delivery_count() for message in messages)
            own.execute("insert into sent values (0)")
            raise ValueError("no such user")

    for status in ("pending", "failed"):
        with pytest.raises(ValueError, match="no such user"):
            work()
        assert (statuses(migrated), sent(migrated)) == ([status], 0)
    assert counts == [1, 2]
    told = migrated.execute("select retry_count, last_error from job_queue").fetchone()
    assert told == (2, "no such user")


@pytest.mark.parametrize(("moment", "status", "rows"), [("before", "pending", 0), ("after", "completed", 1)])
def test_a_crash_leaves_both_or_neither(
    migrated: Connection, migrated_url: str, own: Own, topic: str, moment: str, status: str, rows: int
) -> None:
    assert not own.closed
    fill(migrated, topic, 1)
    command = [sys.executable, "-c", CRASH, migrated_url, topic, moment]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert wait_until(lambda: (statuses(migrated), sent(migrated)) == ([status], rows), WAIT_SECONDS)


def test_work_that_takes_too_long_is_ended(
    share: MakeShareConsumer, migrated: Connection, own: Own, topic: str
) -> None:
    fill(migrated, topic, 1)
    consumer = share()

    def work() -> None:
        with consumer.transaction(own, 30, time_limit=0.3):
            own.execute("insert into sent values (0)")
            own.execute("select pg_sleep(30)")

    with pytest.raises(psycopg.Error):
        work()
    assert (statuses(migrated), sent(migrated)) == (["pending"], 0)
    assert migrated.execute("select retry_count from job_queue").fetchone() == (1,)


def test_nothing_due_is_an_empty_transaction(share: MakeShareConsumer, own: Own) -> None:
    with share().transaction(own, 0) as messages:
        own.execute("insert into sent values (7)")
    assert len(messages) == 0
    assert own.execute("select number from sent").fetchall() == [(7,)]


def test_in_a_transaction_that_the_application_ends_itself(
    share: MakeShareConsumer, migrated: Connection, own: Own, topic: str
) -> None:
    change(migrated, retry_backoff_ms=1)
    fill(migrated, topic, 1)
    consumer = share()
    with pytest.raises(KafkaException, match="no transaction has been begun"):
        consumer.poll_in(own)
    with own.transaction(force_rollback=True):
        messages = consumer.poll_in(own, max_records=5)
        assert deliveries(messages) == [(0, 1)]
    assert consumer.count_failure(messages, "rolled back") == 1
    assert wait_until(
        lambda: migrated.execute("select process_after <= now() from job_queue").fetchone() == (True,), 10
    )
    with own.transaction():
        assert deliveries(consumer.poll_in(own)) == [(0, 2)]
    assert statuses(migrated) == ["completed"]
    assert consumer.count_failure(messages, "too late") == 0


def test_what_cannot_be_is_refused(share: MakeShareConsumer, migrated: Connection, own: Own, topic: str) -> None:
    change(migrated, key_order=True)
    fill(migrated, topic, 1)
    consumer = share()
    with pytest.raises(KafkaException, match="keeps the order of its keys") as caught, consumer.transaction(own, 30):
        pytest.fail("it is not begun")
    assert caught.value.args[0] == KafkaError._CONFLICT  # noqa: SLF001  the API's name
    consumer.unsubscribe()
    with pytest.raises(IllegalStateException, match="not subscribed"):
        consumer.poll_in(own)
    with pytest.raises(TypeError, match="expected a psycopg connection"):
        share().poll_in("connection")
