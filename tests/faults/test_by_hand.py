"""Jobs worked on in psql by hand, by plain statements and by share consumers, under kills: no job has two workers.

What was handed to whom is noted by whoever was handed it; what became of a job is noted by a trigger of the test's own,
in the transaction in which it became so. A job may be handed out again only after its claim ran out, which is counted,
or after the transaction that held it was rolled back, which only a kill of its psql does.
"""

import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Event

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from tests.fixtures.postgres import Databases
from tests.integration.shim import article
from tests.integration.shim.conftest import migrate
from tests.integration.shim.consumer.scene import fill, make_topic

ROOT = Path(__file__).parents[2]
SECONDS = 240.0
TOPIC = "emails"
LEASE_S = 10
JOBS = 1_000
"""New ones before each kill."""
KILLS = 4
"""Of each kind."""
ROLLED_BACK = "psql in a transaction"
KINDS = ("share", "page", "psql in one", ROLLED_BACK)
AUDIT = """
create table ended (job bigint, pid integer default pg_backend_pid());
create function note_end() returns trigger language plpgsql as
  $$ begin insert into ended (job) values (new.id); return null; end $$;
create trigger note_end after update on job_queue
  for each row when (new.status = 'completed') execute function note_end();
"""
"""Every change that leaves a job completed is an end: also one that completes what was completed already."""


class Program:
    """A worker in a process of its own, of the shim or of the page."""

    def __init__(self, kind: str, url: str, journal: Path) -> None:
        self._journal = journal
        command = [sys.executable, "-m", "tests.faults.by_hand", kind, url, TOPIC, str(journal)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def handed(self) -> list[int]:
        """The jobs that it was handed; a last line that was cut off by a kill does not count."""
        text = self._journal.read_text(encoding="ascii") if self._journal.exists() else ""
        return [int(line) for line in text.split("\n")[:-1]]

    def kill(self) -> None:
        """Kills it."""
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL


class Hand:
    """Somebody who types the article's statements into psql, and waits for each answer."""

    def __init__(self, kind: str, url: str) -> None:
        self._in_one = kind == "psql in one"
        self._handed: list[int] = []
        self._process = subprocess.Popen(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._thread = threading.Thread(target=self._type)
        self._thread.start()

    def handed(self) -> list[int]:
        """The jobs that it was handed."""
        return list(self._handed)

    def kill(self) -> None:
        """Kills psql."""
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _type(self) -> None:
        try:
            while True:
                if self._in_one:
                    self._complete(self._ask(article.CLAIM_IN_ONE))
                else:
                    self._ask("begin")
                    ids = self._ask(article.CLAIM)
                    self._ask(_of(article.START, ids))
                    self._complete(ids)
                    self._ask("commit")
        except (EOFError, BrokenPipeError):
            return

    def _complete(self, ids: list[int]) -> None:
        Event().wait(0.005)  # the work
        self._ask(_of(article.COMPLETE, ids))

    def _ask(self, statement: str) -> list[int]:
        """Types a statement, and returns the ids of the jobs that it answers with."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{statement};\n\\echo done\n")
        ids = []
        while (line := self._process.stdout.readline()) != "done\n":
            if not line:
                raise EOFError
            if line.strip():
                id_, number = line.split("|")
                ids.append(int(id_))
                self._handed.append(int(number))
        return ids


Worker = Program | Hand


class Crowd:
    """All of them side by side; who is killed is replaced."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._all: list[tuple[str, Worker]] = []
        self._alive: list[tuple[str, Worker]] = []
        self._torn: list[Worker] = []
        self.kills: Counter[str] = Counter()
        for kind in KINDS:
            self._start(kind)
            self._start(kind)

    def kill(self, kind: str) -> None:
        """Kills one of this kind, and starts another one."""
        place = next(place for place, (name, _) in enumerate(self._alive) if name == kind)
        _, worker = self._alive.pop(place)
        worker.kill()
        if kind == ROLLED_BACK:
            self._torn.append(worker)
        self.kills[kind] += 1
        self._start(kind)

    def end(self) -> None:
        """Kills all."""
        for _, worker in self._alive:
            worker.kill()
        self._alive.clear()

    def rolled_back(self) -> Counter[int]:
        """How often a job can have been given up by a transaction whose psql was killed."""
        return Counter(number for worker in self._torn for number in worker.handed()[-10:])

    def handed(self, *kinds: str) -> Counter[int]:
        """How often each job was handed to one of these kinds."""
        return Counter(number for kind, worker in self._all if kind in kinds for number in worker.handed())

    def _start(self, kind: str) -> None:
        journal = self._folder / str(len(self._all))
        worker = Hand(kind, self._url) if kind.startswith("psql") else Program(kind, self._url, journal)
        self._alive.append((kind, worker))
        self._all.append((kind, worker))


def _of(statement: str, ids: list[int]) -> str:
    """A statement of the article with the ids typed in."""
    return statement.replace("%s", f"'{{{','.join(map(str, ids))}}}'")


@pytest.fixture
def queue(databases: Databases) -> Iterator[tuple[str, Connection]]:
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        make_topic(conn, 1, TOPIC)
        terms = "lease_ms = %s, max_deliveries = 100, retry_backoff_ms = 1, retry_backoff_max_ms = 1"
        conn.execute(f"update job_topic set {terms}".encode(), [LEASE_S * 1000])
        conn.execute(AUDIT)
        yield url, conn
    databases.drop(url)


def value(conn: Connection, query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.direct("psql and the page's worker go straight to the server")
@pytest.mark.skipif(shutil.which("psql") is None, reason="there is no psql here")
@pytest.mark.slow  # 1 minute on two idle cores
@pytest.mark.timeout(900)
def test_nobody_gets_a_job_that_another_one_has(queue: tuple[str, Connection], tmp_path: Path) -> None:
    url, conn = queue
    seed = random.getrandbits(32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)  # noqa: S311
    crowd = Crowd(url, tmp_path)
    unfinished = "select count(*) from job_queue where status in ('pending', 'processing')"
    try:
        jobs = 0
        for kind in dice.sample(KINDS * KILLS, len(KINDS) * KILLS):
            fill(conn, TOPIC, [b"%d" % number for number in range(jobs, jobs + JOBS)])
            jobs += JOBS
            Event().wait(dice.uniform(0, 0.3))
            crowd.kill(kind)
        assert wait_until(lambda: value(conn, unfinished) == 0, SECONDS)
    finally:
        crowd.end()
    judge(conn, crowd, jobs)


def judge(conn: Connection, crowd: Crowd, jobs: int) -> None:
    counted: Counter[int] = Counter(
        dict(conn.execute("select (payload #>> '{}')::bigint, retry_count from job_queue").fetchall())
    )
    ended = Counter(row[0] for row in conn.execute("select job from ended"))
    handed, rolled_back = crowd.handed(*KINDS), crowd.rolled_back()
    too_often = {number for number, times in handed.items() if times > 1 + counted[number] + rolled_back[number]}
    by_kind = {kind: crowd.handed(kind).total() for kind in KINDS}
    again = sum(times > 1 for times in handed.values())
    print(  # noqa: T201
        f"{jobs} jobs, {ended.total()} ends, handed out {by_kind}, {again} again, "
        f"{counted.total()} recoveries, kills {dict(crowd.kills)}"
    )
    assert value(conn, "select count(*) from job_queue where status = 'completed'") == jobs
    assert not too_often, "a job was handed out while somebody had it"
    assert len(ended) == jobs
    assert set(ended.values()) == {1}, "a job was completed twice"
    assert min(by_kind.values()) > 0
    assert set(crowd.kills.values()) == {KILLS}
