"""Numbers for rows that have none: once, in order, where the partitioner sends them, and never in anybody's way."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import append, sequence, topics
from shim.store.errors import UnknownPartitionError
from shim.store.partitioner import partition_for
from shim.store.schema import Line
from shim.store.topics import Texts, UnknownTopicError
from shim.store.values import View

NUMBERED = "select payload, partition, log_offset from job_queue order by partition, log_offset"
JSON = View("json", b"1")


@pytest.fixture
def texts(line: Line) -> Texts:
    return sequence.load(line.schemas)


@pytest.fixture
def queue(migrated: Connection, texts: Texts) -> Connection:
    topics.create_topic(migrated, texts, "emails", 3)
    return migrated


@pytest.fixture
def other(migrated_url: str) -> Iterator[Connection]:
    with closing(postgres.connect(migrated_url, "other")) as conn:
        yield conn


def insert(conn: Connection, count: int, topic: str = "emails") -> None:
    """Rows by plain SQL, the oldest last."""
    conn.execute(
        "insert into job_queue (payload, topic, process_after) "
        "select to_jsonb(n), %s, now() - n * interval '1 second' from generate_series(1, %s) as n",
        [topic, count],
    )


def test_rows_without_a_key_go_to_one_partition_oldest_first(queue: Connection, texts: Texts) -> None:
    insert(queue, 5)
    assert sequence.sequence(queue, texts, "emails") == 5
    rows = queue.execute(NUMBERED).fetchall()
    assert [(payload, offset) for payload, _, offset in rows] == [(5, 0), (4, 1), (3, 2), (2, 3), (1, 4)]
    assert len({partition for _, partition, _ in rows}) == 1
    assert sequence.sequence(queue, texts, "emails") == 0


@pytest.mark.parametrize("partitioner", ["consistent_random", "murmur2_random", "fnv1a"])
def test_a_key_finds_its_partition_as_the_topic_says(queue: Connection, texts: Texts, partitioner: str) -> None:
    queue.execute("update job_topic set partitioner = %s", [partitioner])
    keys = [b"order-%d" % n for n in range(30)]
    for key in keys:
        queue.execute("insert into job_queue (payload, topic, key) values ('1', 'emails', %s)", [key])
    assert sequence.sequence(queue, texts, "emails") == 30
    found: dict[bytes, int] = dict(queue.execute("select key, partition from job_queue").fetchall())
    assert found == {key: partition_for(partitioner, key, 3) for key in keys}
    assert queue.execute("select sum(next_offset) from job_partition").fetchone() == (30,)


def test_a_partition_that_was_chosen_counts_and_one_that_is_not_there_does_not(queue: Connection, texts: Texts) -> None:
    key = next(b"%d" % n for n in range(99) if partition_for("consistent_random", b"%d" % n, 3) == 1)
    for payload, partition in enumerate([2, 0, 3, -1, None]):
        queue.execute(
            "insert into job_queue (payload, topic, partition, key, process_after) "
            "values (to_jsonb(%s::integer), 'emails', %s, %s, now() - interval '1 second' * (9 - %s))",
            [payload, partition, key, payload],
        )
    assert sequence.sequence(queue, texts, "emails") == 5
    assert queue.execute(NUMBERED).fetchall() == [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 1, 2), (0, 2, 0)]


def test_records_of_a_callers_transaction_follow_those_that_were_appended(queue: Connection, texts: Texts) -> None:
    ours = append.draft("emails", 2, b"k", b"1", None, 5, JSON)
    with queue.transaction():
        append.append_in(queue, texts, [ours, ours])
    assert append.append(queue, texts, [ours]).offsets == [0]
    assert sequence.sequence(queue, texts, "emails") == 2
    assert append.append(queue, texts, [ours]).offsets == [3]
    assert queue.execute("select log_offset from job_queue order by 1").fetchall() == [(0,), (1,), (2,), (3,)]


def test_a_delayed_record_is_numbered_when_it_is_due(queue: Connection, texts: Texts) -> None:
    soon = append.draft("emails", 0, b"k", b"1", None, 5, JSON, 300_000)
    late = soon._replace(delay_us=3_600_000_000)
    assert append.append(queue, texts, [soon, late]).offsets == [None, None]
    assert sequence.sequence(queue, texts, "emails") == 0
    assert wait_until(lambda: sequence.sequence(queue, texts, "emails") == 1, 10)
    assert queue.execute(
        "select log_offset, process_after - created_at > '1 hour'::interval - '1 s'::interval from job_queue order by 2"
    ).fetchall() == [(0, False), (None, True)]


def test_what_waits_for_kafka_for_a_gate_or_for_a_worker_is_left(
    queue: Connection, other: Connection, texts: Texts
) -> None:
    insert(queue, 4)
    queue.execute("update job_queue set process_after = 'infinity' where payload = '1'")
    queue.execute("update job_queue set status = 'completed' where payload = '2'")
    queue.execute("update job_topic set sequencer = 'kafka'")
    assert sequence.sequence(queue, texts, "emails") == 0
    queue.execute("update job_topic set sequencer = 'postgres'")
    with other.transaction():
        other.execute("select from job_queue where payload = '3' for update")
        assert sequence.sequence(queue, texts, "emails") == 1
    assert sequence.sequence(queue, texts, "emails") == 1
    assert queue.execute("select payload from job_queue where log_offset is null order by 1").fetchall() == [(1,), (2,)]


def test_batches_are_bounded(queue: Connection, texts: Texts) -> None:
    insert(queue, 25)
    assert [sequence.sequence(queue, texts, "emails", limit=10) for _ in range(4)] == [10, 10, 5, 0]
    assert queue.execute("select sum(next_offset) from job_partition").fetchone() == (25,)


def test_two_sequencers_do_not_mix_up_the_order(queue: Connection, other: Connection, texts: Texts) -> None:
    insert(queue, 20)
    with other.transaction():
        other.execute(texts["try_sequencing"], {"topic": "emails"})
        assert sequence.sequence(queue, texts, "emails", limit=10) == 0
    assert sequence.sequence(queue, texts, "emails", limit=10) == 10


@pytest.mark.direct("changes its own session")
def test_nobody_is_numbered_behind_the_back_of_an_append(queue: Connection, other: Connection, texts: Texts) -> None:
    insert(queue, 1)
    queue.execute("update job_queue set partition = 0; set lock_timeout = '50ms'")
    tried: list[append.Reserved] = []

    def number(reserved: append.Reserved) -> None:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            append.reserve(queue, texts, {("emails", 0): 1})
        tried.append(reserved)

    append.append(other, texts, [append.draft("emails", 0, b"k", b"1", None, 5, JSON)], number)
    assert len(tried) == 1
    assert sequence.sequence(queue, texts, "emails") == 1
    assert queue.execute("select log_offset from job_queue order by encoding nulls last").fetchall() == [(0,), (1,)]


def test_unknown_topics_and_lost_heads_are_said_so(queue: Connection, texts: Texts) -> None:
    with pytest.raises(UnknownTopicError):
        sequence.sequence(queue, texts, "default")
    insert(queue, 1)
    queue.execute("delete from job_partition")
    with pytest.raises(UnknownPartitionError):
        sequence.sequence(queue, texts, "emails")


@pytest.mark.parametrize("analyzed", [False, True])
def test_finding_what_waits_reads_its_own_index(queue: Connection, texts: Texts, *, analyzed: bool) -> None:
    queue.execute(
        "insert into job_queue (payload, topic, partition, log_offset) "
        "select '1', 'emails', 0, n from generate_series(0, 50000) as n"
    )
    insert(queue, 100)
    insert(queue, 100, "reports")
    if analyzed:
        queue.execute("analyze job_queue")
    plan = queue.execute("explain " + texts["lock_waiting"], {"topic": "emails", "limit": 5000}).fetchall()
    lines = "\n".join(row[0] for row in plan)
    assert "job_queue_unsequenced_idx" in lines
    assert "Sort" not in lines
