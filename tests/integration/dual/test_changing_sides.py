"""Registration, fences, and the change of the primary: learned from the topic's row, without a deploy."""

import threading
from collections.abc import Callable
from typing import Any

import confluent_kafka
import pytest

import shim
from migrator.embedded.process import wait_until
from shim.dual import DualProducer, Outcomes
from shim.store import dual_modes
from shim.store.dual_modes import NotFencedError
from shim.store.message_id import MESSAGE_ID
from tests.fixtures.proxy import OpenProxy
from tests.integration.dual.scene import SECONDS, Scene, settled, wait_for_copies

pytestmark = pytest.mark.real_kafka


def refused(dual: DualProducer, topic: str) -> bool:
    """Whether a message is refused for now."""
    try:
        dual.produce(topic, b"refused or not")
    except shim.KafkaException:
        return True
    return False


def test_a_producer_registers_before_its_first_message_and_leaves_when_it_is_closed(scene: Scene) -> None:
    assert scene.producers() == []
    with scene.dual() as dual:
        assert scene.producers() == []
        dual.produce(scene.topic, b"1")
        (one,) = scene.producers()
        assert (one.producer, one.alive) == (dual.name, True)
        assert wait_until(lambda: scene.producers()[0].current, SECONDS)
    assert scene.producers() == []


def test_a_fence_is_acknowledged_when_nothing_is_under_way(scene: Scene) -> None:
    # Nothing is sent before anybody flushes.
    with DualProducer(scene.kafka(linger_ms=60_000), scene.queue()) as dual:
        dual.produce(scene.topic, b"1")
        assert scene.fence().epoch == 2
        assert wait_until(lambda: refused(dual, scene.topic), SECONDS)
        assert wait_until(lambda: dual.outcomes().ok > 0, SECONDS)
        assert not scene.producers()[0].current
        with pytest.raises(NotFencedError) as failure:
            scene.hand_over()
        assert [one.producer for one in failure.value.waiting_for] == [dual.name]
        wait_for_copies(dual)
        scene.wait_until_fenced()


def test_a_fence_holds_while_the_secondary_still_has_copies_to_write(scene: Scene) -> None:
    with scene.dual() as dual:
        with scene.conn.transaction():
            scene.conn.execute("lock table dual_inbox in access exclusive mode")
            dual.produce(scene.topic, b"1")
            assert dual.flush(SECONDS) == 0
        # By now the copy may be written, or not: what counts is that the acknowledgement follows it.
        scene.fence()
        scene.wait_until_fenced()
        assert dual.outcomes() == Outcomes(1, 0, 0, 0)


def test_a_refusal_is_an_exception_of_either_client_and_says_why(scene: Scene) -> None:
    with scene.dual() as dual:
        dual.produce(scene.topic, b"1")
        scene.fence()
        assert wait_until(lambda: refused(dual, scene.topic), SECONDS)
        for kind in (shim.KafkaException, confluent_kafka.KafkaException):
            with pytest.raises(kind) as refusal:
                dual.produce(scene.topic, b"1")
            error = refusal.value.args[0]
            assert (error.name(), error.retriable(), error.fatal()) == ("_RETRY", True, False)
            assert scene.topic in error.str()
        batch: list[dict[str, Any]] = [{"value": b"1"}]
        assert dual.produce_batch(scene.topic, batch) == 0
        assert batch[0]["_error"].retriable()


def test_a_lifted_fence_lets_everybody_go_on_as_before(scene: Scene) -> None:
    with scene.dual() as dual:
        dual.produce(scene.topic, b"1")
        scene.fence()
        assert wait_until(lambda: refused(dual, scene.topic), SECONDS)
        scene.lift()
        assert wait_until(lambda: not refused(dual, scene.topic), SECONDS)
        wait_for_copies(dual)
    assert len(scene.in_kafka()) >= 2
    assert len(scene.copies()) == len(scene.in_kafka())


def test_sides_change_without_a_deploy_and_no_message_is_lost_or_doubled(scene: Scene) -> None:
    count, ending = 0, threading.Event()
    reports: list[Any] = []
    dual = scene.dual(on_delivery=lambda error, message: reports.append((error, message)))

    def produce() -> None:
        nonlocal count
        while not ending.wait(0.002):
            try:
                dual.produce(scene.topic, b"%d" % count, b"key-%d" % (count % 5))
            except shim.KafkaException:
                dual.poll(0.01)
                continue
            count += 1
            dual.poll(0)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        wait_for(lambda: count > 100)
        scene.fence()
        scene.wait_until_fenced()
        fenced_at = count
        scene.drain()
        assert scene.copies() == []
        scene.hand_over()
        wait_for(lambda: count > fenced_at + 100)
    finally:
        ending.set()
        thread.join()
    wait_for_copies(dual)
    assert dual.outcomes() == Outcomes(ok=count, failed=0, unknown=0, waiting=0)
    dual.close()
    jobs = scene.jobs()
    assert sorted(int(value) for _, value in jobs) == list(range(count))
    assert all(error is None for error, _ in reports)
    assert isinstance(reports[0][1], confluent_kafka.Message)
    assert isinstance(reports[-1][1], shim.Message)
    sent = [(message.partition(), message.offset(), message.value(), message.headers()) for message in scene.in_kafka()]
    statement = "select partition, log_offset, value, headers from job_queue where topic = %s order by 1, 2"
    rows = scene.conn.execute(statement, [scene.topic]).fetchall()
    # Kafka is the complete copy, message by message, at the very offsets.
    assert [(*one[:3], [part for name, value in one[3] for part in (name.encode(), value)]) for one in sent] == rows
    ids = [dict(headers)[MESSAGE_ID].decode() for *_, headers in sent]
    assert [str(message_id) for message_id, _ in jobs] == ids


def test_the_modes_stay_as_they_were_while_postgres_is_away_and_the_alarm_is_raised(
    scene: Scene, open_proxy: OpenProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = open_proxy(scene.url)
    with scene.dual(proxy.url_of(scene.url)) as dual:
        dual.produce(scene.topic, b"1")
        wait_for_copies(dual)
        proxy.refuse()
        assert proxy.cut_all() > 0
        assert wait_until(lambda: "cannot be read" in caplog.text, SECONDS)
        scene.fence()
        dual.produce(scene.topic, b"2")
        assert dual.flush(SECONDS) == 0
        assert not scene.producers()[0].current
        proxy.refuse(refusing=False)
        assert wait_until(lambda: refused(dual, scene.topic), SECONDS)
        assert wait_until(lambda: settled(dual), SECONDS)
        scene.wait_until_fenced()
        assert (dual.modes_age_s or SECONDS) < SECONDS
    scene.drain()
    assert {value for _, value in scene.jobs()} >= {b"1", b"2"}


def test_a_topic_whose_mode_was_never_read_takes_no_message(scene: Scene) -> None:
    nobody = "postgresql://nobody@127.0.0.1:1/nothing"
    with scene.dual(nobody) as dual, pytest.raises(shim.KafkaException) as refusal:
        dual.produce(scene.topic, b"1")
    assert refusal.value.args[0].retriable()
    assert scene.in_kafka() == []


def test_a_dead_producer_is_waited_for_until_a_person_dismisses_it(scene: Scene) -> None:
    with scene.dual() as dual:
        dual.produce(scene.topic, b"1")
        name = dual.name
        wait_for_copies(dual)
        dismissed = dual_modes.dismiss(scene.conn, scene.texts, scene.topic, name)
        assert not dismissed
    scene.conn.execute(
        "insert into dual_producer (topic, producer, host, lease_until) values (%s, 'dead', 'h', now())", [scene.topic]
    )
    scene.fence()
    with pytest.raises(NotFencedError, match="dead"):
        scene.hand_over()
    assert dual_modes.dismiss(scene.conn, scene.texts, scene.topic, "dead")
    assert scene.hand_over().sequencer == "postgres"


def test_a_topic_that_is_not_fenced_is_not_handed_over(scene: Scene) -> None:
    with pytest.raises(NotFencedError):
        scene.hand_over()


def wait_for(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, SECONDS)
