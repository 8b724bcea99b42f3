"""Produces jobs: one application, which runs on confluent_kafka and on the shim."""

from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.benchmarks.clients import parent
from tests.benchmarks.jobs import HEADER, jobs

_ROOM_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Produce:
    """Produces jobs, and serves a delivery report for each.

    Attributes:
        api: the module of the client.
        servers: its ``bootstrap.servers``.
        topic: where the jobs go.
        messages: how many.
        configuration: what else the client is told.
    """

    api: str
    servers: str
    topic: str
    messages: int
    configuration: dict[str, Any]


def main() -> None:
    """Produce."""
    task = parent.task(Produce)
    producer = import_module(task.api).Producer({"bootstrap.servers": task.servers, **task.configuration})
    messages = [(key, value, [(HEADER, trace)]) for key, value, trace in jobs(task.messages)]
    reports: Counter[bool] = Counter()

    def delivered(error: object, _message: object) -> None:
        reports[error is None] += 1

    clock = parent.ready()
    for key, value, headers in messages:
        while True:
            try:
                producer.produce(task.topic, value, key, headers=headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(_ROOM_SECONDS)
        producer.poll(0)
    left = producer.flush()
    clock.stop()
    parent.tell({**clock.document(), "delivered": reports[True], "failed": reports[False] + left})


if __name__ == "__main__":
    main()
