"""What happens inside a share consumer's poll: acknowledgements, claims, callbacks, and the wait for more.

All of it runs in the application's thread. Nothing holds a connection while the application's own code runs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from math import inf
from time import monotonic
from typing import Any

import psycopg

from shim.client.bell import Bell
from shim.client.database import Database, DatabaseError
from shim.client.inbox import Inbox, Notice
from shim.client.notices import Notices
from shim.config.settings import Settings, Severity
from shim.errors import KafkaError, KafkaException, from_postgres
from shim.message import Message
from shim.protocol.codes import Broker, Local
from shim.sharing.claimer import Claimer, Delivery, OrderedError
from shim.sharing.flight import RELEASED_AT_ONCE, Flight, Place, Settling
from shim.sharing.leases import renewer_for
from shim.store.claims import OwnedError
from shim.store.meter import meter
from shim.store.part import backoff
from shim.store.retention import sweeper_for
from shim.store.watcher import Snapshot
from shim.topic_partition import TopicPartition

Offsets = dict[TopicPartition, set[int]]
Results = dict[TopicPartition, KafkaException | None]
CommitCallback = Callable[[Offsets, KafkaException | None], object]

_LONGEST_WAIT = 5.0
_CLOSE_SECONDS = 3.0
_PASSING = frozenset({Local.TRANSPORT, Local.RESOLVE, Local.TIMED_OUT, Local.SSL, Local.AUTHENTICATION, Local.RETRY})


class Polling:
    """Everything of a share consumer but its API.

    Args:
        settings: the consumer's.

    Attributes:
        flight: what the application was handed and has not settled.
        topics: what it subscribes to, in its order.
        on_commit: the acknowledgement callback; None for none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bell = Bell()
        self._inbox = Inbox()
        self._notices = Notices(settings, self._inbox)
        self._database = Database(settings)
        self._claimer = Claimer(settings, self._database)
        self.flight = Flight()
        self.topics: tuple[str, ...] = ()
        self.on_commit: CommitCallback | None = None
        self._pending: deque[Settling] = deque()
        self._taken: dict[Place, int] = {}
        self._seen = Snapshot()
        self._started = self._forked = False
        self._empty_handed = 0
        self._retry_at = 0.0
        self._failures = 0
        meter.attend(self)

    def gauges(self) -> Mapping[str, float]:
        """Returns how many jobs were handed out and are not settled."""
        return {"share_jobs_in_flight": len(self.flight)}

    def renew(self) -> None:
        """Begins anew in a forked child: what is in flight is its parent's."""
        self._inbox.renew()
        self._bell.renew()
        self._claimer.renew()
        self.flight.clear()
        self._pending.clear()
        self._seen = Snapshot()
        self._started, self._forked = False, True

    def subscribe(self, topics: Iterable[str]) -> None:
        """Claims jobs of these topics from now on, in place of those of before."""
        self.topics = tuple(topics)
        if self._started:
            self._watch()

    def messages(self, most: int, seconds: float) -> list[Message]:
        """Settles what was acknowledged, and returns what was claimed: as soon as there is anything, or in time.

        Raises:
            KafkaException: the database refused, or another group owns a topic.
        """
        end = inf if seconds < 0 else monotonic() + seconds
        self._pending += self.flight.take()
        self._start()
        while True:
            self._inbox.serve()
            messages = self._claimed(most) if self._retry_at <= monotonic() else []
            self._tell()
            if messages:
                return messages
            left = end - monotonic()
            if left <= 0:
                return []
            self._wait(left)

    def wait_until_due(self, seconds: float) -> None:
        """Waits until there is something to take, or the time is over."""
        end = inf if seconds < 0 else monotonic() + seconds
        self._start()
        while (left := end - monotonic()) > 0:
            self._inbox.serve()
            self._seen = self._database.watcher.snapshot()
            if not self._seen.claimable.isdisjoint(self.topics):
                return
            self._bell.answer()
            self._database.ringer.wait(self._bell, frozenset(self.topics), self._seen, min(left, _LONGEST_WAIT))

    def take_in(self, caller: psycopg.Connection[Any], most: int, limit_s: float) -> list[Message]:
        """Takes jobs in the application's own transaction, which completes them when it commits.

        Raises:
            KafkaException: another group owns a topic, a topic keeps the order of its keys, or the database is away.
            psycopg.Error: what Postgres refused in the application's transaction.
        """
        self._start()
        try:
            jobs = self._claimer.take_in(caller, frozenset(self.topics), most, limit_s)
        except (OwnedError, OrderedError) as refused:
            raise KafkaException(KafkaError(Local.CONFLICT, f"{Local.CONFLICT.text}: {refused}")) from refused
        except DatabaseError as trouble:
            raise KafkaException(from_postgres(trouble.failure)) from trouble.failure
        messages = [Message.from_delivery(job.record, job.deliveries + 1) for job in jobs]
        self._taken = {job.record[:3]: job.id for job in jobs}
        return messages

    def count_failure(self, places: Iterable[Place], error: str) -> int:
        """Counts deliveries of the last transaction, which was rolled back; returns how many.

        Raises:
            KafkaException: the database refused, or is away.
        """
        failed = {place: self._taken[place] for place in places if place in self._taken}
        try:
            return self._claimer.count_failure(list(failed.values()), sorted({place[0] for place in failed}), error)
        except DatabaseError as trouble:
            raise KafkaException(from_postgres(trouble.failure)) from trouble.failure

    def commit(self, seconds: float) -> Results:
        """Settles what was acknowledged, and returns what became of it by partition.

        Raises:
            KafkaException: the database refused, or was away for all that time.
        """
        end = inf if seconds < 0 else monotonic() + seconds
        self._pending += self.flight.take()
        while self._pending:
            self._settle()
            left = end - monotonic()
            if self._pending and left <= 0:
                raise KafkaException(KafkaError(Local.TIMED_OUT))
            if self._pending:
                self._bell.wait(min(left, max(self._retry_at - monotonic(), 0.0)))
        return self._tell()

    def commit_soon(self) -> None:
        """Settles what was acknowledged; what cannot be settled now is settled by a later call."""
        self._pending += self.flight.take()
        if self._retry_at <= monotonic():
            self._settle()
        self._tell()

    def close(self) -> None:
        """Settles what was acknowledged and gives the rest back at once, within seconds, whatever is down."""
        end = monotonic() + _CLOSE_SECONDS
        self._pending += self.flight.take()
        self.flight.say_of_all(RELEASED_AT_ONCE)
        self._pending += self.flight.take()
        with ExitStack() as last_first:
            last_first.callback(self._tell)
            if self._started:
                last_first.callback(self._database.watcher.forget, self)
            while self._pending and monotonic() < end:
                self._settle()
                if self._pending:
                    self._bell.wait(max(self._retry_at - monotonic(), 0.0))

    def _start(self) -> None:
        """Starts what runs beside all clients, once in each process."""
        if self._started:
            return
        self._started = True
        settings, database = self._settings, self._database
        if self._forked:
            settings.log(Severity.WARNING, "FORK", "the process was forked: this consumer goes on as another one")
        renewer_for(database.pool, database.schemas).attend(self._claimer.leases)
        if settings.retention:
            sweeper_for(database.pool, database.schemas).start()
        if settings.notify != "off":
            database.watcher.listen(settings.notify_dsn)
        self._watch()

    def _watch(self) -> None:
        self._database.watcher.watch(self.topics, self, claims=True)
        self._bell.ring()

    def _claimed(self, most: int) -> list[Message]:
        """Claims once."""
        seen = self._database.watcher.snapshot()
        if seen is not self._seen:
            self._seen, self._empty_handed = seen, 0
        self._bell.answer()
        try:
            delivery = self._claimer.claim(frozenset(self.topics), most, self._pending)
        except OwnedError as owned:
            raise KafkaException(KafkaError(Local.CONFLICT, f"{Local.CONFLICT.text}: {owned}")) from owned
        except DatabaseError as trouble:
            self._troubled(trouble)
            return []
        self._well()
        return self._handed_out(delivery)

    def _handed_out(self, delivery: Delivery | None) -> list[Message]:
        if delivery is None:
            self._empty_handed += 1
            return []
        self._empty_handed = 0
        self.flight.add(delivery.lease, delivery.jobs)
        renewer_for(self._database.pool, self._database.schemas).wake()
        return [Message.from_delivery(job.record, job.deliveries + 1) for job in delivery.jobs]

    def _settle(self) -> None:
        try:
            self._claimer.settle(self._pending)
        except DatabaseError as trouble:
            self._troubled(trouble)
        else:
            self._well()

    def _troubled(self, trouble: DatabaseError) -> None:
        """Tells, and lets the next try wait; what no waiting mends is raised.

        Raises:
            KafkaException: the database refused.
        """
        self._failures += 1
        self._retry_at = monotonic() + backoff(self._failures)
        error = from_postgres(trouble.failure)
        self._notices.trouble(error)
        if error.code() not in _PASSING:
            raise KafkaException(error)

    def _well(self) -> None:
        if self._failures:
            self._failures, self._retry_at = 0, 0.0
            self._notices.well()

    def _wait(self, left: float) -> None:
        """Waits for something to claim. Signals interrupt it."""
        retry = self._retry_at - monotonic()
        # What is due may be locked by somebody's transaction: then there is nothing new to wait for.
        there = not self._seen.claimable.isdisjoint(self.topics)
        pause = retry if retry > 0 else backoff(self._empty_handed) if there else _LONGEST_WAIT
        self._database.ringer.wait(self._bell, frozenset(self.topics), self._seen, min(left, pause))

    def _tell(self) -> Results:
        """Calls back for whatever was settled since, and returns what became of it by partition."""
        results: Results = {}
        while self._claimer.outcomes:
            outcome = self._claimer.outcomes.popleft()
            failed = KafkaException(KafkaError(Broker.INVALID_RECORD_STATE))
            for places, exception in ((outcome.settled, None), (outcome.lost, failed)):
                offsets = _by_partition(places)
                results |= dict.fromkeys(offsets, exception)
                if offsets and self.on_commit is not None:
                    self._inbox.post(Notice(partial(self.on_commit, offsets, exception)))
        self._inbox.serve()
        return results


def _by_partition(places: Iterable[Place]) -> Offsets:
    offsets: dict[tuple[str, int], set[int]] = {}
    for topic, partition, offset in places:
        offsets.setdefault((topic, partition), set()).add(offset)
    return {TopicPartition(topic, partition, 0): found for (topic, partition), found in offsets.items()}
