"""What happens inside a share consumer's poll: acknowledgements, claims, callbacks, and the wait for more.

All of it runs in the application's thread. Nothing holds a connection while the application's own code runs.
"""

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
from shim.sharing.claimer import Claimer, OrderedError
from shim.sharing.flight import RELEASED_AT_ONCE, Delivery, Flight
from shim.store.claims import Claimed, OwnedError, Place
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
        self._taken: dict[Place, int] = {}
        self._seen = Snapshot()
        self._started = self._forked = False
        self._names: frozenset[str] = frozenset()
        self._empty_handed = 0
        self._retry_at = self._again_at = 0.0
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
        self._seen = Snapshot()
        self._empty_handed = 0
        self._started, self._forked = False, True

    def subscribe(self, topics: Iterable[str]) -> None:
        """Claims jobs of these topics from now on, in place of those of before."""
        self.topics = tuple(topics)
        self._names = frozenset(self.topics)
        self._empty_handed = 0
        if self._started:
            self._watch()

    def messages(self, most: int, seconds: float) -> list[Message]:
        """Settles what was acknowledged, and returns what was claimed: as soon as there is anything, or in time.

        Raises:
            KafkaException: the database refused, or another group owns a topic.
        """
        end = inf if seconds < 0 else monotonic() + seconds
        self._claimer.gather(self.flight.take())
        self._start()
        while True:
            self._inbox.serve()
            if self._retry_at <= monotonic() and not self._claimer.has(self._names):
                self._claim(most)
            self._tell()  # before anything is handed out, for it is lost with what a callback raises
            delivery = self._claimer.hand_out(self._names, most)
            if delivery is not None:
                return self._handed_out(delivery)
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
            if not self._seen.claimable.isdisjoint(self._names):
                return
            self._bell.answer()
            self._database.ringer.wait(self._bell, self._names, self._seen, min(left, _LONGEST_WAIT))

    def take_in(self, caller: psycopg.Connection[Any], most: int, limit_s: float) -> list[Message]:
        """Takes jobs in the application's own transaction, which completes them when it commits.

        Raises:
            KafkaException: another group owns a topic, a topic keeps the order of its keys, or the database is away.
            psycopg.Error: what Postgres refused in the application's transaction.
        """
        self._start()
        try:
            jobs = self._claimer.take_in(caller, self._names, most, limit_s)
        except (OwnedError, OrderedError) as refused:
            raise KafkaException(KafkaError(Local.CONFLICT, f"{Local.CONFLICT.text}: {refused}")) from refused
        except DatabaseError as trouble:
            raise KafkaException(from_postgres(trouble.failure)) from trouble.failure
        messages = [Message.from_delivery(job.record, job.deliveries + 1) for job in jobs]
        self._taken = {job.place: job.id for job in jobs}
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
        self._claimer.gather(self.flight.take())
        while self._claimer.owes():
            self._settle()
            left = end - monotonic()
            if self._claimer.owes() and left <= 0:
                raise KafkaException(KafkaError(Local.TIMED_OUT))
            if self._claimer.owes():
                self._bell.wait(min(left, max(self._retry_at - monotonic(), 0.0)))
        return self._tell(wanted=True)

    def commit_soon(self) -> None:
        """Settles what was acknowledged; what cannot be settled now is settled by a later call."""
        self._claimer.gather(self.flight.take())
        if self._retry_at <= monotonic():
            self._settle()
        self._tell()

    def close(self) -> None:
        """Settles what was acknowledged and gives the rest back at once, within seconds, whatever is down."""
        end = monotonic() + _CLOSE_SECONDS
        self._claimer.gather(self.flight.take())
        self.flight.say_of_all(RELEASED_AT_ONCE)
        self._claimer.gather(self.flight.take())
        self._claimer.leave()
        with ExitStack() as last_first:
            last_first.callback(self._tell)
            if self._started:
                last_first.callback(self._database.watcher.forget, self)
            while self._claimer.owes() and monotonic() < end:
                self._settle()
                if self._claimer.owes():
                    self._bell.wait(max(self._retry_at - monotonic(), 0.0))

    def _start(self) -> None:
        """Starts what runs beside all clients, once in each process."""
        if self._started:
            return
        self._started = True
        settings, database = self._settings, self._database
        if self._forked:
            settings.log(Severity.WARNING, "FORK", "the process was forked: this consumer goes on as another one")
        self._claimer.keeper.attend(self._claimer)
        if settings.retention:
            sweeper_for(database.pool, database.schemas).start()
        if settings.notify != "off":
            database.watcher.listen(settings.notify_dsn)
        self._watch()

    def _watch(self) -> None:
        self._database.watcher.watch(self.topics, self, claims=True)
        self._bell.ring()

    def _claim(self, most: int) -> None:
        """Claims once, where that may bring anything; settles in any case."""
        seen = self._database.watcher.snapshot()
        if seen is not self._seen:
            self._seen, self._again_at = seen, 0.0
        self._bell.answer()
        if not self._may_find():
            if self._claimer.owes():
                self._settle()
            return
        expired = seen.expired if self._names <= seen.topics else self._names
        try:
            found = self._claimer.claim(self._names, most, expired)
        except OwnedError as owned:
            raise KafkaException(KafkaError(Local.CONFLICT, f"{Local.CONFLICT.text}: {owned}")) from owned
        except DatabaseError as trouble:
            self._troubled(trouble)
            return
        self._well()
        self._empty_handed = 0 if found else self._empty_handed + 1
        self._again_at = monotonic() + backoff(self._empty_handed)

    def _may_find(self) -> bool:
        """Whether a claim may bring anything: once nothing was found, the watcher is asked, which looks for all."""
        seen, names = self._seen, self._names
        if not self._empty_handed or self._failures or seen.error is not None:
            return True
        there = not (seen.claimable.isdisjoint(names) and seen.expired.isdisjoint(names))
        return there and self._again_at <= monotonic()

    def _handed_out(self, delivery: Delivery) -> list[Message]:
        messages = [Message.from_delivery(job.record, job.deliveries + 1) for job in delivery.jobs]
        self.flight.add(delivery)
        return messages

    def _settle(self) -> None:
        try:
            self._claimer.settle()
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
        there = not (self._seen.claimable.isdisjoint(self._names) and self._seen.expired.isdisjoint(self._names))
        pause = retry if retry > 0 else max(self._again_at - monotonic(), 0.0) if there else _LONGEST_WAIT
        self._database.ringer.wait(self._bell, self._names, self._seen, min(left, pause))

    def _tell(self, *, wanted: bool = False) -> Results:
        """Calls back for what was settled since, and returns what became of it by partition, where that is wanted."""
        results: Results = {}
        wanted = wanted or self.on_commit is not None
        while self._claimer.outcomes:
            outcome = self._claimer.outcomes.popleft()
            failed = KafkaException(KafkaError(Broker.INVALID_RECORD_STATE)) if outcome.lost else None
            for jobs, exception in ((outcome.settled, None), (outcome.lost, failed)):
                offsets = _by_partition(jobs) if wanted else {}
                results |= {partition: results.get(partition) or exception for partition in offsets}
                if offsets and self.on_commit is not None:
                    self._inbox.post(Notice(partial(self.on_commit, offsets, exception)))
        self._inbox.serve()
        return results


def _by_partition(jobs: Iterable[Claimed]) -> Offsets:
    offsets: dict[tuple[str, int], set[int]] = {}
    for job in jobs:
        topic, partition, offset = job.place
        offsets.setdefault((topic, partition), set()).add(offset)
    return {TopicPartition(topic, partition, 0): found for (topic, partition), found in offsets.items()}
