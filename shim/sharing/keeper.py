"""What is done for all share consumers of a process while their applications work.

Leases are renewed, all that are due in one statement: so a job is not run twice because it is slow. Acknowledgements
that no poll has taken along are settled, and jobs that were claimed ahead and wait too long go back. A process that is
gone, or frozen for longer than a lease, does none of this, and whoever claims next recovers its jobs.
"""

import weakref
from collections.abc import Sequence
from math import inf
from random import SystemRandom
from time import monotonic
from typing import Protocol

from shim.sharing.leases import Lease, Leases
from shim.store import settlements
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.statements import Schemas

_CONNECTION_SECONDS = 5.0
_RECOVERY_SECONDS = 1.0
_SHORTEST_PAUSE = 0.01
_LONGEST_ROUND = 0.2


class Kept(Protocol):
    """One client, as the keeper sees it.

    Attributes:
        leases: of what it holds.
    """

    leases: Leases

    @property
    def errand_at(self) -> float:
        """When `run_errands` has something to do."""

    def run_errands(self) -> None:
        """Settles what waits for a poll, and gives back what waits for the application; never raises for Postgres."""


class Keeper(Part):
    """Keeps what the share consumers of a process hold. Get it by `keeper_for`.

    Args:
        pool: where its connections come from; it holds one only while it renews.
        schemas: which queue.

    Attributes:
        error: why the last round failed; None when it did not.
    """

    def __init__(self, pool: Pool, schemas: Schemas) -> None:
        self._pool = pool
        self._texts = settlements.load(schemas)
        self._clients: weakref.WeakSet[Kept] = weakref.WeakSet()
        self._next_at = inf
        self._recovery_at = 0.0
        self.error: Exception | None = None
        super().__init__("shim-keeper")

    def attend(self, client: Kept) -> None:
        """Keeps what this one holds too from now on."""
        self.start()
        with self._bell_lock:
            self._clients.add(client)
        self.wake()

    def expect(self, at: float) -> None:
        """Sees to it that a round comes by then; costs nothing when one does in any case."""
        if at < self._next_at:
            self._next_at = at
            self.wake()

    def may_recover(self) -> bool:
        """Whether it is time to look for jobs whose lease ran out: about once a second, for whoever asks first."""
        now = monotonic()
        if now < self._recovery_at:
            return False
        self._recovery_at = now + _RECOVERY_SECONDS * SystemRandom().uniform(0.5, 1.0)
        return True

    def round(self) -> float | None:
        """Does what is due, and returns the seconds until something is."""
        self._next_at = inf
        with self._bell_lock:  # a set that grows cannot be walked through
            clients = list(self._clients)
        now = monotonic()
        due = [(client.leases, lease) for client in clients for lease in client.leases.all() if lease.due_at <= now]
        if due:
            self._renew(due)
        for client in sorted((one for one in clients if one.errand_at <= now), key=lambda one: one.errand_at):
            client.run_errands()
            if monotonic() >= now + _LONGEST_ROUND:
                break  # leases may be due
        self.error = None
        next_at = min((min(client.leases.due_at, client.errand_at) for client in clients), default=inf)
        self._next_at = min(self._next_at, next_at)
        return None if self._next_at == inf else max(self._next_at - monotonic(), _SHORTEST_PAUSE)

    def failed(self, error: Exception) -> None:
        """Remembers why; the next round comes by itself."""
        self.error = error

    def _renew(self, due: Sequence[tuple[Leases, Lease]]) -> None:
        began = monotonic()
        ids = {lease.token: lease.ids for _, lease in due}
        with self._pool.connection(_CONNECTION_SECONDS, patience=_CONNECTION_SECONDS, first=True) as conn:
            held = settlements.renew(conn, self._texts, ids)
        for leases, lease in due:
            # What was settled meanwhile is gone from the lease already; what is left was recovered by somebody. It goes
            # first, for a lease that is fresh lets the stock hand out whatever it holds.
            leases.end(lease.token, ids[lease.token] - held[lease.token])
            lease.renewed_at = began


def keeper_for(pool: Pool, schemas: Schemas) -> Keeper:
    """Returns this process's keeper for a queue; the first call makes it."""
    return pool.part(Keeper, lambda: Keeper(pool, schemas), schemas.names["queue"])
