"""Connections by DSN: one pool per process, shared by all clients in it, and what runs beside them.

A caller connects in its own thread, so it learns at once and in libpq's words why it cannot; nothing tries in the
background, nothing logs, and the first call after an outage finds the server back. (`psycopg_pool.ConnectionPool`
hides the reason behind a timeout, warns into the application's log while the server is down, and came back 9 s after
an outage of 20 s, since its own attempts draw apart.) Places are given in the order in which they were asked for:
a heartbeat is not starved by a loop that fetches. Leases that are renewed go before.

After a fork the same objects serve the child, with connections and parts of its own.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import SystemRandom
from typing import Any, Protocol, TypeVar, cast

import psycopg
from psycopg import pq
from psycopg_pool import PoolClosed, PoolTimeout

from shim.store.connection import APPLICATION_NAME, CONNECT_SECONDS, Connection, connect, readable
from shim.store.meter import meter

__all__ = ["Connection", "Pool", "PoolClosed", "PoolTimeout", "Running", "close_all", "pool_for", "pools"]

_TIMEOUT_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_LIFE_SECONDS = 3600.0


class Running(Protocol):
    """What a running part has to offer: an end. `shim.store.part.Part` does."""

    def close(self) -> None:
        """Ends it; called once, before the process exits."""


R = TypeVar("R", bound=Running)


def pool_for(dsn: str, *, size: int = 2, application_name: str | None = None) -> "Pool":
    """Returns this process's pool for a DSN; no connection is made yet.

    Args:
        dsn: a connection string or URL.
        size: how many connections may be open at once; the largest number that anybody asked for counts.
        application_name: what operators see in ``pg_stat_activity``; the first one named counts, and what the DSN or
            libpq's environment says counts more.
    """
    with _registry.lock:
        pool = _registry.pools.get(dsn)
        if pool is None:
            pool = _registry.pools[dsn] = Pool(dsn, size, application_name or APPLICATION_NAME)
    pool.grow(size)
    return pool


def pools() -> list["Pool"]:
    """Returns this process's pools."""
    with _registry.lock:
        return list(_registry.pools.values())


def close_all() -> None:
    """Ends every running part and closes every pool of this process; the next `pool_for` makes a new one."""
    with _registry.lock:
        pools, _registry.pools = list(_registry.pools.values()), {}
    for pool in pools:
        pool.close()


class Pool:
    """The connections to one DSN, and the running parts that use them. Made by `pool_for`.

    Attributes:
        dsn: where the connections lead.
        application_name: what operators see in ``pg_stat_activity``, unless the DSN or libpq's environment says more.
    """

    def __init__(self, dsn: str, size: int, application_name: str) -> None:
        self.dsn = dsn
        self.application_name = application_name
        self._size = size
        self.renew()

    @property
    def pid(self) -> int:
        """The process that the pool's connections and parts belong to: always this one."""
        return self._stock.pid

    @property
    def size(self) -> int:
        """How many connections may be open at once."""
        return self._size

    @property
    def idle(self) -> int:
        """How many connections are open and not lent."""
        return len(self._stock.idle)

    @property
    def busy(self) -> int:
        """How many connections are lent, or are being opened for somebody."""
        return self._stock.busy

    @property
    def waiting(self) -> int:
        """How many threads wait for a connection."""
        return len(self._stock.waiting)

    def renew(self) -> None:
        """Begins anew in this process: no connection, no part. For the forked child."""
        self._stock = _Stock(self._size, self._connect)
        self._parts: dict[tuple[type[Any], Hashable], Running] = {}
        self._parts_lock = threading.RLock()
        self._ended = False

    def grow(self, size: int) -> None:
        """Lets at least ``size`` connections be open at once."""
        self._size = max(size, self._size)
        self._stock.grow(self._size)

    @contextmanager
    def connection(
        self, timeout: float | None = None, *, patience: float | None = None, first: bool = False
    ) -> Iterator[Connection]:
        """Lends a connection in autocommit, outside of any transaction.

        One that comes back broken, inside a transaction or busy is closed. Ask for one at a time: a thread that holds
        one and asks for another can wait for itself.

        Args:
            timeout: how many seconds to wait for a place and for the server; None for 30.
            patience: how many seconds the server may be silent during one statement (`SilentServerError`, which is an
                OperationalError); None as long as TCP believes in the connection. For statements that are never slow,
                such as a heartbeat.
            first: whether to go before all who wait for a place: for what is rare, short, and must not be late.

        Raises:
            PoolTimeout: every connection stayed lent; an OperationalError too.
            psycopg.OperationalError: nobody answers, or the server refuses.
            PoolClosed: the pool is closed; an OperationalError too.
        """
        stock = self._stock
        lent = stock.lend(_TIMEOUT_SECONDS if timeout is None else timeout, first=first)
        lent.conn.patience = patience
        try:
            yield lent.conn
        except psycopg.errors.ReadOnlySqlTransaction:
            # The server became a standby; the next connection may find the primary.
            lent.conn.close()
            raise
        finally:
            stock.take_back(lent)

    def part(self, cls: type[R], factory: Callable[[], R], key: Hashable = None) -> R:
        """Returns the one running part of a class for this pool.

        Args:
            cls: which part.
            factory: makes it, if this process has none yet; called under a lock, and may ask for other parts.
            key: tells apart several parts of one class, such as those of two schemas.

        Raises:
            PoolClosed: the pool is closed.
        """
        with self._parts_lock:
            if self._ended:
                raise PoolClosed("the pool is closed")
            found = self._parts.get((cls, key))
            if found is None:
                found = self._parts[cls, key] = factory()
            return cast("R", found)

    def parts(self, cls: type[R]) -> list[R]:
        """Returns the running parts of a class; makes none."""
        with self._parts_lock:
            return [part for part in self._parts.values() if isinstance(part, cls)]

    def close(self) -> None:
        """Ends the parts and closes the connections; those that are lent are closed when they come back."""
        with self._parts_lock:
            self._ended = True
            parts, self._parts = list(self._parts.values()), {}
        for part in reversed(parts):
            part.close()
        self._stock.close()

    def _connect(self, timeout: float) -> Connection:
        try:
            conn = connect(self.dsn, self.application_name, min(timeout, CONNECT_SECONDS))
        except psycopg.Error:
            meter.count("connection_errors")
            raise
        meter.count("connections")
        return conn


@dataclass(slots=True)
class _Lent:
    """A connection; ``retires`` is when it has served long enough, ``idle_since`` when it last came back."""

    conn: Connection
    retires: float
    idle_since: float = 0.0

    def at_rest(self) -> bool:
        """Whether it is open, and neither in a transaction nor in a statement."""
        return not self.conn.closed and self.conn.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def silent(self) -> bool:
        """Whether the server said nothing meanwhile: to an idle client it speaks to take its leave."""
        return not readable(self.conn)


class _Stock:
    """The connections of one process to one server: those that lie idle, and who waits for a place."""

    def __init__(self, size: int, connect: Callable[[float], Connection]) -> None:
        self.pid = os.getpid()
        self._connect = connect
        self._lock = threading.Lock()
        self._size = self._free = size
        self.idle: list[_Lent] = []
        self.waiting: deque[threading.Event] = deque()
        self._closed = False

    @property
    def busy(self) -> int:
        return self._size - self._free

    def grow(self, size: int) -> None:
        with self._lock:
            for _ in range(size - self._size):
                self._pass_on()
            self._size = max(size, self._size)

    def lend(self, timeout: float, *, first: bool = False) -> _Lent:
        deadline = time.monotonic() + timeout
        self._take_place(timeout, first=first)
        try:
            return self._idle_one() or self._new_one(deadline - time.monotonic())
        except BaseException:
            with self._lock:
                self._pass_on()
            raise

    def take_back(self, lent: _Lent) -> None:
        if self.pid != os.getpid():  # a forked child leaves its parent's block
            return
        now = time.monotonic()
        lent.idle_since = now
        keep = lent.at_rest() and now < lent.retires
        with self._lock:
            if keep and not self._closed:
                self.idle.append(lent)
            self._pass_on()
        if not keep or self._closed:
            lent.conn.close()
        self._close_idle(now - _IDLE_SECONDS)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            while self.waiting:
                self._pass_on()
        self._close_idle(float("inf"))

    def _take_place(self, timeout: float, *, first: bool) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            turn = threading.Event()
            self.waiting.insert(0 if first else len(self.waiting), turn)
        try:
            came = turn.wait(timeout)
        except BaseException:  # Ctrl-C
            if not self._withdraw(turn):
                self._leave_place()
            raise
        if not came and self._withdraw(turn):
            raise PoolTimeout(f"all {self._size} connections stayed in use for {timeout:.3g} s")

    def _withdraw(self, turn: threading.Event) -> bool:
        """Stops waiting; False when the turn came all the same."""
        with self._lock:
            waits = turn in self.waiting
            if waits:
                self.waiting.remove(turn)
            return waits

    def _leave_place(self) -> None:
        with self._lock:
            self._pass_on()

    def _pass_on(self) -> None:
        """Gives a place to whoever is first in the queue. Under the lock."""
        if self.waiting:
            self.waiting.popleft().set()
        else:
            self._free += 1

    def _idle_one(self) -> _Lent | None:
        """The connection that came back last: it is the least likely to be gone."""
        while True:
            with self._lock:
                if self._closed:
                    raise PoolClosed("the pool is closed")
                if not self.idle:
                    return None
                lent = self.idle.pop()
            if lent.at_rest() and lent.silent():
                return lent
            lent.conn.close()

    def _new_one(self, timeout: float) -> _Lent:
        life = _LIFE_SECONDS * SystemRandom().uniform(0.9, 1.0)
        return _Lent(self._connect(timeout), time.monotonic() + life)

    def _close_idle(self, before: float) -> None:
        with self._lock:
            old = [lent for lent in self.idle if lent.idle_since < before]
            if old:
                self.idle = [lent for lent in self.idle if lent.idle_since >= before]
        for lent in old:
            lent.conn.close()


class _Registry:
    """This process's pools by DSN."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pools: dict[str, Pool] = {}

    def renew(self) -> None:
        """Runs in a forked child before any other code: its locks are as its parent's threads left them."""
        self.lock = threading.Lock()
        for pool in self.pools.values():
            pool.renew()


_registry = _Registry()
atexit.register(close_all)
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_registry.renew)
