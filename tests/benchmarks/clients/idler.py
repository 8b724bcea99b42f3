"""Consumers of a process that wait for messages which do not come: each polls in a thread of its own."""

import sys
import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.benchmarks.clients import parent

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Idle:
    """Polls until the benchmark says so.

    Attributes:
        api: the module of the client.
        servers: its ``bootstrap.servers``.
        topics: one consumer for each, in the group of the same name.
        configuration: what else the consumers are told.
    """

    api: str
    servers: str
    topics: list[str]
    configuration: dict[str, Any]


class Idler:
    """One consumer.

    Attributes:
        assigned: set once it has been assigned partitions.
        held: how many it held when it stopped to poll.
        received: how many messages and errors came.
    """

    def __init__(self, task: Idle, topic: str, done: threading.Event) -> None:
        self._consumer = import_module(task.api).Consumer(
            {"bootstrap.servers": task.servers, "group.id": topic, **task.configuration}
        )
        self._topic = topic
        self._done = done
        self.assigned = threading.Event()
        self.held = self.received = 0
        self.thread = threading.Thread(target=self._poll)

    def _poll(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=lambda *_: self.assigned.set())
        while not self._done.is_set():
            self.received += self._consumer.poll(_POLL_SECONDS) is not None
        self.held = len(self._consumer.assignment())

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()


def main() -> None:
    """Idle: tells once every consumer has partitions, then what came of it, and leaves when all have told that."""
    task = parent.task(Idle)
    done = threading.Event()
    idlers = [Idler(task, topic, done) for topic in task.topics]
    parent.ready()
    for idler in idlers:
        idler.thread.start()
    for idler in idlers:
        idler.assigned.wait()
    parent.tell({"assigned": True})
    sys.stdin.readline()
    done.set()
    for idler in idlers:
        idler.thread.join()
    parent.tell({name: sum(getattr(idler, name) for idler in idlers) for name in ("held", "received")})
    sys.stdin.readline()
    for idler in idlers:
        idler.close()


if __name__ == "__main__":
    main()
