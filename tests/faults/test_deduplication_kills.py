"""A producer that is killed, and begins again with all of its jobs: with deduplication keys none is there twice."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate
from tests.integration.shim.consumer.scene import make_topic

ROOT = Path(__file__).parents[2]
TOPIC = "emails"
JOBS = 4000
KILLS = 4
SECONDS = 60.0
PROGRAM = """
import sys
from shim import Producer
url, topic, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
counts = {False: 0, True: 0}
def report(error, message):
    assert error is None, error
    counts[message.deduplicated()] += 1
producer = Producer({"shim.dsn": url, "linger.ms": 0, "batch.num.messages": 20})
for number in range(jobs):
    producer.produce(topic, f"{number}", deduplication_key=f"job-{number}", on_delivery=report)
    producer.poll(0)
assert producer.flush(60) == 0
print(counts[False], counts[True])
"""


def start(url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, url, TOPIC, str(JOBS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def added(conn: Connection) -> int:
    row = conn.execute("select count(*) from job_queue").fetchone()
    assert row is not None
    return int(row[0])


def until_more(conn: Connection, before: int) -> None:
    assert wait_until(lambda: added(conn) > before, SECONDS, 0.001)


def test_a_producer_that_is_killed_and_begins_again_adds_no_job_twice(databases: Databases) -> None:
    url = databases.create(migrate)
    kills = 0
    with closing(postgres.connect(url, "test")) as conn:
        make_topic(conn, 3, TOPIC)
        for _ in range(KILLS):
            process = start(url)
            until_more(conn, added(conn))
            process.kill()
            process.communicate()
            kills += process.returncode == -9 and added(conn) < JOBS
        assert kills == KILLS, "a producer was done before it was killed"
        left = added(conn)
        out, _ = start(url).communicate(timeout=SECONDS)
        new, known = map(int, out.split())
        assert new + known == JOBS
        assert known >= left > 0
        assert conn.execute(
            "select count(*), count(distinct deduplication_key), count(distinct value) from job_queue"
        ).fetchone() == (JOBS, JOBS, JOBS)
    databases.drop(url)
