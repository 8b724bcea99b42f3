"""Takes so many jobs off a topic in a share group, and accepts each."""

from dataclasses import dataclass
from time import monotonic
from typing import Any

from shim import ShareConsumer
from tests.benchmarks.clients import parent

_SILENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Take:
    """Takes jobs until it has had so many.

    Attributes:
        servers: where the queue is.
        topic: whose jobs.
        jobs: how many.
        configuration: what else the share consumer is told.
    """

    servers: str
    topic: str
    jobs: int
    configuration: dict[str, Any]


def main() -> None:
    """Take."""
    task = parent.task(Take)
    consumer = ShareConsumer({"bootstrap.servers": task.servers, **task.configuration})
    consumer.subscribe([task.topic])
    clock = parent.ready()
    taken, silent_since = 0, monotonic()
    while taken < task.jobs:
        messages = consumer.poll(1.0)
        if messages:
            if not taken:
                clock.start()
            taken += len(messages)
            silent_since = monotonic()
        else:
            assert monotonic() - silent_since < _SILENCE_SECONDS, f"nothing came any more after {taken} jobs"
    consumer.commit_sync()
    clock.stop()
    consumer.close()
    parent.tell({**clock.document(), "taken": taken})


if __name__ == "__main__":
    main()
