"""Plans of retention on a million rows: each statement walks an index, whatever the statistics say."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import retention
from shim.store.schema import Line
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

ROWS = """
alter table job_queue set (autovacuum_enabled = off);
insert into job_topic (topic, partitions, owner_group, owner_kind) values
  ('emails', 1, 'workers', 'share'), ('clicks', 1, null, null), ('plain', 1, null, null);
insert into job_partition (topic, partition, next_offset) values ('emails', 0, 600001), ('clicks', 0, 300001);
insert into job_queue (payload, topic, partition, log_offset, status, finished_at)
select '1'::jsonb, 'emails', 0, n, 'completed'::job_status, now() from generate_series(1, 600000) as n
union all
select '1', 'clicks', 0, n, 'pending', null from generate_series(1, 300000) as n
union all
select '1', 'plain', null, null, 'completed', now() from generate_series(1, 100000) as n;
"""
INDEXES = {
    "due_partitions": ["job_queue_log_key", "job_queue_plain_idx"],
    "find_expired": ["job_queue_log_key"],
    "delete_expired": ["job_queue_log_key", "job_queue_pkey"],
    "find_finished": ["job_queue_log_key"],
    "delete_finished": ["job_queue_pkey"],
    "delete_plain": ["job_queue_plain_idx", "job_queue_pkey"],
    "first_left": ["job_queue_log_key"],
}
PLACE = {"topic": "emails", "partition": 0, "limit": 5000, "held_from": 2**63 - 1}
MORE = {"start": 0, "expired": 4999, "ids": list(range(1, 5001))}
STATISTICS = {
    "none": "select",
    "fresh": "analyze job_queue",
    "stale": "update pg_class set reltuples = 10, relpages = 1 where oid = 'job_queue'::regclass",
}


@pytest.fixture(scope="module")
def large(databases: Databases) -> Iterator[Connection]:
    """A million rows: jobs of a share group, a log, and jobs of plain SQL."""
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute(ROWS)
        yield conn
    databases.drop(url)


@pytest.mark.parametrize("statistics", STATISTICS.values(), ids=STATISTICS)
def test_retention_walks_its_indexes(large: Connection, line: Line, statistics: str) -> None:
    texts = retention.load(line.schemas)
    with large.transaction(force_rollback=True):
        large.execute(statistics.encode())
        for name, indexes in INDEXES.items():
            explained = "\n".join(row[0] for row in large.execute("explain " + texts[name], {**PLACE, **MORE}))
            assert [index for index in indexes if index not in explained] == [], name
            assert "Seq Scan on job_queue" not in explained, name
