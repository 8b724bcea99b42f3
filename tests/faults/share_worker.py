"""Workers of a share group in one process: ``python -m tests.faults.share_worker URL TOPIC THREADS JOURNAL``.

Each thread is a share consumer with a journal of its own, in which a line stands for each acknowledgement that the shim
says has come true: ``ok OFFSET``, or ``lost OFFSET`` for one that came too late. A job that says ``crash`` kills the
process; one that says ``fail`` is released.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from shim import AcknowledgeType, KafkaException, Message, ShareConsumer, TopicPartition

_RECORDS = 5


def main(url: str, topic: str, threads: int, journals: Path) -> None:
    """Works until the process is killed."""
    workers = [
        threading.Thread(target=_work, args=(url, topic, journals / f"{os.getpid()}-{number}"))
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    print("works", flush=True)  # noqa: T201  for the test that started us
    for worker in workers:
        worker.join()


def _work(url: str, topic: str, path: Path) -> None:
    conf = {"shim.dsn": url, "group.id": "workers", "max.poll.records": _RECORDS}
    consumer = ShareConsumer({**conf, "share.acknowledgement.mode": "explicit"})
    consumer.subscribe([topic])
    with path.open("w") as journal:
        consumer.set_acknowledgement_commit_callback(lambda offsets, error: _note(journal, offsets, error))
        while True:
            for message in consumer.poll(0.5):
                consumer.acknowledge(message, _worked(message))


def _worked(message: Message) -> AcknowledgeType:
    value = message.value()
    if value == b"crash":
        os.kill(os.getpid(), signal.SIGKILL)
    return AcknowledgeType.RELEASE if value == b"fail" else AcknowledgeType.ACCEPT


def _note(journal: TextIO, offsets: dict[TopicPartition, set[int]], error: KafkaException | None) -> None:
    word = "ok" if error is None else "lost"
    journal.writelines(f"{word} {offset}\n" for found in offsets.values() for offset in sorted(found))
    journal.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
