"""Produces messages that say when they were produced, now and then or at a steady rate; on either client."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from random import Random
from time import monotonic, monotonic_ns, sleep
from typing import Any

from tests.benchmarks.clients import parent
from tests.benchmarks.jobs import HEADER

STAMP = slice(8, 28)
"""Where in a value its time stands, in nanoseconds of the machine's monotonic clock."""

_VALUE = '{"at": "%020d", "data": "%s"}'
_PADDING = "x" * 256
_TRACE = b"0123456789abcdef0123456789abcdef"
_REST_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Send:
    """Produces for a while.

    Attributes:
        api: the module of the client.
        servers: its ``bootstrap.servers``.
        topic: where the messages go.
        seconds: for how long.
        rate: messages a second, evenly; 0 for one every 50 to 100 ms, at random.
        configuration: what else the client is told.
    """

    api: str
    servers: str
    topic: str
    seconds: float
    rate: float
    configuration: dict[str, Any]


def main() -> None:
    """Send."""
    task = parent.task(Send)
    producer = import_module(task.api).Producer({"bootstrap.servers": task.servers, **task.configuration})
    failed: list[object] = []

    def delivered(error: object, _message: object) -> None:
        if error is not None:
            failed.append(error)

    sent = 0
    clock = parent.ready()
    began = monotonic()
    for due in _moments(task):
        if due > task.seconds:
            break
        while (early := began + due - monotonic()) > 0:
            producer.poll(0)
            sleep(min(early, _REST_SECONDS) if task.rate else early)
        value = _VALUE % (monotonic_ns(), _PADDING)
        producer.produce(
            task.topic, value.encode(), b"user-%d" % sent, headers=[(HEADER, _TRACE)], on_delivery=delivered
        )
        sent += 1
    left = producer.flush()
    clock.stop()
    parent.tell({**clock.document(), "sent": sent, "failed": len(failed) + left})


def _moments(task: Send) -> Iterator[float]:
    """When to produce, in seconds from the start."""
    if task.rate:
        yield from (number / task.rate for number in count())
    dice, moment = Random(1), 0.0  # noqa: S311
    while True:
        moment += dice.uniform(0.05, 0.1)
        yield moment


if __name__ == "__main__":
    main()
