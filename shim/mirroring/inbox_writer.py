"""Writes copies of what goes to Kafka into ``dual_inbox``, in the background, as many as are there at once.

It never makes anybody wait: a copy for which there is no room is not written, and the drain brings the message all the
same.
"""

import threading
from collections import deque
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple

import psycopg

from shim.errors import KafkaError, KafkaException, from_postgres
from shim.mirroring.forking import attend
from shim.mirroring.outcomes import Outcome, Tally
from shim.mirroring.role import Role
from shim.mirroring.side import QueueSide
from shim.mirroring.stamp import Stamped
from shim.producing.outgoing import Outgoing, compose, paired
from shim.protocol.codes import Broker, Local
from shim.store import dual_inbox
from shim.store.dual_inbox import Copy
from shim.store.part import Part

Given = tuple[Any, Any, int]
"""Value, key and partition, as the application gave them."""

_MOST_MESSAGES = 1_000
_MOST_BYTES = 4 * 1024 * 1024
_VAGUE_CLASSES = ("08", "57", "58", "XX")


class Waiting(NamedTuple):
    """A copy that is not written yet: whose it is, how large, and until when it is tried."""

    role: Role
    copy: Copy
    size: int
    expires: float


class InboxWriter(Part):
    """The secondary of a dual producer while Kafka is the primary.

    Args:
        side: the queue; its producer's limits and its ``message.timeout.ms`` count here too.
        tally: is told what became of each copy.
    """

    def __init__(self, side: QueueSide, tally: Tally) -> None:
        self._side = side
        self._tally = tally
        self._texts = dual_inbox.load(side.schemas)
        super().__init__("shim-dual-inbox")
        attend(self)

    def renew(self) -> None:
        """Begins anew in this process, empty."""
        self._lock = threading.Lock()
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._doubtful = 0
        super().renew()

    def __len__(self) -> int:
        return len(self._waiting)

    def send(self, role: Role, stamped: Stamped, producer: str, what: Given, timestamp_ms: int) -> None:
        """Takes a message that Kafka's producer has taken; counts it as failed when it cannot be written, or not yet.

        Args:
            role: its topic.
            stamped: what it was given.
            producer: by whom.
            what: value, key and partition.
            timestamp_ms: its create time.
        """
        value, key, partition = what
        largest = self._side.settings.message_max_bytes
        try:
            row = compose(role.topic, value, key, partition, None, timestamp_ms, stamped.headers, largest)
        except (KafkaException, TypeError, ValueError, OverflowError) as refusal:
            self._tally.settle("failed", role.topic, str(stamped.message_id), refusal)
            return
        message = Outgoing.of(row)
        headers = tuple(paired(message.headers) or ())
        copy = Copy(
            role.topic,
            stamped.message_id,
            producer,
            stamped.sequence,
            message.key,
            message.value,
            headers,
            timestamp_ms,
        )
        self._offer(role, copy, message.size)

    def _offer(self, role: Role, copy: Copy, size: int) -> None:
        settings = self._side.settings
        with self._lock:
            full = len(self._waiting) >= settings.queue_max_messages or self._bytes + size > settings.queue_max_bytes
            if not full:
                role.copies.append(None)
                self._waiting.append(Waiting(role, copy, size, monotonic() + settings.message_timeout_s))
                self._bytes += size
            first = len(self._waiting) == 1
        if full:
            self._tally.settle("failed", copy.topic, str(copy.message_id), KafkaError(Local.QUEUE_FULL))
        elif first:
            self.wake()

    def give_up(self) -> None:
        """Ends the part, and counts what it has not written."""
        self.close()
        self._abandon(len(self._waiting), Local.PURGE_INFLIGHT, Local.PURGE_QUEUE)

    def round(self) -> float | None:
        """Writes what waits, at most a batch of it."""
        self._expire()
        batch = self._batch()
        if not batch:
            return None
        try:
            refused = self._put(batch)
        except psycopg.Error as failure:
            error = from_postgres(failure)
            if error.retriable():
                raise
            self._settle(len(batch), "failed", error)
        else:
            self._settle(len(batch), "ok", None, refused)
        return 0.0

    def failed(self, error: Exception) -> None:  # noqa: ARG002  the register tells that Postgres is away
        """Takes note that the secondary is away; the batch is tried again until its time is over."""
        self._tally.trouble()

    def _batch(self) -> list[Copy]:
        """The oldest copies; they stay in the queue until it is known what became of them."""
        with self._lock:
            oldest = list(islice(self._waiting, _MOST_MESSAGES))
        batch: list[Copy] = []
        size = 0
        for one in oldest:
            size += one.size
            if batch and size > _MOST_BYTES:
                break
            batch.append(one.copy)
        return batch

    def _put(self, batch: list[Copy]) -> set[str]:
        with self._side.pool.connection(patience=self._side.settings.statement_timeout_s) as conn:
            doubtful, self._doubtful = self._doubtful, max(self._doubtful, len(batch))
            try:
                return dual_inbox.put(conn, self._texts, batch)
            except psycopg.Error as failure:
                if failure.sqlstate and not failure.sqlstate.startswith(_VAGUE_CLASSES):
                    self._doubtful = doubtful
                raise

    def _expire(self) -> None:
        now = monotonic()
        with self._lock:
            old = next((place for place, one in enumerate(self._waiting) if one.expires > now), len(self._waiting))
        self._abandon(old, Local.MSG_TIMED_OUT, Local.MSG_TIMED_OUT)

    def _abandon(self, count: int, sent: Local, queued: Local) -> None:
        """Gives up the oldest copies; what was sent without an answer may be there."""
        doubtful = min(count, self._doubtful)
        self._settle(doubtful, "unknown", KafkaError(sent))
        self._settle(count - doubtful, "failed", KafkaError(queued))

    def _settle(
        self, count: int, outcome: Outcome, error: KafkaError | None, refused: set[str] | frozenset[str] = frozenset()
    ) -> None:
        """Takes the oldest copies out of the queue, and counts them."""
        with self._lock:
            gone = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            self._bytes -= sum(one.size for one in gone)
            self._doubtful = max(0, self._doubtful - count)
        for role, copy, _, _ in gone:
            role.copies.pop()
            if copy.topic in refused:
                unknown = KafkaError(Broker.UNKNOWN_TOPIC_OR_PART, f"Kafka does not number topic {copy.topic!r} here")
                self._tally.settle("failed", copy.topic, str(copy.message_id), unknown)
            else:
                self._tally.settle(outcome, copy.topic, str(copy.message_id), error)
