"""A standby takes over, or the server restarts, under an application: it goes on by itself, every promise is kept."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.postgres import EmbeddedPostgres, StopMode
from migrator.embedded.process import wait_until
from shim.store import schema, topics
from tests.faults.shim_application import ACKNOWLEDGED, CONSUMED, FAILURES
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy
from tests.fixtures.replication import StandbyPostgres, StartStandby

SECONDS = 60.0
PARTITIONS = 4
ROOT = Path(__file__).parents[2]
TOPIC, GROUP = "jobs", "workers"

Blow = StopMode | Literal["kill"]


class Place(NamedTuple):
    partition: int
    offset: int


class Application:
    """The program of `tests.faults.shim_application`, and what it has noted so far."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._folder = folder
        self._errors = (folder / "stderr").open("wb")
        argv = [sys.executable, "-m", "tests.faults.shim_application", dsn, TOPIC, GROUP, str(folder)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=self._errors, cwd=ROOT)

    def lines(self, name: str) -> list[list[str]]:
        """The complete lines of its notes, in words."""
        path = self._folder / name
        text = path.read_text(encoding="ascii") if path.exists() else ""
        return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]

    def acknowledged(self) -> dict[Place, int]:
        """The number of each message whose report said that it is stored, by where."""
        return {
            Place(int(partition), int(offset)): int(number) for partition, offset, number in self.lines(ACKNOWLEDGED)
        }

    def failures(self) -> list[str]:
        """What its clients reported that is no message."""
        return [" ".join(words) for words in self.lines(FAILURES)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so while it runs."""
        assert wait_until(lambda: condition() or self.process.poll() is not None, SECONDS), self.said()
        assert self.process.poll() is None, self.said()

    def works_on(self, messages: int = 300) -> None:
        """Wait until so many more are acknowledged and as many more consumed."""
        known = {name: len(self.lines(name)) for name in (ACKNOWLEDGED, CONSUMED)}
        self.wait_for(lambda: all(len(self.lines(name)) >= known[name] + messages for name in known))

    def end(self) -> None:
        """Let it end its work."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(SECONDS) == 0, self.said()

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        self._errors.close()

    def said(self) -> str:
        return (self._folder / "stderr").read_text(encoding="utf-8") + "\n".join(self.failures())


class StartApplication(Protocol):
    def __call__(self, dsn: str) -> Application: ...


@pytest.fixture
def start_application(tmp_path: Path) -> Iterator[StartApplication]:
    started: list[Application] = []

    def start(dsn: str) -> Application:
        started.append(Application(dsn, tmp_path))
        return started[-1]

    yield start
    for application in started:
        application.close()


@pytest.fixture
def primary(own_postgres: OwnPostgres) -> EmbeddedPostgres:
    """A server with the queue's tables and a topic."""
    server = own_postgres(fsync=True)
    with closing(postgres.connect(server.url, "test")) as conn:
        line = schema.store_line()
        schema.upgrade(conn, line)
        assert topics.create_topic(conn, topics.load(line.schemas), TOPIC, PARTITIONS)
    return server


def stored(url: str) -> dict[Place, int]:
    """The number of each message that is there, by where."""
    with psycopg.connect(url) as conn:
        rows = conn.execute("select partition, log_offset, value from job_queue where topic = %s", [TOPIC]).fetchall()
    return {Place(partition, offset): int(value) for partition, offset, value in rows}


def strike(server: EmbeddedPostgres, blow: Blow) -> None:
    """Take a server down and bring it back."""
    if blow == "kill":
        server.kill()
        server.start()
    else:
        server.restart(blow)


def check_log(rows: dict[Place, int], application: Application) -> None:
    """Every message is where its report says, once, nothing else is there, and each partition is in order."""
    assert application.acknowledged() == rows
    assert len(application.lines(ACKNOWLEDGED)) == len(rows) == len(set(rows.values()))
    for partition in range(PARTITIONS):
        numbers = [rows[place] for place in sorted(rows) if place.partition == partition]
        assert numbers == sorted(numbers)


def check_reading(rows: dict[Place, int], application: Application) -> int:
    """Each message was consumed, in order, none passed over; returns how many more than once.

    The consumer may go back, but never behind what it has committed.
    """
    ends = dict.fromkeys(range(PARTITIONS), 0)
    committed = dict.fromkeys(range(PARTITIONS), 0)
    again = 0
    for words in application.lines(CONSUMED):
        if words[0] == "commit":
            committed[int(words[1])] = int(words[2])
            continue
        partition, offset, number = map(int, words)
        assert rows[Place(partition, offset)] == number
        assert committed[partition] <= offset <= ends[partition], words
        again += offset < ends[partition]
        ends[partition] = offset + 1
    assert set(rows) == {Place(partition, offset) for partition, end in ends.items() for offset in range(end)}
    return again


def both(primary: EmbeddedPostgres, standby: StandbyPostgres) -> str:
    """The DSN that names both servers, and wants the one that can be written to."""
    ports = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    return f"postgresql://postgres@{ports}/postgres?target_session_attrs=read-write"


def check(url: str, application: Application) -> None:
    """Nothing acknowledged is lost, nothing is doubled, skipped or out of order, and no message failed."""
    rows = stored(url)
    check_log(rows, application)
    again = check_reading(rows, application)
    failures = application.failures()
    assert not [failure for failure in failures if failure.startswith("produce")]
    print(f"{len(rows)} messages, {again} read again; {failures}")  # noqa: T201


def test_the_other_host_of_the_dsn_takes_over(
    primary: EmbeddedPostgres, start_standby: StartStandby, start_application: StartApplication
) -> None:
    standby = start_standby(primary, synchronous=True)
    application = start_application(both(primary, standby))
    application.works_on()
    primary.stop("immediate")
    standby.promote()
    application.works_on()
    application.end()
    check(standby.url, application)


def test_a_floating_address_moves_to_the_standby(
    primary: EmbeddedPostgres, start_standby: StartStandby, start_application: StartApplication, open_proxy: OpenProxy
) -> None:
    standby = start_standby(primary, synchronous=True)
    address = open_proxy(primary.url)
    application = start_application(address.url_of(primary.url))
    application.works_on()
    primary.kill()
    standby.promote()
    address.upstream = ("127.0.0.1", standby.port)
    application.works_on()
    application.end()
    check(standby.url, application)


@pytest.mark.parametrize("blow", ["fast", "immediate", "kill"])
def test_the_server_comes_back(primary: EmbeddedPostgres, start_application: StartApplication, blow: Blow) -> None:
    application = start_application(primary.url)
    for _ in range(2):
        application.works_on()
        strike(primary, blow)
    application.works_on()
    application.end()
    check(primary.url, application)
