"""A dual writer that is killed between its two sides, and a secondary that dies and comes back."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import shim
from migrator import postgres
from migrator.embedded.parts import Broker
from migrator.embedded.process import wait_until
from shim.dual import DualProducer
from shim.store import pool
from shim.store.message_id import MESSAGE_ID
from tests.fixtures.cli import create_tables
from tests.fixtures.postgres import Databases, OwnPostgres
from tests.integration.dual.scene import SECONDS, Scene, settled

pytestmark = pytest.mark.real_kafka

ROOT = Path(__file__).parents[2]
KILLS = 3


@pytest.fixture(autouse=True)
def _no_pool_is_left() -> Iterator[None]:
    yield
    pool.close_all()


@pytest.fixture
def scene(broker: Broker, databases: Databases) -> Iterator[Scene]:
    url = databases.create(create_tables)
    with closing(postgres.connect(url, "test")) as conn:
        yield Scene(broker.bootstrap_servers, url, conn)
    databases.drop(url)


@contextmanager
def writer(scene: Scene, prefix: str, *, linger_ms: int = 1, count: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """A dual writer in a process of its own, which is killed at the end."""
    what = (scene.url, scene.servers, scene.topic, prefix, str(linger_ms), str(count))
    command = [sys.executable, "-m", "tests.faults.dual_writer", *what]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()


def written(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "written\n"


def ids_in_kafka(scene: Scene) -> Counter[str]:
    return Counter(dict(message.headers())[MESSAGE_ID].decode() for message in scene.in_kafka())


def test_what_kafka_alone_has_is_brought_by_the_drain(scene: Scene) -> None:
    with scene.conn.transaction():
        scene.conn.execute("lock table dual_inbox in access exclusive mode")
        with writer(scene, "kafka-only", count=50) as process:
            assert written(process)
    assert scene.copies() == []
    scene.drain()
    assert len(scene.jobs()) == 50
    assert Counter(str(message_id) for message_id, _ in scene.jobs()) == ids_in_kafka(scene)
    assert scene.phantoms() == []


def test_what_the_inbox_alone_has_is_a_phantom_and_never_runs(scene: Scene) -> None:
    with writer(scene, "inbox-only", linger_ms=250_000, count=50) as process:
        assert written(process)
        assert wait_until(lambda: len(scene.copies()) == 50, SECONDS)
    scene.drain()
    assert scene.in_kafka() == []
    assert scene.jobs() == []
    assert len(scene.phantoms()) == 50
    scene.conn.execute("update job_topic set gate = 'open'")
    with closing(shim.ShareConsumer({"shim.dsn": scene.url, "group.id": "workers"})) as consumer:
        consumer.subscribe([scene.topic])
        assert not len(consumer.poll(1.0))


def test_no_kill_leaves_a_job_that_kafka_does_not_have_nor_a_job_twice(scene: Scene) -> None:
    kills = 0
    with scene.following() as drain:
        for number in range(KILLS):
            before = len(scene.jobs())
            with writer(scene, f"writer-{number}"):
                drain.wait_for(lambda before=before: len(scene.jobs()) > before + 200)  # type: ignore[misc]  # bound now
            kills += 1
        ids = ids_in_kafka(scene)
        drain.wait_for(lambda: len(scene.jobs()) == len(ids))
    assert kills == KILLS
    assert Counter(str(message_id) for message_id, _ in scene.jobs()) == ids
    assert set(ids.values()) == {1}
    assert not {str(phantom.message_id) for phantom in scene.phantoms()} & ids.keys()
    scene.sweep()
    assert len(scene.copies()) == len(scene.phantoms())


def test_the_primary_goes_on_while_the_secondary_is_dead(broker: Broker, own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    create_tables(server.url)
    reports: list[Any] = []
    with closing(postgres.connect(server.url, "test")) as conn:
        scene = Scene(broker.bootstrap_servers, server.url, conn)
        with DualProducer(scene.kafka(), scene.queue(message_timeout_ms=2_000)) as dual:
            count = produce(dual, scene.topic, 0, 200, reports)
            assert wait_until(lambda: settled(dual), SECONDS)
            server.stop("immediate")
            count = produce(dual, scene.topic, count, 200, reports)
            assert dual.flush(SECONDS) == 0
            assert len(reports) == count
            assert wait_until(lambda: settled(dual), SECONDS)
            dead = dual.outcomes()
            assert dead.ok == 200
            assert dead.failed + dead.unknown == 200
            server.start()
            assert wait_until(lambda: recovered(dual, scene.topic, reports), SECONDS)
            ok = dual.outcomes().ok
    assert all(error is None for error, _ in reports)
    with closing(postgres.connect(server.url, "test")) as conn:
        scene.conn = conn
        scene.drain()
        ids = ids_in_kafka(scene)
        assert Counter(str(message_id) for message_id, _ in scene.jobs()) == ids
        assert len(ids) == len(reports) >= 400 + ok - 200
        assert scene.copies() == []


def produce(dual: DualProducer, topic: str, first: int, count: int, reports: list[Any]) -> int:
    for number in range(first, first + count):
        dual.produce(topic, b"%d" % number, on_delivery=lambda *report: reports.append(report))
        dual.poll(0)
    return first + count


def recovered(dual: DualProducer, topic: str, reports: list[Any]) -> bool:
    """Whether one more message was written on both sides."""
    produce(dual, topic, len(reports), 1, reports)
    assert dual.flush(SECONDS) == 0
    return wait_until(lambda: settled(dual), SECONDS) and dual.outcomes().ok > 200


def test_a_slow_secondary_makes_nobody_wait(scene: Scene) -> None:
    """The primary's reports come while every copy is stuck behind a lock."""
    reports: list[Any] = []
    with scene.dual() as dual:
        produce(dual, scene.topic, 0, 1, reports)
        with scene.conn.transaction():
            scene.conn.execute("lock table dual_inbox in access exclusive mode")
            produce(dual, scene.topic, 1, 500, reports)
            assert dual.flush(SECONDS) == 0
            assert len(reports) == 501
            assert dual.outcomes().waiting >= 499
        assert wait_until(lambda: settled(dual), SECONDS)
        assert dual.outcomes().ok == 501
