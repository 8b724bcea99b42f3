"""The gate: oldest first, in batches, held jobs left alone, and never half-way without a way on."""

import pytest

from migrator.postgres import Connection
from shim.store import gate, topics
from shim.store.schema import Line
from shim.store.topics import Texts, UnknownTopicError

JOBS = 12_000


@pytest.fixture
def statements(line: Line) -> Texts:
    return gate.load(line.schemas)


@pytest.fixture
def parked(migrated: Connection, statements: Texts) -> Connection:
    """A closed topic with parked jobs, the youngest first in the table, and a few held ones."""
    topics.register_topic(migrated, statements, "emails", 1)
    migrated.execute(
        """
        insert into job_queue (payload, topic, created_at, process_after, last_error)
        select to_jsonb(n), 'emails', now() - n * interval '1 second', 'infinity',
          case when n %% 1000 = 0 then 'held: uncertain' end
        from generate_series(1, %s) as n
        """,
        [JOBS],
    )
    return migrated


HELD = JOBS // 1000


class KilledError(Exception):
    pass


def test_opening_unparks_oldest_first_in_batches(parked: Connection, statements: Texts) -> None:
    progress: list[int] = []
    assert gate.open_gate(parked, statements, "emails", progress.append) == JOBS - HELD
    assert progress == [5000, 10000, JOBS - HELD]
    status = gate.gate_status(parked, statements, "emails")
    assert (status.gate, status.claimable, status.parked, status.held) == ("open", JOBS - HELD, 0, HELD)
    assert parked.execute(
        "select count(*) from job_queue where process_after <> created_at and last_error is null"
    ).fetchone() == (0,)


def test_first_batch_is_the_oldest_and_a_killed_opening_goes_on(parked: Connection, statements: Texts) -> None:
    def kill(_done: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        gate.open_gate(parked, statements, "emails", kill)
    halves = parked.execute(
        """
        select min(created_at) filter (where process_after = 'infinity')
          > max(created_at) filter (where process_after <> 'infinity')
        from job_queue where last_error is null
        """
    ).fetchone()
    assert halves == (True,)
    assert gate.gate_status(parked, statements, "emails").gate == "open"
    assert gate.open_gate(parked, statements, "emails") == JOBS - HELD - 5000
    assert gate.open_gate(parked, statements, "emails") == 0


def test_closing_keeps_delays_and_leaves_running_jobs_alone(parked: Connection, statements: Texts) -> None:
    gate.open_gate(parked, statements, "emails")
    parked.execute(
        "update job_queue set status = 'processing' where id <= 10 and last_error is null;"
        "update job_queue set process_after = timestamptz '2999-01-01' where id = 11"
    )
    assert gate.close_gate(parked, statements, "emails") == JOBS - HELD - 10
    status = gate.gate_status(parked, statements, "emails")
    assert (status.gate, status.claimable, status.processing, status.held) == ("closed", 0, 10, HELD)
    gate.open_gate(parked, statements, "emails")
    assert parked.execute(
        "select process_after = timestamptz '2999-01-01' from job_queue where id = 11"
    ).fetchone() == (True,)


def test_other_topics_are_not_touched(parked: Connection, statements: Texts) -> None:
    topics.register_topic(parked, statements, "reports", 1)
    parked.execute("insert into job_queue (payload, topic, process_after) values ('1', 'reports', 'infinity')")
    gate.open_gate(parked, statements, "emails")
    assert gate.gate_status(parked, statements, "reports").parked == 1
    assert gate.gate_status(parked, statements, "reports").gate == "closed"


def test_unknown_topic(migrated: Connection, statements: Texts) -> None:
    for ask in (gate.open_gate, gate.close_gate, gate.gate_status):
        with pytest.raises(UnknownTopicError):
            ask(migrated, statements, "nobody")


def test_topic_rows(migrated: Connection, statements: Texts) -> None:
    assert topics.register_topic(migrated, statements, "emails", 2)
    assert not topics.register_topic(migrated, statements, "emails", 2)
    assert topics.register_partitions(migrated, statements, "emails", {0: 5, 1: 7}) == 2
    assert topics.register_partitions(migrated, statements, "emails", {0: 9, 1: 9}) == 0
    assert topics.advance_heads(migrated, statements, {("emails", 0): 6, ("emails", 1): 6}) == 1
    assert migrated.execute("select partition, next_offset from job_partition order by 1").fetchall() == [
        (0, 6),
        (1, 7),
    ]
    offsets = [topics.GroupOffset(0, 3, metadata="m"), topics.GroupOffset(1, 4, leader_epoch=2)]
    assert topics.copy_group_offsets(migrated, statements, "workers", "emails", offsets) == 2
    assert topics.copy_group_offsets(migrated, statements, "workers", "emails", offsets) == 0
    topics.own_topic(migrated, statements, "emails", "workers")
    topics.number_in_postgres(migrated, statements, "emails")
    topic = topics.read_topic(migrated, statements, "emails")
    assert topic is not None
    assert (topic.partitions, topic.sequencer, topic.gate) == (2, "postgres", "closed")
    assert (topic.owner_group, topic.owner_kind) == ("workers", "consumer")
    assert topics.list_topics(migrated, statements) == [topic]
    assert topics.read_topic(migrated, statements, "nobody") is None
    with migrated.transaction():
        assert topics.share_gate(migrated, statements, ["emails", "nobody"])["emails"].gate == "closed"
