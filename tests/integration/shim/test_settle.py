"""Status follows the consumer group that owns the topic: afterwards, in batches, and never too far."""

from collections.abc import Callable

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.store import append, settle, topics
from shim.store.schema import Line
from shim.store.topics import GroupOffset, Texts
from shim.store.values import View

STATUSES = "select partition, array_agg(status::text order by log_offset) from job_queue group by 1 order by 1"
WAIT_SECONDS = 60.0


@pytest.fixture
def texts(line: Line) -> Texts:
    return {**append.load(line.schemas), **settle.load(line.schemas)}


@pytest.fixture
def queue(migrated: Connection, texts: Texts) -> Connection:
    """A topic of two partitions with five rows each, which the group ``mailers`` owns."""
    topics.create_topic(migrated, texts, "emails", 2)
    one = [append.draft("emails", partition, b"k", b"1", None, 7, View("json", b"1")) for partition in (0, 1)]
    append.append(migrated, texts, one * 5)
    migrated.execute("update job_topic set owner_group = 'mailers', owner_kind = 'consumer'")
    return migrated


def commit(conn: Connection, texts: Texts, group_id: str, *offsets: int) -> None:
    places = [GroupOffset(partition, offset) for partition, offset in enumerate(offsets)]
    topics.copy_group_offsets(conn, texts, group_id, "emails", places)


def completed(conn: Connection) -> list[int]:
    """How many rows of each partition are completed; they are the first ones."""
    counts = []
    for _, statuses in conn.execute(STATUSES):
        count = statuses.count("completed")
        assert statuses == ["completed"] * count + ["pending"] * (len(statuses) - count)
        counts.append(count)
    return counts


@pytest.mark.parametrize("limit", [2, 3, 2000])
def test_rows_below_the_owner_s_offset_are_completed(queue: Connection, texts: Texts, limit: int) -> None:
    commit(queue, texts, "mailers", 3, 0)
    commit(queue, texts, "others", 5, 5)
    assert settle.settle(queue, texts, limit=limit) == 3
    assert completed(queue) == [3, 0]
    assert settle.settle(queue, texts) == 0
    queue.execute("delete from job_group_offset")
    commit(queue, texts, "mailers", 5, 4)
    assert settle.settle(queue, texts, limit=limit) == 6
    assert completed(queue) == [5, 4]


def test_an_offset_behind_the_end_settles_what_there_is_and_no_more(queue: Connection, texts: Texts) -> None:
    commit(queue, texts, "mailers", 100, 0)
    assert settle.settle(queue, texts) == 5
    one = append.draft("emails", 0, b"k", b"1", None, 7, View("json", b"1"))
    append.append(queue, texts, [one])
    assert settle.settle(queue, texts) == 1


def test_what_failed_or_is_worked_on_stays_as_it_is(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'failed' where partition = 0 and log_offset = 0")
    queue.execute("update job_queue set status = 'processing' where partition = 0 and log_offset = 1")
    commit(queue, texts, "mailers", 5, 0)
    assert settle.settle(queue, texts) == 3
    (_, statuses), _ = queue.execute(STATUSES).fetchall()
    assert statuses == ["failed", "processing", "completed", "completed", "completed"]


@pytest.mark.parametrize("owner", ["share", None])
def test_nothing_is_settled_where_no_consumer_group_owns_the_topic(
    queue: Connection, texts: Texts, owner: str | None
) -> None:
    commit(queue, texts, "mailers", 5, 5)
    queue.execute("update job_topic set owner_kind = %s, owner_group = %s", [owner, owner and "mailers"])
    assert settle.settle(queue, texts) == 0


def _sync(consumer: Consumer) -> None:
    consumer.commit(asynchronous=False)


def _async(consumer: Consumer) -> None:
    consumer.commit()


@pytest.mark.parametrize("commit_by", [_sync, _async])
def test_a_commit_has_the_rows_completed_soon(
    queue: Connection, migrated_url: str, commit_by: Callable[[Consumer], None]
) -> None:
    conf = {"shim.dsn": migrated_url, "group.id": "mailers", "auto.offset.reset": "earliest"}
    consumer = Consumer({**conf, "enable.auto.commit": False})
    consumer.subscribe(["emails"])
    assert len(consumer.consume(10, 30)) == 10
    progress = "select kind, sum(remaining)::integer from job_progress group by kind"
    commit_by(consumer)
    assert wait_until(lambda: completed(queue) == [5, 5], WAIT_SECONDS), completed(queue)
    assert queue.execute(progress).fetchall() == [("consumer", 0)]
    consumer.close()


def test_depth_and_failures_are_simple_queries(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'failed', last_error = 'no' where partition = 0 and log_offset = 0")
    queue.execute("update job_queue set status = 'processing' where partition = 0 and log_offset = 1")
    queue.execute("update job_queue set process_after = 'infinity' where partition = 0 and log_offset = 2")
    queue.execute(
        "update job_queue set process_after = now() + interval '1 day' where partition = 0 and log_offset = 3"
    )
    topics.create_topic(queue, texts, "quiet", 1)
    depth = (
        "select topic, due, delayed, parked, processing, failed, oldest_due >= interval '0' from job_depth order by 1"
    )
    assert queue.execute(depth).fetchall() == [("emails", 6, 1, 1, 1, 1, True), ("quiet", 0, 0, 0, 0, 0, None)]
    assert queue.execute("select topic, log_offset, last_error from job_failure").fetchall() == [("emails", 0, "no")]
