"""Plans of dual writes beside a large table: its ids are looked up by their index, whatever the statistics say."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import dual_inbox
from shim.store.dual_inbox import FIRST
from shim.store.schema import Line
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

ROWS = """
alter table job_queue set (autovacuum_enabled = off);
insert into job_topic (topic, partitions, sequencer) values ('emails', 1, 'kafka'), ('clicks', 1, 'kafka');
insert into job_queue (payload, topic, partition, log_offset, message_id)
select '1'::jsonb, 'emails', 0, n, gen_random_uuid() from generate_series(1, 100000) as n
union all
select '1', 'clicks', 0, n, null from generate_series(1, 100000) as n;
insert into dual_inbox (topic, message_id, producer, sequence)
select 'emails', gen_random_uuid(), 'p', n from generate_series(1, 5000) as n;
"""
BATCH = 1000
GIVEN: dict[str, Any] = {
    "topic": "emails",
    "after": FIRST,
    "limit": BATCH,
    "topics": ["emails"] * BATCH,
    "message_ids": [f"{n:032x}" for n in range(BATCH)],
    "producers": ["p"] * BATCH,
    "sequences": list(range(BATCH)),
    **{name: [None] * BATCH for name in ("keys", "values", "headers", "timestamps_ms")},
}
STATISTICS = {"none": "select", "fresh": "analyze job_queue, dual_inbox"}


@pytest.fixture(scope="module")
def large(databases: Databases) -> Iterator[Connection]:
    """A topic that is written on both sides, one that is not, and copies that nobody has met."""
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute(ROWS)
        yield conn
    databases.drop(url)


@pytest.mark.parametrize("statistics", STATISTICS.values(), ids=STATISTICS)
@pytest.mark.parametrize("name", ["put_copies", "meet_copies", "sweep_copies", "list_phantoms"])
def test_dual_writes_walk_their_indexes(large: Connection, line: Line, statistics: str, name: str) -> None:
    texts = dual_inbox.load(line.schemas)
    with large.transaction(force_rollback=True):
        large.execute(statistics.encode())
        plan = "\n".join(row[0] for row in large.execute(b"explain " + texts[name].encode(), GIVEN))
    assert "Seq Scan on job_queue" not in plan, plan
    assert name == "meet_copies" or "job_queue_message_idx" in plan, plan


def test_a_topic_that_is_written_on_one_side_alone_has_nothing_in_the_index_of_ids(large: Connection) -> None:
    query = "select pg_relation_size('job_queue_message_idx')"
    before = large.execute(query).fetchone()
    large.execute(
        "insert into job_queue (payload, topic, partition, log_offset) "
        "select '1', 'clicks', 0, n from generate_series(100001, 150000) as n"
    )
    assert large.execute(query).fetchone() == before
