"""While Kafka is the primary: the caller hears of Kafka alone, copies wait in the inbox, and the drain empties it."""

from hashlib import sha256
from typing import Any
from uuid import UUID

import confluent_kafka
import pytest

import shim
from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.phantoms import Phantoms
from shim.dual import DualProducer, Outcomes
from shim.message import Headers
from shim.store.message_id import MESSAGE_ID, PRODUCER, SEQUENCE
from tests.fixtures.kafka import create_topic_on, topic_name
from tests.integration.dual.scene import SECONDS, Scene, wait_for_copies

pytestmark = pytest.mark.real_kafka


def header(message: Any, name: str) -> str:
    (value,) = [value for known, value in message.headers() if known == name]
    return str(value.decode())


def test_a_message_is_reported_by_kafka_and_copied_to_the_inbox(scene: Scene) -> None:
    reports: list[Any] = []
    with scene.dual() as dual:
        old: Headers = [(MESSAGE_ID, b"old"), ("trace", b"1"), ("trace", None)]
        dual.produce(
            scene.topic, "v", b"k", 1, headers=old, on_delivery=lambda error, message: reports.append((error, message))
        )
        wait_for_copies(dual)
        assert dual.outcomes() == Outcomes(ok=1, failed=0, unknown=0, waiting=0)
        ((error, message),) = reports
        assert error is None
        assert isinstance(message, confluent_kafka.Message)
        assert (message.partition(), message.offset()) == (1, 0)
        ((message_id, producer, sequence, key, value, headers, timestamp_ms),) = scene.copies()
        assert (producer, sequence, key, value) == (dual.name, 1, b"k", b"v")
    (sent,) = scene.in_kafka()
    assert sent.headers()[:2] == [("trace", b"1"), ("trace", None)]
    assert [header(sent, name) for name in (MESSAGE_ID, PRODUCER, SEQUENCE)] == [str(message_id), producer, "1"]
    flat = [part for name, content in sent.headers() for part in (name.encode(), content)]
    assert headers == flat
    assert sent.timestamp()[1] == timestamp_ms == message_id.int >> 80
    assert scene.jobs() == []


def test_the_drain_gives_rows_their_ids_and_empties_the_inbox(scene: Scene) -> None:
    with scene.dual() as dual:
        for n in range(500):
            dual.produce(scene.topic, b"%d" % n, b"key-%d" % (n % 7))
        wait_for_copies(dual)
        assert len(scene.copies()) == 500
    ids = {header(message, MESSAGE_ID): message.value() for message in scene.in_kafka()}
    scene.drain()
    assert scene.copies() == []
    assert scene.phantoms() == []
    assert {str(message_id): value for message_id, value in scene.jobs()} == ids
    assert len(scene.jobs()) == len(ids) == 500


def test_a_copy_that_comes_after_the_drain_is_no_phantom(scene: Scene) -> None:
    with scene.dual() as dual:
        dual.produce(scene.topic, b"1", b"k")
        wait_for_copies(dual)
        (copy,) = scene.copies()
        scene.drain()
    put = "insert into dual_inbox (topic, message_id, producer, sequence) values (%s, %s, 'late', 1)"
    scene.conn.execute(put, [scene.topic, copy[0]])
    assert scene.phantoms() == []
    assert scene.sweep() == 1
    assert scene.copies() == []


def test_a_dead_letter_is_no_phantom_even_if_its_copy_came_late(scene: Scene) -> None:
    with scene.dual() as dual:
        dual.produce(scene.topic, b"no JSON")
        wait_for_copies(dual)
    ((message_id, *_),) = scene.copies()
    scene.drain("--format", "json")
    assert scene.copies() == scene.jobs() == []
    put = "insert into dual_inbox (topic, message_id, producer, sequence) values (%s, %s, 'late', 1)"
    scene.conn.execute(put, [scene.topic, message_id])
    assert len(scene.phantoms()) == 1
    found = Phantoms(scene.conn, postgres.schemas("public"))
    assert list(found.of(scene.topic)) == []
    other = scene.conn.execute(
        "insert into dual_inbox (topic, message_id, producer, sequence) values (%s, gen_random_uuid(), 'p', 1) "
        "returning message_id",
        [scene.topic],
    ).fetchone()
    assert [(one.message_id,) for one in found.of(scene.topic)] == [other]


def test_what_kafka_never_had_is_listed_and_never_runs(scene: Scene) -> None:
    # No broker answers there, so that Kafka reports failure to the caller; the inbox has the copy all the same.
    errors: list[Any] = []
    nowhere = confluent_kafka.Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 300, "log_level": 0})
    with DualProducer(nowhere, scene.queue()) as dual:
        dual.produce(scene.topic, b"lost", on_delivery=lambda error, _: errors.append(error))
        wait_for_copies(dual)
        assert errors[0].code() == confluent_kafka.KafkaError._MSG_TIMED_OUT  # noqa: SLF001  the name is the API's
        assert dual.outcomes().ok == 1
        name = dual.name
    scene.drain()
    (phantom,) = scene.phantoms()
    assert phantom.document() == {
        "topic": scene.topic,
        "message_id": str(phantom.message_id),
        "producer": name,
        "sequence": 1,
        "created_at": phantom.created_at.isoformat(),
        "size": 4,
        "digest": sha256(b"lost").hexdigest()[:16],
    }
    assert scene.jobs() == []


def test_the_caller_gets_the_primary_s_buffer_error_and_nothing_is_copied(scene: Scene) -> None:
    kafka = scene.kafka(queue_buffering_max_messages=1, linger_ms=60_000)
    with DualProducer(kafka, scene.queue()) as dual:
        dual.produce(scene.topic, b"1")
        with pytest.raises(BufferError):
            dual.produce(scene.topic, b"2")
        assert len(dual) == 1
        wait_for_copies(dual)
        assert [copy[4] for copy in scene.copies()] == [b"1"]
        assert len(dual) == 0


def test_a_secondary_without_room_is_counted_and_no_more(scene: Scene) -> None:
    told: list[Any] = []
    queue = scene.queue(queue_buffering_max_messages=1)
    kafka = scene.kafka()
    lock = "lock table dual_inbox in access exclusive mode"
    with DualProducer(kafka, queue, on_secondary=lambda *what: told.append(what)) as dual:
        with scene.conn.transaction():
            scene.conn.execute(lock)
            for n in range(10):
                dual.produce(scene.topic, b"%d" % n)
            assert dual.flush(SECONDS) == 0
        wait_for_copies(dual)
        assert dual.outcomes() == Outcomes(ok=1, failed=9, unknown=0, waiting=0)
    outcome, topic, message_id, error = told[0]
    assert (outcome, topic, error.code()) == ("failed", scene.topic, shim.KafkaError._QUEUE_FULL)  # noqa: SLF001  the same
    assert UUID(message_id).version == 7
    scene.drain()
    assert len(scene.jobs()) == 10


def test_a_topic_that_postgres_does_not_know_goes_to_kafka_alone(scene: Scene) -> None:
    topic = topic_name("unknown")
    create_topic_on(scene.servers, topic)
    with scene.dual() as dual:
        dual.produce(topic, b"1")
        wait_for_copies(dual)
        assert dual.outcomes() == Outcomes(ok=0, failed=1, unknown=0, waiting=0)


def test_a_plain_producer_is_still_refused_where_kafka_numbers(scene: Scene) -> None:
    errors: list[Any] = []
    with scene.queue() as producer:
        producer.produce(scene.topic, b"1", on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(SECONDS) == 0
    assert errors[0].code() == shim.KafkaError._STATE  # noqa: SLF001  the name is the API's


@pytest.mark.parametrize("sides", ["kafka", "queue"])
def test_two_producers_of_one_side_are_refused(scene: Scene, sides: str) -> None:
    make = getattr(scene, sides)
    with pytest.raises(ValueError, match="exactly one"):
        DualProducer(make(), make())


def test_a_following_drain_empties_the_inbox_as_it_goes(scene: Scene) -> None:
    with scene.following() as drain, scene.dual() as dual:
        for n in range(200):
            dual.produce(scene.topic, b"%d" % n)
        wait_for_copies(dual)
        drain.wait_for(lambda: len(scene.jobs()) == 200 and not scene.copies())
    assert wait_until(lambda: scene.phantoms() == [], SECONDS)
