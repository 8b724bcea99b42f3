"""The shim of the release before works on while today's schema is applied beneath it: no error, no loss. A minute."""

import os
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.share_consumer import ShareConsumer
from shim.store import schema
from tests.faults.previous_application import KEYS
from tests.fixtures.postgres import Databases
from tests.integration.shim.consumer.scene import make_topic

ROOT = Path(__file__).parents[2]
APPLICATION = Path(__file__).with_name("previous_application.py")
# The last commit whose shim knows migrations 1 and 2 alone.
PREVIOUS = "5eaea0f138d59d8c03fab0a95e890c65d1fd2edc"
TOPIC = "emails"
SECONDS = 60.0
STRIDE = 150
"""How many messages more show that work goes on."""

BLOCKED = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted"
BUILDING = "select count(*) from pg_stat_progress_create_index"


class Line(NamedTuple):
    """A record in a journal."""

    partition: int
    offset: int
    value: str


class Application:
    """A process of the release before."""

    def __init__(self, shim: Path, role: str, url: str, journal: Path) -> None:
        self._journal = journal
        command = [sys.executable, str(APPLICATION), role, url, TOPIC, str(journal)]
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(shim)}, cwd=shim)

    def lines(self) -> list[Line]:
        """What it has noted; a line that is no record is an error."""
        noted = self._journal.read_text().split("\n")[:-1] if self._journal.exists() else []
        assert not [line for line in noted if not line[:1].isdigit()]
        return [
            Line(int(partition), int(offset), value)
            for partition, offset, value in (line.split(maxsplit=2) for line in noted)
        ]

    def goes_on(self) -> bool:
        """Whether it gets further by so many records."""
        reached = len(self.lines()) + STRIDE
        return wait_until(lambda: self.process.poll() is not None or len(self.lines()) >= reached, SECONDS)

    def end(self) -> None:
        """Ends it in good order."""
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """A folder with the shim of the release before, and nothing else."""
    command = ["git", "-C", str(ROOT), "archive", PREVIOUS, "shim"]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no git history with commit {PREVIOUS[:7]}: a shallow checkout, or no checkout at all")
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def url(databases: Databases, previous: Path, tmp_path: Path) -> str:
    """A database with the tables of that release, made by itself."""
    made = databases.create()
    applied = tmp_path / "applied"
    preparing = Application(previous, "prepare", made, applied)
    assert preparing.process.wait(SECONDS) == 0
    assert applied.read_text() == "1 2\n"
    with closing(postgres.connect(made, "test")) as conn:
        make_topic(conn, 3, TOPIC)
    return made


def upgraded(url: str, applied: list[int]) -> threading.Thread:
    """Starts today's upgrade of the tables."""

    def upgrade() -> None:
        with closing(postgres.connect(url, "upgrade")) as conn:
            applied.extend(one.version for one in schema.upgrade(conn, schema.store_line()))

    thread = threading.Thread(target=upgrade)
    thread.start()
    return thread


def check_in_order(lines: list[Line]) -> None:
    """Each record once, offsets rising in each partition, and each key's values in the order of production."""
    places = [(line.partition, line.offset) for line in lines]
    assert len(set(places)) == len(places)
    for partition in {line.partition for line in lines}:
        offsets = [line.offset for line in lines if line.partition == partition]
        assert offsets == sorted(offsets)
    for key in KEYS:
        numbers = [int(line.value.partition(":")[2]) for line in lines if line.value.startswith(f"{key}:")]
        assert numbers == sorted(set(numbers))
        assert numbers


def until_blocked(conn: Connection, query: str) -> None:
    assert wait_until(lambda: conn.execute(query).fetchone() != (0,), SECONDS), "the upgrade was never kept waiting"


@pytest.mark.slow
@pytest.mark.direct("what waits is seen in pg_locks by its own session")
def test_the_release_before_works_on_while_the_schema_is_applied(url: str, previous: Path, tmp_path: Path) -> None:
    """Two long transactions are in its way: one that holds rows of the queue, one that only holds a snapshot."""
    producer = Application(previous, "produce", url, tmp_path / "produced")
    consumer = Application(previous, "consume", url, tmp_path / "consumed")
    applied: list[int] = []
    try:
        assert consumer.goes_on()
        with (
            closing(postgres.connect(url, "holder")) as holder,
            closing(postgres.connect(url, "reader")) as reader,
            closing(postgres.connect(url, "watcher")) as conn,
        ):
            reader.execute("begin isolation level repeatable read")
            reader.execute("select 1")
            holder.execute("begin")
            holder.execute("insert into job_queue (payload, topic) values ('\"plain:1\"', 'emails')")
            upgrading = upgraded(url, applied)
            until_blocked(conn, BUILDING)  # the index of failed jobs, for the snapshot and for the rows
            assert producer.goes_on()
            assert consumer.goes_on()
            reader.execute("commit")
            holder.execute("commit")
            holder.execute("begin")
            holder.execute("select from job_topic")  # holds up what needs the tables for itself
            until_blocked(conn, BLOCKED)
            assert producer.goes_on()
            assert consumer.goes_on()
            holder.execute("commit")
            upgrading.join(SECONDS)
        newest = schema.store_line().migrations[-1].version
        assert applied == list(range(3, newest + 1))
        assert producer.goes_on()
        producer.end()
        acknowledged = producer.lines()
        assert wait_until(lambda: len(consumer.lines()) > len(acknowledged), SECONDS), "records are missing"
        consumer.end()
    finally:
        for application in (producer, consumer):
            application.process.kill()
            application.process.wait()
    consumed = consumer.lines()
    check_in_order(consumed)
    assert {line for line in consumed if not line.value.endswith('plain:1"')} == set(acknowledged)
    assert len(consumed) == len(acknowledged) + 1
    check_claims(url, consumed)


def check_claims(url: str, consumed: list[Line]) -> None:
    """Today's share consumer gets all rows of the old clients."""
    claimed: set[Line] = set()
    with closing(ShareConsumer({"shim.dsn": url, "group.id": "workers"})) as workers:
        workers.subscribe([TOPIC])

        def goes_on() -> bool:
            for job in workers.poll(1.0):
                assert job.delivery_count() == 1
                claimed.add(Line(job.partition() or 0, job.offset() or 0, (job.value() or b"").decode()))
            return len(claimed) >= len(consumed)

        assert wait_until(goes_on, SECONDS)
    assert claimed == set(consumed)
