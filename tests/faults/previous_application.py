"""An application of an earlier release: run as a file, with that release's ``shim`` first on the path.

``produce``, ``consume`` or ``prepare``, then the URL, the topic and a journal. In the journal a line stands for each
acknowledged or consumed record, ``PARTITION OFFSET VALUE``, and for whatever went wrong. SIGTERM ends it in good order.
It leans on nothing but the shim's own API, and on the Python of today.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import count, cycle
from pathlib import Path
from typing import Any

import psycopg

from shim import Consumer, Producer
from shim.store import schema

KEYS = tuple(f"key-{number}" for number in range(7))

_over = False


def main(role: str, url: str, topic: str, path: Path) -> None:
    """Runs until SIGTERM."""
    signal.signal(signal.SIGTERM, _end)
    with path.open("a", buffering=1) as journal:
        ROLES[role](url, topic, lambda *words: print(*words, file=journal))


def _prepare(url: str, _topic: str, note: Callable[..., None]) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as conn:
        note(*(migration.version for migration in schema.upgrade(conn, schema.store_line())))


def _produce(url: str, topic: str, note: Callable[..., None]) -> None:
    def delivered(error: object, message: Any) -> None:
        if error is None:
            note(message.partition(), message.offset(), message.value().decode())
        else:
            note("error", error)

    conf: dict[str, Any] = {"shim.dsn": url, "linger.ms": 2, "error_cb": lambda error: note("error", error)}
    producer = Producer(conf)
    for number, key in zip(count(), cycle(KEYS), strict=False):
        if _over:
            break
        producer.produce(topic, f"{key}:{number}", key, on_delivery=delivered)
        producer.poll(0.003)
    producer.flush(60)


def _consume(url: str, topic: str, note: Callable[..., None]) -> None:
    conf: dict[str, Any] = {"shim.dsn": url, "group.id": "readers", "auto.offset.reset": "earliest"}
    consumer = Consumer(conf | {"error_cb": lambda error: note("error", error)})
    consumer.subscribe([topic])
    while not _over:
        message: Any = consumer.poll(0.1)
        if message is None:
            continue
        if message.error() is not None:
            note("error", message.error())
        else:
            note(message.partition(), message.offset(), message.value().decode())
            consumer.commit(message, asynchronous=True)
    consumer.close()


def _end(*_: object) -> None:
    global _over  # noqa: PLW0603  a signal handler has no other way
    _over = True


ROLES = {"prepare": _prepare, "produce": _produce, "consume": _consume}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
