"""The hint: whoever wrote to a topic says so, and watchers elsewhere look at once instead of at their next turn.

It is never more than a hint. It is sent after the commit, on a connection of its own: inside a producer's transaction
NOTIFY takes a lock of the whole database until the commit. It may be lost, and polling then finds what there is.

The channel is ``job_queue.SCHEMA``. The payload is the topic, so that nobody wakes for what he does not read; an empty
one, as people send it from psql, is for all.
"""

import secrets
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from hashlib import sha256
from random import SystemRandom

import psycopg
from psycopg import sql

from shim.store.connection import Connection, connect, readable
from shim.store.part import Part
from shim.store.pool import Pool, PoolClosed
from shim.store.statements import Schemas, Statements

_DEBOUNCE_SECONDS = 0.05
_ECHO_SECONDS = 60.0
_ECHO_TIMEOUT_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0
_RETRY_SECONDS = 30.0
_LONGEST_NAME = 63

_STATEMENTS = Statements("shim.store.sql", "notify.sql", Schemas({}))


class DeafListenerError(psycopg.OperationalError):
    """A connection hears no notifications: a pooler lies between, or it leads to another database."""


def channel_of(schema: str) -> str:
    """Returns the channel for the queue in a schema; Postgres takes no longer names than 63 bytes."""
    name = f"job_queue.{schema}"
    return name if len(name.encode()) <= _LONGEST_NAME else f"job_queue.{sha256(schema.encode()).hexdigest()[:16]}"


def announce(pool: Pool, topics: Iterable[str], *, schema: str = "public") -> None:
    """Says that something was committed to these topics; returns at once, and never raises.

    A thread of its own sends it: at once, and then at most once in 50 ms, so that a burst costs little and its last
    record is announced too. While the server is away nothing is sent, and nothing is remembered.

    Args:
        pool: of the database that was written to.
        topics: the topics.
        schema: where the queue lives.
    """
    with suppress(PoolClosed):  # the process ends
        pool.part(Announcer, lambda: Announcer(pool, channel_of(schema)), schema).announce(topics)


class Announcer(Part):
    """Sends the hints of one process. `announce` gets it."""

    def __init__(self, pool: Pool, channel: str) -> None:
        self._pool = pool
        self._channel = channel
        super().__init__("job-queue-announcer")

    def renew(self) -> None:
        """Begins anew in this process."""
        super().renew()
        self._topics: set[str] = set()
        self._quiet_until = 0.0

    def announce(self, topics: Iterable[str]) -> None:
        """Has these topics announced with the next hint."""
        self.start()
        with self._bell_lock:
            self._topics.update(topics)
        self.wake()

    def round(self) -> float | None:
        """Sends what has been gathered, unless the last hint was a moment ago."""
        early = self._quiet_until - time.monotonic()
        if early > 0:
            return early
        with self._bell_lock:
            topics, self._topics = self._topics, set()
        if topics:
            with self._pool.connection(patience=_PATIENCE_SECONDS) as conn:
                conn.execute(_STATEMENTS["announce"], {"channel": self._channel, "texts": sorted(topics)})
            self._quiet_until = time.monotonic() + _DEBOUNCE_SECONDS
        return None

    def failed(self, error: Exception) -> None:
        """Lets the hint go: polling finds what there is."""


class Listener(Part):
    """Hears the hints of others on a connection of its own, which must lead straight to the server.

    It believes in its connection only after it heard an echo that it had sent through the pool, the way that hints
    come, and asks for another each minute: a connection can be half open for hours.

    Args:
        pool: of the database whose hints are wanted.
        dsn: where to listen.
        channel: from `channel_of`.
        on_hint: is given each payload, in the listener's thread; an empty one after a pause in which hints were lost.
    """

    def __init__(self, pool: Pool, dsn: str, channel: str, on_hint: Callable[[str], None]) -> None:
        self._pool = pool
        self._dsn = dsn
        self._channel = channel
        self._on_hint = on_hint
        super().__init__("job-queue-listener")

    def renew(self) -> None:
        """Begins anew in this process."""
        super().renew()
        self._believed = False
        self._waker: socket.socket | None = None

    def close(self) -> None:
        """Ends the thread, which may just be listening."""
        with self._bell_lock:
            self._closed = True
        waker = self._waker
        if waker is not None:
            with suppress(OSError):  # it has just ended by itself
                waker.send(b"!")
        super().close()

    @property
    def believed(self) -> bool:
        """Whether hints arrive, as far as is known."""
        return self._believed

    def round(self) -> float | None:
        """Listens for as long as the connection is worth it."""
        ear, self._waker = socket.socketpair()
        try:
            with ear, self._waker, closing(connect(self._dsn, self._pool.application_name)) as conn:
                self._listen(conn, ear)
        except DeafListenerError:
            if not self._believed:
                return _RETRY_SECONDS  # another try would hear no more
            raise
        finally:
            self._believed = False
        return None

    def failed(self, error: Exception) -> None:
        """Goes on after a pause: polling finds what there is meanwhile."""

    def _listen(self, conn: Connection, ear: socket.socket) -> None:
        _require_direct(conn)
        echo = f"job_queue.echo.{secrets.token_hex(8)}"
        for channel in (self._channel, echo):
            conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        while not self.closed:
            with self._pool.connection(patience=_PATIENCE_SECONDS) as other:
                other.execute(_STATEMENTS["announce"], {"channel": echo, "texts": [""]})
            if not self._hear(conn, ear, _ECHO_TIMEOUT_SECONDS, echo):
                raise DeafListenerError("no echo came back")
            if not self._believed:
                self._believed = True
                self._on_hint("")
            self._hear(conn, ear, _ECHO_SECONDS * SystemRandom().uniform(0.75, 1.25))

    def _hear(self, conn: Connection, ear: socket.socket, seconds: float, echo: str | None = None) -> bool:
        """Passes hints on for so long, or until the echo comes, and tells whether it came."""
        deadline = time.monotonic() + seconds
        while not self.closed and (left := deadline - time.monotonic()) > 0:
            heard = list(conn.notifies(timeout=0))
            for hint in heard:
                if hint.channel == self._channel:
                    self._on_hint(hint.payload)
            if any(hint.channel == echo for hint in heard):
                return True
            if not heard:
                readable(conn, left, ear.fileno())  # psycopg would wake ten times a second for Ctrl-C
        return False


def _require_direct(conn: Connection) -> None:
    """Leaves no trace at a pooler: one that shares its sessions would go on listening for whoever comes next."""
    if not conn.direct:
        raise DeafListenerError("a pooler lies between")
