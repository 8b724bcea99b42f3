"""The coordinator: leases that last while the process lives, members that are seen off, outages, pauses and forks."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import groups
from shim.store.beats import beat
from shim.store.coordinator import Coordinator, coordinator_for
from shim.store.groups import Beat
from shim.store.pool import Pool, pool_for
from tests.fixtures.pgbouncer import PgBouncer
from tests.fixtures.proxy import OpenProxy, TcpProxy
from tests.integration.shim.follower import SCHEMAS, TEXTS, Follower, all_of, make_topic, settle
from tests.integration.shim.member_process import Member

SECONDS = 30.0
LEFT = "select extract(epoch from lease_until - clock_timestamp()) from job_group_member where member_id = %s"
_ROOT = Path(__file__).parents[3]


@pytest.fixture
def topic(migrated: Connection) -> str:
    return make_topic(migrated, 4)


@pytest.fixture
def pool(migrated_url: str) -> Iterator[Pool]:
    with closing(pool_for(migrated_url)) as pool:
        yield pool


@pytest.fixture
def coordinator(pool: Pool) -> Coordinator:
    return coordinator_for(pool, SCHEMAS)


def seated(coordinator: Coordinator, follower: Follower, session_s: float = 60.0) -> Member:
    follower.session_ms = round(session_s * 1000)
    follower.acquire(follower.join().free)
    member = Member(follower, session_s=session_s)
    coordinator.add(member)
    return member


def heard(member: Member, beat: Beat) -> bool:
    return wait_until(lambda: beat in member.heard, SECONDS)


def left(conn: Connection, member: Member) -> float | None:
    """How many seconds are left of a member's lease; None when there is no such member."""
    row = conn.execute(LEFT, [member.member_id]).fetchone()
    return None if row is None else float(row[0])


def test_lease_lasts_while_the_process_beats(migrated: Connection, coordinator: Coordinator, topic: str) -> None:
    began = time.monotonic()
    member = seated(coordinator, Follower(migrated, "g", [topic]), 1.0)
    assert wait_until(lambda: len(member.heard) > 5 and time.monotonic() > began + 1.5, SECONDS)
    assert set(member.heard) == {Beat(member.member_id, "live", 1)}
    assert (left(migrated, member) or 0) > 0


def test_all_members_of_a_process_beat_in_one_statement(
    migrated: Connection, coordinator: Coordinator, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    looks: list[bool] = []

    def counted(
        conn: groups.Connection, texts: groups.Texts, members: list[groups.Member], *, look: bool
    ) -> groups.Beats:
        sizes.append(len(members))
        looks.append(look)
        return beat(conn, texts, members, look=look)

    monkeypatch.setattr(groups, "beat", counted)
    members = [seated(coordinator, Follower(migrated, f"g{rank}", [topic])) for rank in range(10)]
    assert wait_until(lambda: sizes[-3:] == [10] * 3, SECONDS)
    assert all(member.heard for member in members)
    assert 0 < looks.count(True) < looks.count(False)


def test_member_that_is_not_polled_leaves_and_is_told(
    migrated: Connection, coordinator: Coordinator, topic: str
) -> None:
    idle = seated(coordinator, Follower(migrated, "g", [topic]))
    other = seated(coordinator, Follower(migrated, "g", [topic]))
    idle.idle = True
    assert heard(idle, Beat(idle.member_id, "overdue"))
    assert wait_until(lambda: left(migrated, idle) is None, SECONDS)
    assert heard(other, Beat(other.member_id, "live", 3))
    assert idle.heard[-1].state == "overdue"


def test_static_member_that_is_not_polled_keeps_its_place_until_its_lease_runs_out(
    migrated: Connection, coordinator: Coordinator, topic: str
) -> None:
    idle = seated(coordinator, Follower(migrated, "g", [topic], instance_id="i1"), 3.0)
    idle.idle = True
    assert heard(idle, Beat(idle.member_id, "overdue"))
    assert left(migrated, idle) is not None
    assert wait_until(lambda: (left(migrated, idle) or 0) < 0, SECONDS)


def test_member_that_was_removed_is_told_once(migrated: Connection, coordinator: Coordinator, topic: str) -> None:
    gone = seated(coordinator, Follower(migrated, "g", [topic]))
    stays = seated(coordinator, Follower(migrated, "another group", [topic]))
    groups.leave(migrated, TEXTS, "g", gone.member_id)
    assert heard(gone, Beat(gone.member_id, "gone"))
    count = len(stays.heard)
    assert wait_until(lambda: len(stays.heard) > count + 2, SECONDS)
    assert [beat.state for beat in gone.heard].count("gone") == 1


def test_static_member_whose_place_was_taken_is_told_that_it_is_fenced(
    migrated: Connection, coordinator: Coordinator, topic: str
) -> None:
    old = seated(coordinator, Follower(migrated, "g", [topic], instance_id="i1"))
    new = seated(coordinator, Follower(migrated, "g", [topic], instance_id="i1"))
    assert heard(old, Beat(old.member_id, "fenced"))
    assert heard(new, Beat(new.member_id, "live", 1))


def test_removed_member_is_let_run_out(migrated: Connection, coordinator: Coordinator, topic: str) -> None:
    member = seated(coordinator, Follower(migrated, "g", [topic]), 1.0)
    coordinator.remove(member.member_id)
    coordinator.remove("nobody")
    assert wait_until(lambda: (left(migrated, member) or 0) < 0, SECONDS)
    assert not member.out.is_set()


def test_expired_member_of_another_process_is_noticed(
    migrated: Connection, coordinator: Coordinator, topic: str
) -> None:
    member = seated(coordinator, Follower(migrated, "g", [topic]))
    other = Follower(migrated, "g", [topic])
    other.join()
    assert heard(member, Beat(member.member_id, "live", 2))
    other.expire()
    assert heard(member, Beat(member.member_id, "live", 3))
    assert migrated.execute("select count(*) from job_group_member").fetchone() == (1,)


@contextmanager
def behind(proxy: TcpProxy, url: str) -> Iterator[Coordinator]:
    with closing(pool_for(proxy.url_of(url))) as pool:
        yield coordinator_for(pool, SCHEMAS)


def cut_off(proxy: TcpProxy) -> None:
    proxy.refuse()
    proxy.cut_all()
    assert wait_until(lambda: proxy.faults["refused"] > 1, SECONDS)


def test_outage_that_is_shorter_than_the_session_goes_unnoticed(
    migrated: Connection, migrated_url: str, open_proxy: OpenProxy, topic: str
) -> None:
    proxy = open_proxy(migrated_url)
    with behind(proxy, migrated_url) as coordinator:
        member = seated(coordinator, Follower(migrated, "g", [topic]))
        assert heard(member, Beat(member.member_id, "live", 1))
        cut_off(proxy)
        count = len(member.heard)
        proxy.heal()
        assert wait_until(lambda: len(member.heard) > count + 2, SECONDS)
        assert {beat.state for beat in member.heard} == {"live"}


def test_outage_that_outlasts_the_lease_ends_the_membership(
    migrated: Connection, migrated_url: str, open_proxy: OpenProxy, topic: str
) -> None:
    proxy = open_proxy(migrated_url)
    with behind(proxy, migrated_url) as coordinator:
        member = seated(coordinator, Follower(migrated, "g", [topic]), 1.0)
        assert heard(member, Beat(member.member_id, "live", 1))
        cut_off(proxy)
        assert heard(member, Beat(member.member_id, "out-of-touch"))
        assert (left(migrated, member) or 0) < 0.1
        proxy.heal()
        reborn = seated(coordinator, Follower(migrated, "g", [topic]))
        assert heard(reborn, Beat(reborn.member_id, "live", 2))
        assert member.heard[-1].state == "out-of-touch"


def test_process_that_is_stopped_past_its_lease_wakes_up_fenced(
    migrated: Connection, migrated_url: str, topic: str
) -> None:
    command = [sys.executable, "-m", "tests.integration.shim.member_process", migrated_url, "g", topic]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds 4\n"
        process.send_signal(signal.SIGSTOP)
        other = Follower(migrated, "g", [topic])
        other.join()
        assert wait_until(lambda: other.act() or other.held.keys() == all_of(topic, 4), SECONDS)
        settle([other])
        assert other.held.keys() == all_of(topic, 4)
        process.send_signal(signal.SIGCONT)
        told, *rest = process.stdout.readline().split()
        assert told in {"gone", "out-of-touch"}
        assert rest == ["unknown-member", "took", "0"]
    assert process.returncode == 0
    assert set(other.commit().values()) == {"ok"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_has_no_members_and_beats_for_its_own(
    migrated: Connection, migrated_url: str, coordinator: Coordinator, topic: str
) -> None:
    parents = seated(coordinator, Follower(migrated, "g", [topic]))
    assert heard(parents, Beat(parents.member_id, "live", 1))

    def child() -> bool:
        with pool_for(migrated_url).connection() as conn:
            own = seated(coordinator, Follower(conn, "another group", [topic]))
        count = len(parents.heard)
        return heard(own, Beat(own.member_id, "live", 1)) and len(parents.heard) == count

    assert in_a_fork(child)
    count = len(parents.heard)
    assert wait_until(lambda: len(parents.heard) > count, SECONDS)


def in_a_fork(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        gc.freeze()  # librdkafka's clients of other tests may not be destroyed here
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_behind_a_pooler_in_transaction_mode(
    migrated: Connection, migrated_url: str, pgbouncer: PgBouncer, topic: str
) -> None:
    with closing(pool_for(pgbouncer.url_of(migrated_url))) as pool:
        member = seated(coordinator_for(pool, SCHEMAS), Follower(migrated, "g", [topic]), 1.0)
        other = Follower(migrated, "g", [topic])
        other.join()
        other.expire()
        assert heard(member, Beat(member.member_id, "live", 3))
