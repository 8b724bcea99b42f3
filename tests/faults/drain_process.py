"""The command line in a process of its own, with faults at named places: ``python -m tests.faults.drain_process``.

Each ``--fault POINT:N:ACTION`` strikes when the failpoint is reached for the N-th time in this process. Before anything
happens, a line ``POINT N ACTION`` is added to ``fired`` in the folder, so that a test can prove that it had its fault.
"""

import argparse
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, cast, get_args

import psycopg

from migrator.cli import app
from migrator.embedded.process import wait_until
from migrator.failpoints import Failpoint, install

Action = Literal["kill", "stop", "mark", "wait", "lose"]
"""``kill`` and ``stop`` send SIGKILL and SIGSTOP to the process itself; ``mark`` leaves the line and goes on; ``wait``
goes on when the test says so; ``lose`` fails as a lost connection does."""

FIRED = "fired"
_LONGEST_WAIT = 120.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens when a place is reached for the n-th time."""

    point: Failpoint
    nth: int
    action: Action

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``POINT:N:ACTION``."""
        point, nth, action = text.split(":")
        if action not in get_args(Action):
            raise ValueError(action)
        return cls(Failpoint(point), int(nth), cast("Action", action))

    @property
    def line(self) -> str:
        """What it leaves in the folder."""
        return f"{self.point} {self.nth} {self.action}"

    @property
    def go(self) -> str:
        """The file for which ``wait`` waits."""
        return f"go-{self.point}-{self.nth}"


@dataclass(slots=True)
class Faults:
    """The hook: counts how often each place was reached, by whichever thread, and strikes."""

    folder: Path
    planned: Sequence[Fault]
    _reached: Counter[Failpoint] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, point: Failpoint) -> None:
        """Strikes if it is time."""
        with self._lock:
            self._reached[point] += 1
            due = [one for one in self.planned if one.point is point and one.nth == self._reached[point]]
        for fault in due:
            self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        # One write, so that a line is there as a whole even when the next instruction is the last.
        descriptor = os.open(self.folder / FIRED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, f"{fault.line}\n".encode())
        os.close(descriptor)
        match fault.action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "wait":
                assert wait_until((self.folder / fault.go).exists, _LONGEST_WAIT)
            case "lose":
                raise psycopg.OperationalError("the connection was lost, as the test asked")
            case "mark":
                pass


def main() -> None:
    """Installs the faults and runs the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fault", type=Fault.parse, action="append", default=[])
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    install(Faults(arguments.folder, arguments.fault))
    sys.exit(app.run(arguments.command))


if __name__ == "__main__":
    main()
