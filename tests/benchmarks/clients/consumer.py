"""Consumes a topic in a consumer group: one application, which runs on confluent_kafka and on the shim."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from time import monotonic
from typing import Any

from tests.benchmarks.clients import parent
from tests.benchmarks.jobs import PARTITIONS

_SILENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Consume:
    """Reads a topic from its beginning to its end, with the client's own commits by the clock.

    Attributes:
        api: the module of the client.
        servers: its ``bootstrap.servers``.
        group: the consumer group, a new one.
        topic: what to read.
        messages: how many there are.
        at_once: how many ``consume()`` asks for; 0 for ``poll()``.
        configuration: what else the client is told.
    """

    api: str
    servers: str
    group: str
    topic: str
    messages: int
    at_once: int
    configuration: dict[str, Any]


class Log:
    """Counts messages, and what is wrong with their order."""

    def __init__(self) -> None:
        self.count = 0
        self._expected = dict.fromkeys(range(PARTITIONS), 0)
        self._wrong: Counter[str] = Counter()

    def add(self, message: Any) -> None:
        """Takes a message as an application does: no error, its value, where it stood."""
        assert message.error() is None, message.error()
        assert message.value()
        partition, offset = message.partition(), message.offset()
        if offset != self._expected[partition]:
            self._wrong["lost" if offset > self._expected[partition] else "doubled"] += 1
        self._expected[partition] = offset + 1
        self.count += 1

    def document(self) -> dict[str, int]:
        """What was counted."""
        return {"messages": self.count, "lost": self._wrong["lost"], "doubled": self._wrong["doubled"]}


def main() -> None:
    """Consume."""
    task = parent.task(Consume)
    client = import_module(task.api)
    group = {"bootstrap.servers": task.servers, "group.id": task.group, "auto.offset.reset": "earliest"}
    consumer = client.Consumer({**group, **task.configuration})
    log = Log()
    clock = parent.ready()
    consumer.subscribe([task.topic])
    read: Callable[[], list[Any]] = (
        partial(consumer.consume, task.at_once, 1.0) if task.at_once else partial(_polled, consumer)
    )
    silent_since = monotonic()
    while log.count < task.messages:
        messages = read()
        if messages:
            if not log.count:
                clock.start()  # the group has been joined
            for message in messages:
                log.add(message)
            silent_since = monotonic()
        else:
            assert monotonic() - silent_since < _SILENCE_SECONDS, f"nothing came any more after {log.count} messages"
    clock.stop()
    consumer.close()
    parent.tell({**clock.document(), **log.document(), "committed": _committed(client, group, task.topic)})


def _polled(consumer: Any) -> list[Any]:
    message = consumer.poll(1.0)
    return [] if message is None else [message]


def _committed(client: Any, group: dict[str, str], topic: str) -> int:
    """What the group has committed by now, over all partitions."""
    consumer = client.Consumer(group)
    everywhere = [client.TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    offsets = [one.offset for one in consumer.committed(everywhere, timeout=30)]
    consumer.close()
    return sum(offsets)


if __name__ == "__main__":
    main()
