"""What the admin client tells its application, from `poll` and in the application's own thread."""

import queue
from collections.abc import Callable

from shim.client.request import Deadline
from shim.config.settings import Settings
from shim.errors import KafkaError
from shim.protocol.codes import Local

_LONGEST_WAIT = 0.2
_OF_THE_CONNECTION = frozenset({Local.TRANSPORT, Local.RESOLVE, Local.AUTHENTICATION, Local.SSL})
_MOST = 1_000


class Events:
    """Errors that concern the client as a whole, until ``error_cb`` is called with them.

    Args:
        settings: the client's.
    """

    def __init__(self, settings: Settings) -> None:
        self._error_cb: Callable[[KafkaError], object] | None = settings.error_cb
        self._waiting: queue.Queue[KafkaError] = queue.Queue(_MOST)

    def tell(self, error: KafkaError) -> None:
        """Keeps an error of the connection for the next `poll`; the oldest ones stay when nobody polls."""
        if self._error_cb is None or error.code() not in _OF_THE_CONNECTION:
            return
        for one in (error, KafkaError(Local.ALL_BROKERS_DOWN, "1/1 brokers are down")):
            if not self._waiting.full():
                self._waiting.put(one)

    def poll(self, deadline: Deadline) -> int:
        """Calls ``error_cb`` with what waits, and returns how often; waits for the first until the deadline."""
        served = 0
        while (error := self._next(deadline)) is not None:
            served += 1
            if self._error_cb is not None:
                self._error_cb(error)
            deadline = Deadline(0)
        return served

    def __len__(self) -> int:
        return self._waiting.qsize()

    def _next(self, deadline: Deadline) -> KafkaError | None:
        """In short waits, so that a signal is handled on every platform."""
        while True:
            try:
                return self._waiting.get(timeout=min(deadline.remaining, _LONGEST_WAIT))
            except queue.Empty:
                if not deadline.remaining:
                    return None
