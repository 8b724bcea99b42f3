"""While Postgres is the primary: the caller hears of Postgres alone, and Kafka gets what Postgres has stored."""

from typing import Any

import confluent_kafka
import pytest

import shim
from migrator.embedded.process import wait_until
from shim.dual import DualProducer, Outcomes
from shim.store.message_id import MESSAGE_ID
from tests.integration.dual.scene import SECONDS, Scene, settled, wait_for_copies

pytestmark = pytest.mark.real_kafka


@pytest.fixture
def scene(scene: Scene) -> Scene:
    """A topic that Postgres numbers by now."""
    scene.fence()
    scene.hand_over()
    return scene


def nowhere() -> Any:
    """A producer whose brokers do not answer."""
    return confluent_kafka.Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 500, "log_level": 0})


def test_a_message_is_reported_by_postgres_and_copied_to_the_same_place_in_kafka(scene: Scene) -> None:
    reports: list[Any] = []
    with DualProducer(scene.queue(), scene.kafka()) as dual:
        for n in range(50):
            dual.produce(scene.topic, b"%d" % n, b"key-%d" % n, on_delivery=lambda *report: reports.append(report))
        wait_for_copies(dual)
        assert dual.outcomes() == Outcomes(50, 0, 0, 0)
    assert all(error is None and isinstance(message, shim.Message) for error, message in reports)
    statement = "select partition, log_offset, key, timestamp_ms, message_id::text from job_queue order by 1, 2"
    copies = [
        (*where(message), message.key(), message.timestamp()[1], dict(message.headers())[MESSAGE_ID].decode())
        for message in scene.in_kafka()
    ]
    assert copies == scene.conn.execute(statement).fetchall()
    assert scene.copies() == []


def test_a_dead_kafka_is_counted_and_keeps_nobody_waiting(scene: Scene) -> None:
    reports: list[Any] = []
    with DualProducer(scene.queue(), nowhere()) as dual:
        dual.produce(scene.topic, b"1", on_delivery=lambda *report: reports.append(report))
        assert dual.flush(SECONDS) == 0
        assert [error for error, _ in reports] == [None]
        assert len(dual) == 0
        assert dual.outcomes().waiting == 1
        assert wait_until(lambda: settled(dual), SECONDS)
        assert dual.outcomes() == Outcomes(0, 0, 1, 0)
    assert [value for _, value in scene.jobs()] == [b"1"]


def test_what_postgres_has_not_stored_is_not_copied(scene: Scene) -> None:
    errors: list[Any] = []
    with DualProducer(scene.queue(linger_ms=60_000), scene.kafka(), on_delivery=lambda e, _: errors.append(e)) as dual:
        dual.produce(scene.topic, b"1")
        dual.purge()
        wait_for_copies(dual)
        assert [error.code() for error in errors] == [shim.KafkaError._PURGE_QUEUE]  # noqa: SLF001  the API's name
        assert dual.outcomes() == Outcomes(0, 0, 0, 0)
    assert scene.in_kafka() == []
    assert scene.jobs() == []


def test_messages_are_refused_while_the_secondary_takes_none_if_that_is_the_policy(scene: Scene) -> None:
    with DualProducer(scene.queue(), nowhere(), on_secondary_failure="raise", patience_s=0.1) as dual:

        def refused() -> bool:
            dual.poll(0)
            try:
                dual.produce(scene.topic, b"1")
            except shim.KafkaException as refusal:
                return bool(refusal.args[0].retriable())
            return False

        assert wait_until(refused, SECONDS)


def test_an_unknown_policy_is_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="on_secondary_failure"):
        DualProducer(scene.queue(), scene.kafka(), on_secondary_failure="breaker")  # type: ignore[arg-type]  # so it is


def test_what_kafka_cannot_hold_is_refused(scene: Scene) -> None:
    with DualProducer(scene.queue(), scene.kafka()) as dual:
        with pytest.raises(ValueError, match="no delay"):
            dual.produce_batch(scene.topic, [{"value": b"1", "delay": 5}])
        with pytest.raises(shim.KafkaException) as refusal:
            dual.init_transactions(1.0)
        assert refusal.value.args[0].name() == "_NOT_CONFIGURED"


def test_serializing_producers_are_refused(scene: Scene) -> None:
    with pytest.raises(TypeError, match="takes a Producer"):
        DualProducer(shim.SerializingProducer({"shim.dsn": scene.url}), scene.kafka())


def where(message: Any) -> tuple[int, int]:
    return message.partition(), message.offset()
