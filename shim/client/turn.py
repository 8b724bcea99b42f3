"""One call at a time: a second thread's call waits until the first is done, a callback's own call is let through."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

reentry_identity: ContextVar[int] = ContextVar("_reentry_identity_var", default=0)
"""Who calls, where that is not a thread: a client with coroutines may serve a callback in another thread."""


class Turn:
    """The turn to use a client.

    The thread that has it may call again: from a callback, or from a signal's handler while it waits.

    Attributes:
        depth: how many calls are under way, each inside the one before.
        seize: takes the turn if it is free, or this thread has it already; returns whether it did.
        give_back: ends what `seize` or `wait` began, if that returned True.
    """

    __slots__ = ("_identity", "_lock", "depth", "give_back", "seize")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._identity = self.depth = 0
        # The lock's own methods: every message takes this way.
        self.seize: Callable[[bool], bool] = self._lock.acquire
        self.give_back: Callable[[], None] = self._lock.release

    def wait(self) -> bool:
        """Waits for the turn, unless it is lent to this call; returns whether it has to be given back."""
        identity = reentry_identity.get()
        return not (identity and identity == self._identity) and self._lock.acquire()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lets through, besides this thread's calls, those that bear its identity, whatever thread they come from."""
        before, self._identity = self._identity, reentry_identity.get()
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
            self._identity = before


class TakingTurns(Protocol):
    """A client that does one call at a time."""

    _turn: Turn

    def _require_open(self, refusal: str) -> None:
        """Raises RuntimeError after ``close()``."""

    def _end_call(self) -> None:
        """Is called at the end of each call, in its turn."""


def in_turn(refusal: str | None) -> Callable[[F], F]:
    """Makes a method wait for other threads' calls, and refuse after ``close()`` with this text, if there is one."""

    def decorate(method: F) -> F:
        @wraps(method)
        def call(self: TakingTurns, *args: Any, **kwargs: Any) -> Any:
            turn = self._turn
            taken = turn.seize(False) or turn.wait()
            try:
                if refusal is not None:
                    self._require_open(refusal)
                with turn.lent():
                    return method(self, *args, **kwargs)
            finally:
                self._end_call()
                if taken:
                    turn.give_back()

        return call  # type: ignore[return-value]  # it takes what the method takes

    return decorate
