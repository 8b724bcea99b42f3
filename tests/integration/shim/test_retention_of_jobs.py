"""Retention of jobs: finished ones go by their own keep-times, wherever they stand; all others stay, and are told."""

from contextlib import closing

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import keep_times, retention, topics
from shim.store.keep_times import FOR_EVER_MS, KeepTimes
from shim.store.pool import pool_for
from shim.store.retention import Passed, Removed, Swept
from shim.store.schema import Line
from shim.store.topics import GroupOffset, Texts, UnknownTopicError

HOUR_MS = 3_600_000
LEFT = "select log_offset from job_queue where topic = 'emails' and partition = 0 order by 1"
HEAD = "select start_offset, swept_offset from job_partition where topic = 'emails' and partition = 0"
JOBS = """
insert into job_queue (payload, topic, partition, log_offset, status, created_at, locked_at, finished_at)
select '1', 'emails', 0, n, 'completed', now() - interval '3 h', now() - interval '2 h', now() - interval '2 h'
from generate_series(0, 9) as n;
update job_partition set next_offset = 10 where topic = 'emails' and partition = 0;
"""
PLAIN = """
insert into job_queue (payload, topic, status, created_at, finished_at) values
  ('1', 'emails', 'completed', now() - interval '2 h', null),
  ('1', 'emails', 'failed', now() - interval '3 h', now() - interval '2 h'),
  ('1', 'emails', 'completed', now() - interval '3 h', now()),
  ('1', 'emails', 'pending', now() - interval '3 h', null),
  ('1', 'emails', 'processing', now() - interval '3 h', null)
"""


@pytest.fixture
def texts(line: Line) -> Texts:
    return {**retention.load(line.schemas), **keep_times.load(line.schemas)}


@pytest.fixture
def topic(migrated: Connection, texts: Texts) -> Connection:
    """A topic that keeps what it holds for an hour, and that a share group owns."""
    topics.create_topic(migrated, texts, "emails", 2, retention_ms=HOUR_MS)
    migrated.execute("update job_topic set owner_group = 'workers', owner_kind = 'share'")
    return migrated


@pytest.fixture
def queue(topic: Connection) -> Connection:
    """The topic with ten jobs, completed two hours ago."""
    topic.execute(JOBS)
    return topic


def left(conn: Connection) -> list[int]:
    return [row[0] for row in conn.execute(LEFT)]


def removed(swept: Swept) -> list[tuple[int | None, int | None, int]]:
    return [(one.first_offset, one.last_offset, one.rows) for one in swept.removed]


def test_finished_jobs_go_wherever_they_stand_and_no_others(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'pending', finished_at = null where log_offset in (0, 7)")
    queue.execute("update job_queue set status = 'processing', finished_at = null where log_offset = 3")
    queue.execute("update job_queue set status = 'pending', process_after = 'infinity' where log_offset = 5")
    queue.execute("update job_queue set finished_at = now() where log_offset = 8")
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 1, 9, 5),), (), more=False)
    assert left(queue) == [0, 3, 5, 7, 8]
    assert retention.sweep(queue, texts) == Swept()


def test_the_low_watermark_follows(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'pending', finished_at = null where log_offset = 4")
    retention.sweep(queue, texts)
    assert queue.execute(HEAD).fetchone() == (4, 0)
    queue.execute("update job_queue set status = 'completed', finished_at = now() - interval '2 h'")
    retention.sweep(queue, texts)
    assert queue.execute(HEAD).fetchone() == (5, 0)


def test_completed_and_failed_jobs_have_keep_times_of_their_own(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'failed' where log_offset < 5")
    keep_times.change(queue, texts, "emails", {"failed_retention_ms": 3 * HOUR_MS})
    assert removed(retention.sweep(queue, texts)) == [(5, 9, 5)]
    keep_times.change(
        queue, texts, "emails", {"completed_retention_ms": FOR_EVER_MS, "failed_retention_ms": HOUR_MS // 2}
    )
    queue.execute("update job_queue set status = 'completed' where log_offset = 0")
    assert removed(retention.sweep(queue, texts)) == [(1, 4, 4)]
    assert left(queue) == [0]


def test_keep_times_are_changed_one_by_one(topic: Connection, texts: Texts) -> None:
    assert keep_times.read(topic, texts, ["emails", "nobody"]) == {"emails": KeepTimes("emails", HOUR_MS, None, None)}
    keep_times.change(topic, texts, "emails", {"completed_retention_ms": 5, "retention_ms": None})
    keep_times.change(topic, texts, "emails", {"failed_retention_ms": 7})
    assert keep_times.read(topic, texts, None)["emails"] == KeepTimes("emails", None, 5, 7)
    with pytest.raises(UnknownTopicError):
        keep_times.change(topic, texts, "nobody", {"retention_ms": 1})


KEPT = {
    "while Kafka numbers it": "update job_topic set sequencer = 'kafka'",
    "while its gate is closed": "update job_topic set gate = 'closed'",
    "for ever": "update job_topic set retention_ms = null",
    "for what people write for ever": "update job_topic set completed_retention_ms = 9223372036854775807",
    "as a log once nobody owns it, by the age of its rows": """
        update job_topic set owner_group = null, owner_kind = null; update job_queue set created_at = now()
    """,
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_jobs_are_kept(queue: Connection, texts: Texts, change: str) -> None:
    queue.execute(change.encode())
    assert retention.sweep(queue, texts) == Swept()
    assert len(left(queue)) == 10


def test_a_living_group_that_reads_the_same_topic_holds_what_it_has_not_read(queue: Connection, texts: Texts) -> None:
    topics.copy_group_offsets(queue, texts, "audit", "emails", [GroupOffset(0, 4)])
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 0, 3, 4),), (), more=False)


def test_a_group_that_nobody_uses_is_told_what_it_lost(queue: Connection, texts: Texts) -> None:
    topics.copy_group_offsets(queue, texts, "audit", "emails", [GroupOffset(0, 4)])
    queue.execute("update job_group_offset set committed_at = now() - interval '2 h'")
    queue.execute("update job_queue set status = 'pending' where log_offset = 6")
    assert retention.sweep(queue, texts).passed == (Passed("audit", "emails", 0, 5),)


def test_a_job_that_somebody_looks_at_or_tries_again_is_left(
    queue: Connection, migrated_url: str, texts: Texts
) -> None:
    with closing(postgres.connect(migrated_url, "other")) as other, other.transaction():
        other.execute("select from job_queue where log_offset = 2 for update")
        assert removed(retention.sweep(queue, texts)) == [(0, 9, 9)]
    ids = [row[0] for row in queue.execute("update job_queue set status = 'pending' returning id")]
    assert queue.execute(texts["delete_finished"], {"ids": ids}).rowcount == 0


def test_what_is_kept_is_passed_by_in_bounded_steps(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'pending', finished_at = null where log_offset < 7")
    steps = [retention.sweep(queue, texts, limit=3) for _ in range(4)]
    assert [removed(step) for step in steps] == [[], [], [(7, 8, 2)], [(9, 9, 1)]]
    assert [step.more for step in steps] == [False, False, True, False]
    assert queue.execute(HEAD).fetchone() == (0, 0)


def test_rounds_are_bounded(queue: Connection, texts: Texts) -> None:
    rounds = [retention.sweep(queue, texts, limit=4) for _ in range(4)]
    assert [removed(one) for one in rounds] == [[(0, 3, 4)], [(4, 7, 4)], [(8, 9, 2)], []]
    assert [one.more for one in rounds] == [True, True, False, False]


@pytest.mark.parametrize("kind", ["share", "consumer", None])
def test_finished_jobs_of_plain_sql_go_whoever_owns_the_topic(
    topic: Connection, texts: Texts, kind: str | None
) -> None:
    topic.execute("update job_topic set owner_kind = %s, owner_group = %s", [kind, kind])
    topic.execute(PLAIN)
    assert retention.sweep(topic, texts, limit=1).more
    assert retention.sweep(topic, texts, limit=2) == Swept((Removed("emails", None, None, None, 1),), (), more=False)
    assert topic.execute("select status::text from job_queue order by id").fetchall() == [
        ("completed",),
        ("pending",),
        ("processing",),
    ]


def test_jobs_of_a_topic_that_nobody_registered_stay(migrated: Connection, texts: Texts) -> None:
    migrated.execute(PLAIN.replace("'emails'", "'default'").encode())
    assert retention.sweep(migrated, texts) == Swept()


def test_the_sweeper_removes_a_backlog_of_finished_jobs(queue: Connection, migrated_url: str, line: Line) -> None:
    queue.execute("update job_partition set next_offset = 11001")
    queue.execute(
        "insert into job_queue (payload, topic, partition, log_offset, status, created_at) "
        "select '1', 'emails', 0, n, 'completed', now() - interval '2 h' from generate_series(10, 11000) as n"
    )
    told: list[Swept] = []
    retention.sweeper_for(pool_for(migrated_url), line.schemas, told.append).start()
    assert wait_until(lambda: not left(queue), 60)
    assert [swept.deleted for swept in told] == [5000, 5000, 1001]
