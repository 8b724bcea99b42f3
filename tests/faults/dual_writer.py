"""Writes on both sides until it is killed: ``python -m tests.faults.dual_writer``, with six arguments.

They are DSN, SERVERS, TOPIC, PREFIX, LINGER_MS and COUNT. Each value is the prefix and a number. With a count it stops
at that many, waits for Kafka's reports when the linger is short, and says ``written``; with 0 it goes on. It never ends
by itself.
"""

import sys
import threading
from itertools import count, islice

import confluent_kafka

import shim
from shim.dual import DualProducer

_SHORT_MS = 1000


def main(dsn: str, servers: str, topic: str, prefix: str, linger_ms: int, most: int) -> None:
    """Writes until the process is killed."""
    config = {"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": linger_ms}
    dual = DualProducer(confluent_kafka.Producer(config), shim.Producer({"shim.dsn": dsn}))
    for number in islice(count(), most or None):
        dual.produce(topic, f"{prefix}-{number}", f"key-{number % 7}")
        if number % 50 == 0:
            dual.poll(0.001)
    if linger_ms < _SHORT_MS:
        dual.flush()
    print("written", flush=True)  # noqa: T201  for the test that started us
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
