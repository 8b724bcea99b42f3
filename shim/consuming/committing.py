"""A consumer's commits: at once, in the background, by the clock, and in a transaction of the application's own."""

import threading
from collections.abc import Collection, Sequence
from math import inf
from time import monotonic
from typing import Any, NamedTuple

import psycopg
from psycopg import pq

from shim.client.bell import Bell
from shim.client.borrowed import begun
from shim.client.inbox import Inbox, Notice
from shim.client.notices import Notices
from shim.client.request import Deadline, ask, prefixed
from shim.config.settings import Settings, Severity
from shim.consuming.assigned import Assigned
from shim.consuming.committer import Fence, Order, Outcome, commit, failed
from shim.consuming.cursor import Cursor
from shim.consuming.database import Database
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Broker, Local
from shim.protocol.constants import OFFSET_INVALID
from shim.store import groups, isolation
from shim.store.fetch import TP
from shim.store.meter import meter
from shim.topic_partition import TopicPartition

Caller = psycopg.Connection[Any]

_OPEN = frozenset({pq.TransactionStatus.ACTIVE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR})
_OWN_TRANSACTION = (
    f"{Local.STATE.text}: the offset of {{}} [{{}}] was committed in a transaction of the application's own that has "
    "not ended"
)


class _Pending(NamedTuple):
    """A transaction of the application's that holds offsets."""

    conn: Caller
    partitions: frozenset[TP]

    @property
    def open(self) -> bool:
        """Whether it may be going on."""
        return not self.conn.closed and self.conn.info.transaction_status in _OPEN


class Commits:
    """Commits what one consumer has worked off.

    Args:
        settings: the consumer's.
        database: where offsets are.
        assigned: its partitions.
        inbox: where ``on_commit`` waits for the application.
        notices: is told of failures that no ``on_commit`` learns of.
        bell: rung when ``on_commit`` has something to learn.

    Attributes:
        fence: by what right it commits.
        fatal: why it may never commit again; None while it may.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        assigned: Assigned,
        inbox: Inbox,
        notices: Notices,
        bell: Bell,
    ) -> None:
        self._settings = settings
        self._database = database
        self._assigned = assigned
        self._inbox = inbox
        self._notices = notices
        self._bell = bell
        self.renew()

    def renew(self) -> None:
        """Begins anew, with nothing under way. For the forked child."""
        self.fence = Fence(self._settings.group_id)
        self.fatal: KafkaError | None = None
        self._under_way = 0
        self._lock = threading.Lock()  # taken bare: within a condition's own methods Ctrl-C can leave it held
        self._landed = threading.Condition(self._lock)
        self._pending: list[_Pending] = []
        self._waits_until = inf

    @property
    def interval_s(self) -> float:
        """Seconds from one commit by the clock to the next."""
        return self._settings.auto_commit_interval_s

    @property
    def under_way(self) -> int:
        """How many commits in the background are not done."""
        return self._under_way

    def stored(self) -> list[TopicPartition]:
        """Returns what is assigned, with the offsets that were stored since the last commit, OFFSET_INVALID else."""
        return [_stored(one, newer=True) for _, one in sorted(self._assigned.cursors.items())]

    def hurry(self, seconds: float) -> None:
        """Lets all that is to be waited for from now on take so long together, at most."""
        self._waits_until = monotonic() + seconds

    def stop(self, fatal: KafkaError) -> None:
        """Commits nothing any more."""
        self.fatal = fatal
        self._assigned.replace([])

    def now(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Commits, and returns what became of each partition.

        Raises:
            KafkaException: it did not, or not wholly.
        """
        deadline = Deadline(self._settings.statement_timeout_s)
        try:
            outcome = self._commit(partitions, deadline)
        except KafkaException as failure:
            raise prefixed(failure, "Commit failed") from failure.__cause__
        self._database.settler.committed(self.fence.group_id)
        _raise(outcome)
        return outcome.partitions

    def later(self, partitions: list[TopicPartition]) -> None:
        """Commits in the background; ``on_commit`` is told what became of it."""
        try:
            self._check(partitions)
        except KafkaException as refusal:
            self._tell(failed(partitions, refusal.args[0]), refusal.args[0])
        else:
            self._database.committer.submit(self._order(partitions))

    def due(self) -> Order | None:
        """Returns what there is to commit by the clock; called in another thread."""
        busy = self._busy()
        partitions = [one for one in self.stored() if (one.topic, one.partition) not in busy]
        if self.fatal is not None or not any(one.offset >= 0 for one in partitions):
            return None
        return self._order(partitions)

    def of_removed(self, cursors: Sequence[Cursor], seconds: float) -> None:
        """Commits what is stored in partitions that are no longer assigned; failures are told, never raised."""
        busy = self._busy()
        partitions = [_stored(one, newer=False) for one in cursors if one.tp not in busy]
        if self.fatal is not None or not any(one.offset >= 0 for one in partitions):
            return
        try:
            self._tell(self._commit(partitions, Deadline(self._patience(seconds))))
        except KafkaException as failure:
            self._tell(failed(partitions, failure.args[0]))

    def inside(self, connection: object, partitions: list[TopicPartition]) -> None:
        """Commits in a transaction of the application's own, which is to fail with it.

        Raises:
            KafkaException: it may not: another consumer holds the partition, there is nothing to commit, or there is
                no transaction.
            TypeError: there is no psycopg connection in what was given.
            psycopg.Error: what Postgres refused.
        """
        caller = begun(connection)
        self._check(partitions, own=caller)
        outcome = commit(caller, self._database.committing, self.fence, partitions)
        _raise(outcome)
        self._database.settler.committed(self.fence.group_id)  # a moment later, when the caller has committed, likely
        tps = frozenset((one.topic, one.partition) for one in partitions if one.offset >= 0)
        if self.fence.member_id is not None and not isolation.sees_the_present(caller, self._database.committing):
            self._confirm(self.fence.member_id, tps)
        self._pending = [*(one for one in self._pending if one.open), _Pending(caller, tps)]

    def _confirm(self, member_id: str, tps: frozenset[TP]) -> None:
        """Asks outside of the transaction whether the partitions are still held; they are locked, so they will be."""
        database, fence = self._database, self.fence
        try:
            held = ask(
                database.pool,
                Deadline(self._settings.statement_timeout_s),
                lambda conn: groups.read_assignment(conn, database.grouping, fence.group_id, member_id).held,
            )
        except KafkaException as failure:
            if not isinstance(failure.__cause__, groups.UnknownMemberError):
                raise
            raise prefixed(KafkaException(KafkaError(Broker.UNKNOWN_MEMBER_ID)), "Commit failed") from failure
        if any(held.get(tp) != fence.epochs[tp] for tp in tps & fence.epochs.keys()):
            raise prefixed(KafkaException(KafkaError(Broker.ILLEGAL_GENERATION)), "Commit failed")

    def finish(self, seconds: float) -> bool:
        """Waits for the commits in the background; returns whether they are done. Signals interrupt the wait."""
        with self._lock:
            return self._landed.wait_for(lambda: self._under_way == 0, self._patience(seconds))

    def _patience(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._waits_until - monotonic()))

    def _commit(self, partitions: list[TopicPartition], deadline: Deadline) -> Outcome:
        self._check(partitions)
        self.finish(deadline.remaining)  # those were asked for before
        outcome = self._write(partitions, deadline)
        self._note(outcome)
        return outcome

    def _write(self, partitions: list[TopicPartition], deadline: Deadline) -> Outcome:
        """Commits as often as the connection breaks: what has been committed already is so once more."""
        database, fence = self._database, self.fence
        while True:
            try:
                return ask(database.pool, deadline, lambda conn: commit(conn, database.committing, fence, partitions))
            except KafkaException as failure:
                if failure.args[0].code() != Local.TRANSPORT or not deadline.remaining:
                    raise

    def _check(self, partitions: Collection[TopicPartition], own: Caller | None = None) -> None:
        if self.fatal is not None:
            raise KafkaException(self.fatal)
        wanted = {(one.topic, one.partition) for one in partitions if one.offset >= 0}
        if not wanted:
            raise KafkaException(KafkaError(Local.NO_OFFSET))
        for tp in wanted & self._busy(own):
            raise KafkaException(KafkaError(Local.STATE, _OWN_TRANSACTION.format(*tp)))

    def _busy(self, own: Caller | None = None) -> set[TP]:
        """Partitions whose offsets a transaction of the application's holds: a commit would wait for it, for ever."""
        return {tp for one in self._pending if one.conn is not own and one.open for tp in one.partitions}

    def _order(self, partitions: list[TopicPartition]) -> Order:
        with self._lock:
            self._under_way += 1
        return Order(self.fence, partitions, monotonic() + self._settings.statement_timeout_s, self._land)

    def _land(self, outcome: Outcome) -> None:
        """Takes note of what became of an order, in the committer's thread."""
        self._note(outcome)
        self._tell(outcome)
        with self._lock:
            self._under_way -= 1
            self._landed.notify_all()

    def _note(self, outcome: Outcome) -> None:
        meter.count("consumer_commits", "ok" if outcome.error is None else outcome.error.name())
        for one in outcome.partitions:
            if one.error is None and one.offset >= 0:
                self._assigned.committed((one.topic, one.partition), one.offset)

    def _tell(self, outcome: Outcome, error: KafkaError | None = None) -> None:
        on_commit, error = self._settings.on_commit, error or outcome.error
        if on_commit is not None:
            self._inbox.post(Notice(lambda: on_commit(error, outcome.partitions)))
            self._bell.ring()
        elif error is not None and error.code() != Local.NO_OFFSET:
            self._notices.log(Severity.WARNING, "COMMITFAIL", f"Offset commit failed: {error.str()}")


def _raise(outcome: Outcome) -> None:
    if outcome.error is not None:
        raise prefixed(KafkaException(outcome.error), "Commit failed")


def _stored(cursor: Cursor, *, newer: bool) -> TopicPartition:
    """What a partition has to commit; ``newer``: only what goes beyond the last commit."""
    offset, metadata, epoch = cursor.beside or (cursor.stored, None, None)
    if offset == OFFSET_INVALID or (newer and offset <= cursor.committed):
        return TopicPartition(*cursor.tp)
    return TopicPartition(*cursor.tp, offset, metadata, -1 if epoch is None else epoch)
