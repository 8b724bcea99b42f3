"""Jobs that were claimed ahead of the application, so that one claim and one commit serve many polls.

How many depends on how fast the application works: what it gets through in a moment, so that nothing waits long behind
a slow job while other workers have nothing to do. What waits all the same goes back, uncounted.
"""

import threading
from collections.abc import Set as AbstractSet
from math import inf
from time import monotonic

from shim.sharing.flight import Delivery
from shim.sharing.leases import Lease
from shim.store.claims import Claimed

_MOST = 500
_LONGEST_SECONDS = 0.5


class Stock:
    """What is left of one claim. For any thread; only who claims may fill it.

    Args:
        seconds: for how long the application may work on what is claimed ahead; 0 claims nothing ahead.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begins anew, with nothing. For the forked child."""
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._jobs: list[Claimed] = []
        self._topic = ""
        self._next = 0
        self._since = 0.0
        self._leaving = False

    @property
    def overdue_at(self) -> float:
        """When what is left should go back; never, where nothing is."""
        return self._since + _LONGEST_SECONDS if self._next < len(self._jobs) else inf

    @property
    def leaving(self) -> bool:
        """Whether what is left is to go back."""
        return self._leaving

    def wanted(self, most: int) -> int:
        """Returns how many jobs to claim for an application that asks for so many at once."""
        if not (self._next and self._seconds):
            return most
        worked = monotonic() - self._since
        pace = 2.0 if worked * 2 < self._seconds else self._seconds / worked
        return max(most, min(int(self._next * pace), _MOST))

    def fill(self, lease: Lease, jobs: list[Claimed]) -> None:
        """Puts in what was claimed."""
        with self._lock:
            self._lease, self._jobs, self._next = lease, jobs, 0
            self._topic = jobs[0].record.topic
            self._since = monotonic()
            self._leaving = False

    def has(self, names: AbstractSet[str]) -> bool:
        """Whether `hand_out` would give anything."""
        with self._lock:
            lease = self._for(names)
            left = range(self._next, len(self._jobs))
            return lease is not None and any(self._jobs[place].id in lease.ids for place in left)

    def hand_out(self, names: AbstractSet[str], most: int) -> Delivery | None:
        """Takes out what the application may have now; None when there is nothing, or it is to go back.

        Args:
            names: the topics that it wants.
            most: how many at most.
        """
        with self._lock:
            lease = self._for(names)
            while lease is not None and self._next < len(self._jobs):
                start, self._next = self._next, min(self._next + most, len(self._jobs))
                held = [job for job in self._jobs[start : self._next] if job.id in lease.ids]
                if held:  # what is not was recovered by somebody
                    return Delivery(lease.token, held)
            return None

    def leave(self) -> Delivery | None:
        """Hands out nothing more of what is left, and returns it, to be given back; None when nothing is."""
        with self._lock:
            left = self._jobs[self._next :]
            self._leaving = bool(left)
            return Delivery(self._lease.token, left) if self._lease is not None and left else None

    def left(self) -> None:
        """Takes note that what was left has gone back."""
        with self._lock:
            del self._jobs[self._next :]
            self._leaving = False

    def _for(self, names: AbstractSet[str]) -> Lease | None:
        """The lease, if what is left may be handed out to one who wants these topics. Under the lock."""
        lease = self._lease
        if lease is None or self._leaving or self._topic not in names:
            return None
        return lease if monotonic() < lease.renewed_at + lease.seconds else None
