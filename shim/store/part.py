"""What runs beside the clients of a process: a daemon thread that does one round of work after another.

It is started by first use. A round that fails never ends the thread: the failure is told, and the next round follows
after a pause that grows and is never quite the same, so that many processes do not come back as one. A forked child
has no thread, and whatever locks its parent held; so each process renews the part before it uses it.
"""

import os
import threading
from abc import ABC, abstractmethod
from random import SystemRandom

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_CLOSE_SECONDS = 1.0


class Part(ABC):
    """A running part: subclasses say what a round is.

    Args:
        name: the thread's name, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.renew()

    @abstractmethod
    def round(self) -> float | None:
        """Does one round of work in the part's thread, and returns the seconds until the next; None: until woken."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Is told, in the part's thread, that a round raised; the next one follows after a pause. Must not raise."""

    def renew(self) -> None:
        """Begins anew in this process, without a thread; what a subclass guards by locks of its own it renews too."""
        self._pid = os.getpid()
        # Ctrl-C cannot come between a bare lock's being taken and its block; within a condition's own methods it can.
        self._bell_lock = threading.Lock()
        self._bell = threading.Condition(self._bell_lock)
        self._rung = self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread unless it runs in this process; after `close` it does nothing."""
        if self._pid != os.getpid():
            self.renew()
        if self._thread is None:
            with self._bell_lock:
                self._start_once()

    def wake(self) -> None:
        """Asks for the next round now, or for one more when one is under way; starts the thread if need be."""
        self.start()
        with self._bell_lock:
            self._rung = True
            self._bell.notify_all()

    def close(self) -> None:
        """Ends the thread after the round that is under way; does not wait for it longer than a second."""
        if self._pid != os.getpid():
            return
        with self._bell_lock:
            self._closed = True
            self._bell.notify_all()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_SECONDS)

    @property
    def closed(self) -> bool:
        """Whether the part was told to end; a long round looks at this now and then."""
        return self._closed

    def _start_once(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failures = 0
        while not self._closed:
            try:
                pause = self.round()
                failures = 0
            except Exception as error:  # noqa: BLE001  # the thread outlives whatever befalls a round, and tells
                self.failed(error)
                failures += 1
                pause = backoff(failures)
            self._sleep(pause)

    def _sleep(self, pause: float | None) -> None:
        with self._bell_lock:
            self._bell.wait_for(lambda: self._rung or self._closed, pause)
            self._rung = False


def backoff(failures: int) -> float:
    """Returns how many seconds to pause after so many failures in a row: doubling, up to two seconds, with jitter."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
    return longest * SystemRandom().uniform(0.5, 1.0)
