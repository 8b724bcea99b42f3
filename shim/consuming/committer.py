"""Commits in the background: those that nobody waits for, and those that are due by the clock."""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple, Protocol

import psycopg

from shim.errors import KafkaError, from_postgres
from shim.protocol.codes import Broker
from shim.store import offsets
from shim.store.fetch import TP
from shim.store.meter import meter
from shim.store.offsets import Commit, CommitResult, Connection, Texts
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.settle import settler_for
from shim.store.statements import Schemas
from shim.topic_partition import TopicPartition

_CONNECTION_SECONDS = 5.0
_REFUSED = {
    "unknown-member": Broker.UNKNOWN_MEMBER_ID,
    "illegal-generation": Broker.ILLEGAL_GENERATION,
    "fenced-instance": Broker.FENCED_INSTANCE_ID,
    "unknown-topic": Broker.UNKNOWN_TOPIC_OR_PART,
    "metadata-too-large": Broker.OFFSET_METADATA_TOO_LARGE,
}


class Fence(NamedTuple):
    """By what right a consumer commits.

    Attributes:
        group_id: the group.
        member_id: as whom; None where it is no member.
        instance_id: ``group.instance.id`` of a static member.
        epochs: under which it holds its partitions.
    """

    group_id: str
    member_id: str | None = None
    instance_id: str | None = None
    epochs: Mapping[TP, int] = {}


class Outcome(NamedTuple):
    """What became of a commit: the first error, and every partition with its own."""

    error: KafkaError | None
    partitions: list[TopicPartition]


@dataclass(frozen=True, slots=True)
class Order:
    """A commit that is under way.

    Attributes:
        fence: by what right.
        partitions: what.
        expires: until when to try, by ``time.monotonic``.
        done: told what became of it, in the committer's thread; must not raise.
    """

    fence: Fence
    partitions: list[TopicPartition]
    expires: float
    done: Callable[[Outcome], None]


class AutoCommitting(Protocol):
    """A consumer that has something to commit now and then. It is held weakly."""

    @property
    def interval_s(self) -> float:
        """Seconds from one commit to the next."""

    def due(self) -> Order | None:
        """Returns what there is to commit; called in the committer's thread."""


def commit(conn: Connection, texts: Texts, fence: Fence, partitions: list[TopicPartition]) -> Outcome:
    """Commits what has an offset, in the caller's transaction if there is one.

    Raises:
        psycopg.Error: what Postgres refused.
    """
    began = monotonic()
    commits = [_commit(one, fence) for one in partitions if one.offset >= 0]
    instance_id = fence.instance_id
    results = offsets.commit(conn, texts, fence.group_id, fence.member_id, commits, instance_id=instance_id)
    meter.time("commit", monotonic() - began)
    return _outcome(partitions, {tp: _error(result) for tp, result in results.items()})


def failed(partitions: list[TopicPartition], error: KafkaError) -> Outcome:
    """Returns the outcome of a commit that failed as a whole."""
    return _outcome(partitions, {(one.topic, one.partition): error for one in partitions if one.offset >= 0})


def committer_for(pool: Pool, schemas: Schemas) -> "Committer":
    """Returns this process's committer of a queue; the first call makes it."""
    return pool.part(Committer, lambda: Committer(pool, schemas), schemas.names["queue"])


class Committer(Part):
    """Commits in the order in which it was asked, each one until it is done or its time is over.

    Args:
        pool: where its connections come from; it holds one only while it commits.
        schemas: which queue.
    """

    def __init__(self, pool: Pool, schemas: Schemas) -> None:
        self._pool = pool
        self._texts = offsets.load(schemas)
        self._settler = settler_for(pool, schemas)
        super().__init__("shim-committer")

    def renew(self) -> None:
        """Begins anew in this process, with nothing to commit."""
        self._lock = threading.Lock()
        self._orders: deque[Order] = deque()
        self._automatic: weakref.WeakKeyDictionary[AutoCommitting, float] = weakref.WeakKeyDictionary()
        super().renew()

    def submit(self, order: Order) -> None:
        """Commits this as soon as what was asked for before is done."""
        self.start()
        self._orders.append(order)
        self.wake()

    def attend(self, client: AutoCommitting) -> None:
        """Asks a client for what it has to commit, whenever its interval is over: with others of the same interval."""
        self.start()
        with self._lock:
            others = [due for other, due in self._automatic.items() if other.interval_s == client.interval_s]
            self._automatic.setdefault(client, min(others, default=monotonic() + client.interval_s))
        self.wake()

    def dismiss(self, client: AutoCommitting) -> None:
        """Asks a client no more; one that is not known is no error."""
        with self._lock:
            self._automatic.pop(client, None)

    def round(self) -> float | None:
        """Commits all there is; returns the seconds until a client is to be asked again."""
        pause = self._ask_clients()
        while self._orders:
            self._carry_out(self._orders[0])
            self._orders.popleft()
        return pause

    def failed(self, error: Exception) -> None:
        """Gives up on orders whose time is over; the others are tried again."""
        reason = from_postgres(error)
        for order in [order for order in self._orders if order.expires <= monotonic()]:
            self._orders.remove(order)
            order.done(failed(order.partitions, reason))

    def _ask_clients(self) -> float | None:
        now = monotonic()
        with self._lock:
            clients = list(self._automatic.items())
        for client, due in clients:
            if due <= now:
                self._ask(client, now)  # the same now for all, so that they stay together
        with self._lock:
            return min((due - now for due in self._automatic.values()), default=None)

    def _ask(self, client: AutoCommitting, now: float) -> None:
        with self._lock:
            if client not in self._automatic:
                return
            self._automatic[client] = now + client.interval_s
        order = client.due()
        if order is not None:
            self._orders.append(order)

    def _carry_out(self, order: Order) -> None:
        try:
            with self._pool.connection(_CONNECTION_SECONDS, patience=_CONNECTION_SECONDS) as conn:
                outcome = commit(conn, self._texts, order.fence, order.partitions)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as failure:
            outcome = failed(order.partitions, from_postgres(failure))
        order.done(outcome)
        self._settler.committed(order.fence.group_id)


def _commit(one: TopicPartition, fence: Fence) -> Commit:
    epoch = fence.epochs.get((one.topic, one.partition))
    return Commit(one.topic, one.partition, one.offset, one.leader_epoch, one.metadata or "", epoch)


def _error(result: CommitResult) -> KafkaError | None:
    return None if result == "ok" else KafkaError(_REFUSED[result])


def _outcome(partitions: list[TopicPartition], errors: Mapping[TP, KafkaError | None]) -> Outcome:
    answers = [
        TopicPartition.answered(
            one.topic,
            one.partition,
            one.offset,
            one.metadata,
            -1 if one.leader_epoch is None else one.leader_epoch,
            errors.get((one.topic, one.partition)),
        )
        for one in partitions
    ]
    return Outcome(next((one.error for one in answers if one.error is not None), None), answers)
