"""An application of the shim: ``python -m tests.faults.shim_application DSN TOPIC GROUP FOLDER``.

One producer, one consumer in a group, both made once. What happens to them is written to files in the folder, a line
each: ``acknowledged`` and ``consumed`` hold ``PARTITION OFFSET NUMBER``, ``consumed`` also ``commit PARTITION OFFSET``
for each commit that was answered, and ``failures`` what the clients reported. SIGTERM ends the producing; the
application ends when it has read all that is there.
"""

import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from shim import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

ACKNOWLEDGED, CONSUMED, FAILURES = "acknowledged", "consumed", "failures"

_COMMIT_EVERY = 20
_KEYS = 17


class Application:
    """The two clients, and the notes that they take."""

    def __init__(self, dsn: str, topic: str, group: str, folder: Path) -> None:
        self._topic = topic
        self._producer = Producer({"shim.dsn": dsn, "linger.ms": 2})
        self._consumer = Consumer(
            {
                "shim.dsn": dsn,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "heartbeat.interval.ms": 200,
                "session.timeout.ms": 6000,
            }
        )
        self._acknowledged, self._consumed, self._failures = (
            _notes(folder / name) for name in (ACKNOWLEDGED, CONSUMED, FAILURES)
        )
        self._ending = threading.Event()
        self._produced_all = threading.Event()
        self._read = 0
        self._next: dict[int, int] = {}

    def run(self) -> None:
        """Produce and consume until SIGTERM, then consume the rest."""
        signal.signal(signal.SIGTERM, lambda *_: self._ending.set())
        producing = threading.Thread(target=self._produce)
        producing.start()
        self._consumer.subscribe([self._topic])
        message: Message | None = None
        while message is not None or not (self._produced_all.is_set() and self._read_all()):
            message = self._consumer.poll(0.1)
            if message is not None:
                self._take(message)
        producing.join()
        self._consumer.close()

    def _produce(self) -> None:
        number = 0
        while not self._ending.is_set():
            key = b"%d" % (number % _KEYS)
            self._producer.produce(self._topic, b"%d" % number, key, on_delivery=self._report)
            self._producer.poll(0.001)
            number += 1
        self._producer.flush()
        self._produced_all.set()

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            print(_described(message), file=self._acknowledged)
        else:
            print("produce", error.name(), file=self._failures)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            print("poll", error.name(), file=self._failures)
            return
        print(_described(message), file=self._consumed)
        self._read += 1
        self._next[message.partition() or 0] = (message.offset() or 0) + 1
        if self._read % _COMMIT_EVERY == 0:
            self._commit(message)

    def _commit(self, message: Message) -> None:
        try:
            self._consumer.commit(message, asynchronous=False)
        except KafkaException as refused:
            print("commit", refused.args[0].name(), file=self._failures)
        else:
            print("commit", message.partition(), (message.offset() or 0) + 1, file=self._consumed)

    def _read_all(self) -> bool:
        partitions = self._consumer.list_topics(self._topic).topics[self._topic].partitions
        return all(self._next.get(number, 0) >= self._end(number) for number in partitions)

    def _end(self, partition: int) -> int:
        _low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition))
        return high


def _notes(path: Path) -> TextIO:
    return path.open("w", buffering=1, encoding="ascii")


def _described(message: Message) -> str:
    return f"{message.partition()} {message.offset()} {int(message.value() or b'')}"


if __name__ == "__main__":
    dsn, topic, group, folder = sys.argv[1:]
    Application(dsn, topic, group, Path(folder)).run()
