"""What clients say whose server is not there: calls with a timeout fail, everything else goes on trying."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.records import serve
from tests.conformance.side import Side

CALLS: dict[str, Callable[[Any, Any], object]] = {
    "committed": lambda consumer, tp: consumer.committed([tp], 0.3),
    "get_watermark_offsets": lambda consumer, tp: consumer.get_watermark_offsets(tp, 0.3),
    "offsets_for_times": lambda consumer, tp: consumer.offsets_for_times([tp], 0.3),
    "list_topics": lambda consumer, _tp: consumer.list_topics(timeout=0.3),
    "cluster_id": lambda consumer, _tp: consumer.cluster_id(0.3),
}


def nobody(side: Side, **settings: object) -> dict[str, object]:
    """The settings of a client whose server is not there."""
    return {**side.nobody(), "logger": side.silence, **settings}


@pytest.mark.parametrize("method", CALLS)
def test_calls_with_a_timeout(side: Side, method: str) -> None:
    consumer = side.consumer(None, nobody(side))
    began = time.monotonic()
    code, _ = side.refusal(lambda: CALLS[method](consumer, side.tp("topic", 0, 0)))
    assert code in {side.code("_TIMED_OUT"), side.code("_TRANSPORT"), side.code("_ALL_BROKERS_DOWN")}
    assert time.monotonic() - began < 5


def test_calls_that_need_no_server(side: Side) -> None:
    consumer = side.consumer(None, nobody(side))
    tp = side.tp("topic", 0, 3)
    consumer.assign([tp])
    assert consumer.assignment() == [tp]
    assert consumer.position([tp])[0].offset == -1001
    assert consumer.get_watermark_offsets(tp, cached=True) == (-1001, -1001)
    assert consumer.poll(0.05) is None
    consumer.pause([tp])
    consumer.subscribe(["topic"])
    consumer.unsubscribe()


@pytest.mark.parametrize("subscribed", [True, False])
def test_close_is_quick(side: Side, subscribed: bool) -> None:
    consumer = side.consumer(None, nobody(side))
    if subscribed:
        consumer.subscribe(["topic"])
        consumer.poll(0.05)
    began = time.monotonic()
    consumer.close()
    assert time.monotonic() - began < 5


def test_a_consumer_tells_error_cb_and_polls_on(side: Side) -> None:
    errors: list[Any] = []
    consumer = side.consumer(None, nobody(side, error_cb=errors.append))
    consumer.subscribe(["topic"])
    handed = serve([consumer], lambda: side.code("_ALL_BROKERS_DOWN") in errors)
    assert errors[0].code() == side.code("_TRANSPORT")
    assert handed == [[]]


def test_a_producer_tells_error_cb_and_keeps_its_messages(side: Side) -> None:
    errors: list[Any] = []
    producer = side.producer(nobody(side, error_cb=errors.append))
    producer.produce("topic", b"v")
    serve([producer], lambda: side.code("_ALL_BROKERS_DOWN") in errors)
    assert all(type(error) is side.error for error in errors)
    assert errors[0].code() == side.code("_TRANSPORT")
    assert not any(error.fatal() for error in errors)
    assert len(producer) >= 1


def test_an_admin_client(side: Side) -> None:
    cluster = side.admin.AdminClient(nobody(side))
    future = cluster.create_topics([side.admin.NewTopic("topic", 1, 1)], request_timeout=0.3)["topic"]
    assert side.failure(future)[0] in {side.code("_TIMED_OUT"), side.code("_TRANSPORT")}
    code, _ = side.refusal(lambda: cluster.list_topics(timeout=0.3))
    assert code in {side.code("_TIMED_OUT"), side.code("_TRANSPORT")}


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_credentials_are_taken(side: Side, client: str) -> None:
    made = getattr(side, client)()
    assert made.set_sasl_credentials("user", "password") is None
    for wrong in (("user",), (None, "password"), ("user", None)):
        with pytest.raises(TypeError):
            made.set_sasl_credentials(*wrong)
