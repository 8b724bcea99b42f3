"""Leases that go on while their process lives: one statement renews what a claim still holds.

So a job is not run twice because it is slow. A process that is gone, or frozen for longer than a lease, renews nothing,
and whoever claims next recovers its jobs.
"""

import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from shim.store import settlements
from shim.store.part import Part
from shim.store.pool import Connection, Pool
from shim.store.statements import Schemas

_RENEWALS_PER_LEASE = 3
_CONNECTION_SECONDS = 5.0


@dataclass(slots=True)
class Lease:
    """A claim's.

    Attributes:
        token: the claim's.
        ids: the jobs that it still holds.
        seconds: how long it lasts.
        renewed_at: since when, by ``time.monotonic``; a moment before the database's.
        until: when it is renewed no more, however alive the process is.
    """

    token: int
    ids: frozenset[int]
    seconds: float
    renewed_at: float
    until: float

    @property
    def due_at(self) -> float:
        """When to renew it; never, once its time is over."""
        at = self.renewed_at + self.seconds / _RENEWALS_PER_LEASE
        return at if at < self.until else float("inf")


class Leases:
    """One client's leases. For any thread."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begins anew, without any. For the forked child."""
        self._lock = threading.Lock()
        self._by_token: dict[int, Lease] = {}

    def begin(self, lease: Lease) -> None:
        """Takes note of a new claim."""
        with self._lock:
            self._by_token[lease.token] = lease

    def end(self, token: int, ids: Iterable[int]) -> None:
        """Takes note that jobs of a claim are settled, or no longer held."""
        with self._lock:
            lease = self._by_token.get(token)
            if lease is not None:
                lease.ids -= frozenset(ids)
                if not lease.ids:
                    del self._by_token[token]

    def all(self) -> list[Lease]:
        """Returns those that hold something."""
        with self._lock:
            return list(self._by_token.values())


class Renewer(Part):
    """Renews the leases of all share consumers of a process. Get it by `renewer_for`.

    Args:
        pool: where its connections come from; it holds one only while it renews.
        schemas: which queue.

    Attributes:
        error: why the last round failed; None when it did not.
    """

    def __init__(self, pool: Pool, schemas: Schemas) -> None:
        self._pool = pool
        self._texts = settlements.load(schemas)
        self._clients: weakref.WeakSet[Leases] = weakref.WeakSet()
        self.error: Exception | None = None
        super().__init__("shim-renewer")

    def attend(self, leases: Leases) -> None:
        """Renews these too from now on."""
        self._clients.add(leases)
        self.wake()

    def round(self) -> float | None:
        """Renews what is due, and returns the seconds until something is."""
        due = list(self._due())
        if due:
            with self._pool.connection(_CONNECTION_SECONDS, patience=_CONNECTION_SECONDS) as conn:
                for leases, lease in due:
                    self._renew(conn, leases, lease)
        self.error = None
        next_at = min((lease.due_at for leases in list(self._clients) for lease in leases.all()), default=float("inf"))
        return None if next_at == float("inf") else max(next_at - monotonic(), 0.0)

    def failed(self, error: Exception) -> None:
        """Remembers why; the next round comes by itself."""
        self.error = error

    def _due(self) -> Iterator[tuple[Leases, Lease]]:
        now = monotonic()
        for leases in list(self._clients):
            yield from ((leases, lease) for lease in leases.all() if lease.due_at <= now)

    def _renew(self, conn: Connection, leases: Leases, lease: Lease) -> None:
        ids, began = lease.ids, monotonic()
        held = settlements.renew(conn, self._texts, lease.token, sorted(ids))
        lease.renewed_at = began
        # What was settled meanwhile is gone from the lease already; what is left was recovered by somebody.
        leases.end(lease.token, ids - held)


def renewer_for(pool: Pool, schemas: Schemas) -> Renewer:
    """Returns this process's renewer for a queue; the first call makes it."""
    return pool.part(Renewer, lambda: Renewer(pool, schemas), schemas.names["queue"])
