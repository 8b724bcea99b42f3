"""What strikes workers: SIGKILL, and SIGSTOP for longer than their leases last."""

import signal
import time
from collections.abc import Mapping
from math import inf
from random import Random

from tests.histories.crew import Crew, Worker
from tests.histories.nemesis.deck import Fault, Strike


class ProcessFaults:
    """Strikes any worker.

    Args:
        crew: the workers.
        dice: what it decides by.
        pause_s: for how long a process is stopped.

    Attributes:
        strikes: what it does.
    """

    def __init__(self, crew: Crew, dice: Random, pause_s: float) -> None:
        self._crew = crew
        self._dice = dice
        self._pause_s = pause_s
        self._stopped: list[tuple[float, Worker, int]] = []
        self.strikes: Mapping[Fault, Strike] = {Fault.KILL: self._kill, Fault.PAUSE: self._pause}

    def go_on(self, now: float = inf) -> None:
        """Lets the stopped ones go on whose time is over; all of them without a time."""
        for stopped in list(self._stopped):
            due, worker, life = stopped
            if due <= now:
                self._stopped.remove(stopped)
                if worker.life == life:
                    worker.process.send_signal(signal.SIGCONT)

    def _kill(self) -> bool:
        return self._crew.kill(self._dice.choice(self._crew.workers))

    def _pause(self) -> bool:
        worker = self._dice.choice(self._crew.workers)
        worker.process.send_signal(signal.SIGSTOP)
        self._stopped.append((time.monotonic() + self._pause_s, worker, worker.life))
        return worker.process.poll() is None
