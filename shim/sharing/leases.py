"""What one share consumer's claims hold, and until when; the keeper renews them (`shim.sharing.keeper`)."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

_RENEWALS_PER_LEASE = 3


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
        return at if at < self.until else inf


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

    @property
    def due_at(self) -> float:
        """When the first of them is to be renewed."""
        return min((lease.due_at for lease in self.all()), default=inf)
