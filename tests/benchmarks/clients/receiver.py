"""Consumes the messages of a sender, and takes how old each one is by then; on either client."""

import sys
import threading
from dataclasses import dataclass
from importlib import import_module
from time import monotonic_ns
from typing import Any

from tests.benchmarks.clients import parent
from tests.benchmarks.clients.sender import STAMP

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Receive:
    """Polls one message after another, until the benchmark says so and no more come.

    Attributes:
        api: the module of the client.
        servers: its ``bootstrap.servers``.
        topic: what to read.
        configuration: what else the client is told.
    """

    api: str
    servers: str
    topic: str
    configuration: dict[str, Any]


def main() -> None:
    """Receive: ready once partitions are assigned, and done when nothing has come for a second since the word.

    Of each message it tells when it was produced, and how many milliseconds it was under way.
    """
    task = parent.task(Receive)
    group = {"bootstrap.servers": task.servers, "group.id": "receiver", "auto.offset.reset": "earliest"}
    consumer = import_module(task.api).Consumer({**group, **task.configuration})
    consumer.subscribe([task.topic])
    while not consumer.assignment():
        consumer.poll(_POLL_SECONDS)
    clock = parent.ready()
    done = threading.Event()
    threading.Thread(target=lambda: done.set() if sys.stdin.readline() else None, daemon=True).start()
    waits: list[tuple[float, float]] = []
    while (message := consumer.poll(_POLL_SECONDS)) is not None or not done.is_set():
        if message is not None:
            now = monotonic_ns()
            assert message.error() is None, message.error()
            produced = int(message.value()[STAMP])
            waits.append((produced / 1e9, (now - produced) / 1e6))
    clock.stop()
    consumer.close()
    parent.tell({**clock.document(), "waits": waits})


if __name__ == "__main__":
    main()
