"""What makes a consumer look up from its messages: another thread that rings, or the time that has gone by."""

from contextlib import suppress
from queue import Empty, SimpleQueue


class Bell:
    """Rung from any thread, and from a signal's handler; answered in the application's thread, inside poll.

    Attributes:
        rung: whether it was, since it was last answered.
        due: when to look up in any case, by ``time.monotonic``.
    """

    __slots__ = ("__weakref__", "_strokes", "due", "rung")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begins anew, rung. For the forked child."""
        # A condition would not do: a handler that rings may have interrupted whoever holds its lock.
        self._strokes: SimpleQueue[None] = SimpleQueue()
        self.rung = True
        self.due = 0.0

    def ring(self) -> None:
        """Asks for attention."""
        if not self.rung:
            self.rung = True
            self._strokes.put(None)

    def answer(self) -> None:
        """Takes note, before looking, so that nothing is missed meanwhile; a look stays due until ``due`` is set."""
        with suppress(Empty):
            while True:
                self._strokes.get_nowait()
        self.rung = False
        self.due = 0.0

    def wait(self, seconds: float) -> None:
        """Waits until it is rung, unless it has been, or until the time is over. Signals interrupt it."""
        if not self.rung:
            with suppress(Empty):
                self._strokes.get(timeout=seconds)
