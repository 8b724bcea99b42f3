"""What happens around a drain that is itself well: servers go away and come back, people interfere, and it waits."""

import re
import signal
import uuid
from collections.abc import Iterator
from functools import partial
from typing import LiteralString

import psycopg
import pytest

from migrator.embedded.postgres import StopMode
from migrator.embedded.process import wait_until
from tests.faults.conftest import SetScene
from tests.faults.scene import SECONDS, Drain, Scene, Stream
from tests.fixtures.cli import Cli
from tests.fixtures.kafka import OwnKafka
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy

pytestmark = pytest.mark.real_kafka

_MESSAGES = 1_000
_LITTLE_AHEAD = ("-X", "queued.min.messages=1", "-X", "fetch.message.max.bytes=2000")
"""librdkafka reads so little ahead that a broker that goes away is missed."""


def _resume_line(scene: Scene) -> str:
    return f"resume: migrator drain --topic {scene.topic}"


def _longest_wait(drain: Drain) -> int:
    return max(map(int, re.findall(r"waiting for (\d+) s: Postgres", drain.said())), default=0)


# --- Postgres goes away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.parametrize("point", ["copying", "committed"])
def test_a_restart_of_postgres_is_waited_out(
    set_scene: SetScene, own_postgres: OwnPostgres, mode: StopMode, point: str
) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=[f"{point}:2:wait"])
    drain.wait_for_fault(f"{point} 2 wait")
    server.stop(mode)
    drain.go_on(point, 2)
    drain.wait_for_words("s: Postgres: ")
    server.start()
    done = drain.end().expect(0)
    assert drain.fired() == [f"{point} 2 wait"]
    scene.assert_exactly_once(done=done)


def test_an_outage_that_lasts_too_long_stops_the_drain_with_the_way_to_go_on(
    set_scene: SetScene, own_postgres: OwnPostgres
) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(_MESSAGES)
    drain = scene.start("--max-wait", "2", faults=["committed:2:wait"])
    drain.wait_for_fault("committed 2 wait")
    server.stop()
    drain.go_on("committed", 2)
    done = drain.end().expect(5)
    server.start()
    assert done.error["code"] == "postgres-outage"
    assert _resume_line(scene) in done.stderr
    scene.assert_exactly_once(done=scene.resume())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_drain_that_waits_for_postgres_can_be_stopped(
    set_scene: SetScene, own_postgres: OwnPostgres, number: signal.Signals, status: int
) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["committed:2:wait"])
    drain.wait_for_fault("committed 2 wait")
    server.stop()
    drain.go_on("committed", 2)
    drain.wait_for_words("s: Postgres: ")
    drain.send(number)
    done = drain.end(30).expect(status)
    server.start()
    assert _resume_line(scene) in done.stderr
    scene.assert_exactly_once(done=scene.resume())


def test_postgres_may_be_away_when_the_last_batch_has_been_committed(
    set_scene: SetScene, own_postgres: OwnPostgres
) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(300)
    drain = scene.start("--max-wait", "3", faults=["committed:1:wait"], batch_rows=300)
    drain.wait_for_fault("committed 1 wait")
    server.stop()
    drain.go_on("committed", 1)
    done = drain.end().expect(5)
    server.start()
    assert _resume_line(scene) in done.stderr
    scene.assert_exactly_once(done=scene.resume())


def test_a_drain_whose_reader_waited_long_for_postgres_reads_on(set_scene: SetScene, own_postgres: OwnPostgres) -> None:
    server = own_postgres(fsync=True)
    scene = set_scene(url=server.url)
    scene.log.produce(5 * _MESSAGES)
    short = ("-X", "max.poll.interval.ms=6000", "-X", "session.timeout.ms=6000")  # their defaults are minutes
    drain = scene.start(*short, faults=["committed:2:wait"])
    drain.wait_for_fault("committed 2 wait")
    server.stop()
    drain.go_on("committed", 2)
    drain.wait_for(lambda: _longest_wait(drain) >= 10)
    server.start()
    scene.assert_exactly_once(done=drain.end().expect(0))


# --- the way to Postgres is bad -------------------------------------------------------------------------------------


def test_a_slow_way_to_postgres_costs_time_and_nothing_else(scene: Scene, open_proxy: OpenProxy) -> None:
    scene.log.produce(_MESSAGES)
    proxy = open_proxy(scene.url)
    proxy.delay(0.02)
    drain = scene.start("--writers", "2", batch_rows=200, url=proxy.url_of(scene.url))
    done = drain.end().expect(0)
    assert proxy.faults["delayed"] > 20
    scene.assert_exactly_once(done=done)


def test_connections_that_are_cut_again_and_again_cost_nothing(scene: Scene, open_proxy: OpenProxy) -> None:
    scene.log.produce(2 * _MESSAGES)
    proxy = open_proxy(scene.url)
    drain = scene.start("--writers", "2", "--max-rate", "300", batch_rows=20, url=proxy.url_of(scene.url))
    struck = 0
    for _ in range(8):
        rows = scene.rows()
        drain.wait_for(partial(scene.has_more_than, rows))
        drain.wait_for(lambda: proxy.cut_all() > 0)
        struck += 1
    done = drain.end().expect(0)
    assert struck == 8
    assert proxy.faults["cut"] >= struck
    scene.assert_exactly_once(done=done)


def test_a_way_that_is_closed_for_a_while_is_waited_for(scene: Scene, open_proxy: OpenProxy) -> None:
    scene.log.produce(_MESSAGES)
    proxy = open_proxy(scene.url)
    drain = scene.start(faults=["copying:2:wait"], url=proxy.url_of(scene.url))
    drain.wait_for_fault("copying 2 wait")
    proxy.refuse()
    proxy.cut_all()
    drain.go_on("copying", 2)
    drain.wait_for(lambda: proxy.faults["refused"] >= 3)
    proxy.heal()
    scene.assert_exactly_once(done=drain.end().expect(0))


@pytest.mark.parametrize("writers", ["1", "2"])
def test_a_connection_that_dies_in_idleness_is_made_anew(scene: Scene, open_proxy: OpenProxy, writers: str) -> None:
    scene.log.produce(_MESSAGES)
    proxy = open_proxy(scene.url)
    drain = scene.start("--follow", "--writers", writers, url=proxy.url_of(scene.url))
    for _ in range(2):
        drain.wait_for(scene.has_all)
        drain.wait_for(lambda: proxy.cut_all() > 0)
        scene.log.produce(200)
    drain.wait_for(scene.has_all)
    assert proxy.faults["cut"] >= 2
    drain.send(signal.SIGTERM)
    done = drain.end().expect(143)
    assert f"{_resume_line(scene)} --follow" in done.stderr
    scene.assert_exactly_once(done=scene.resume("--until", "end"))


# --- Kafka goes away ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_broker_that_goes_away_in_the_middle_is_waited_for(
    set_scene: SetScene, own_kafka: OwnKafka, how: str
) -> None:
    kafka = own_kafka()
    scene = set_scene(bootstrap_servers=kafka.bootstrap_servers)
    scene.log.produce(5 * _MESSAGES)
    drain = scene.start(*_LITTLE_AHEAD, faults=["polled:4:wait"])
    drain.wait_for_fault("polled 4 wait")
    getattr(kafka, how)()
    drain.go_on("polled", 4)
    drain.wait_for_words("s: Kafka: ")
    assert scene.rows() < len(scene.log.records)
    kafka.start()
    scene.assert_exactly_once(done=drain.end().expect(0))


def test_a_broker_that_stays_away_stops_the_drain_with_the_way_to_go_on(
    set_scene: SetScene, own_kafka: OwnKafka
) -> None:
    kafka = own_kafka()
    scene = set_scene(bootstrap_servers=kafka.bootstrap_servers)
    scene.log.produce(5 * _MESSAGES)
    drain = scene.start("--max-wait", "3", *_LITTLE_AHEAD, faults=["polled:4:wait"])
    drain.wait_for_fault("polled 4 wait")
    kafka.kill()
    drain.go_on("polled", 4)
    done = drain.end().expect(5)
    assert done.error["code"] == "kafka-away"
    assert _resume_line(scene) in done.stderr
    kafka.start()
    scene.assert_exactly_once(done=scene.resume())


@pytest.mark.slow  # half a minute
def test_a_drain_that_waits_for_kafka_can_be_stopped(set_scene: SetScene, own_kafka: OwnKafka) -> None:
    kafka = own_kafka()
    scene = set_scene(bootstrap_servers=kafka.bootstrap_servers)
    scene.log.produce(5 * _MESSAGES)
    drain = scene.start(*_LITTLE_AHEAD, faults=["polled:4:wait"])
    drain.wait_for_fault("polled 4 wait")
    kafka.kill()
    drain.go_on("polled", 4)
    drain.wait_for_words("s: Kafka: ")
    drain.send(signal.SIGINT)
    done = drain.end(30).expect(130)
    assert _resume_line(scene) in done.stderr
    kafka.start()
    scene.assert_exactly_once(done=scene.resume())


def test_a_broker_that_goes_away_when_everything_was_read_is_waited_for(
    set_scene: SetScene, own_kafka: OwnKafka
) -> None:
    kafka = own_kafka()
    scene = set_scene(bootstrap_servers=kafka.bootstrap_servers)
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["committed:1:wait"], batch_rows=_MESSAGES)
    drain.wait_for_fault("committed 1 wait")
    kafka.kill()
    drain.go_on("committed", 1)
    drain.wait_for_words("s: Kafka: ")
    kafka.start()
    scene.assert_exactly_once(done=drain.end().expect(0))


def test_records_that_come_after_a_restart_of_the_broker_are_followed(set_scene: SetScene, own_kafka: OwnKafka) -> None:
    kafka = own_kafka()
    scene = set_scene(bootstrap_servers=kafka.bootstrap_servers)
    scene.log.produce(_MESSAGES)
    drain = scene.start("--follow")
    drain.wait_for(scene.has_all)
    kafka.kill()
    kafka.start()
    scene.log.produce(_MESSAGES)
    drain.wait_for(scene.has_all)
    drain.send(signal.SIGINT)
    drain.end().expect(130)
    scene.assert_exactly_once(done=scene.resume("--until", "end"))


# --- somebody works on the table ------------------------------------------------------------------------------------


def test_a_lock_on_the_table_that_outlasts_the_lock_timeout_is_waited_for(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["position-set:2:wait"])
    drain.wait_for_fault("position-set 2 wait")
    with psycopg.connect(scene.url) as conn:
        conn.execute("lock table job_queue in access exclusive mode")
        drain.go_on("position-set", 2)
        drain.wait_for_words("canceling statement due to lock timeout")
        assert scene.value("select count(*) from kafka_migrator.drain_batch where rows > 0") > 0
    scene.assert_exactly_once(done=drain.end().expect(0))


@pytest.fixture
def hurried(scene: Scene) -> Iterator[str]:
    """The URL for a user whose statements may take a second."""
    name = f"hurried_{uuid.uuid4().hex[:8]}"
    with scene.connected() as conn:
        conn.execute(f"create role {name} login superuser".encode())
        conn.execute(f"alter role {name} set statement_timeout = '1s'".encode())
        yield scene.url.replace("//postgres@", f"//{name}@")
        conn.execute(f"drop role {name}".encode())


def test_a_role_whose_statements_may_take_a_second_drains_batches_that_take_longer(scene: Scene, hurried: str) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["position-set:2:wait"], url=hurried)
    drain.wait_for_fault("position-set 2 wait")
    with psycopg.connect(scene.url) as conn:
        conn.execute("lock table job_queue in access exclusive mode")
        drain.go_on("position-set", 2)
        with scene.connected() as other:
            blocked: LiteralString = (
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' "
                "and query_start < clock_timestamp() - interval '2 seconds'"
            )
            drain.wait_for(lambda: other.execute(blocked).fetchall() == [(1,)])
    done = drain.end().expect(0)
    assert "s: Postgres: " not in done.stderr
    scene.assert_exactly_once(done=done)


# --- people stop it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_batch_in_hand_be_finished(scene: Scene, number: signal.Signals, status: int) -> None:
    scene.log.produce(3 * _MESSAGES)
    drain = scene.start(faults=["copying:2:wait"])
    drain.wait_for_fault("copying 2 wait")
    drain.send(number)
    drain.wait_for_words("stopping: ")
    drain.go_on("copying", 2)
    done = drain.end().expect(status)
    assert _resume_line(scene) in done.stderr
    assert scene.batches() >= 2
    assert not done.topic(scene.topic)["complete"]
    assert scene.ask("select distinct owner from kafka_migrator.drain_offset") == [(None,)]
    scene.assert_exactly_once(done=done, complete=False)
    scene.assert_exactly_once(done=scene.resume())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_at_once(scene: Scene, number: signal.Signals, status: int) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start(faults=["copying:2:wait"])
    drain.wait_for_fault("copying 2 wait")
    drain.send(number)
    drain.wait_for_words("stopping: ")
    drain.send(number)
    drain.end(10).expect(status)
    assert wait_until(lambda: scene.batches() == 1, SECONDS)
    scene.assert_both_or_none()
    scene.assert_exactly_once(done=scene.resume())


# --- the table is not what it was -----------------------------------------------------------------------------------


def test_an_unlogged_table_is_refused(scene: Scene) -> None:
    scene.log.produce(100)
    with scene.connected() as conn:
        conn.execute("alter table job_queue set unlogged")
    done = scene.start().end().expect(4)
    assert done.error["code"] == "table-unlogged"
    assert scene.rows() == 0
    with scene.connected() as conn:
        conn.execute("alter table job_queue set logged")
    scene.assert_exactly_once(done=scene.resume())


_TRUNCATE: LiteralString = "truncate job_queue"
_THIN_OUT: LiteralString = "delete from job_queue where id = (select min(id) from job_queue)"
_RECREATE: LiteralString = (
    "create table other (like job_queue including all); insert into other select * from job_queue; "
    "drop table job_queue cascade; alter table other rename to job_queue"
)
_DROP: LiteralString = "drop table job_queue cascade"


@pytest.mark.parametrize("midway", [True, False], ids=["midway", "at-the-end"])
@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        pytest.param(_TRUNCATE, 4, "table-changed", id="truncated"),
        pytest.param(_THIN_OUT, 4, "table-changed", id="one-row-deleted"),
        pytest.param(_RECREATE, 4, "table-changed", id="recreated"),
        pytest.param(_DROP, 3, "schema-missing", id="dropped"),
    ],
)
def test_a_table_that_was_changed_by_hand_between_two_runs_is_refused(
    scene: Scene, change: LiteralString, status: int, code: str, midway: bool
) -> None:
    scene.log.produce(_MESSAGES)
    faults, exit_status = (["committed:3:kill"], -signal.SIGKILL) if midway else ([], 0)
    scene.start(faults=faults).end().expect(exit_status)
    with scene.connected() as conn:
        conn.execute(change)
    ledger = scene.batches()
    done = scene.start().end().expect(status)
    assert done.error["code"] == code
    assert scene.batches() == ledger


# --- the gate -------------------------------------------------------------------------------------------------------


def _gate(scene: Scene, verb: str) -> float:
    return Cli.on(scene.url).run("gate", verb, "--topic", scene.topic, timeout=SECONDS).expect(0).seconds


def test_a_gate_that_opens_waits_for_the_batch_that_still_sees_it_closed(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    drain = scene.start("--follow", faults=["before-commit:3:wait"])
    drain.wait_for_fault("before-commit 3 wait")
    before = scene.rows()
    with Cli.on(scene.url).start("gate", "open", "--topic", scene.topic) as opening:
        waits: LiteralString = (
            "select exists (select from pg_stat_activity where datname = current_database() "
            "and wait_event_type = 'Lock' and query ~ 'job_topic')"
        )
        opening.wait_for(lambda: scene.value(waits) is True)
        assert scene.rows() == before == scene.parked()
        drain.go_on("before-commit", 3)
        opening.wait().expect(0)
    drain.wait_for(scene.has_all)
    assert scene.parked() == 0
    drain.send(signal.SIGTERM)
    drain.end().expect(143)
    scene.assert_exactly_once(done=scene.resume("--until", "end"))


def _waiting_for_locks(scene: Scene) -> int:
    query: LiteralString = (
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    return int(scene.value(query))


def test_a_gate_that_waits_comes_before_the_batches_that_begin_after_it(scene: Scene) -> None:
    scene.log.produce(_MESSAGES)
    second = "before-commit 2 wait"
    drain = scene.start(
        *("--follow", "--writers", "2"),
        faults=["before-commit:1:wait", "position-set:2:wait", "before-commit:2:wait"],
    )
    drain.wait_for_fault("before-commit 1 wait")
    drain.wait_for_fault("position-set 2 wait")
    with Cli.on(scene.url).start("gate", "open", "--topic", scene.topic) as opening:
        opening.wait_for(lambda: _waiting_for_locks(scene) == 1)
        drain.go_on("position-set", 2)
        drain.wait_for(lambda: second in drain.fired() or _waiting_for_locks(scene) == 2)
        drain.go_on("before-commit", 1)
        opening.wait(30).expect(0)
    drain.go_on("before-commit", 2)
    drain.wait_for(scene.has_all)
    assert scene.parked() == 0
    drain.send(signal.SIGTERM)
    drain.end().expect(143)
    scene.assert_exactly_once(done=scene.resume("--until", "end"))


@pytest.mark.parametrize("writers", ["1", "4"])
def test_no_job_stays_parked_when_the_gate_opens_under_a_running_drain(scene: Scene, writers: str) -> None:
    with Stream(scene.log, 400):
        drain = scene.start("--follow", "--writers", writers, batch_rows=20)
        drain.wait_for(lambda: scene.rows() > 200)
        assert scene.parked() > 0
        seconds = []
        for _ in range(2):
            seconds.append(_gate(scene, "open"))
            opened = scene.rows()
            drain.wait_for(partial(scene.has_more_than, opened + 100))
            assert scene.parked() == 0
            _gate(scene, "close")
            closed = scene.rows()
            drain.wait_for(partial(scene.has_more_than, closed + 100))
            assert scene.parked() > 0
        seconds.append(_gate(scene, "open"))
        opened = scene.rows()
        drain.wait_for(lambda: scene.rows() > opened + 100)
    print(f"{writers} writers: opened in {', '.join(f'{one:.2f}' for one in seconds)} s")  # noqa: T201
    drain.wait_for(scene.has_all)
    assert scene.parked() == 0
    drain.send(signal.SIGTERM)
    drain.end().expect(143)
    scene.assert_exactly_once(done=scene.resume("--until", "end"))


def test_a_gate_opens_although_several_writers_hold_it_without_a_pause(scene: Scene) -> None:
    scene.log.produce(30 * _MESSAGES)
    drain = scene.start("--writers", "4", batch_rows=50)
    drain.wait_for(lambda: scene.rows() > 0)
    seconds = _gate(scene, "open")
    landed = scene.rows()
    print(f"opened after {seconds:.2f} s, when {landed} of {len(scene.log.records)} rows were there")  # noqa: T201
    assert landed < len(scene.log.records), "it opened only when the drain had ended"
    done = drain.end().expect(0)
    assert scene.parked() == 0
    scene.assert_exactly_once(done=done)
