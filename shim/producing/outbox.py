"""The producer's queue: every message from ``produce()`` to its delivery report, in the order of production.

A message waits, is taken as part of a parcel, is sent with it, and is settled once: delivered, failed, timed out or
purged, whichever comes first. It takes room until its report has been served, as librdkafka counts it; so an
application that never polls finds the queue full.

Ctrl-C may end any step of the application's thread half-way. So a message comes in by one indivisible step, and what is
left to do is counted from what is there; only the room is kept by counters, which may then be one message wrong.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from operator import itemgetter
from time import monotonic, time

from shim.producing.drafts import Drafts
from shim.producing.outgoing import QUEUED_AT, SIZE, TERMS, TIMESTAMP_MS, Row, size_of

_TERMS = itemgetter(TERMS)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is queued, and how much goes out at once.

    Attributes:
        queue_messages: how many messages may be queued.
        queue_bytes: how many bytes they may take.
        batch_messages: how many messages make a parcel that need not wait, and how many fit into one.
        batch_bytes: how many bytes make a parcel that need not wait.
        parcel_bytes: how many fit into one, where messages have piled up; a larger message is a parcel of its own.
        linger_s: how long the oldest message waits for others.
        timeout_s: how long a message may be under way.
    """

    queue_messages: int
    queue_bytes: int
    batch_messages: int
    batch_bytes: int
    parcel_bytes: int
    linger_s: float
    timeout_s: float


@dataclass(slots=True, eq=False)
class Parcel:
    """Messages that go out in one transaction.

    Attributes:
        rows: the messages; another list takes its place when some of them leave.
        epoch_ms: milliseconds from 1970 to the zero of ``time.monotonic``, when the parcel was taken.
        drafts: the messages encoded, in their order; empty until they are.
        attempts: how often it has been sent.
        sending: whether Postgres may have stored it.
        settled: whether every message's fate is decided; whatever is learned later counts no more.
    """

    rows: list[Row]
    epoch_ms: float
    drafts: Drafts = field(default_factory=Drafts)
    attempts: int = 0
    sending: bool = False
    settled: bool = False

    @property
    def packed(self) -> bool:
        """Whether every message is encoded."""
        return len(self.drafts) == len(self.rows)

    def stamp(self, place: int) -> int:
        """Returns the create time of a message, in milliseconds since 1970."""
        row = self.rows[place]
        return row[TIMESTAMP_MS] or int(row[QUEUED_AT] * 1000 + self.epoch_ms)


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
        self._waiting: list[Row] = []
        self._waiting_bytes = 0
        self._parcels: list[Parcel] = []
        self._room_messages = self._limits.queue_messages
        self._room_bytes = self._limits.queue_bytes
        self._hurry = 0

    def __len__(self) -> int:
        """How many messages are not settled yet."""
        with self._lock:
            return len(self._waiting) + sum(len(parcel.rows) for parcel in self._parcels)

    @property
    def size(self) -> int:
        """How many bytes these messages have."""
        with self._lock:
            return size_of(self._waiting) + sum(size_of(parcel.rows) for parcel in self._parcels)

    def put(self, row: Row) -> None:
        """Queues a message.

        Raises:
            BufferError: the queue is full.
        """
        size = row[SIZE]
        with self._lock:
            if not self._room_messages > 0 or size > self._room_bytes:
                raise BufferError("Local: Queue full")
            self._room_messages -= 1
            self._room_bytes -= size
            self._waiting_bytes += size
            self._waiting.append(row)
            # Nobody looks yet, or whoever looks waits for more than there now is.
            limits, waiting_bytes = self._limits, self._waiting_bytes
            due = len(self._waiting) in (1, limits.batch_messages)
            due = due or waiting_bytes - size < limits.batch_bytes <= waiting_bytes
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
            rest: float = self._waiting[0][QUEUED_AT] + self._limits.linger_s - now
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
        if self._waiting_bytes <= self._limits.parcel_bytes:
            return most
        sizes = accumulate(row[SIZE] for row in self._waiting[:most])
        fitting = sum(1 for _ in takewhile(lambda total: total <= self._limits.parcel_bytes, sizes))
        return max(fitting, 1)

    def _cut(self, count: int) -> list[Row]:
        """Takes the oldest messages away from those that wait."""
        taken = self._waiting[:count]
        del self._waiting[:count]
        self._waiting_bytes = self._waiting_bytes - size_of(taken) if self._waiting else 0
        return taken

    def replace(self, parcel: Parcel, packed: list[Row], kept: list[Row], drafts: Drafts) -> bool:
        """Puts the messages that can go in the place of those that were packed; False when these are no longer all."""
        with self._lock:
            if parcel.settled or parcel.rows is not packed:
                return False
            parcel.rows, parcel.drafts = kept, drafts
            return True

    def begin(self, parcel: Parcel) -> bool:
        """Marks a parcel as being sent: from now on it stays whole. Returns False when nothing is left of it."""
        with self._lock:
            if not parcel.rows and not parcel.settled:
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
            parcel.drafts = Drafts()

    def split(self, parcel: Parcel, count: int) -> Parcel:
        """Leaves the first messages in a parcel, and returns another one with the rest, behind it."""
        with self._lock:
            rest = Parcel(parcel.rows[count:], parcel.epoch_ms, parcel.drafts[count:], settled=parcel.settled)
            parcel.rows, parcel.drafts = parcel.rows[:count], parcel.drafts[:count]
            if not parcel.settled:
                self._parcels.insert(self._parcels.index(parcel) + 1, rest)
        return rest

    def sort_out(self, parcel: Parcel) -> Parcel | None:
        """Takes the messages that have a deduplication key out of a parcel, and returns them in one of their own."""
        with self._lock:
            if not any(map(_TERMS, parcel.rows)):
                return None
            unique = [row for row in parcel.rows if row[TERMS] and row[TERMS][1]]
            if not unique:
                return None
            parcel.rows = [row for row in parcel.rows if not (row[TERMS] and row[TERMS][1])]
            sorted_out = Parcel(unique, parcel.epoch_ms, settled=parcel.settled)
            if not parcel.settled:
                self._parcels.insert(self._parcels.index(parcel) + 1, sorted_out)
        return sorted_out

    def settle(self, parcel: Parcel) -> bool:
        """Decides a parcel's fate; False when it has been decided before."""
        with self._lock:
            if parcel.settled:
                return False
            self._abandon(parcel)
            return True

    def expired(self) -> list[Row]:
        """Takes away the messages that have been under way for too long, and returns them.

        A parcel that is being sent is given up as a whole, when the time of its last message is over.
        """
        limit = monotonic() - self._limits.timeout_s
        found: list[Row] = []
        with self._lock:
            for parcel in self._parcels.copy():
                old = _older(parcel.rows, limit)
                if old and old == len(parcel.rows):
                    found += self._abandon(parcel)
                elif old and not parcel.sending:
                    found += parcel.rows[:old]
                    parcel.rows, parcel.drafts = parcel.rows[old:], parcel.drafts[old:]
            return found + self._cut(_older(self._waiting, limit))

    def purge(self, *, queued: bool, sent: bool) -> tuple[list[Row], list[Row]]:
        """Takes messages away, and returns those that no parcel under way holds, and those that one does."""
        waiting: list[Row] = []
        under_way: list[Row] = []
        with self._lock:
            for parcel in self._parcels.copy():
                if parcel.sending and sent:
                    under_way += self._abandon(parcel)
                elif queued and not parcel.sending:
                    waiting += self._abandon(parcel)
            if queued:
                waiting += self._cut(len(self._waiting))
        return waiting, under_way

    def remove(self, parcel: Parcel, places: Iterable[int]) -> list[Row]:
        """Takes single messages out of a parcel, and returns them."""
        gone = set(places)
        with self._lock:
            if parcel.settled:
                return []
            rows, left = parcel.rows, [place for place in range(len(parcel.rows)) if place not in gone]
            parcel.rows, parcel.drafts = [rows[place] for place in left], parcel.drafts.pick(left)
            return [rows[place] for place in sorted(gone)]

    def release(self, messages: int, size: int) -> None:
        """Gives back the room of messages whose reports have been served."""
        with self._lock:
            self._room_messages += messages
            self._room_bytes += size

    def _abandon(self, parcel: Parcel) -> list[Row]:
        parcel.settled = True
        self._parcels.remove(parcel)
        return parcel.rows


def _older(rows: Sequence[Row], limit: float) -> int:
    """How many messages at the front were produced up to ``limit``."""
    return next((place for place, row in enumerate(rows) if row[QUEUED_AT] > limit), len(rows))
