"""Ctrl-C and SIGTERM: once to finish what is in hand, twice to stop at once."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from types import FrameType

from migrator.errors import Exit

_STATUS = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}


@dataclass(slots=True)
class Interruption:
    """Whether somebody asked to stop, and by which signal.

    Attributes:
        asked: set by the first signal.
        status: the exit status that the signal calls for.
    """

    asked: Event = field(default_factory=Event)
    status: Exit = Exit.INTERRUPTED

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Takes a signal; the second one ends the process, which loses nothing that was committed."""
        self.status = _STATUS[signal.Signals(number)]
        if self.asked.is_set():
            os._exit(self.status)
        self.asked.set()
        sys.stderr.write("stopping: the batch in hand is being finished; once more stops at once\n")
        sys.stderr.flush()


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Lets the body see Ctrl-C and SIGTERM as a request, in the main thread."""
    interruption = Interruption()
    before = {number: signal.signal(number, interruption.receive) for number in _STATUS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
