"""One connection to Postgres: fit for a pooler in transaction mode, never waiting for ever, and safe from a fork.

A forked child gets a copy of every socket of its parent. The copies are replaced by ``/dev/null``: so the child can
neither write to them nor keep the parent's sessions, and the locks that they hold, alive after the parent has died.
"""

import os
import select
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import Cursor, pq
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

APPLICATION_NAME = "kafka-to-postgres"
"""What operators see in ``pg_stat_activity`` unless the DSN or libpq's environment names something else."""

CONNECT_SECONDS = 10.0
"""How long a connection may take unless the DSN or libpq's environment says more."""

_SHORTEST_CONNECT_SECONDS = 2
# All of these are the client's own affair: a pooler sees none of them. A peer that went away without a word is noticed
# within 25 s, well inside a consumer's session timeout.
_PATIENCE = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

_OWN_PID = b"select pg_backend_pid()"
_NEVER_BY_ITSELF = 1 << 30
_LONG_SECONDS = 0.1
_FORGET_PLANS = b"deallocate all"
# What it returns has another type by now, or somebody took it away: psycopg would never prepare it again.
_UNPREPARED = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)

T = TypeVar("T")


class SilentServerError(psycopg.OperationalError):
    """The server was silent for longer than the connection was told to wait; what became of the statement is unknown.

    The network may be fine as far as TCP can tell: a proxy or a pooler between may have lost the server.
    """


class Connection(psycopg.Connection[TupleRow]):
    """A connection that can be told how long to wait for the server, and what will be run over and over.

    Attributes:
        patience: how many seconds the server may be silent during one statement; None for ever.
    """

    patience: float | None = None
    _direct: bool | None = None

    @property
    def direct(self) -> bool:
        """Whether no pooler lies between; one gives its clients other process numbers than the server's."""
        if self._direct is None:
            (pid,) = self.execute(_OWN_PID).fetchone() or (None,)
            self._direct = pid == self.pgconn.backend_pid
        return self._direct

    def wait(self, gen: PQGen[T], *args: Any, **keywords: Any) -> T:
        """Waits for what a generator of psycopg's waits for, as long as the patience lasts.

        Raises:
            SilentServerError: it did not last; the connection is of no use any more.
        """
        if self.patience is None:
            return super().wait(gen, *args, **keywords)
        try:
            return super().wait(_until_silent(gen, self.patience), *args, **keywords)
        except SilentServerError:
            self.close()  # so that nobody waits for a rollback's answer
            raise


def connect(dsn: str, application_name: str = APPLICATION_NAME, timeout: float = CONNECT_SECONDS) -> Connection:
    """Opens a connection in autocommit. The caller closes it; a forked child cannot touch it.

    Args:
        dsn: a connection string or URL.
        application_name: see `APPLICATION_NAME`.
        timeout: how many seconds it may take, at least 2; see `CONNECT_SECONDS`.

    Raises:
        psycopg.OperationalError: nobody answers, or the server refuses.
        psycopg.ProgrammingError: libpq cannot read the DSN.
    """
    wanted = {
        **_PATIENCE,
        "connect_timeout": str(max(_SHORTEST_CONNECT_SECONDS, round(timeout))),
        "fallback_application_name": application_name,
    }
    decided = _environment() | conninfo_to_dict(dsn).keys()
    given: dict[str, Any] = {name: value for name, value in wanted.items() if name not in decided}
    conn = Connection.connect(dsn, autocommit=True, prepare_threshold=None, client_encoding="UTF8", **given)
    _opened.add(conn)
    return conn


def repeat(
    conn: psycopg.Connection[Any], query: LiteralString, arguments: Mapping[str, Any], *, binary: bool = False
) -> Cursor[Any]:
    """Executes what is run over and over: prepared, where no pooler lies between, so that it is planned once.

    A plan that was made while tables were empty is a bad one once they are full, and Postgres keeps it until somebody
    analyzes them. So what takes long is planned anew.
    """
    if not (isinstance(conn, Connection) and conn.direct):
        return conn.cursor(binary=binary).execute(query, arguments)
    conn.prepare_threshold = _NEVER_BY_ITSELF
    began = time.monotonic()
    try:
        cursor = conn.cursor(binary=binary).execute(query, arguments, prepare=True)
    except _UNPREPARED:
        conn.close()
        raise
    if time.monotonic() - began > _LONG_SECONDS:
        conn.execute(_FORGET_PLANS)
    return cursor


def readable(conn: psycopg.Connection[Any], seconds: float = 0.0, *others: int) -> bool:
    """Whether the server says something within so many seconds, or is gone; signals do not shorten the wait.

    Args:
        conn: the connection.
        seconds: how long to wait.
        others: descriptors that end the wait too.
    """
    descriptors = [conn.fileno(), *others]
    if hasattr(select, "poll"):
        poller = select.poll()
        for descriptor in descriptors:
            poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    return bool(select.select(descriptors, [], [], seconds)[0])


def _until_silent(gen: PQGen[T], patience: float) -> PQGen[T]:
    """Passes on what the generator waits for; psycopg asks it every 0.1 s, also when nothing has come."""
    heard = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                heard = now
            elif now - heard > patience:
                raise SilentServerError(f"the server was silent for {patience:.3g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


def _environment() -> set[str]:
    """The parameters that libpq's environment variables and service file decide."""
    return {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val}


_opened: weakref.WeakSet[Connection] = weakref.WeakSet()
_inherited: list[Connection] = []


def _blank_sockets() -> None:
    """Runs in a forked child before any other code."""
    blank = os.open(os.devnull, os.O_RDWR)
    for conn in _opened:
        with suppress(psycopg.Error, OSError):
            os.dup2(blank, conn.fileno(), inheritable=False)
    os.close(blank)
    # Kept for good: closing them would take locks that a thread of the parent may have held.
    _inherited.extend(_opened)
    _opened.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_blank_sockets)
