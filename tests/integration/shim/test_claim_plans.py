"""Plans of the hot statements of jobs: each walks its index, whatever the table holds and the statistics say."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import claims, jobs, settlements
from shim.store.schema import Line
from shim.store.statements import Statements
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

ROWS = """
insert into job_topic (topic, partitions) values ('emails', 1), ('reports', 1);
insert into job_queue (payload, topic, partition, log_offset, status, process_after, locked_at, lease)
select to_jsonb(n), 'emails', 0, n, 'completed'::job_status, now() - interval '2 days', now(), 1
from generate_series(1, 300000) as n
union all
select to_jsonb(n), 'emails', 0, n, 'pending', now() - interval '1 day', null, null
from generate_series(300001, 400000) as n
union all
select to_jsonb(n), 'emails', 0, n, 'pending', now() + interval '1 day', null, null
from generate_series(400001, 430000) as n
union all
select to_jsonb(n), 'reports', 0, n, 'pending', 'infinity', null, null
from generate_series(1, 100000) as n
union all
select to_jsonb(n), 'emails', 0, n, 'processing', now() - interval '1 day', now() - interval '1 hour', n
from generate_series(430001, 430500) as n;
"""


@pytest.fixture(scope="module")
def large(databases: Databases) -> Iterator[Connection]:
    """Half a million rows: completed, due, delayed, being worked on, and another topic's behind a closed gate."""
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute("alter table job_queue set (autovacuum_enabled = off)")
        conn.execute(ROWS)
        yield conn
    databases.drop(url)


@pytest.fixture(params=["none", "fresh", "stale"])
def queue(large: Connection, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """In a transaction that is rolled back."""
    with large.transaction(force_rollback=True):
        if request.param != "none":
            large.execute("analyze job_queue")
        if request.param == "stale":
            large.execute("update pg_class set reltuples = 10, relpages = 1 where oid = 'job_queue'::regclass")
        yield large


def scans(conn: Connection, statement: str, **arguments: object) -> str:
    """How a statement reads the table."""
    explained = [row[0] for row in conn.execute(f"explain {statement}", arguments)]
    return "\n".join(line for line in explained if "job_queue" in line or "Index Cond" in line or "Seq" in line)


@pytest.mark.parametrize("limit", [1, 100, 1000])
@pytest.mark.parametrize("after", ["-infinity", "2020-01-01 00:00:00+00"])
def test_a_claim_walks_the_claim_index_in_its_order(queue: Connection, line: Line, limit: int, after: str) -> None:
    place = {"topic": "emails", "worker": "w", "after": after, "after_id": 0, "done_ids": [1, 2, 3], "done_lease": 1}
    plan = scans(queue, claims.load(line.schemas)["claim"], limit=limit, **place)
    assert "Index Scan using job_queue_claim_idx on job_queue" in plan
    assert "ROW(process_after, id) >" in plan
    assert plan.count("Index Cond: (id = ANY (") == 2
    assert "Seq Scan" not in plan


def test_a_claim_by_key_looks_ahead_in_the_claim_index(queue: Connection, line: Line) -> None:
    plan = scans(queue, claims.load(line.schemas)["first_of_keys"], topic="emails", limit=100, window=400)
    assert "Index Scan using job_queue_claim_idx on job_queue" in plan
    assert "Seq Scan on job_queue" not in plan


@pytest.mark.parametrize("window_ms", [None, 11_000])
def test_recovery_looks_at_what_is_being_worked_on(queue: Connection, line: Line, window_ms: int | None) -> None:
    plan = scans(
        queue, claims.load(line.schemas)["recover"], topic="emails", lease_ms=30_000, window_ms=window_ms, limit=1000
    )
    assert "job_queue_recovery_idx" in plan
    assert "Seq Scan on job_queue" not in plan


@pytest.mark.parametrize(
    ("statement", "more"),
    [
        ("complete", {}),
        ("release", {"errors": ["no"] * 100, "pauses_ms": [None] * 100}),
        ("reject", {"errors": ["no"] * 100}),
        ("return_unseen", {}),
        ("renew", {"leases": [1]}),
        ("settled_by", {}),
    ],
)
def test_settlements_find_jobs_by_their_ids(
    queue: Connection, line: Line, statement: str, more: dict[str, object]
) -> None:
    plan = scans(queue, settlements.load(line.schemas)[statement], lease=1, ids=list(range(1, 101)), **more)
    assert "job_queue_pkey" in plan
    assert "job_queue_recovery_idx" not in plan
    assert "Seq Scan on job_queue" not in plan


@pytest.mark.parametrize("window_ms", [None, 11_000])
def test_the_look_probes_for_jobs(queue: Connection, line: Line, window_ms: int | None) -> None:
    look = Statements("shim.store.sql", "watcher.sql", line.schemas)["look"]
    names = ["emails", "reports"]
    places = {"after": ["-infinity", "2020-01-01 00:00:00+00"], "after_ids": [0, 1]}
    hints = {**places, "past": places["after"], "past_ids": places["after_ids"], "window_ms": window_ms}
    plan = scans(queue, look, topics=names, claimed=names, **hints)
    assert "job_queue_claim_idx" in plan
    assert "ROW(process_after, id) > ROW(hint.after, hint.after_id)" in plan
    assert "job_queue_recovery_idx" in plan
    assert "job_queue_unsequenced_idx" in plan
    assert "Seq Scan on job_queue" not in plan


def test_a_retry_finds_who_has_a_key_in_the_index_of_keys(queue: Connection, line: Line) -> None:
    plan = scans(queue, jobs.load(line.schemas)["retry_jobs"], ids=list(range(1, 101)))
    assert "job_queue_deduplication_idx" in plan
    assert "Seq Scan on job_queue" not in plan
