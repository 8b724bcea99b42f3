"""What an application says to the benchmark that started it."""

import gc
import json
import sys
from collections.abc import Callable
from time import monotonic, process_time
from typing import Any, TypeVar

T = TypeVar("T")


def task(of: Callable[..., T]) -> T:
    """What this process is to do."""
    return of(**json.loads(sys.argv[1]))


def ready() -> "Clock":
    """Says that all is prepared, waits until the others are ready too, and starts the clock.

    What has been prepared is set aside: Python's collector would go through it again and again in what is measured.
    """
    gc.collect()
    gc.freeze()
    tell({"ready": True})
    sys.stdin.readline()
    return Clock()


def tell(document: dict[str, Any]) -> None:
    """Hands a document to the benchmark."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class Clock:
    """Wall clock and CPU time of this process, from one moment to another."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Starts, or starts anew."""
        self._cpu = process_time()
        self._from = self._to = monotonic()
        self._used = 0.0

    def stop(self) -> None:
        """Takes the time."""
        self._to = monotonic()
        self._used = process_time() - self._cpu

    def document(self) -> dict[str, float]:
        """When it was started and stopped, by the machine's monotonic clock, and the CPU seconds between."""
        return {"began": self._from, "ended": self._to, "cpu": self._used}
