"""Ends servers and removes folders once the process at the other end of standard input is gone.

Run as a program with nothing but the standard library, in a session of its own, so that neither Ctrl-C nor a signal
to the parent's process group reaches it. The parent writes one line for each fact; the kernel closes the pipe when
the parent dies, however it dies, and then everything that is still on the list goes:

    watch PID SIGNAL     end this process: first with SIGNAL, after the grace period with SIGKILL
    forget PID           it has ended and was reaped; its number may belong to somebody else from now on
    remove PATH          remove this folder, after the processes have ended
    release PATH         it has been removed, or is to stay

A process that is started and not yet on the list when its parent dies is missed: a window of microseconds.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 5.0


def listen(lines: Iterable[str]) -> tuple[dict[int, int], set[str]]:
    """Read facts until the parent is gone.

    Returns:
        Signal by process that is still running, and the folders that are still there.
    """
    signals: dict[int, int] = {}
    folders: set[str] = set()
    for line in lines:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "watch":
            pid, number = rest.split()
            signals[int(pid)] = int(number)
        elif verb == "forget":
            signals.pop(int(rest), None)
        elif verb == "remove":
            folders.add(rest)
        elif verb == "release":
            folders.discard(rest)
    return signals, folders


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than an entry that nobody has reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123  # a plain script
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return True


def end(signals: dict[int, int], grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask each process to go; kill those that have not gone after ``grace_seconds``."""
    for pid, number in signals.items():
        send(pid, number)
    deadline = time.monotonic() + grace_seconds
    while any(map(is_running, signals)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in filter(is_running, signals):
        send(pid, signal.SIGKILL)


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> None:
    """Guard until standard input ends, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signals, folders = listen(sys.stdin)
    end(signals)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
