"""Producing what a test needs, and polling until it is there; every wait has its deadline."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.conformance.side import WAIT_SECONDS, Side

_SLICE_SECONDS = 0.02


def fill(side: Side, topic: str, values: Iterable[str | bytes | None], partition: int = 0) -> None:
    """Produce values to one partition and wait until the server has them."""
    producer = side.producer()
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(WAIT_SECONDS) == 0
    producer.close()


def take(consumer: Any, count: int, timeout: float = WAIT_SECONDS) -> list[Any]:
    """Poll until ``count`` records have come; an event or an error among them fails the test."""
    taken: list[Any] = []
    deadline = time.monotonic() + timeout
    while len(taken) < count:
        assert time.monotonic() < deadline, f"{len(taken)} of {count} records came: {values(taken)}"
        message = consumer.poll(_SLICE_SECONDS)
        if message is not None:
            assert message.error() is None, message.error()
            taken.append(message)
    return taken


def take_event(consumer: Any, timeout: float = WAIT_SECONDS) -> Any:
    """Poll until a message that carries an error comes, past the records before it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        message = consumer.poll(_SLICE_SECONDS)
        if message is not None and message.error() is not None:
            return message
    raise AssertionError("no event came")


def values(messages: Iterable[Any]) -> list[bytes | None]:
    """The values of messages, in order."""
    return [message.value() for message in messages]


def serve(clients: Sequence[Any], until: Callable[[], object], timeout: float = WAIT_SECONDS) -> list[list[Any]]:
    """Poll every client in turn until the condition holds; returns what each consumer was handed meanwhile."""
    handed: list[list[Any]] = [[] for _ in clients]
    deadline = time.monotonic() + timeout
    while not until():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        for client, messages in zip(clients, handed, strict=True):
            message = client.poll(_SLICE_SECONDS)
            if hasattr(message, "error"):
                messages.append(message)
    return handed


def held(consumer: Any) -> set[tuple[str, int]]:
    """The partitions that a consumer is assigned."""
    return pairs(consumer.assignment())


def pairs(partitions: Iterable[Any]) -> set[tuple[str, int]]:
    """The topic and partition of each."""
    return {(tp.topic, tp.partition) for tp in partitions}


def offsets(partitions: Iterable[Any]) -> dict[tuple[str, int], int]:
    """The offset of each by topic and partition."""
    return {(tp.topic, tp.partition): tp.offset for tp in partitions}
