"""Works off jobs as a share consumer: one application, whose work is to look at each message."""

from dataclasses import dataclass
from time import monotonic

from shim import ShareConsumer
from tests.benchmarks.clients import parent

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Share:
    """Polls for a while, as one worker of a share group, and settles what it was handed.

    Attributes:
        dsn: where the queue is.
        topic: whose jobs.
        batch: ``max.poll.records``.
        seconds: for how long.
        mode: ``implicit``, or ``explicit`` for an ``acknowledge()`` of each message.
        prefetch_ms: ``shim.prefetch.ms``; 0 for one claim for each poll.
    """

    dsn: str
    topic: str
    batch: int
    seconds: float
    mode: str
    prefetch_ms: int


def main() -> None:
    """Poll."""
    task = parent.task(Share)
    consumer = ShareConsumer(
        {
            "shim.dsn": task.dsn,
            "group.id": "workers",
            "max.poll.records": task.batch,
            "share.acknowledgement.mode": task.mode,
            "shim.prefetch.ms": task.prefetch_ms,
        }
    )
    consumer.subscribe([task.topic])
    explicit = task.mode == "explicit"
    count = 0
    clock = parent.ready()
    end = monotonic() + task.seconds
    while monotonic() < end:
        messages = consumer.poll(_POLL_SECONDS)
        assert messages, f"the queue is empty after {count} jobs: raise --backlog"
        for message in messages:
            assert message.error() is None
            assert message.value()
            if explicit:
                consumer.acknowledge(message)
        count += len(messages)
    assert all(failure is None for failure in consumer.commit_sync().values())
    clock.stop()
    consumer.close()
    parent.tell({**clock.document(), "jobs": count})


if __name__ == "__main__":
    main()
