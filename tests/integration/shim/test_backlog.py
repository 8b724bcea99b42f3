"""Plans of a claim in a queue of a million; `tests.benchmarks.backlog` has its rates, and twelve times as many rows."""

from collections.abc import Iterator

import pytest

from migrator.postgres import Connection
from shim.store import claims
from shim.store.schema import Line
from tests.benchmarks.backlog import Depth, filled, plans, uses_its_index
from tests.fixtures.postgres import Databases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # 2 minutes on two idle cores

DEPTH = Depth(due=150_000, parked=150_000, completed=600_000, delayed=100_000)
BATCH = 100
MOST_PAGES = 60 * BATCH
"""A claim of so many jobs touches each row's heap page, and what leads to it in every index, a few times over."""


@pytest.fixture(scope="module")
def deep(databases: Databases) -> Iterator[Connection]:
    with filled(databases, "backlog", DEPTH) as (_, conn):
        yield conn


def test_a_claim_uses_its_index_whatever_the_statistics_say(deep: Connection) -> None:
    found = dict(plans(deep))
    assert found.keys() == {"none", "fresh", "stale"}
    for state, plan in found.items():
        assert uses_its_index(plan), (state, plan)


def test_a_claim_touches_no_more_than_what_it_takes(deep: Connection, line: Line) -> None:
    place = {"topic": "emails", "worker": "w", "limit": BATCH, "after": "-infinity", "after_id": 0}
    statement = claims.load(line.schemas)["claim"]
    with deep.transaction(force_rollback=True):
        explained = deep.execute(
            f"explain (analyze, buffers, format json) {statement}", {**place, "done_ids": [], "done_lease": 0}
        ).fetchone()
    assert explained is not None
    plan = explained[0][0]["Plan"]
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert plan["Actual Rows"] == BATCH
    assert BATCH < pages < MOST_PAGES
