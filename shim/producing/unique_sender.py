"""Messages with deduplication keys: sent beside all others, since a key may have to be waited for."""

from collections import deque
from typing import ClassVar

import psycopg

from shim.producing.outbox import Parcel
from shim.producing.sender import Sender, Way
from shim.store import unique


class UniqueSender(Sender):
    """Adds parcels of messages with deduplication keys; takes as many as there are, and encodes them itself.

    A key that somebody's open transaction holds keeps no other one waiting: the parcel is halved until its message is
    alone, and that one comes again after all others. These messages get no offsets here, so they have no order to keep.

    The arguments are a `Sender`'s.
    """

    thread: ClassVar[str] = "shim-unique-sender"
    way: ClassVar[Way] = unique

    def renew(self) -> None:
        """Begins anew in this process, with nothing to send."""
        self._offered: deque[Parcel] = deque()
        super().renew()

    def offer(self, parcel: Parcel) -> bool:
        """Takes a parcel, however many wait already."""
        self._offered.append(parcel)
        self.wake()
        return True

    def first(self) -> Parcel | None:
        """Returns the parcel that is sent next."""
        while self._offered:
            self.parts.append(self._offered.popleft())
        return super().first()

    def judge(self, parcel: Parcel, failure: psycopg.Error) -> None:
        """Decides how to go on after Postgres refused a parcel."""
        if not isinstance(failure, psycopg.errors.LockNotAvailable):
            super().judge(parcel, failure)
        elif len(parcel.rows) > 1:
            self.most = len(parcel.rows) // 2
        else:
            self.parts.rotate(-1)
