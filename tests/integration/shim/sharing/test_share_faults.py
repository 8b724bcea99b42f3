"""Workers that die, freeze or are slow, replies that are lost: no job is lost, and none is settled by two."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.errors import KafkaError, KafkaException
from shim.topic_partition import TopicPartition
from tests.fixtures.proxy import TcpProxy
from tests.integration.shim.consumer.scene import fill
from tests.integration.shim.sharing.conftest import MakeShareConsumer
from tests.integration.shim.sharing.scene import WAIT_SECONDS, change, deliveries, statuses, taken, until_statuses

ROOT = Path(__file__).parents[4]
EXPLICIT = {"share_acknowledgement_mode": "explicit"}
WORKER = """
import sys
from shim import ShareConsumer
consumer = ShareConsumer({"shim.dsn": sys.argv[1], "group.id": "workers"})
consumer.subscribe([sys.argv[2]])
messages = consumer.poll(30)
print(len(messages), flush=True)
sys.stdin.readline()
print({tp.partition: error and error.args[0].name() for tp, error in consumer.commit_sync().items()}, flush=True)
"""


@contextmanager
def worker(url: str, topic: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker in a process of its own, which has taken what there was, and works until it is told to commit."""
    command = [sys.executable, "-c", WORKER, url, topic]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "2\n"
            yield process
        finally:
            process.kill()  # frozen or not


def test_the_jobs_of_a_worker_that_was_killed_come_again(
    share: MakeShareConsumer, migrated: Connection, migrated_url: str, topic: str
) -> None:
    change(migrated, lease_ms=500, retry_backoff_ms=1)
    fill(migrated, topic, 2)
    with worker(migrated_url, topic) as process:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert sorted(deliveries(taken(share(), 2))) == [(0, 2), (1, 2)]
    errors = migrated.execute("select distinct last_error, retry_count from job_queue").fetchall()
    assert errors == [("lease expired", 1)]


def test_jobs_of_the_dead_do_not_wait_until_the_backlog_is_gone(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 20)
    migrated.execute("update job_queue set status = 'processing', locked_at = now() - interval '1 hour' where id = 1")
    consumer = share(max_poll_records=1)
    assert deliveries(taken(consumer, 1)) == [(1, 1)]
    told = migrated.execute("select retry_count, last_error from job_queue where id = 1").fetchone()
    assert told == (1, "lease expired")


def test_a_worker_that_was_frozen_past_its_lease_learns_that_others_have_its_jobs(
    share: MakeShareConsumer, migrated: Connection, migrated_url: str, topic: str
) -> None:
    change(migrated, lease_ms=500, retry_backoff_ms=1)
    fill(migrated, topic, 2)
    with worker(migrated_url, topic) as process:
        os.kill(process.pid, signal.SIGSTOP)
        other = share()
        assert sorted(deliveries(taken(other, 2))) == [(0, 2), (1, 2)]
        assert other.commit_sync() == {TopicPartition(topic, 0, 0): None}
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate("\n", WAIT_SECONDS)[0] == "{0: 'INVALID_RECORD_STATE'}\n"
    assert statuses(migrated) == ["completed", "completed"]


def test_a_slow_job_is_not_delivered_twice(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    change(migrated, lease_ms=300, retry_backoff_ms=1)
    fill(migrated, topic, 1)
    slow, other = share(), share()
    taken(slow, 1)
    seen = set()
    end = time.monotonic() + 2  # more than six leases
    while time.monotonic() < end:
        seen.add(migrated.execute("select locked_at from job_queue").fetchone())
        assert len(other.poll(0.05)) == 0
    assert len(seen) > 3
    assert slow.commit_sync() == {TopicPartition(topic, 0, 0): None}
    assert migrated.execute("select status::text, retry_count from job_queue").fetchone() == ("completed", 0)


def test_after_its_time_a_job_is_held_no_longer(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    change(migrated, lease_ms=300, retry_backoff_ms=1)
    fill(migrated, topic, 1)
    stuck, other = share(shim_job_timeout_ms=1000), share()
    taken(stuck, 1)
    assert deliveries(taken(other, 1)) == [(0, 2)]
    (error,) = stuck.commit_sync().values()
    assert isinstance(error, KafkaException)
    assert error.args[0] == KafkaError.INVALID_RECORD_STATE
    assert other.commit_sync() == {TopicPartition(topic, 0, 0): None}


def test_a_commit_whose_reply_was_lost_is_found_out(
    share: MakeShareConsumer, migrated: Connection, topic: str, proxy: TcpProxy, proxied: str
) -> None:
    fill(migrated, topic, 2)
    consumer = share(proxied)
    taken(consumer, 2)
    proxy.cut_commit_reply()
    assert consumer.commit_sync(30) == {TopicPartition(topic, 0, 0): None}
    assert proxy.faults["reply-cut"] == 1
    assert statuses(migrated) == ["completed", "completed"]


def test_jobs_of_a_claim_whose_reply_was_lost_are_delivered_at_once_and_uncounted(
    share: MakeShareConsumer, migrated: Connection, topic: str, proxy: TcpProxy, proxied: str
) -> None:
    consumer = share(proxied)
    assert len(consumer.poll(0.2)) == 0
    proxy.cut_reply_after(lambda sent: b"'processing'" in sent and b"job_lease" in sent)
    fill(migrated, topic, 2)
    assert deliveries(taken(consumer, 2)) == [(0, 1), (1, 1)]
    assert proxy.faults["reply-cut"] == 1


def test_an_outage_is_survived_and_told(
    share: MakeShareConsumer, migrated: Connection, topic: str, proxy: TcpProxy, proxied: str
) -> None:
    errors: list[KafkaError] = []
    fill(migrated, topic, 1)
    consumer = share(proxied, error_cb=errors.append)
    taken(consumer, 1)
    proxy.refuse()
    proxy.cut_all()
    assert wait_until(lambda: not consumer.poll(0.1) and len(errors) >= 2, WAIT_SECONDS)
    codes = [error.code() for error in errors]
    assert codes == [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001  the API's names
    proxy.heal()
    fill(migrated, topic, [b"later"])
    assert [message.value() for message in taken(consumer, 1)] == [b"later"]
    assert statuses(migrated) == ["completed", "processing"]
    assert proxy.faults["refused"] > 0


def test_close_gives_back_what_was_taken(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    fill(migrated, topic, 2)
    consumer = share(**EXPLICIT)
    messages = taken(consumer, 2)
    consumer.acknowledge(messages[0])
    consumer.close()
    until_statuses(migrated, "completed", "pending")
    assert migrated.execute("select retry_count, locked_by from job_queue where id = 2").fetchone() == (1, None)


def test_a_forked_child_has_none_of_its_parent_s_jobs(
    share: MakeShareConsumer, migrated: Connection, migrated_url: str, topic: str
) -> None:
    program = (
        "import os, sys, warnings\nwarnings.simplefilter('ignore')\n"
        "from shim import ShareConsumer\n"
        "consumer = ShareConsumer({'shim.dsn': sys.argv[1], 'group.id': 'workers', 'max.poll.records': 1})\n"
        "consumer.subscribe([sys.argv[2]])\n"
        "mine = [message.offset() for message in consumer.poll(30)]\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    theirs = [message.offset() for message in consumer.poll(30)]\n"
        "    consumer.commit_sync()\n"
        "    os._exit(0 if theirs == [1] else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "print(mine, len(consumer.commit_sync()))\n"
    )
    fill(migrated, topic, 2)
    command = [sys.executable, "-c", program, migrated_url, topic]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, cwd=ROOT, check=False)
    assert (ended.returncode, ended.stdout) == (0, "[0] 1\n"), ended.stderr
    assert statuses(migrated) == ["completed", "completed"]
    assert len(share().poll(0.2)) == 0
