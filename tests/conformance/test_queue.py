"""The producer's queue: full, flushed, purged, expired, closed; and what callbacks may do."""

import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.conformance.records import serve, take, values
from tests.conformance.side import WAIT_SECONDS, Side


def nobody(side: Side, key: str = "client.id", value: object = None) -> Any:
    """A producer whose server is not there, with one setting."""
    return side.producer({**side.nobody(), "logger": side.silence, key: value})


@pytest.mark.parametrize("method", ["poll", "flush"])
@pytest.mark.parametrize("timeout", [None, "1"])
def test_timeouts_are_numbers(side: Side, method: str, timeout: object) -> None:
    with pytest.raises(TypeError):
        getattr(side.producer(), method)(timeout)


def test_queue_is_full(side: Side) -> None:
    producer = nobody(side, "queue.buffering.max.messages", 2)
    producer.produce("topic", b"1")
    producer.produce("topic", b"2")
    with pytest.raises(BufferError, match=r"^Local: Queue full$"):
        producer.produce("topic", b"3")
    assert producer.flush(0) == 2


def test_queue_is_full_of_bytes(side: Side) -> None:
    producer = nobody(side, "queue.buffering.max.kbytes", 1)
    producer.produce("topic", b"x" * 900)
    with pytest.raises(BufferError):
        producer.produce("topic", b"x" * 900)


def test_a_place_is_free_again_once_the_report_is_served(side: Side) -> None:
    topic = side.topic()
    reports: list[Any] = []

    def reported(count: int) -> bool:
        return len(reports) == count

    producer = side.producer({"queue.buffering.max.messages": 1, "on_delivery": lambda *report: reports.append(report)})
    for number in range(5):
        producer.produce(topic, b"%d" % number)
        serve([producer], partial(reported, number + 1))
    assert values(message for _, message in reports) == [b"0", b"1", b"2", b"3", b"4"]


def test_flush_counts_what_is_left(side: Side) -> None:
    producer = nobody(side)
    for _ in range(3):
        producer.produce("topic", b"v")
    began = time.monotonic()
    assert producer.flush(0.1) >= 3
    assert time.monotonic() - began < 5
    assert len(producer) >= 3


def test_flush_of_nothing(side: Side) -> None:
    assert side.producer().flush() == 0
    assert side.producer().flush(0) == 0
    assert side.producer().poll(0) == 0
    assert len(side.producer()) == 0


def test_producer_is_always_true(side: Side) -> None:
    assert bool(side.producer())


def test_linger_holds_messages_back_and_flush_does_not_wait_for_it(side: Side) -> None:
    topic = side.topic()
    producer = side.producer({"linger.ms": 60_000, "message.timeout.ms": 120_000})
    producer.produce(topic, b"v")
    assert producer.poll(0.2) == 0
    assert len(producer) == 1
    assert producer.flush(WAIT_SECONDS) == 0


def test_a_full_batch_does_not_linger(side: Side) -> None:
    topic = side.topic()
    settings = {"linger.ms": 60_000, "message.timeout.ms": 120_000, "batch.num.messages": 3}
    reports: list[Any] = []
    producer = side.producer({**settings, "on_delivery": lambda *report: reports.append(report)})
    for number in range(3):
        producer.produce(topic, b"%d" % number, partition=0)
    serve([producer], lambda: len(reports) == 3)


def test_messages_expire(side: Side) -> None:
    reports: list[tuple[Any, Any]] = []
    producer = nobody(side, "message.timeout.ms", 200)
    producer.produce("topic", b"v", b"k", on_delivery=lambda *report: reports.append(report))
    assert producer.flush(WAIT_SECONDS) == 0
    ((error, message),) = reports
    assert error.code() == side.code("_MSG_TIMED_OUT")
    assert error.str() == "Local: Message timed out"
    assert (message.topic(), message.value(), message.key()) == ("topic", b"v", b"k")
    assert (message.partition(), message.offset()) == (None, None)
    assert message.error() == error


def test_delivery_timeout_is_the_same_setting(side: Side) -> None:
    codes: list[int] = []
    producer = nobody(side, "delivery.timeout.ms", 200)
    producer.produce("topic", b"v", on_delivery=lambda error, _: codes.append(error.code()))
    assert producer.flush(WAIT_SECONDS) == 0
    assert codes == [side.code("_MSG_TIMED_OUT")]


def test_purge(side: Side) -> None:
    codes: list[int] = []
    producer = nobody(side)
    producer.produce("topic", b"v", on_delivery=lambda error, _: codes.append(error.code()))
    assert producer.purge() is None
    assert codes == []
    assert producer.flush(WAIT_SECONDS) == 0
    assert codes == [side.code("_PURGE_QUEUE")]


def test_purge_of_what_is_in_flight_leaves_the_queue(side: Side) -> None:
    producer = nobody(side)
    producer.produce("topic", b"v")
    producer.purge(in_queue=False)
    assert producer.flush(0) == 1


def test_purge_takes_three_switches(side: Side) -> None:
    producer = side.producer()
    producer.purge(True, True, False)
    with pytest.raises(TypeError):
        producer.purge(1, 2, 3, 4)


def test_callbacks_run_in_the_thread_that_polls(side: Side) -> None:
    topic = side.topic()
    threads: set[int] = set()
    producer = side.producer({"on_delivery": lambda *_: threads.add(threading.get_ident())})
    producer.produce(topic, b"v")
    assert producer.flush(WAIT_SECONDS) == 0
    assert threads == {threading.get_ident()}


def test_messages_of_a_callback_are_flushed_too(side: Side) -> None:
    topic = side.topic()
    reported: list[bytes] = []
    producer = side.producer()

    def again(_error: Any, message: Any) -> None:
        reported.append(message.value())
        if len(reported) < 5:
            producer.produce(topic, b"%d" % len(reported), on_delivery=again)

    producer.produce(topic, b"0", on_delivery=again)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reported == [b"0", b"1", b"2", b"3", b"4"]


def test_exception_of_a_callback_comes_out_and_the_rest_is_served_later(side: Side) -> None:
    topic = side.topic()
    reported: list[bytes] = []
    producer = side.producer()

    def fails(_error: Any, message: Any) -> None:
        raise KeyError(message.value())

    producer.produce(topic, b"0", on_delivery=fails)
    for number in range(1, 4):
        producer.produce(topic, b"%d" % number, on_delivery=lambda _error, message: reported.append(message.value()))
    with pytest.raises(KeyError, match="0"):
        producer.flush(WAIT_SECONDS)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reported == [b"1", b"2", b"3"]


def divides(_error: Any, _message: Any) -> float:
    return 1 / 0


FAULTY_CALLBACKS: list[tuple[Any, type[Exception]]] = [
    (divides, ZeroDivisionError),
    (lambda: None, TypeError),
    (5, TypeError),
]


@pytest.mark.differs("callback-errors")
@pytest.mark.parametrize(("callback", "error"), FAULTY_CALLBACKS, ids=["division", "arity", "number"])
def test_exceptions_that_the_interpreter_raises(side: Side, callback: Any, error: type[Exception]) -> None:
    producer = side.producer()
    producer.produce(side.topic(), b"v", on_delivery=callback)
    garbled = SystemError if sys.version_info < (3, 12) else error
    with pytest.raises(side.either(kafka=garbled, shim=error)):
        producer.flush(WAIT_SECONDS)
    assert producer.flush(WAIT_SECONDS) == 0


def test_close_flushes(side: Side) -> None:
    topic = side.topic()
    reports: list[Any] = []
    producer = side.producer({"linger.ms": 60_000, "message.timeout.ms": 120_000})
    producer.produce(topic, b"v", on_delivery=lambda *report: reports.append(report))
    assert producer.close() is True
    assert len(reports) == 1
    assert producer.close() is True
    assert len(producer) == 0
    assert bool(producer)


CLOSED: dict[str, Callable[[Any], object]] = {
    "produce": lambda producer: producer.produce("topic", b"v"),
    "produce_batch": lambda producer: producer.produce_batch("topic", [{}]),
    "poll": lambda producer: producer.poll(0),
    "flush": lambda producer: producer.flush(0),
    "purge": lambda producer: producer.purge(),
    "init_transactions": lambda producer: producer.init_transactions(),
    "begin_transaction": lambda producer: producer.begin_transaction(),
}
HANDLE_CLOSED: dict[str, Callable[[Any], object]] = {
    "list_topics": lambda producer: producer.list_topics(),
    "cluster_id": lambda producer: producer.cluster_id(),
    "set_sasl_credentials": lambda producer: producer.set_sasl_credentials("a", "b"),
}


@pytest.mark.parametrize("method", CLOSED)
def test_a_closed_producer(side: Side, method: str) -> None:
    producer = side.producer()
    producer.close()
    with pytest.raises(RuntimeError, match=r"^Producer has been closed$"):
        CLOSED[method](producer)


@pytest.mark.parametrize("method", HANDLE_CLOSED)
def test_a_closed_handle(side: Side, method: str) -> None:
    producer = side.producer()
    producer.close()
    with pytest.raises(RuntimeError, match=r"^Handle has been closed$"):
        HANDLE_CLOSED[method](producer)


def test_with_flushes_and_closes(side: Side) -> None:
    topic = side.topic()
    reports: list[Any] = []
    with side.producer() as producer:
        producer.produce(topic, b"v", on_delivery=lambda *report: reports.append(report))
    assert len(reports) == 1
    with pytest.raises(RuntimeError):
        producer.poll(0)


def test_with_lets_exceptions_through(side: Side) -> None:
    topic = side.topic()
    producer = side.producer()
    producer.produce(topic, b"v")
    with pytest.raises(KeyError, match="mine"), producer:
        raise KeyError("mine")
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    assert values(take(consumer, 1)) == [b"v"]


def test_statistics(side: Side) -> None:
    texts: list[str] = []
    producer = side.producer({"statistics.interval.ms": 100, "stats_cb": texts.append, "client.id": "counted"})
    serve([producer], lambda: texts)
    statistics = json.loads(texts[0])
    assert statistics["type"] == "producer"
    assert statistics["client_id"] == "counted"
    assert statistics["name"].startswith("counted#producer-")
    assert {"ts", "time", "age", "msg_cnt", "msg_size", "brokers", "topics"} <= statistics.keys()
