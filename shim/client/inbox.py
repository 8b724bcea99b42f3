"""What waits for the application, and is served in its own thread by poll, flush and their like."""

import threading
from collections import deque
from collections.abc import Callable
from operator import length_hint
from typing import Protocol


class Event(Protocol):
    """Something to be served, as a whole or message by message.

    What an application's callback raises goes out, and so does Ctrl-C at any moment; what was not begun by then is
    served next time. Two threads may serve one event, and share it.
    """

    def __len__(self) -> int:
        """How much is left of it."""

    def serve(self) -> int:
        """Serves what is left of it, and returns how much that was."""


class Inbox:
    """Events in the order in which they came."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begins anew, empty. For the forked child."""
        self._events: deque[Event] = deque()
        # Ctrl-C cannot come between a bare lock's being taken and its block; within a condition's own methods it can.
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)

    def __len__(self) -> int:
        """How much waits: of reports, the messages are counted."""
        return sum(map(len, list(self._events)))

    def post(self, event: Event) -> None:
        """Adds an event, from any thread."""
        with self._lock:
            self._events.append(event)
            self._arrived.notify_all()

    def wake(self) -> None:
        """Ends every wait: something may have changed that is no event."""
        with self._lock:
            self._arrived.notify_all()

    def wait(self, seconds: float) -> None:
        """Returns when there is an event, when woken, or when the time is over. Signals interrupt it."""
        with self._lock:
            if not self._events:
                self._arrived.wait(seconds)

    def serve(self) -> int:
        """Serves the events that are there by now, and returns how much that was."""
        served = 0
        for _ in range(len(self._events)):
            event = self._first()
            if event is None:  # another thread serves too
                break
            served += event.serve()
            self._drop(event)
        return served

    def _first(self) -> Event | None:
        with self._lock:
            return self._events[0] if self._events else None

    def _drop(self, event: Event) -> None:
        with self._lock:
            if self._events and self._events[0] is event:
                self._events.popleft()


class Notice:
    """A callback's one call: an error, statistics, a line for a log."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._left = iter((call,))

    def __len__(self) -> int:
        return length_hint(self._left)

    def serve(self) -> int:
        """Makes the call, whatever comes of it."""
        served = 0
        for call in self._left:
            served += 1
            call()
        return served
