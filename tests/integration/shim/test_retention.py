"""Retention: what is old goes in the order of its offsets, what somebody still needs stays, what was lost is told."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import append, retention, topics
from shim.store.pool import pool_for
from shim.store.retention import Passed, Removed, Swept
from shim.store.schema import Line
from shim.store.topics import GroupOffset, Texts
from shim.store.values import View
from tests.fixtures.proxy import OpenProxy

LEFT = "select log_offset from job_queue where partition = 0 order by 1"
STARTS = "select start_offset from job_partition where topic = 'emails' order by partition"


@pytest.fixture
def texts(line: Line) -> Texts:
    return {**append.load(line.schemas), **retention.load(line.schemas)}


@pytest.fixture
def queue(migrated: Connection, texts: Texts) -> Connection:
    """A topic that keeps rows for an hour; of ten in partition 0 the first six are two hours old."""
    topics.create_topic(migrated, texts, "emails", 2, retention_ms=3_600_000)
    fill(migrated, texts, 10)
    age(migrated, 6)
    return migrated


@pytest.fixture
def other(migrated_url: str) -> Iterator[Connection]:
    with closing(postgres.connect(migrated_url, "other")) as conn:
        yield conn


def fill(conn: Connection, texts: Texts, count: int, partition: int = 0) -> None:
    one = append.draft("emails", partition, b"k", b"1", None, None, View("json", b"1"))
    append.append(conn, texts, [one] * count)


def age(conn: Connection, before: int, partition: int = 0) -> None:
    conn.execute(
        "update job_queue set created_at = now() - interval '2 hours', process_after = now() - interval '2 hours'"
        " where partition = %s and log_offset < %s",
        [partition, before],
    )


def left(conn: Connection) -> list[int]:
    return [row[0] for row in conn.execute(LEFT)]


def commit(conn: Connection, texts: Texts, group_id: str, offset: int, *, hours_ago: int = 0) -> None:
    topics.copy_group_offsets(conn, texts, group_id, "emails", [GroupOffset(0, offset)])
    conn.execute(
        "update job_group_offset set committed_at = now() - interval '1 hour' * %s where group_id = %s",
        [hours_ago, group_id],
    )


def test_a_delayed_row_ages_from_its_due_time(queue: Connection, texts: Texts) -> None:
    """It was delayed for longer than the topic keeps rows; one that is held for a person stays."""
    queue.execute("update job_queue set process_after = created_at where log_offset < 3")
    queue.execute("update job_queue set process_after = now() - interval '1 minute' where log_offset = 3")
    assert retention.sweep(queue, texts).deleted == 3
    assert left(queue)[0] == 3
    queue.execute("update job_queue set process_after = now() - interval '61 minutes' where log_offset = 3")
    queue.execute("update job_queue set process_after = '-infinity' where log_offset = 4")
    queue.execute("update job_queue set process_after = 'infinity' where log_offset = 5")
    assert retention.sweep(queue, texts).deleted == 2
    assert left(queue)[0] == 5


def test_what_is_old_goes_and_the_low_watermark_moves_along(queue: Connection, texts: Texts) -> None:
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 0, 5, 6),), (), more=False)
    assert left(queue) == [6, 7, 8, 9]
    assert queue.execute(STARTS).fetchall() == [(6,), (0,)]
    nothing = retention.sweep(queue, texts)
    assert nothing == Swept()
    assert not nothing
    age(queue, 10)
    assert retention.sweep(queue, texts).deleted == 4
    assert queue.execute(STARTS).fetchall() == [(10,), (0,)]


def test_an_old_row_behind_a_young_one_waits_for_it(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set created_at = now() where log_offset = 2")
    assert retention.sweep(queue, texts).deleted == 2
    assert left(queue) == list(range(2, 10))
    assert retention.sweep(queue, texts).deleted == 0


def test_offsets_that_never_were_are_passed_over(queue: Connection, texts: Texts) -> None:
    queue.execute("delete from job_queue where log_offset in (0, 3, 6)")
    assert retention.sweep(queue, texts).deleted == 4
    assert left(queue) == [7, 8, 9]
    assert queue.execute(STARTS).fetchall() == [(6,), (0,)]


def test_rounds_are_bounded(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 10, partition=1)
    age(queue, 10, partition=1)
    queue.execute(
        "update job_queue set created_at = created_at - interval '1 minute', process_after = '-infinity'"
        " where partition = 1"
    )
    assert retention.sweep(queue, texts, limit=4) == Swept((Removed("emails", 1, 0, 3, 4),), (), more=True)
    assert left(queue) == list(range(10))
    assert queue.execute(STARTS).fetchall() == [(0,), (4,)]
    rounds = [retention.sweep(queue, texts, limit=4) for _ in range(6)]
    assert sum(swept.deleted for swept in rounds) == 12
    assert rounds[-1] == Swept()


KEPT = {
    "while Kafka numbers it": "update job_topic set sequencer = 'kafka'",
    "while its gate is closed": "update job_topic set gate = 'closed'",
    "for ever": "update job_topic set retention_ms = null",
    "for what people write for ever": "update job_topic set retention_ms = 9223372036854775807",
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_a_topic_is_kept(queue: Connection, texts: Texts, change: str) -> None:
    queue.execute(change.encode())
    assert retention.sweep(queue, texts) == Swept()
    assert left(queue) == list(range(10))


def test_a_topic_that_changes_before_its_turn_is_kept(queue: Connection, other: Connection, texts: Texts) -> None:
    due = queue.execute(texts["due_partitions"]).fetchall()
    assert due == [("emails", 0, False)]
    other.execute("update job_topic set gate = 'closed'")
    assert not retention._may_sweep(queue, texts, "emails")  # noqa: SLF001  # the gap between


def test_no_row_goes_before_every_group_has_read_it(queue: Connection, texts: Texts) -> None:
    commit(queue, texts, "fast", 8)
    commit(queue, texts, "slow", 3)
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 0, 2, 3),), (), more=False)
    assert left(queue) == list(range(3, 10))
    queue.execute("update job_group_offset set committed_offset = 8")
    assert retention.sweep(queue, texts).deleted == 3


LIVING = {
    "by a member": """
        insert into job_group (group_id, changed_at) values ('idle', now() - interval '1 day');
        insert into job_group_member
          (group_id, member_id, client_id, host, topics, strategies, session_ms, lease_until)
        values ('idle', 'm', 'c', 'h', '{emails}', '{range}', 45000, now() - interval '10 minutes')
    """,
    "by a change of its members": "insert into job_group (group_id) values ('idle')",
    "by a commit in another partition": """
        insert into job_group_offset (group_id, topic, partition, committed_offset) values ('idle', 'emails', 1, 0)
    """,
}


@pytest.mark.parametrize("sign", LIVING.values(), ids=LIVING)
def test_a_group_that_was_used_within_the_retention_is_waited_for(queue: Connection, texts: Texts, sign: str) -> None:
    commit(queue, texts, "idle", 3, hours_ago=5)
    queue.execute(sign.encode())
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 0, 2, 3),), (), more=False)


def test_a_group_that_nobody_uses_is_passed_and_told_what_it_lost(queue: Connection, texts: Texts) -> None:
    queue.execute("insert into job_group (group_id, changed_at) values ('gone', now() - interval '1 day')")
    commit(queue, texts, "gone", 2, hours_ago=5)
    commit(queue, texts, "gone as well", 4, hours_ago=5)
    commit(queue, texts, "done", 10, hours_ago=5)
    commit(queue, texts, "living", 5)
    told = (Passed("gone", "emails", 0, 3), Passed("gone as well", "emails", 0, 1))
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 0, 4, 5),), told, more=False)
    queue.execute("update job_group_offset set committed_offset = 9 where group_id = 'living'")
    told = (Passed("gone", "emails", 0, 1), Passed("gone as well", "emails", 0, 1))
    assert retention.sweep(queue, texts) == Swept((Removed("emails", 0, 5, 5, 1),), told, more=False)


def test_rows_of_a_log_that_somebody_works_on_or_holds_are_kept(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_queue set status = 'processing' where log_offset = 4")
    assert retention.sweep(queue, texts).deleted == 4
    queue.execute("update job_queue set status = 'pending', process_after = 'infinity' where log_offset = 4")
    assert retention.sweep(queue, texts) == Swept()
    queue.execute("update job_queue set status = 'failed' where log_offset = 4")
    assert retention.sweep(queue, texts).deleted == 2


def test_a_row_that_somebody_works_on_is_left_and_goes_later(
    queue: Connection, other: Connection, texts: Texts
) -> None:
    with other.transaction():
        other.execute("select from job_queue where log_offset = 2 for update")
        assert retention.sweep(queue, texts).deleted == 5
        assert queue.execute(STARTS).fetchall() == [(2,), (0,)]
    assert retention.sweep(queue, texts).deleted == 1
    assert queue.execute(STARTS).fetchall() == [(3,), (0,)]


def test_one_sweep_at_a_time(queue: Connection, other: Connection, texts: Texts) -> None:
    with other.transaction():
        other.execute(texts["try_sweeping"])
        assert retention.sweep(queue, texts) == Swept()
    assert retention.sweep(queue, texts).deleted == 6


def test_the_sweeper_sweeps_until_nothing_is_left_and_tells(
    queue: Connection, migrated_url: str, texts: Texts, line: Line
) -> None:
    pool = pool_for(migrated_url)
    fill(queue, texts, 11_000)
    age(queue, 11_000)
    told: list[Swept] = []
    sweeper = retention.sweeper_for(pool, line.schemas, told.append)
    assert retention.sweeper_for(pool, line.schemas) is sweeper
    sweeper.start()
    assert wait_until(lambda: sum(swept.deleted for swept in told) == 11_000, 20)
    assert len(told) == 3
    assert left(queue) == list(range(11_000, 11_010))


def test_the_sweeper_survives_an_outage(
    queue: Connection, migrated_url: str, line: Line, open_proxy: OpenProxy
) -> None:
    proxy = open_proxy(migrated_url)
    proxy.refuse()
    sweeper = retention.sweeper_for(pool_for(proxy.url_of(migrated_url)), line.schemas)
    sweeper.start()
    assert wait_until(lambda: sweeper.error is not None, 20)
    assert proxy.faults["refused"] > 0
    proxy.heal()
    assert wait_until(lambda: left(queue) == [6, 7, 8, 9] and sweeper.error is None, 20)
