"""Committing: fenced by the holding, one statement for all, and with the caller's own effects or not at all."""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
from psycopg.rows import dict_row

from migrator import postgres
from migrator.postgres import Connection
from shim.store import offsets, topics
from shim.store.assignors import TP
from shim.store.offsets import LONGEST_METADATA, Commit, CommitResult, Committed
from tests.integration.shim.follower import TEXTS, TOPICS, Follower, all_of, make_topic, settle

COOPERATIVE = ("cooperative-sticky",)


@pytest.fixture
def topic(migrated: Connection) -> str:
    return make_topic(migrated, 2)


@pytest.fixture
def member(migrated: Connection, topic: str) -> Follower:
    """The only member of its group, holding both partitions."""
    follower = Follower(migrated, "g", [topic], COOPERATIVE)
    settle([follower])
    return follower


@pytest.fixture
def own(migrated_url: str) -> Iterator[Connection]:
    """The application's own connection."""
    with closing(postgres.connect(migrated_url, "test")) as conn:
        yield conn


def commit(conn: Connection, member: Follower | None, *commits: Commit) -> dict[TP, CommitResult]:
    return offsets.commit(conn, TEXTS, "g", member.member_id if member else None, commits)


def standing(conn: Connection) -> dict[TP, int]:
    return {tp: found.offset for tp, found in offsets.committed(conn, TEXTS, "g").items()}


def test_what_is_committed_is_read_back(migrated: Connection, member: Follower, topic: str) -> None:
    epoch = member.held[topic, 0]
    commits = [Commit(topic, 0, 7, 3, "né", epoch), Commit(topic, 1, 0, epoch=member.held[topic, 1])]
    assert commit(migrated, member, *commits) == {(topic, 0): "ok", (topic, 1): "ok"}
    found = {(topic, 0): Committed(7, 3, "né"), (topic, 1): Committed(0, None, "")}
    assert offsets.committed(migrated, TEXTS, "g") == found
    assert offsets.committed(migrated, TEXTS, "g", [(topic, 0), (topic, 9)]) == {(topic, 0): found[topic, 0]}
    assert offsets.committed(migrated, TEXTS, "another group") == {}
    commit(migrated, member, Commit(topic, 0, 9, epoch=epoch), Commit(topic, 0, 5, epoch=epoch))
    assert standing(migrated) == {(topic, 0): 5, (topic, 1): 0}


def test_each_partition_is_judged_for_itself(migrated: Connection, member: Follower, topic: str) -> None:
    epoch = member.held[topic, 0]
    results = commit(
        migrated,
        member,
        Commit(topic, 0, 1, metadata="m" * LONGEST_METADATA, epoch=epoch),
        Commit(topic, 1, 1, metadata="é" * LONGEST_METADATA, epoch=epoch),
        Commit(topic, 2, 1, epoch=epoch),
        Commit(topic, -1, 1, epoch=epoch),
        Commit("nowhere", 0, 1, epoch=epoch),
    )
    assert results == {
        (topic, 0): "ok",
        (topic, 1): "metadata-too-large",
        (topic, 2): "unknown-topic",
        (topic, -1): "unknown-topic",
        ("nowhere", 0): "unknown-topic",
    }
    assert standing(migrated) == {(topic, 0): 1}


def test_commit_under_another_epoch_is_fenced(migrated: Connection, member: Follower, topic: str) -> None:
    old = dict(member.held)
    member.release([(topic, 0)])
    assert commit(migrated, member, Commit(topic, 0, 1, epoch=old[topic, 0])) == {(topic, 0): "illegal-generation"}
    member.acquire([(topic, 0)])
    assert commit(migrated, member, Commit(topic, 0, 1, epoch=old[topic, 0])) == {(topic, 0): "illegal-generation"}
    assert commit(migrated, member, Commit(topic, 0, 1, epoch=member.held[topic, 0])) == {(topic, 0): "ok"}


def test_commit_without_an_epoch_is_for_what_nobody_else_holds(
    migrated: Connection, member: Follower, topic: str
) -> None:
    elsewhere = make_topic(migrated, 1)
    assert commit(migrated, member, Commit(topic, 0, 1), Commit(elsewhere, 0, 1)) == {
        (topic, 0): "ok",
        (elsewhere, 0): "ok",
    }
    other = Follower(migrated, "g", [topic], COOPERATIVE)
    settle([member, other])
    theirs = next(iter(other.held))
    assert commit(migrated, member, Commit(*theirs, 2)) == {theirs: "illegal-generation"}


def test_commit_without_membership_needs_an_empty_group(migrated: Connection, member: Follower, topic: str) -> None:
    assert commit(migrated, None, Commit(topic, 0, 4)) == {(topic, 0): "unknown-member"}
    member.expire()
    assert commit(migrated, None, Commit(topic, 0, 4)) == {(topic, 0): "ok"}
    # Nor does the member that was paused undo it when it wakes up.
    assert commit(migrated, member, Commit(topic, 0, 9, epoch=member.held[topic, 0])) == {(topic, 0): "unknown-member"}
    assert standing(migrated) == {(topic, 0): 4}


def test_offsets_that_the_drain_copied_are_the_groups(migrated: Connection, topic: str) -> None:
    topics.copy_group_offsets(migrated, TOPICS, "g", topic, [topics.GroupOffset(0, 3, 2, "m")])
    assert offsets.committed(migrated, TEXTS, "g", [(topic, 0)]) == {(topic, 0): Committed(3, 2, "m")}


def test_commit_in_the_callers_transaction_stands_or_falls_with_it(
    migrated: Connection, migrated_url: str, member: Follower, topic: str
) -> None:
    tp, epoch = (topic, 0), member.held[topic, 0]
    # As an application may have it: not in autocommit, rows as dictionaries.
    with closing(psycopg.connect(migrated_url, row_factory=dict_row)) as conn:
        conn.execute("create table effect (n integer)")
        conn.commit()
        for offset, end in ((1, conn.rollback), (2, conn.commit)):
            conn.execute("insert into effect values (%s)", [offset])
            assert offsets.commit(conn, TEXTS, "g", member.member_id, [Commit(*tp, offset, epoch=epoch)]) == {tp: "ok"}
            assert offsets.committed(conn, TEXTS, "g")[tp].offset == offset
            end()
    assert standing(migrated) == {tp: 2}
    assert migrated.execute("select n from effect").fetchall() == [(2,)]


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls back"])
def test_partition_with_a_commit_in_an_open_transaction_is_not_handed_on_before_its_end(
    migrated: Connection, own: Connection, member: Follower, topic: str, commits: bool
) -> None:
    other = Follower(migrated, "g", [topic], COOPERATIVE)
    with own.transaction(force_rollback=not commits):
        assert set(member.commit(8, own).values()) == {"ok"}
        # The group goes on meanwhile: its generations do not wait for the application.
        moving = other.join().target
        assert len(moving) == 1
        member.act()
        assert member.held.keys() == all_of(topic, 2)
        member.expire()
        other.act()
        assert other.read().target == all_of(topic, 2)
        assert other.held == {}
    other.act()
    assert other.held.keys() == all_of(topic, 2)
    assert standing(migrated) == (dict.fromkeys(all_of(topic, 2), 8) if commits else {})


def test_commit_that_comes_after_a_takeover_in_its_transaction_is_fenced(
    migrated: Connection, own: Connection, member: Follower, topic: str
) -> None:
    other = Follower(migrated, "g", [topic], COOPERATIVE)
    with own.transaction():
        own.execute("select 1")
        member.expire()
        settle([other])
        assert set(member.commit(8, own).values()) == {"unknown-member"}


def test_commits_at_once_in_any_order_do_not_deadlock(migrated_url: str, migrated: Connection) -> None:
    wide = make_topic(migrated, 20)
    failures: list[BaseException] = []

    def go(conn: Connection) -> None:
        try:
            for turn in range(15):
                commits = [Commit(wide, partition, turn) for partition in range(20)]
                random.shuffle(commits)
                assert set(commit(conn, None, *commits).values()) == {"ok"}
        except BaseException as error:
            failures.append(error)
            raise

    with ExitStack() as stack:
        conns = [stack.enter_context(closing(postgres.connect(migrated_url, "test"))) for _ in range(4)]
        threads = [threading.Thread(target=go, args=[conn]) for conn in conns]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert standing(migrated) == dict.fromkeys(all_of(wide, 20), 14)


def test_offsets_of_topics_that_a_live_member_reads_are_not_deleted(
    migrated: Connection, member: Follower, topic: str
) -> None:
    elsewhere = make_topic(migrated, 1)
    member.commit()
    commit(migrated, member, Commit(elsewhere, 0, 1))

    def delete() -> dict[TP, offsets.DeleteResult]:
        return offsets.delete_offsets(migrated, TEXTS, "g", [(topic, 0), (elsewhere, 0), (elsewhere, 7)])

    assert delete() == {(topic, 0): "subscribed", (elsewhere, 0): "ok", (elsewhere, 7): "ok"}
    assert standing(migrated).keys() == all_of(topic, 2)
    member.leave()
    assert delete()[topic, 0] == "ok"
    assert standing(migrated).keys() == {(topic, 1)}
