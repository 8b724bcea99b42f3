"""The statements of playbooks/other-languages.md, run from the page: alone, and beside share consumers."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.producer import Producer
from shim.share_consumer import ShareConsumer
from shim.store import gate
from shim.store.schema import Line
from tests.fixtures.pgbouncer import client_settings
from tests.integration.shim.consumer.scene import fill, make_topic
from tests.integration.shim.sharing.scene import WAIT_SECONDS, statuses

PAGE = (Path(__file__).parents[4] / "playbooks" / "other-languages.md").read_text()
BLOCK = re.compile(r"```sql\n-- ([\w ]+)\n(.*?)```", re.DOTALL)
STATEMENTS = {name: re.sub(r"(?<!:):(id|lease)\b", r"%(\1)s", text) for name, text in BLOCK.findall(PAGE)}
PYTHON = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
JOBS = 300


@pytest.fixture
def queue(migrated: Connection) -> Connection:
    make_topic(migrated, topic="emails")
    return migrated


@pytest.fixture
def plain(migrated_url: str) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(migrated_url, autocommit=True) as conn:
        yield conn


def run(conn: "psycopg.Connection[Any]", name: str, *claimed: int) -> "psycopg.Cursor[Any]":
    """Runs a statement of the page; of a job that was claimed with its id and token."""
    return conn.execute(STATEMENTS[name], dict(zip(("id", "lease"), claimed, strict=False)))


def test_the_page_has_all_that_a_worker_needs() -> None:
    needed = {"enqueue", "enqueue with a key", "enqueue later", "enqueue once"}
    needed |= {"claim", "extend", "complete", "retry", "fail", "recover"}
    assert needed <= STATEMENTS.keys()
    assert PYTHON is not None
    worker = PYTHON[1].split("def run")[1]
    assert len(worker.splitlines()) <= 30


def test_a_job_from_enqueue_to_its_end(queue: Connection, plain: "psycopg.Connection[Any]") -> None:
    run(plain, "enqueue")
    run(plain, "enqueue later")
    ((id_, lease, retries, key, payload),) = run(plain, "claim").fetchall()
    assert (retries, key, payload["to"]) == (0, None, "ada@example.com")
    assert run(plain, "claim").fetchall() == []
    assert run(plain, "extend", id_, lease).rowcount == 1
    assert run(plain, "extend", id_, lease + 1).rowcount == 0
    assert run(plain, "retry", id_, lease).rowcount == 1
    assert run(plain, "complete", id_, lease).rowcount == 0
    queue.execute("update job_queue set process_after = now() where retry_count = 1")
    ((id_, lease, retries, *_),) = run(plain, "claim").fetchall()
    assert retries == 1
    assert run(plain, "complete", id_, lease).rowcount == 1
    assert statuses(queue) == ["completed", "pending"]


def test_a_job_with_a_delay_keeps_it_behind_a_closed_gate(
    queue: Connection, plain: "psycopg.Connection[Any]", line: Line
) -> None:
    texts = gate.load(line.schemas)
    gate.close_gate(queue, texts, "emails")
    assert run(plain, "enqueue later").rowcount == 1
    assert gate.gate_status(queue, texts, "emails").parked == 1
    gate.open_gate(queue, texts, "emails")
    assert run(plain, "enqueue later").rowcount == 1
    delays = "select process_after - created_at = interval '10 minutes', encode(key, 'escape') from job_queue"
    assert queue.execute(delays).fetchall() == [(True, "user-7")] * 2
    assert run(plain, "claim").fetchall() == []


def test_a_job_with_a_deduplication_key_is_there_once(
    queue: Connection, plain: "psycopg.Connection[Any]", migrated_url: str
) -> None:
    """Beside a producer that uses the same key, until the job is done."""
    with Producer({"shim.dsn": migrated_url, **client_settings()}) as producer:
        assert len(run(plain, "enqueue once").fetchall()) == 1
        assert run(plain, "enqueue once").fetchall() == []
        assert not producer.produce_in(plain, "emails", "v", deduplication_key="digest-ada")
        run(plain, "enqueue with a key")
        claimed = run(plain, "claim").fetchall()
        assert run(plain, "enqueue once").fetchall() == []
        for id_, lease, *_ in claimed:
            assert run(plain, "complete", id_, lease).rowcount == 1
        assert producer.produce_in(plain, "emails", "v", deduplication_key="digest-ada")
        assert run(plain, "enqueue once").fetchall() == []
    assert statuses(queue) == ["completed", "completed", "pending"]


def test_a_job_that_cannot_be_done_has_failed(queue: Connection, plain: "psycopg.Connection[Any]") -> None:
    run(plain, "enqueue")
    ((id_, lease, *_),) = run(plain, "claim").fetchall()
    assert run(plain, "fail", id_, lease).rowcount == 1
    assert queue.execute("select status::text, last_error from job_queue").fetchall() == [("failed", "no such user")]


def test_jobs_of_dead_workers_are_recovered_and_counted(queue: Connection, plain: "psycopg.Connection[Any]") -> None:
    run(plain, "enqueue")
    queue.execute("update job_topic set max_deliveries = 2, retry_backoff_ms = 0")
    for expected in ("pending", "failed"):
        run(plain, "claim")
        assert run(plain, "recover").rowcount == 0
        queue.execute("update job_queue set locked_at = now() - interval '1 hour'")
        assert run(plain, "recover").rowcount == 1
        assert statuses(queue) == [expected]


def test_a_job_is_tied_to_a_row(queue: Connection, plain: "psycopg.Connection[Any]") -> None:
    queue.execute("create table orders (id bigint primary key)")
    queue.execute("insert into orders values (7)")
    run(plain, "tie")
    run(plain, "enqueue for a row")
    with queue.transaction():
        ((id_, lease, *_),) = run(queue, "claim").fetchall()
        plain.execute("set lock_timeout = '5s'")
        plain.execute("delete from order_job")
        plain.execute("insert into order_job values (%s, 7)", [id_])  # is not kept waiting by the claim
    assert run(plain, "complete", id_, lease).rowcount == 1
    queue.execute("delete from job_queue")
    assert queue.execute("select (select count(*) from order_job), (select count(*) from orders)").fetchone() == (0, 1)


def test_plain_workers_and_share_consumers_never_get_the_same_job(
    queue: Connection, migrated_url: str, plain: "psycopg.Connection[Any]"
) -> None:
    fill(queue, "emails", JOBS)
    done: Counter[int] = Counter()
    lock = threading.Lock()
    over = threading.Event()

    def note(ids: list[int]) -> None:
        with lock:
            done.update(ids)
            if done.total() >= JOBS:
                over.set()

    def share() -> None:
        conf = {"shim.dsn": migrated_url, "group.id": "workers", "max.poll.records": 5}
        with ShareConsumer(conf) as consumer:
            consumer.subscribe(["emails"])
            while not over.is_set():
                note([int(message.value() or b"") for message in consumer.poll(0.1)])
            consumer.commit_sync()

    def by_hand() -> None:
        with closing(postgres.connect(migrated_url, "by-hand")) as conn:
            while not over.is_set():
                claimed = run(conn, "claim").fetchall()
                note([job[4] for job in claimed])
                for job in claimed:
                    assert run(conn, "complete", job[0], job[1]).rowcount == 1

    threads = [threading.Thread(target=work) for work in (share, share, by_hand, by_hand)]
    for thread in threads:
        thread.start()
    assert over.wait(WAIT_SECONDS)
    for thread in threads:
        thread.join()
    assert set(done.values()) == {1}
    assert set(statuses(queue)) == {"completed"}
    workers = plain.execute("select count(distinct locked_by) from job_queue").fetchone()
    assert workers is not None
    assert workers[0] >= 2


def test_the_worker_in_python(queue: Connection, migrated_url: str) -> None:
    assert PYTHON is not None
    worker: dict[str, Any] = {}
    exec(PYTHON[1], worker)  # noqa: S102  it is on the page
    fill(queue, "emails", 5)
    worked: list[object] = []

    def work(payload: object) -> None:
        worked.append(payload)
        if payload == 3:
            raise ValueError("three is refused")

    worker["run"](migrated_url, "emails", work, lambda: len(worked) >= 5)
    assert sorted(map(str, worked)) == ["0", "1", "2", "3", "4"]
    assert wait_until(lambda: statuses(queue).count("failed") == 1, WAIT_SECONDS)
    assert queue.execute("select last_error from job_queue where status = 'failed'").fetchall() == [
        ("three is refused",)
    ]
