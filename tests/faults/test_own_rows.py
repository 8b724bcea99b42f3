"""The job and the user's own row in one transaction: a crash of anybody, anywhere, leaves both or neither."""

import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.errors import CannotStartError
from tests.faults.own_rows import TABLES, TOPIC
from tests.fixtures.postgres import OwnPostgres
from tests.integration.shim.conftest import migrate
from tests.integration.shim.consumer.scene import make_topic

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
WORK = 20
PARTS = ("produce", "transaction", "poll_in")
COUNTS = f"""
select (select count(*) from orders), (select count(*) from job_queue where topic = '{TOPIC}'),
  (select count(*) from sent), (select count(*) from job_queue where topic = '{TOPIC}' and status = 'completed')
"""
ONCE = f"""
select (
    select count(*) from orders
    full join (select (value_of.text)::bigint as id, count(*) as jobs
      from job_queue, convert_from(value, 'UTF8') as value_of (text) where topic = '{TOPIC}' group by 1) as job
    using (id) where job.jobs is distinct from 1 or orders.id is null
  ), (
    select count(*) from orders
    full join (select order_id as id, count(*) as times from sent group by 1) as done
    using (id) where done.times is distinct from 1 or orders.id is null
  )
"""


class Applications:
    """Two processes of each part, which are started again when they are killed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.processes = [(part, self._start(part)) for part in PARTS for _ in range(2)]
        self.faults: Counter[str] = Counter()

    def kill(self, part: str) -> None:
        """Kills one that does this part, and starts another one."""
        place = next(place for place, (name, _) in enumerate(self.processes) if name == part)
        _, process = self.processes.pop(place)
        assert process.poll() is None, "it ended by itself"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        self.faults[f"kill {part}"] += 1
        self.processes.append((part, self._start(part)))

    def end(self, *parts: str) -> None:
        """Kills all that do these parts."""
        for part, process in self.processes:
            if part in parts:
                process.kill()
                process.wait()

    def _start(self, part: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "tests.faults.own_rows", self._url, part], cwd=ROOT)


def ask(url: str, query: str) -> tuple[Any, ...]:
    """What one query says, in one snapshot."""
    with closing(postgres.connect(url, "test")) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row


def both_or_neither(url: str) -> tuple[int, int]:
    """How many orders and how many sent ones there are at this moment: each with its job, in the state that belongs."""
    orders, jobs, sent, completed = ask(url, COUNTS)
    assert (orders, sent) == (jobs, completed)
    return orders, sent


def has_gone_on(url: str, since: tuple[int, int]) -> bool:
    """Whether some orders were made and some jobs were done since."""
    try:
        orders, sent = both_or_neither(url)
    except CannotStartError:  # it is being restarted
        return False
    return orders > since[0] + WORK and sent > since[1] + WORK


def go_on(url: str) -> None:
    """Lets some work be done."""
    before = both_or_neither(url)
    assert wait_until(lambda: has_gone_on(url, before), SECONDS)


def run(own_postgres: OwnPostgres, faults: int) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)  # noqa: S311
    server = own_postgres(fsync=True)
    migrate(server.url)
    with closing(postgres.connect(server.url, "test")) as conn:
        make_topic(conn, 2, TOPIC)
        conn.execute(TABLES)
    applications = Applications(server.url)
    strikes = [*PARTS, "restart"]
    try:
        for number in range(faults):
            go_on(server.url)
            Event().wait(dice.uniform(0, 0.1))
            if strikes[number % len(strikes)] == "restart":
                server.stop("immediate")
                server.start()
                applications.faults["restart"] += 1
            else:
                applications.kill(strikes[number % len(strikes)])
        go_on(server.url)
        applications.end("produce")
        pending = f"select count(*) from job_queue where topic = '{TOPIC}' and status <> 'completed'"
        assert wait_until(lambda: ask(server.url, pending) == (0,), SECONDS)
    finally:
        applications.end(*PARTS)
    judge(server.url, applications, strikes)


def judge(url: str, applications: Applications, strikes: list[str]) -> None:
    orders, sent = both_or_neither(url)
    (torn,) = ask(
        url, "select (select max(id) from orders) - count(*) + (select max(id) from sent) - count(*) from sent"
    )
    print(f"{orders} orders, {sent} sent, faults {dict(applications.faults)}, {torn} numbers of rows rolled back")  # noqa: T201
    assert ask(url, ONCE) == (0, 0)
    assert orders == sent > 0
    assert torn > 0, "no fault struck inside of a transaction"
    wanted = {"restart" if strike == "restart" else f"kill {strike}" for strike in strikes}
    assert applications.faults.keys() == wanted


def test_a_crash_anywhere_leaves_both_or_neither(own_postgres: OwnPostgres) -> None:
    run(own_postgres, faults=4)


@pytest.mark.slow  # 2 minutes on two idle cores
@pytest.mark.timeout(1200)
def test_sixty_crashes_leave_both_or_neither(own_postgres: OwnPostgres) -> None:
    run(own_postgres, faults=60)
