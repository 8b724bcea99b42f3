"""The producer's queue: every message from ``produce()`` to its delivery report, in the order of production.

A message waits, is taken as part of a parcel, is sent with it, and is settled once: delivered, failed, timed out or
purged, whichever comes first. It takes room until its report has been served, as librdkafka counts it; so an
application that never polls finds the queue full.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic, time

from shim.outgoing import Outgoing
from shim.store.append import Draft


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is queued, and how much goes out at once.

    Attributes:
        queue_messages: how many messages may be queued.
        queue_bytes: how many bytes they may take.
        batch_messages: how many messages make a parcel that need not wait, and how many fit into one.
        batch_bytes: the same in bytes; a larger message is a parcel of its own.
        linger_s: how long the oldest message waits for others.
        timeout_s: how long a message may be under way.
    """

    queue_messages: int
    queue_bytes: int
    batch_messages: int
    batch_bytes: int
    linger_s: float
    timeout_s: float


@dataclass(slots=True, eq=False)
class Parcel:
    """Messages that go out in one transaction.

    Attributes:
        entries: the messages.
        epoch_ms: milliseconds from 1970 to the zero of ``time.monotonic``, when the parcel was taken.
        drafts: the messages encoded, in their order; empty until they are.
        attempts: how often it has been sent.
        sending: whether Postgres may have stored it.
        settled: whether every message's fate is decided; whatever is learned later counts no more.
    """

    entries: list[Outgoing]
    epoch_ms: float
    drafts: list[Draft] = field(default_factory=list)
    attempts: int = 0
    sending: bool = False
    settled: bool = False

    @property
    def packed(self) -> bool:
        """Whether every message is encoded."""
        return len(self.drafts) == len(self.entries)

    def stamp(self, entry: Outgoing) -> int:
        """Returns a message's create time in milliseconds since 1970."""
        return entry.timestamp_ms or int(entry.queued_at * 1000 + self.epoch_ms)


class Outbox:
    """Holds a producer's messages, and counts them.

    Args:
        limits: how much it holds.

    Attributes:
        on_due: called, outside of any lock, when there is something to take, or soon will be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.on_due: Callable[[], None] = lambda: None
        self.renew()

    def renew(self) -> None:
        """Begins anew, empty. For the forked child: what its parent queued, its parent sends."""
        self._lock = threading.Lock()
        self._waiting: list[Outgoing] = []
        self._waiting_bytes = 0
        self._parcels: list[Parcel] = []
        self._messages = self._bytes = 0
        self._hurry = 0

    @property
    def messages(self) -> int:
        """How many messages are queued, sent or delivered, and not yet reported."""
        return self._messages

    @property
    def bytes(self) -> int:
        """How many bytes these take."""
        return self._bytes

    def undelivered(self) -> tuple[int, int]:
        """Returns how many messages, and bytes, would be lost if the process ended now."""
        with self._lock:
            entries = [*self._waiting, *(entry for parcel in self._parcels for entry in parcel.entries)]
        return len(entries), sum(entry.size for entry in entries)

    def put(self, entry: Outgoing) -> None:
        """Queues a message.

        Raises:
            BufferError: the queue is full.
        """
        with self._lock:
            limits, size = self._limits, entry.size
            if self._messages >= limits.queue_messages or self._bytes + size > limits.queue_bytes:
                raise BufferError("Local: Queue full")
            self._messages += 1
            self._bytes += size
            self._waiting_bytes += size
            waiting = self._waiting
            waiting.append(entry)
            # Nobody looks yet, or whoever looks waits for more than there now is.
            due = len(waiting) == 1 or len(waiting) == limits.batch_messages
            due = due or self._waiting_bytes - size < limits.batch_bytes <= self._waiting_bytes
        if due:
            self.on_due()

    def hurry(self, more: int) -> None:
        """Ends the lingering while somebody flushes (1), or begins it again (-1)."""
        with self._lock:
            self._hurry += more
        if more > 0:
            self.on_due()

    def take(self) -> Parcel | float | None:
        """Takes the next parcel; else returns how many seconds the oldest message still lingers, None without any."""
        with self._lock:
            if not self._waiting:
                return None
            now = monotonic()
            rest = self._waiting[0].queued_at + self._limits.linger_s - now
            if rest > 0 and not self._due():
                return rest
            parcel = Parcel(self._cut(self._fitting()), epoch_ms=(time() - now) * 1000)
            self._parcels.append(parcel)
            return parcel

    def _due(self) -> bool:
        limits = self._limits
        full = len(self._waiting) >= limits.batch_messages or self._waiting_bytes >= limits.batch_bytes
        return full or self._hurry > 0

    def _fitting(self) -> int:
        """How many of the oldest messages fit into a parcel."""
        most = self._limits.batch_messages
        if self._waiting_bytes <= self._limits.batch_bytes:
            return most
        total = 0
        for count, entry in enumerate(self._waiting[:most]):
            total += entry.size
            if total > self._limits.batch_bytes:
                return max(count, 1)
        return most

    def _cut(self, count: int) -> list[Outgoing]:
        """Takes the oldest messages away from those that wait."""
        if not count:
            return []
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes = self._waiting_bytes - size_of(taken) if self._waiting else 0
        return taken

    def replace(self, parcel: Parcel, packed: Sequence[Outgoing], entries: list[Outgoing], drafts: list[Draft]) -> bool:
        """Puts the messages that can go in the place of those that were packed; False when these are no longer all."""
        with self._lock:
            if parcel.settled or parcel.entries is not packed:
                return False
            parcel.entries, parcel.drafts = entries, drafts
            return True

    def begin(self, parcel: Parcel) -> bool:
        """Marks a parcel as being sent: from now on it stays whole. Returns False when nothing is left of it."""
        with self._lock:
            if not parcel.entries and not parcel.settled:
                self._abandon(parcel)
            parcel.sending = not parcel.settled
            return parcel.sending

    def unsent(self, parcel: Parcel) -> None:
        """Takes `begin` back: it is certain that nothing of the parcel was stored."""
        with self._lock:
            parcel.sending = False

    def unpack(self, parcel: Parcel) -> None:
        """Lets a parcel be encoded again."""
        with self._lock:
            parcel.drafts = []

    def split(self, parcel: Parcel, count: int) -> Parcel:
        """Leaves the first messages in a parcel, and returns another one with the rest, behind it."""
        with self._lock:
            rest = Parcel(parcel.entries[count:], parcel.epoch_ms, parcel.drafts[count:], settled=parcel.settled)
            parcel.entries, parcel.drafts = parcel.entries[:count], parcel.drafts[:count]
            if not parcel.settled:
                self._parcels.insert(self._parcels.index(parcel) + 1, rest)
        return rest

    def settle(self, parcel: Parcel) -> bool:
        """Decides a parcel's fate; False when it has been decided before."""
        with self._lock:
            if parcel.settled:
                return False
            parcel.settled = True
            self._parcels.remove(parcel)
            return True

    def expired(self) -> list[Outgoing]:
        """Takes away the messages that have been under way for too long, and returns them.

        A parcel that is being sent is given up as a whole, when the time of its last message is over.
        """
        limit = monotonic() - self._limits.timeout_s
        with self._lock:
            found: list[Outgoing] = []
            for parcel in self._parcels.copy():
                old = _older(parcel.entries, limit)
                if old and old == len(parcel.entries):
                    found += self._abandon(parcel)
                elif old and not parcel.sending:
                    found += parcel.entries[:old]
                    parcel.entries, parcel.drafts = parcel.entries[old:], parcel.drafts[old:]
            return found + self._cut(_older(self._waiting, limit))

    def purge(self, *, queued: bool, sent: bool) -> tuple[list[Outgoing], list[Outgoing]]:
        """Takes messages away, and returns those that no parcel under way holds, and those that one does."""
        with self._lock:
            parcels = [one for one in self._parcels if (sent if one.sending else queued)]
            from_parcels = [(one.sending, self._abandon(one)) for one in parcels]
            waiting = self._cut(len(self._waiting)) if queued else []
        still = [entry for sending, entries in from_parcels if not sending for entry in entries]
        return still + waiting, [entry for sending, entries in from_parcels if sending for entry in entries]

    def _abandon(self, parcel: Parcel) -> list[Outgoing]:
        parcel.settled = True
        self._parcels.remove(parcel)
        return parcel.entries

    def remove(self, parcel: Parcel, places: Iterable[int]) -> list[Outgoing]:
        """Takes single messages out of a parcel, and returns them."""
        gone = set(places)
        with self._lock:
            if parcel.settled:
                return []
            found = [entry for place, entry in enumerate(parcel.entries) if place in gone]
            parcel.entries = [entry for place, entry in enumerate(parcel.entries) if place not in gone]
            parcel.drafts = [draft for place, draft in enumerate(parcel.drafts) if place not in gone]
            return found

    def release(self, messages: int, size: int) -> None:
        """Gives back the room of messages whose reports have been served."""
        with self._lock:
            self._messages -= messages
            self._bytes -= size


def size_of(entries: Sequence[Outgoing]) -> int:
    """Returns how many bytes messages take of the queue."""
    return sum(entry.size for entry in entries)


def _older(entries: Sequence[Outgoing], limit: float) -> int:
    """How many messages at the front were produced before ``limit``."""
    if not entries or entries[0].queued_at > limit:
        return 0
    return next((place for place, entry in enumerate(entries) if entry.queued_at > limit), len(entries))
