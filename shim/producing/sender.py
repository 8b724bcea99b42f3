"""The producer's two threads: one encodes the next parcel while the other one appends the last.

Parcels are appended one after another, so a partition's messages keep their order over every retry. Whether an append
whose reply was lost has happened is asked of Postgres, never guessed.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Protocol

import psycopg

from shim.client.notices import Notices
from shim.errors import KafkaError, from_postgres
from shim.producing.delivery import Reporter
from shim.producing.outbox import Outbox, Parcel
from shim.producing.outgoing import size_of
from shim.producing.packing import Packing, without_view
from shim.producing.routes import Routes, numbered_by_kafka
from shim.protocol.codes import Local
from shim.store import append
from shim.store.append import Appended, Connection, Refusal
from shim.store.bounds import SynchronousCommit
from shim.store.errors import AsynchronousCommitError, SequencerError, StoreError, UnknownPartitionError
from shim.store.meter import meter
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.topics import Texts, UnknownTopicError

_NARROW = 256
_UNDECIDED_SECONDS = 0.05
_NOT_DURABLE = (
    f"{Local.INVALID_ARG.text}: acks=all, but synchronous_commit is off for this role, database or session: a crash of "
    "Postgres would lose what it acknowledged; switch it on, or ask for acks=1 or acks=0"
)
# The transaction ended by Postgres' own word. Of the others, 57 is told to sessions that are being ended, whatever
# they were at.
_VAGUE_CLASSES = ("08", "57", "58", "XX")
# Nothing that depends on single messages: a table or a right is missing, so all of them meet it.
_SETUP_CLASSES = ("0A", "28", "3D", "3F", "42")


@dataclass(frozen=True, slots=True)
class Demands:
    """What the application asks of every append.

    Attributes:
        acks: -1 for a commit that the server answers as it is set up to, 1 for one on its own disk, 0 for none.
        retries: how often an append that failed is tried again.
        patience_s: how many seconds the server may be silent before another connection is tried.
    """

    acks: int
    retries: int
    patience_s: float

    @property
    def synchronous_commit(self) -> SynchronousCommit | None:
        """What the commit waits for; None leaves it as the server has it."""
        return {0: "off", 1: "local"}.get(self.acks)  # type: ignore[return-value]  # both are


class Uncertain(Protocol):
    """What is known of an append before its commit."""

    @property
    def durable(self) -> bool:
        """Whether the commit waits until it is on disk."""

    def offsets(self, drafts: Any) -> Sequence[int | None]:
        """Returns the offsets of the drafts, when it has happened."""


class Way(Protocol):
    """How drafts get into the queue: a module of `shim.store`."""

    def append(
        self,
        conn: Connection,
        statements: Texts,
        drafts: Any,
        on_reserved: Callable[[Any], None],
        *,
        synchronous_commit: SynchronousCommit | None,
    ) -> Appended:
        """Adds drafts in one transaction, and tells what is uncertain before its commit."""

    def outcome(self, conn: Connection, statements: Texts, _uncertain: Any, /) -> bool | None:
        """Tells whether that has happened; None while nobody can know."""


class Packer(Part):
    """Takes parcels when they are due, encodes them, and hands them on.

    Args:
        outbox: where parcels come from.
        packing: encodes them.
        offer: takes a parcel, and returns False while it has no room; whoever makes room wakes the packer.
        offer_unique: takes a parcel of messages with deduplication keys as they are; it always has room.
        notices: is told of failures.
    """

    def __init__(
        self,
        outbox: Outbox,
        packing: Packing,
        offer: Callable[[Parcel], bool],
        offer_unique: Callable[[Parcel], object],
        notices: Notices,
    ) -> None:
        self._outbox = outbox
        self._packing = packing
        self._offer = offer
        self._offer_unique = offer_unique
        self._notices = notices
        super().__init__("shim-packer")

    def renew(self) -> None:
        """Begins anew in this process, with empty hands."""
        self._parcel: Parcel | None = None
        super().renew()

    def round(self) -> float | None:
        """Brings one parcel further."""
        if self._parcel is None:
            taken = self._outbox.take()
            if not isinstance(taken, Parcel):
                return taken
            self._parcel = taken
            unique = self._outbox.sort_out(taken)
            if unique is not None:
                self._offer_unique(unique)
        parcel = self._parcel
        if not parcel.settled:
            if not parcel.packed:
                self._packing.pack(parcel)
                return 0.0
            if not self._offer(parcel):
                return None
        self._parcel = None
        return 0.0

    def failed(self, error: Exception) -> None:
        """Tells the application; the parcel is packed again."""
        self._notices.trouble(from_postgres(error))


class Sender(Part):
    """Appends parcels, one after another, until each of their messages is settled.

    Args:
        pool: where connections come from.
        texts: the statements of `shim.store.append`.
        packing: encodes a parcel again, when Postgres did not take it as it was.
        routes: is told which topics are not what they were.
        outbox: where parcels are kept.
        reporter: is told what became of messages.
        notices: is told of failures, and that they are over.
        demands: what every append has to satisfy.

    Attributes:
        on_room: called when another parcel may be offered.
        on_stored: called with the topics of what was stored.
        sent_messages: how many messages were stored.
        sent_bytes: how many bytes these took of the queue.
        parts: what is being sent, the oldest first.
        most: how many messages of a parcel go out at once; 0 for all of them.
    """

    thread: ClassVar[str] = "shim-sender"
    way: ClassVar[Way] = append

    def __init__(
        self,
        pool: Pool,
        texts: Texts,
        packing: Packing,
        routes: Routes,
        outbox: Outbox,
        reporter: Reporter,
        notices: Notices,
        demands: Demands,
    ) -> None:
        self._pool = pool
        self._texts = texts
        self._packing = packing
        self._routes = routes
        self._outbox = outbox
        self._reporter = reporter
        self._notices = notices
        self._demands = demands
        self.on_room: Callable[[], None] = lambda: None
        self.on_stored: Callable[[Collection[str]], None] = lambda _topics: None
        super().__init__(self.thread)

    def renew(self) -> None:
        """Begins anew in this process, with nothing to send."""
        self._next: Parcel | None = None
        self.parts: deque[Parcel] = deque()
        self.most = 0
        self._reserved: Uncertain | None = None
        self.sent_messages = self.sent_bytes = 0
        super().renew()

    def offer(self, parcel: Parcel) -> bool:
        """Takes a parcel that is sent after the one under way; False while another one waits already."""
        if self._next is not None:
            return False
        self._next = parcel
        self.wake()
        return True

    def round(self) -> float | None:
        """Brings the oldest parcel further."""
        parcel = self.first()
        if parcel is None:
            return None
        self._reporter.expire()
        if not parcel.packed and not parcel.settled:
            self._packing.pack(parcel)
            return 0.0
        if self._reserved is None and 0 < self.most < len(parcel.rows):
            self.parts.insert(1, self._outbox.split(parcel, self.most))
        if not self._outbox.begin(parcel):
            self._done()
        elif self._reserved is None:
            self._send(parcel)
        elif not self._find_out(parcel, self._reserved):
            return _UNDECIDED_SECONDS
        return 0.0

    def failed(self, error: Exception) -> None:
        """Tells the application; the parcel is sent again."""
        self._notices.trouble(from_postgres(error))

    def first(self) -> Parcel | None:
        """Returns the parcel that is sent next; makes room for another one when there is none."""
        if not self.parts and self._next is not None:
            self.parts.append(self._next)
            self._next = None
        if self.parts:
            return self.parts[0]
        self.on_room()
        return None

    def _done(self) -> None:
        """Turns to what follows the oldest parcel; its outcome, if that is still open, matters no more."""
        self._reserved = None
        self.parts.popleft()
        self.most = self.most * 2 if self.parts else 0

    def _send(self, parcel: Parcel) -> None:
        try:
            with self._pool.connection(patience=self._demands.patience_s) as conn:
                offsets = self._append(conn, parcel)
        except (UnknownTopicError, UnknownPartitionError) as gone:
            self._outbox.unsent(parcel)
            self._routes.forget(gone.topic)
            self._outbox.unpack(parcel)
        except SequencerError as numbered:
            self._outbox.unsent(parcel)
            self._routes.forget(numbered.topic)
            places = [place for place, topic in enumerate(parcel.drafts.topics) if topic == numbered.topic]
            self._reporter.failed(self._outbox.remove(parcel, places), numbered_by_kafka(numbered.topic))
        except AsynchronousCommitError:
            self._give_up(parcel, KafkaError(Local.INVALID_ARG, _NOT_DURABLE))
        except psycopg.Error as failure:
            if self._reserved is not None:
                raise
            self._outbox.unsent(parcel)
            self.judge(parcel, failure)
        else:
            self._stored(parcel, offsets)

    def _append(self, conn: Connection, parcel: Parcel) -> Sequence[int | None]:
        wanted = self._demands.synchronous_commit
        parcel.attempts += 1

        def reserved(place: Uncertain) -> None:
            if wanted is None and not place.durable:
                raise AsynchronousCommitError
            self._reserved = place
            self.on_room()

        began = monotonic()
        try:
            appended = self.way.append(conn, self._texts, parcel.drafts, reserved, synchronous_commit=wanted)
        except (psycopg.Error, StoreError) as failure:
            if not conn.closed and _definite(failure):
                self._reserved = None
            raise
        meter.time("append", monotonic() - began)
        return appended.offsets

    def _find_out(self, parcel: Parcel, reserved: Uncertain) -> bool:
        """Asks what became of an append whose reply was lost; False while Postgres cannot tell either."""
        with self._pool.connection(patience=self._demands.patience_s) as conn:
            stored = self.way.outcome(conn, self._texts, reserved)
        if stored:
            self._stored(parcel, reserved.offsets(parcel.drafts))
        elif stored is False:
            self._reserved = None
            self._outbox.unsent(parcel)
        return stored is not None

    def _stored(self, parcel: Parcel, offsets: Sequence[int | None]) -> None:
        topics = set(parcel.drafts.topics)
        self._notices.well()
        self.sent_messages += len(parcel.rows)
        self.sent_bytes += size_of(parcel.rows)
        self._reporter.delivered(parcel, offsets)
        self._done()
        self.on_stored(topics)

    def judge(self, parcel: Parcel, failure: psycopg.Error) -> None:
        """Decides how to go on after Postgres refused a parcel; raises the failure if it is to be sent again."""
        error = from_postgres(failure)
        refusal = append.refusal(failure)
        if refusal is not None:
            self._set_aside(parcel, refusal, error)
        elif error.retriable():
            if parcel.attempts <= self._demands.retries:
                raise failure
            self._give_up(parcel, error)
        elif len(parcel.rows) == 1 or (failure.sqlstate or "").startswith(_SETUP_CLASSES):
            self._give_up(parcel, error)
        else:
            self.most = max(1, len(parcel.rows) // 2)

    def _set_aside(self, parcel: Parcel, refusal: Refusal, error: KafkaError) -> None:
        """Goes on without the message that Postgres refused, or without its JSON view if only that is at fault."""
        place = refusal.position
        if not self._packing.careful:
            self._packing.careful = True
            self._outbox.unpack(parcel)
            return
        if refusal.column == "payload":
            tail = without_view(parcel, place, refusal.sqlstate)
            if tail != parcel.drafts.tails[place]:
                parcel.drafts.tails[place] = tail
                return
        self.most = min(_NARROW, max(1, len(parcel.rows) // 2))
        self._reporter.failed(self._outbox.remove(parcel, [place]), error)

    def _give_up(self, parcel: Parcel, error: KafkaError) -> None:
        self._reporter.undeliverable(parcel, error)
        self._done()


def _definite(failure: Exception) -> bool:
    """Whether a failure says that nothing was stored."""
    if not isinstance(failure, psycopg.Error):
        return True
    return failure.sqlstate is not None and not failure.sqlstate.startswith(_VAGUE_CLASSES)
