"""The article's own statements run unchanged on our table, for the roles that we hand out."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from migrator.postgres import Connection
from shim.store import gate, topics
from shim.store.schema import Line
from tests.integration.shim import article

Become = Callable[[str], None]


@pytest.fixture(params=["owner", "roles"])
def switch(request: pytest.FixtureRequest, migrated: Connection, roles: tuple[str, ...]) -> Iterator[Become]:
    """Becomes the role that does this part of the work; or stays the owner."""
    del roles

    def become(role: str) -> None:
        migrated.execute("reset role")
        if request.param == "roles":
            migrated.execute(f"set role job_queue_{role}")

    yield become
    migrated.execute("reset role")


def test_insert_claim_and_complete(migrated: Connection, switch: Become) -> None:
    switch("producer")
    for _ in range(3):
        migrated.execute(article.INSERT)
    switch("worker")
    with migrated.transaction():
        ids = [row[0] for row in migrated.execute(article.CLAIM)]
        migrated.execute(article.START, [ids])
        migrated.execute(article.COMPLETE, [ids])
    assert len(ids) == 3
    assert migrated.execute("select distinct status from job_queue").fetchall() == [("completed",)]


def test_claim_in_one_statement_retry_and_complete(migrated: Connection, switch: Become) -> None:
    switch("producer")
    migrated.execute(article.INSERT)
    switch("worker")
    ids = [row[0] for row in migrated.execute(article.CLAIM_IN_ONE)]
    migrated.execute(article.FAIL, [ids])
    assert migrated.execute(article.CLAIM_IN_ONE).fetchall() == []
    assert migrated.execute("select status, retry_count, last_error from job_queue").fetchall() == [
        ("pending", 1, "boom")
    ]


def test_two_workers_never_claim_the_same_job(migrated: Connection, migrated_url: str) -> None:
    for _ in range(20):
        migrated.execute(article.INSERT)
    with psycopg.connect(migrated_url) as other, migrated.transaction():
        first = {row[0] for row in migrated.execute(article.CLAIM)}
        second = {row[0] for row in other.execute(article.CLAIM)}
    assert len(first) == len(second) == 10
    assert not first & second


def test_parked_jobs_are_passed_over_until_the_gate_opens_and_held_ones_stay(
    migrated: Connection, line: Line, switch: Become
) -> None:
    statements = gate.load(line.schemas)
    topics.register_topic(migrated, statements, "emails", 1)
    migrated.execute(
        """
        insert into job_queue (payload, topic, process_after, created_at, last_error) values
          ('1', 'emails', 'infinity', now() - interval '1 day', null),
          ('2', 'emails', 'infinity', now() - interval '2 days', null),
          ('3', 'emails', 'infinity', now() - interval '3 days', 'held: read but not committed')
        """
    )
    switch("worker")
    assert migrated.execute(article.CLAIM_IN_ONE).fetchall() == []
    switch("migrator")
    assert gate.open_gate(migrated, statements, "emails") == 2
    switch("worker")
    assert [row[1] for row in migrated.execute(article.CLAIM)] == [2, 1]
    assert gate.gate_status(migrated, statements, "emails").held == 1
