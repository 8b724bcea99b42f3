"""Consumer groups: who is a member, who holds what; pauses, expired leases, static members, and processes at odds."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import groups, topics
from shim.store.groups import (
    Assignment,
    Beat,
    Beats,
    FencedInstanceError,
    GroupNotEmptyError,
    InconsistentProtocolError,
    InvalidPatternError,
    UnknownMemberError,
)
from tests.fixtures.pgbouncer import PgBouncer
from tests.integration.shim.follower import (
    SESSION_MS,
    TEXTS,
    TOPICS,
    Follower,
    all_of,
    committers,
    make_topic,
    settle,
)

COOPERATIVE = ("cooperative-sticky",)


@pytest.fixture
def topic(migrated: Connection) -> str:
    return make_topic(migrated, 4)


@contextmanager
def another(url: str) -> Iterator[Connection]:
    with closing(postgres.connect(url, "test")) as conn:
        yield conn


def group_of(conn: Connection, topic: str, size: int, **fields: Any) -> list[Follower]:
    """Members that have come to rest."""
    followers = [Follower(conn, "g", [topic], **fields) for _ in range(size)]
    for follower in followers:
        follower.join()
    settle(followers)
    return followers


def generation_of(conn: Connection) -> int:
    return groups.describe_groups(conn, TEXTS, ["g"])["g"].generation


def test_first_member_is_given_everything_and_takes_it(migrated: Connection, topic: str) -> None:
    first = Follower(migrated, "g", [topic])
    assignment = first.join()
    assert assignment == Assignment(1, "eager", all_of(topic, 4), {}, all_of(topic, 4))
    assert first.acquire(assignment.free) == dict.fromkeys(all_of(topic, 4), 1)
    assert first.acquire(assignment.free) == dict.fromkeys(all_of(topic, 4), 1)  # asked twice, taken once
    assert first.read() == Assignment(1, "eager", all_of(topic, 4), first.held, frozenset())


def test_second_member_waits_for_what_the_first_one_holds(migrated: Connection, topic: str) -> None:
    first, second = group_of(migrated, topic, 1)[0], Follower(migrated, "g", [topic])
    assignment = second.join()
    assert (assignment.generation, len(assignment.target), assignment.free) == (2, 2, frozenset())
    assert second.acquire(assignment.target) == {}
    assert first.beat().members[first.member_id] == Beat(first.member_id, "live", 2)
    moving = assignment.target
    assert first.release(moving) == moving
    assert second.read().free == moving
    assert second.acquire(moving) == dict.fromkeys(moving, 2)
    assert committers([first, second]) == dict.fromkeys(all_of(topic, 4), 1)


def test_cooperative_members_let_go_of_no_more_than_what_moves(migrated: Connection, topic: str) -> None:
    first = group_of(migrated, topic, 1, strategies=COOPERATIVE)[0]
    before = dict(first.held)
    second = Follower(migrated, "g", [topic], COOPERATIVE)
    assert second.join().protocol == "cooperative"
    settle([first, second])
    assert first.held.items() <= before.items()
    assert len(first.held) == len(second.held) == 2


def test_acquiring_by_an_assignment_that_was_overtaken_gives_nothing(migrated: Connection, topic: str) -> None:
    first = Follower(migrated, "g", [topic])
    old = first.join()
    Follower(migrated, "g", [topic]).join()
    assert first.acquire(old.free, old.generation) == {}
    assert first.acquire(first.read().free, old.generation + 1).keys() == first.read().target


def test_joining_again_unchanged_is_no_new_generation(migrated: Connection, topic: str) -> None:
    first = group_of(migrated, topic, 1)[0]
    assert groups.join(migrated, TEXTS, first.membership()).held == first.held
    assert groups.join(migrated, TEXTS, first.membership(), rejoin=True).generation == 1


def test_changed_subscription_is_a_new_generation(migrated: Connection, topic: str) -> None:
    first, second = group_of(migrated, topic, 2)
    other = make_topic(migrated, 1)
    first.topics = [other]
    assert groups.join(migrated, TEXTS, first.membership(), rejoin=True).target == {(other, 0)}
    settle([first, second])
    assert first.held.keys() == {(other, 0)}
    assert second.held.keys() == all_of(topic, 4)


def test_topics_that_nobody_wants_any_more_leave_no_rows(migrated: Connection, topic: str) -> None:
    first = group_of(migrated, topic, 1)[0]
    first.topics = []
    assert groups.join(migrated, TEXTS, first.membership(), rejoin=True).target == frozenset()
    settle([first])
    assert first.held == {}
    first.topics = ["nowhere"]
    groups.join(migrated, TEXTS, first.membership(), rejoin=True)
    assert migrated.execute("select count(*) from job_group_partition").fetchone() == (0,)


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_member_that_was_paused_past_its_lease_is_out(migrated: Connection, topic: str, noticed: bool) -> None:
    paused, other = group_of(migrated, topic, 2)
    paused.expire()
    if noticed:
        assert other.beat().stale == {"g"}
        assert groups.rebalance(migrated, TEXTS, "g") == 3
    assert set(paused.commit().values()) == {"unknown-member"}
    with pytest.raises(UnknownMemberError):
        paused.acquire(paused.held, 3)
    with pytest.raises(UnknownMemberError):
        paused.read()
    with pytest.raises(UnknownMemberError):
        groups.join(migrated, TEXTS, paused.membership(), rejoin=True)
    beats = paused.beat()
    assert beats.members == {paused.member_id: Beat(paused.member_id, "gone")}
    assert beats.stale == (set() if noticed else {"g"})
    settle([paused, other])
    assert committers([paused, other]) == dict.fromkeys(all_of(topic, 4), 1)


def test_partitions_of_an_expired_member_are_taken_over_and_its_commits_stay_fenced(
    migrated: Connection, topic: str
) -> None:
    paused, other = group_of(migrated, topic, 2)
    lost = dict(paused.held)
    paused.expire()
    settle([other])
    assert other.held.keys() == all_of(topic, 4)
    assert all(other.held[tp] > epoch for tp, epoch in lost.items())
    assert set(paused.commit().values()) == {"unknown-member"}
    assert paused.release(lost) == frozenset()
    assert set(other.commit().values()) == {"ok"}


def test_beat_that_comes_first_saves_its_member(migrated: Connection, topic: str) -> None:
    first = group_of(migrated, topic, 1)[0]
    migrated.execute("update job_group_member set lease_until = clock_timestamp() + interval '2 seconds'")
    assert first.beat() == Beats({first.member_id: Beat(first.member_id, "live", 1)}, frozenset())
    left = "select lease_until - clock_timestamp() > %s * interval '1 millisecond' from job_group_member"
    assert migrated.execute(left, [SESSION_MS - 5000]).fetchone() == (True,)


def test_two_processes_that_notice_at_once_make_one_generation(
    migrated: Connection, migrated_url: str, topic: str
) -> None:
    paused, other = group_of(migrated, topic, 2)
    paused.expire()
    generation = generation_of(migrated)
    found: list[int] = []
    start = threading.Barrier(4)

    def notice() -> None:
        with another(migrated_url) as conn:
            start.wait(10)
            found.append(groups.rebalance(conn, TEXTS, "g"))

    threads = [threading.Thread(target=notice) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [generation + 1] * 4
    assert other.read().target == all_of(topic, 4)


def test_member_that_never_lets_go_blocks_no_longer_than_its_lease(migrated: Connection, topic: str) -> None:
    stubborn = group_of(migrated, topic, 1, strategies=COOPERATIVE)[0]
    others = [Follower(migrated, "g", [topic], COOPERATIVE) for _ in range(2)]
    for other in others:
        other.join()
    settle(others)
    assert not any(other.held for other in others)
    stubborn.expire()
    settle(others)
    assert committers([stubborn, *others]) == dict.fromkeys(all_of(topic, 4), 1)


def test_leaving_while_the_group_is_being_assigned(migrated: Connection, topic: str) -> None:
    first, second = group_of(migrated, topic, 2)
    third = Follower(migrated, "g", [topic])
    third.join()
    first.act()  # let go, and wait for the others
    second.leave()
    settle([first, third])
    assert committers([first, third]) == dict.fromkeys(all_of(topic, 4), 1)
    groups.leave(migrated, TEXTS, "g", "somebody")
    groups.leave(migrated, TEXTS, "no such group", "somebody")
    assert first.beat() == Beats({first.member_id: Beat(first.member_id, "live", first.generation)}, frozenset())


def test_new_life_of_a_static_member_takes_over_without_a_new_generation(migrated: Connection, topic: str) -> None:
    one, other = (Follower(migrated, "g", [topic], instance_id=name) for name in ("i1", "i2"))
    one.join()
    other.join()
    settle([one, other])
    generation, held = generation_of(migrated), dict(one.held)
    reborn = Follower(migrated, "g", [topic], instance_id="i1")
    assignment = reborn.join()
    assert assignment.generation == generation
    assert assignment.free == held.keys()
    assert set(one.commit().values()) == {"fenced-instance"}
    assert one.beat().members[one.member_id].state == "fenced"
    for refused in (one.read, lambda: one.acquire(held), lambda: rejoin(one)):
        with pytest.raises(FencedInstanceError):
            refused()
    assert one.release(held) == held.keys()  # all it still can: give back what it lost anyway
    reborn.acquire(assignment.free)
    assert reborn.held == {tp: epoch + 1 for tp, epoch in held.items()}
    assert committers([one, reborn, other]) == dict.fromkeys(all_of(topic, 4), 1)


def test_static_member_that_comes_back_after_its_lease_but_unnoticed_keeps_its_place(
    migrated: Connection, topic: str
) -> None:
    one = group_of(migrated, topic, 1, instance_id="i1")[0]
    one.expire()
    reborn = Follower(migrated, "g", [topic], instance_id="i1")
    assert reborn.join().generation == one.generation


def test_static_member_that_wants_something_else_is_a_new_generation(migrated: Connection, topic: str) -> None:
    one = group_of(migrated, topic, 1, instance_id="i1")[0]
    other = make_topic(migrated, 1)
    reborn = Follower(migrated, "g", [topic, other], instance_id="i1")
    assert reborn.join().generation == one.generation + 1
    settle([reborn])
    assert reborn.held.keys() == all_of(topic, 4) | {(other, 0)}


def rejoin(follower: Follower) -> groups.Assignment:
    return groups.join(follower.conn, TEXTS, follower.membership(), rejoin=True)


def test_more_partitions_new_topics_and_vanished_ones_are_noticed(migrated: Connection) -> None:
    jobs = make_topic(migrated, 1, "jobs.a")
    follower = Follower(migrated, "g", [r"^jobs\.[ab]$", "later"])
    follower.join()
    settle([follower])
    assert follower.held.keys() == {(jobs, 0)}
    assert follower.beat().stale == frozenset()
    topics.grow_topic(migrated, TOPICS, jobs, 2)
    make_topic(migrated, 1, "jobs.b")
    make_topic(migrated, 1, "jobs.c")
    make_topic(migrated, 1, "later")
    assert follower.beat().stale == {"g"}
    settle([follower])
    assert follower.held.keys() == {(jobs, 0), (jobs, 1), ("jobs.b", 0), ("later", 0)}
    topics.delete_topic(migrated, TOPICS, "jobs.b")
    assert follower.beat().stale == {"g"}
    settle([follower])
    assert follower.held.keys() == {(jobs, 0), (jobs, 1), ("later", 0)}
    assert follower.beat().stale == frozenset()


def test_pattern_that_is_none_is_refused_and_a_plain_name_is_never_taken_for_one(migrated: Connection) -> None:
    with pytest.raises(InvalidPatternError) as refused:
        Follower(migrated, "g", ["^jobs(", "^fine"]).join()
    assert refused.value.patterns == ("^jobs(", "^fine")
    assert groups.describe_groups(migrated, TEXTS, ["g"])["g"].state == "Dead"
    make_topic(migrated, 1)
    plain = Follower(migrated, "g", ["jobs("])
    assert plain.join().target == frozenset()
    assert plain.beat().members[plain.member_id].state == "live"


def test_member_that_shares_no_strategy_is_refused_and_changes_nothing(migrated: Connection, topic: str) -> None:
    first = group_of(migrated, topic, 1, strategies=("range", "roundrobin"))[0]
    with pytest.raises(InconsistentProtocolError) as refused:
        Follower(migrated, "g", [topic], COOPERATIVE).join()
    assert (refused.value.group_id, refused.value.strategies) == ("g", COOPERATIVE)
    assert first.read() == Assignment(1, "eager", all_of(topic, 4), first.held, frozenset())
    Follower(migrated, "g", [topic], ("roundrobin",)).join()
    assert groups.describe_groups(migrated, TEXTS, ["g"])["g"].assignor == "roundrobin"


def test_process_that_stops_while_it_holds_the_group_is_cut_off(
    migrated: Connection, migrated_url: str, topic: str
) -> None:
    group_of(migrated, topic, 1)
    with another(migrated_url) as stopped:
        stopped.execute("begin")
        stopped.execute(TEXTS["hold_group"], {"group_id": "g", "patience": "200ms"})
        assert groups.rebalance(migrated, TEXTS, "g", wait=False) == 0
        assert Follower(migrated, "g", [topic]).join().generation == 2
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            stopped.execute("select 1")


def test_states_are_kafkas(migrated: Connection, topic: str) -> None:
    def state(group_id: str = "g") -> str:
        return groups.describe_groups(migrated, TEXTS, [group_id])[group_id].state

    assert state() == "Dead"
    first = Follower(migrated, "g", [topic], COOPERATIVE)
    free = first.join().free
    assert state() == "CompletingRebalance"
    first.acquire(free)
    assert state() == "Stable"
    second = Follower(migrated, "g", [topic], COOPERATIVE)
    second.join()
    assert state() == "PreparingRebalance"
    first.act()
    assert state() == "CompletingRebalance"
    second.act()
    assert state() == "Stable"
    for follower in (first, second):
        follower.leave()
    assert state() == "Empty"
    assert groups.describe_groups(migrated, TEXTS, None).keys() == {"g"}


def test_description_names_members_and_what_they_hold(migrated: Connection, topic: str) -> None:
    follower = group_of(migrated, topic, 1, instance_id="i1")[0]
    facts = groups.describe_groups(migrated, TEXTS, None)["g"]
    assert (facts.state, facts.generation, facts.assignor, facts.protocol) == ("Stable", 1, "range", "eager")
    assert facts.members == ((follower.member_id, "i1", "client", "host", tuple(sorted(all_of(topic, 4)))),)


def test_only_empty_groups_are_deleted_and_their_offsets_with_them(migrated: Connection, topic: str) -> None:
    follower = group_of(migrated, topic, 1)[0]
    follower.commit()
    with pytest.raises(GroupNotEmptyError):
        groups.delete_group(migrated, TEXTS, "g")
    follower.expire()
    assert groups.delete_group(migrated, TEXTS, "g")
    assert not groups.delete_group(migrated, TEXTS, "g")
    for table in ("job_group", "job_group_member", "job_group_partition", "job_group_offset"):
        assert migrated.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)


def test_everything_works_through_a_pooler_in_transaction_mode(
    migrated_url: str, pgbouncer: PgBouncer, topic: str
) -> None:
    with another(pgbouncer.url_of(migrated_url)) as pooled:
        followers = group_of(pooled, topic, 3, strategies=COOPERATIVE)
        followers[0].expire()
        settle(followers)
        assert committers(followers) == dict.fromkeys(all_of(topic, 4), 1)
        followers.pop().leave()
        settle(followers)
        assert committers(followers) == dict.fromkeys(all_of(topic, 4), 1)
        # What the transactions set for themselves is gone with them.
        assert pooled.execute("show idle_in_transaction_session_timeout").fetchone() == ("0",)


def test_workers_rights_are_enough(migrated: Connection, roles: tuple[str, ...], topic: str) -> None:
    assert "job_queue_worker" in roles
    migrated.execute("set role job_queue_worker")
    followers = group_of(migrated, topic, 2, strategies=COOPERATIVE)
    followers[0].expire()
    settle(followers)
    assert committers(followers) == dict.fromkeys(all_of(topic, 4), 1)
    for follower in followers:
        follower.leave()
    assert groups.delete_group(migrated, TEXTS, "g")


@pytest.mark.parametrize("strategies", [("range",), COOPERATIVE], ids=["eager", "cooperative"])
def test_many_at_once_neither_deadlock_nor_share(migrated_url: str, topic: str, strategies: tuple[str, ...]) -> None:
    failures: list[BaseException] = []

    def live(rank: int, follower: Follower) -> None:
        try:
            for turn in range(25):
                if not follower.member_id:
                    follower.join()
                elif turn % 9 == rank:
                    follower.leave()
                elif turn % 11 == rank:
                    follower.expire()
                else:
                    follower.act()
                    follower.commit(turn)
        except BaseException as error:
            failures.append(error)
            raise

    with ExitStack() as stack:
        followers = [Follower(stack.enter_context(another(migrated_url)), "g", [topic], strategies) for _ in range(4)]
        threads = [threading.Thread(target=live, args=place) for place in enumerate(followers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        settle(followers)
        assert committers(followers) == dict.fromkeys(all_of(topic, 4), 1)
