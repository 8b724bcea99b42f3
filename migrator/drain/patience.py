"""Questions to Kafka that wait while no broker answers."""

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

import stamina

from migrator.errors import CannotStartError, StoppedError
from migrator.events import Listener, Waiting

Answer = TypeVar("Answer")

_UNREACHABLE = "broker-unreachable"


def patiently(ask: Callable[[], Answer], listener: Listener, stop: Event, max_wait: float) -> Answer:
    """Returns what ``ask`` answers, asking again while no broker can be reached.

    Args:
        ask: a question to the cluster.
        listener: is told what is waited for.
        stop: once it is set, nothing is waited for.
        max_wait: seconds.

    Raises:
        StoppedError: no broker could be reached for so long; what was committed stands.
    """
    began = time.monotonic()

    def wait_out(error: Exception) -> bool:
        if stop.is_set() or not _is_outage(error):
            return False
        listener(Waiting(f"Kafka: {error}", time.monotonic() - began))
        return True

    try:
        for attempt in stamina.retry_context(
            on=wait_out, attempts=None, timeout=max_wait, wait_initial=0.2, wait_max=2.0
        ):
            with attempt:
                return ask()
    except CannotStartError as error:
        if not _is_outage(error):
            raise
        raise StoppedError(error.message, code="kafka-away", hint=error.hint) from error
    raise AssertionError  # the loop above returns or raises


def _is_outage(error: Exception) -> bool:
    return isinstance(error, CannotStartError) and error.code == _UNREACHABLE
