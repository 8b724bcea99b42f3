"""One thread at a time: a share consumer refuses a second one rather than letting it wait, as the original does."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

from shim.errors import ConcurrentModificationException, IllegalStateException

F = TypeVar("F", bound=Callable[..., Any])

_IN_CALLBACK = "Share consumer methods are not accessible from user-defined acknowledgement commit callback"
_CLOSED = "Share consumer closed"


class Guard:
    """Who is inside.

    Attributes:
        closed: whether the client is.
        calling_back: whether the application's acknowledgement callback runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self.closed = self.calling_back = False

    def enter(self) -> None:
        """Lets this thread in.

        Raises:
            ConcurrentModificationException: another one is inside.
            IllegalStateException: this one is, in its callback.
        """
        me = threading.get_ident()
        if self._lock.acquire(blocking=False):
            self._inside = me
        elif self._inside == me:
            raise IllegalStateException(_IN_CALLBACK)
        else:
            raise ConcurrentModificationException(
                "Share consumer is not safe for multi-threaded access. "
                f"currentThread(id: {me}) otherThread(id: {self._inside})"
            )

    def leave(self) -> None:
        """Lets the next one in."""
        self._inside = 0
        self._lock.release()


class Guarded(Protocol):
    """A client with a guard."""

    _guard: Guard


def guarded(method: F) -> F:
    """Makes a method refuse other threads, its own callbacks, and everybody after ``close()``."""

    @wraps(method)
    def call(self: Guarded, *args: Any, **kwargs: Any) -> Any:
        guard = self._guard
        if guard.closed:
            raise IllegalStateException(_CLOSED)
        guard.enter()
        try:
            return method(self, *args, **kwargs)
        finally:
            guard.leave()

    return call  # type: ignore[return-value]  # it takes what the method takes
