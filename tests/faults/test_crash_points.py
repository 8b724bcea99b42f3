"""The crash points of the drain's protocol: wherever it ends, the same command goes on, and every record is there once.

Of the protocol's list, point 8 (the group commit in Kafka) does not exist here: a drain commits nothing in Kafka, so
that nothing can be stale there.
"""

import re
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import LiteralString

import pytest

from migrator.embedded.process import wait_until
from tests.faults.conftest import SetScene
from tests.faults.scene import SECONDS, Drain, Scene
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy, TcpProxy, commit_done

pytestmark = pytest.mark.real_kafka

_MESSAGES = 1_000


def _ends_with_commit(sent: bytes) -> bool:
    return sent.endswith(b"COMMIT\x00")


def _has_cut(proxy: TcpProxy, replies: int) -> bool:
    return proxy.faults["reply-cut"] == replies


def _seconds_to_first_new_row(scene: Scene, drain: Drain, before: int) -> float:
    assert wait_until(lambda: scene.rows() > before, SECONDS), drain.said()
    return time.monotonic() - drain.started


# --- 1 to 5, 7: kill -9 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "nth", "committed"),
    [
        pytest.param("prepared", 1, 0, id="1-prepared"),
        pytest.param("polled", 3, None, id="2-polled"),
        pytest.param("position-set", 2, 1, id="3-position-set"),
        pytest.param("copying", 1, 0, id="4-copying-the-first"),
        pytest.param("copied", 2, 1, id="5-copied"),
        pytest.param("before-commit", 2, 1, id="5-before-commit"),
        pytest.param("before-commit", 4, 3, id="5-before-a-later-commit"),
        pytest.param("committed", 1, 1, id="7-committed-the-first"),
        pytest.param("committed", 3, 3, id="7-committed"),
    ],
)
def test_a_drain_that_was_killed_goes_on_with_the_same_command(
    scene: Scene, point: str, nth: int, committed: int | None
) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=[f"{point}:{nth}:kill"])
    drain.end().expect(-signal.SIGKILL)
    assert drain.fired() == [f"{point} {nth} kill"]
    if committed is not None:
        assert scene.batches() == committed
    scene.assert_both_or_none()
    before, frozen = scene.rows(), scene.frozen()
    resumed = scene.start()
    seconds = _seconds_to_first_new_row(scene, resumed, before)
    done = resumed.end().expect(0)
    print(f"killed at {point}: first new row {seconds:.2f} s after the start that followed")  # noqa: T201
    assert scene.frozen() == frozen
    scene.assert_exactly_once(done=done)


@pytest.mark.parametrize(
    ("point", "nth"), [("position-set", 3), ("copying", 5), ("before-commit", 3), ("committed", 3)]
)
def test_one_of_two_writers_takes_the_whole_drain_down_and_nothing_is_lost(scene: Scene, point: str, nth: int) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start("--writers", "2", faults=[f"{point}:{nth}:kill"], batch_rows=50)
    drain.end().expect(-signal.SIGKILL)
    assert drain.fired() == [f"{point} {nth} kill"]
    scene.assert_both_or_none()
    scene.resume("--writers", "2")
    scene.assert_exactly_once()


def test_a_drain_may_be_killed_at_every_point_one_after_the_other(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    points = ("prepared", "polled", "position-set", "copying", "copied", "before-commit", "committed")
    for point in points:
        drain = scene.start(faults=[f"{point}:1:kill"], batch_rows=50)
        drain.end().expect(-signal.SIGKILL)
        assert drain.fired() == [f"{point} 1 kill"]
        scene.assert_both_or_none()
    scene.resume()
    scene.assert_exactly_once()


def test_records_that_arrive_after_the_crash_do_not_move_the_frozen_end(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    wanted, ends = dict(scene.log.records), scene.log.ends()
    scene.start(faults=["prepared:1:kill"]).end().expect(-signal.SIGKILL)
    scene.log.produce(200)
    assert scene.rows() == 0
    done = scene.resume()
    assert {partition: end for partition, _, end in scene.frozen()} == ends
    scene.assert_exactly_once(wanted, done)
    scene.assert_exactly_once(done=scene.resume("--until", "end"))


# --- 4 to 6: the connection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("point", ["position-set", "copying", "copied", "before-commit"])
def test_a_connection_that_is_cut_in_a_batch_costs_nothing_but_that_batch_again(
    scene: Scene, open_proxy: OpenProxy, point: str, reset: bool
) -> None:
    scene.log.produce(_MESSAGES)
    proxy = open_proxy(scene.url)
    drain = scene.start(faults=[f"{point}:2:wait"], url=proxy.url_of(scene.url))
    drain.wait_for_fault(f"{point} 2 wait")
    assert proxy.cut_all(reset=reset) >= 1
    drain.go_on(point, 2)
    done = drain.end().expect(0)
    assert drain.fired() == [f"{point} 2 wait"]
    assert proxy.faults["cut"] >= 1
    assert done.topic(scene.topic)["rows_this_run"] == _MESSAGES
    scene.assert_exactly_once(done=done)


@pytest.mark.parametrize("writers", ["1", "2"])
def test_a_batch_whose_commit_was_answered_to_nobody_is_not_written_twice(
    scene: Scene, open_proxy: OpenProxy, writers: str
) -> None:
    scene.log.produce(_MESSAGES)
    proxy = open_proxy(scene.url)
    faults = ["before-commit:2:wait", "before-commit:6:wait"]
    drain = scene.start("--writers", writers, faults=faults, batch_rows=50, url=proxy.url_of(scene.url))
    for strike, nth in enumerate((2, 6), start=1):
        drain.wait_for_fault(f"before-commit {nth} wait")
        proxy.cut_reply_after(_ends_with_commit, commit_done)
        drain.go_on("before-commit", nth)
        drain.wait_for(partial(_has_cut, proxy, strike))
    done = drain.end().expect(0)
    assert proxy.faults["reply-cut"] == len(faults) == len(drain.fired())
    assert done.topic(scene.topic)["rows_this_run"] == _MESSAGES
    scene.assert_exactly_once(done=done)


def test_a_drain_that_is_killed_before_it_can_ask_about_a_lost_reply_leaves_the_answer_in_postgres(
    scene: Scene, open_proxy: OpenProxy
) -> None:
    scene.log.produce(_MESSAGES)
    proxy = open_proxy(scene.url)
    drain = scene.start(faults=["before-commit:2:wait"], url=proxy.url_of(scene.url))
    drain.wait_for_fault("before-commit 2 wait")
    proxy.cut_commit_reply()
    proxy.refuse()
    drain.go_on("before-commit", 2)
    drain.wait_for(lambda: proxy.faults["reply-cut"] == 1)
    drain.send(signal.SIGKILL)
    drain.end().expect(-signal.SIGKILL)
    assert proxy.faults["reply-cut"] == 1
    assert scene.batches() == 2
    scene.assert_both_or_none()
    scene.resume()
    scene.assert_exactly_once()


def test_a_drain_that_does_not_know_it_has_committed_asks_instead_of_looping(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["committed:2:lose", "committed:5:lose"])
    done = drain.end().expect(0)
    assert drain.fired() == ["committed 2 lose", "committed 5 lose"]
    assert done.topic(scene.topic)["rows_this_run"] == _MESSAGES
    scene.assert_exactly_once(done=done)


# --- 9, 10: two drains ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["polled:1:stop", "committed:1:stop"], ids=["9-polled", "9-between-batches"])
def test_a_drain_that_slept_through_its_lease_is_fenced_when_it_wakes(scene: Scene, fault: str) -> None:
    scene.log.produce(_MESSAGES)
    sleeper = scene.start(faults=[fault])
    sleeper.wait_for_fault(fault.replace(":", " "))
    second = scene.start()
    second.wait_for_words("waiting for")
    second.end().expect(0)
    scene.assert_exactly_once()
    ledger = scene.ask("select * from kafka_migrator.drain_batch order by partition, from_offset")
    sleeper.send(signal.SIGCONT)
    done = sleeper.end().expect(4)
    assert done.error["code"] == "fenced"
    assert scene.ask("select * from kafka_migrator.drain_batch order by partition, from_offset") == ledger
    assert sleeper.fired() == [fault.replace(":", " ")]
    scene.assert_exactly_once()


def test_all_partitions_of_a_sleeper_are_taken_over_although_their_leases_end_one_after_the_other(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    sleeper = scene.start(faults=["committed:1:stop"])
    sleeper.wait_for_fault("committed 1 stop")
    with scene.connected() as conn:
        conn.execute("update kafka_migrator.drain_offset set lease_until = now() + partition * interval '3 seconds'")
    scene.assert_exactly_once(done=scene.resume())
    sleeper.send(signal.SIGCONT)
    assert sleeper.end().expect(4).error["code"] == "fenced"
    scene.assert_exactly_once()


@pytest.mark.slow  # the server ends a transaction whose client is silent after a minute
def test_a_drain_that_fell_asleep_in_a_transaction_is_fenced_as_well(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    sleeper = scene.start(faults=["before-commit:2:stop"])
    sleeper.wait_for_fault("before-commit 2 stop")
    second = scene.start()
    second.end(150).expect(0)
    scene.assert_exactly_once()
    sleeper.send(signal.SIGCONT)
    assert sleeper.end().expect(4).error["code"] == "fenced"
    assert sleeper.fired() == ["before-commit 2 stop"]
    scene.assert_exactly_once()


def _seconds_waited(drain: Drain) -> int:
    return max(map(int, re.findall(r"waiting for (\d+) s: process", drain.said())), default=0)


def test_a_living_drain_is_not_fenced_because_its_batch_outlasts_its_lease(set_scene: SetScene) -> None:
    scene = set_scene(partitions=1)  # the lease of a partition that no batch holds would be renewed
    scene.log.produce(_MESSAGES)
    first = scene.start(faults=["before-commit:2:wait", "before-commit:4:wait"])
    first.wait_for_fault("before-commit 2 wait")
    second = scene.start()
    blocked: LiteralString = (
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
    )
    second.wait_for(lambda: scene.value(blocked) or _seconds_waited(second) > 12)
    first.go_on("before-commit", 2)
    assert second.end().expect(4).error["code"] == "already-running"
    first.go_on("before-commit", 4)
    scene.assert_exactly_once(done=first.end().expect(0))
    assert first.fired() == ["before-commit 2 wait", "before-commit 4 wait"]


def test_a_killed_drain_of_this_machine_keeps_nobody_waiting(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    scene.start(faults=["committed:2:kill"]).end().expect(-signal.SIGKILL)
    done = scene.resume()
    assert "waiting for" not in done.stderr
    scene.assert_exactly_once()


def _start_together_from_nothing(scene: Scene) -> list[Drain]:
    return [scene.start("--max-rate", "200", batch_rows=20) for _ in range(2)]


def _start_together_behind_the_snapshot(scene: Scene) -> list[Drain]:
    drains = [scene.start("--max-rate", "200", faults=["prepared:1:wait"], batch_rows=20) for _ in range(2)]
    for drain in drains:
        drain.wait_for_fault("prepared 1 wait")
    for drain in drains:
        drain.go_on("prepared", 1)
    return drains


@pytest.mark.parametrize("start", [_start_together_from_nothing, _start_together_behind_the_snapshot])
def test_of_two_drains_that_start_at_the_same_instant_one_wins(
    scene: Scene, start: Callable[[Scene], list[Drain]]
) -> None:
    scene.log.produce(_MESSAGES)
    done = [drain.end() for drain in start(scene)]
    winner, loser = sorted(done, key=lambda one: one.exit)
    assert (winner.exit, loser.exit) == (0, 4), done
    assert loser.error["code"] == "already-running"
    assert winner.topic(scene.topic)["rows_this_run"] == len(scene.log.records)
    assert scene.ask("select distinct epoch from kafka_migrator.drain_batch") == [(1,)]
    scene.assert_exactly_once()


# --- 11: Postgres itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "committed"), [("position-set", 1), ("copying", 1), ("before-commit", 1), ("committed", 2)]
)
def test_a_crash_of_postgres_in_a_batch_is_waited_out(
    set_scene: SetScene, own_postgres: OwnPostgres, point: str, committed: int
) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=[f"{point}:2:wait"])
    drain.wait_for_fault(f"{point} 2 wait")
    server.kill()
    server.start()
    assert scene.batches() == committed
    scene.assert_both_or_none()
    drain.go_on(point, 2)
    drain.end().expect(0)
    assert drain.fired() == [f"{point} 2 wait"]
    scene.assert_exactly_once()


def test_a_crash_of_postgres_at_the_commit_leaves_both_or_none(set_scene: SetScene, own_postgres: OwnPostgres) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(2 * _MESSAGES)
    strikes = (2, 5, 8, 11, 14)
    drain = scene.start(faults=[f"before-commit:{nth}:mark" for nth in strikes], batch_rows=50)
    for nth in strikes:
        drain.wait_for_fault(f"before-commit {nth} mark")
        server.kill()
        server.start()
        scene.assert_both_or_none()
    drain.end().expect(0)
    assert drain.fired() == [f"before-commit {nth} mark" for nth in strikes]
    scene.assert_exactly_once()


def test_a_crash_of_postgres_and_of_the_drain_together_leaves_both_or_none(
    set_scene: SetScene, own_postgres: OwnPostgres
) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["before-commit:3:kill"])
    drain.end().expect(-signal.SIGKILL)
    server.kill()
    server.start()
    assert drain.fired() == ["before-commit 3 kill"]
    assert scene.batches() == 2
    scene.assert_both_or_none()
    scene.resume()
    scene.assert_exactly_once()
