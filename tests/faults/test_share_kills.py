"""A share group under kills, freezes and restarts: every job is done once by its token, and poison ends as failed."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.errors import CannotStartError
from migrator.postgres import Connection
from tests.fixtures.postgres import OwnPostgres
from tests.integration.shim.conftest import migrate
from tests.integration.shim.consumer.scene import fill, make_topic

ROOT = Path(__file__).parents[2]
TOPIC = "emails"
LEASE_S = 2.0
SECONDS = 60.0
CRASHES = 1
FAILURES = 3
MOST = 8
"""Deliveries of a job before it has failed."""


class Fleet:
    """Processes of workers, which are started again when they die."""

    def __init__(self, url: str, journals: Path, processes: int, threads: int) -> None:
        self._command = [sys.executable, "-m", "tests.faults.share_worker", url, TOPIC, str(threads), str(journals)]
        self._journals = journals
        self.processes = [self._start() for _ in range(processes)]
        self.faults: Counter[str] = Counter()

    def kill(self, dice: random.Random) -> None:
        """Kills one, which is replaced."""
        dice.choice(self.processes).kill()
        self.faults["kill"] += 1
        self.replaced()

    def freeze(self, dice: random.Random, url: str) -> None:
        """Stops one until its leases have run out and others have recovered what it held."""
        chosen = dice.choice(self.processes)
        os.kill(chosen.pid, signal.SIGSTOP)
        with closing(postgres.connect(url, "test")) as conn:
            held = f"status = 'processing' and locked_by like '%:{chosen.pid}:%'"
            recovered = wait_until(lambda: self.replaced() and count(conn, held) == 0, SECONDS)
        os.kill(chosen.pid, signal.SIGCONT)
        assert recovered, "nobody took over from a worker that was frozen"
        self.faults["freeze"] += 1

    def replaced(self) -> bool:
        """Starts another one for each that has died; True."""
        for place, process in enumerate(self.processes):
            if process.poll() is not None:
                assert process.returncode == -signal.SIGKILL
                self.processes[place] = self._start()
        return True

    def end(self) -> None:
        """Ends all."""
        for process in self.processes:
            process.kill()
            process.wait()

    def journal(self) -> Counter[tuple[str, int]]:
        """How often the shim told what of each offset; a last line that was cut off by a kill does not count."""
        lines = (line for path in self._journals.iterdir() for line in path.read_text().split("\n")[:-1])
        return Counter((word, int(offset)) for word, offset in map(str.split, lines))

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL)


def prepare(url: str, jobs: int) -> None:
    migrate(url)
    with closing(postgres.connect(url, "test")) as conn:
        make_topic(conn, 1, TOPIC)
        conn.execute(
            "update job_topic set lease_ms = %s, max_deliveries = %s, retry_backoff_ms = 100",
            [int(LEASE_S * 1000), MOST],
        )
        poison = [b"crash"] * CRASHES + [b"fail"] * FAILURES
        fill(conn, TOPIC, [*(b"%d" % number for number in range(jobs)), *poison])


def left(url: str) -> int:
    try:
        with closing(postgres.connect(url, "test")) as conn:
            return count(conn, "status in ('pending', 'processing')")
    except CannotStartError:  # it is being restarted
        return -1


def count(conn: Connection, condition: str) -> int:
    row = conn.execute(f"select count(*) from job_queue where {condition}").fetchone()
    assert row is not None
    return int(row[0])


def run(own_postgres: OwnPostgres, journals: Path, *, processes: int, threads: int, jobs: int, faults: int) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)  # noqa: S311
    server = own_postgres(fsync=True, settings={"max_connections": "300"})
    prepare(server.url, jobs)
    fleet = Fleet(server.url, journals, processes, threads)
    try:
        for number in range(faults):
            Event().wait(dice.uniform(0.2, 1.0))
            fleet.replaced()
            if number % 5 == 3:
                fleet.freeze(dice, server.url)
            elif number % 5 == 4:
                server.stop("immediate")
                server.start()
                fleet.faults["restart"] += 1
            else:
                fleet.kill(dice)
        assert wait_until(lambda: fleet.replaced() and left(server.url) == 0, 600)
    finally:
        fleet.end()
    judge(server.url, fleet, jobs)


def judge(url: str, fleet: Fleet, jobs: int) -> None:
    journal = fleet.journal()
    with closing(postgres.connect(url, "test")) as conn:
        completed, failed = count(conn, "status = 'completed'"), count(conn, "status = 'failed'")
        again = count(conn, "retry_count > 0")
        values = conn.execute("select distinct convert_from(value, 'UTF8') from job_queue where status = 'failed'")
        poison = sorted(row[0] for row in values)
    told = {offset: times for (word, offset), times in journal.items() if word == "ok" and offset < jobs}
    lost = sum(times for (word, _), times in journal.items() if word == "lost")
    print(  # noqa: T201
        f"{completed} completed, {failed} failed, {len(told)} told, {lost} too late, {again} delivered again, "
        f"faults {dict(fleet.faults)}"
    )
    assert (completed, failed, poison) == (jobs, CRASHES + FAILURES, ["crash", "fail"])
    assert set(told.values()) == {1}, "two were told that they had done the same job"
    assert len(told) <= completed
    assert min(fleet.faults[fault] for fault in ("kill", "freeze", "restart")) > 0


def test_a_small_fleet_under_five_faults(own_postgres: OwnPostgres, tmp_path: Path) -> None:
    run(own_postgres, tmp_path, processes=2, threads=3, jobs=2_000, faults=5)


@pytest.mark.slow  # 4 minutes on two idle cores
@pytest.mark.timeout(1800)
def test_eight_processes_of_twenty_five_workers_under_fifty_faults(own_postgres: OwnPostgres, tmp_path: Path) -> None:
    run(own_postgres, tmp_path, processes=8, threads=25, jobs=100_000, faults=50)
