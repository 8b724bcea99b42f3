"""Starting a server program as a child that cannot outlive us, and waiting for it."""

import atexit
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

from migrator.embedded import guardian
from migrator.errors import CannotStartError

# Below the kernel's range for outgoing connections (32768 and up on Linux, 49152 on macOS): a client that keeps
# dialling a stopped server inside that range ends up connected to itself, and the server cannot have its port back.
_PORTS = range(15000, 32000)
_TAIL_BYTES = 4000
_DISMISSAL_SECONDS = 2 * guardian.GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user under which a server runs."""

    name: str
    uid: int
    gid: int


class Identity(TypedDict):
    """The part of ``subprocess``' arguments that says as whom a program runs."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def identity(account: Account | None) -> Identity:
    """Arguments for ``subprocess`` that run a program as ``account``; None for ourselves."""
    if account is None:
        return Identity(user=None, group=None, extra_groups=None)
    return Identity(user=account.uid, group=account.gid, extra_groups=[])


def unprivileged_account() -> Account | None:
    """The account for servers that refuse to run as root: ``postgres``, else ``nobody``. None: stay who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise CannotStartError(
        "Postgres refuses to run as root, and neither 'postgres' nor 'nobody' exists on this machine",
        code="no-unprivileged-user",
        hint="useradd --system postgres",
    )


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on at this moment."""
    for _ in range(200):
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CannotStartError("no free TCP port on 127.0.0.1", code="no-free-port", hint="ss -ltn")


def wait_until(condition: Callable[[], bool], timeout: float, interval: float = 0.02) -> bool:
    """Ask ``condition`` every ``interval`` seconds until it holds.

    Returns:
        False when it did not hold within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


class _Guardian:
    """Our end of the pipe to ``guardian.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # whoever reads ours must not wait for it
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
        self._owner = os.getpid()
        atexit.register(self.dismiss)

    def dismiss(self) -> None:
        """Have it end and remove what is left, and wait for that; only in the process that started it."""
        if os.getpid() == self._owner and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(_DISMISSAL_SECONDS)

    def tell(self, verb: str, *facts: object) -> None:
        """Send one line; see the guardian for the verbs."""
        line = " ".join([verb, *map(str, facts)]) + "\n"
        # Somebody may have killed the guardian: what it protects goes on, and close() still clears up.
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None  # noqa: S101  # opened with PIPE above
            self._process.stdin.write(line.encode())


@cache
def _guardian_of(_pid: int) -> _Guardian:
    return _Guardian()


def guard(verb: str, *facts: object) -> None:
    """Tell this process's guardian a fact; the first call starts it. A forked child gets its own."""
    _guardian_of(os.getpid()).tell(verb, *facts)


def temporary_folder(account: Account | None = None) -> Path:
    """A new folder that goes away when we die; owned by ``account`` if one is given."""
    folder = Path(tempfile.mkdtemp(prefix="kafka-to-postgres-"))
    guard("remove", folder)
    if account:
        os.chown(folder, account.uid, account.gid)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder that ``temporary_folder`` made."""
    shutil.rmtree(folder, ignore_errors=True)
    guard("release", folder)


def keep_folder(folder: Path) -> None:
    """Leave a folder that ``temporary_folder`` made where it is, also after we have gone."""
    guard("release", folder)


def children_of(pid: int) -> list[int]:
    """The processes whose parent is ``pid`` at this moment."""
    return [child for child, parent in _parents() if parent == pid]


def _parents() -> Iterator[tuple[int, int]]:
    """Each process of this machine with its parent; from /proc where there is one, else from ``ps``."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        for row in rows.splitlines():
            child, parent = map(int, row.split())
            yield child, parent
        return
    for stat in proc.glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            yield int(stat.parent.name), int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])


class ServerProcess:
    """A server program that runs as our child, in a session of its own, with its output in a file.

    Attributes:
        pid: its process id, also after it has ended.
        log: the file that holds its standard output and error.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        account: Account | None = None,
        farewell: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start it.

        Args:
            argv: the program and its arguments.
            log: its output is appended here; the folder is its working directory.
            account: the user it runs as; None for ours.
            farewell: what the guardian sends it first when we die.
        """
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                start_new_session=True,
                **identity(account),
            )
        guard("watch", self.pid, int(farewell))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        self._process.send_signal(number)

    def wait(self, timeout: float) -> None:
        """Wait until it has ended; kill it after ``timeout`` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        guard("forget", self.pid)

    def tail(self) -> str:
        """The last lines it wrote, for an error message."""
        text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        return "\n".join(text.splitlines()[-15:])
