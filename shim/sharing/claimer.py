"""A share consumer's dealings with the queue: it claims, settles and recovers, each in one short transaction."""

import os
import socket
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Any, NamedTuple

import psycopg

from shim.client.database import Database, DatabaseError
from shim.config.settings import Settings
from shim.sharing.counting import count_settled
from shim.sharing.flight import Delivery, Settling
from shim.sharing.keeper import Keeper, keeper_for
from shim.sharing.leases import Lease, Leases
from shim.sharing.stock import Stock
from shim.store import bounds, claims, settlements, topics, transactional
from shim.store.claims import NOTHING, Batch, Claimed, Done, Terms
from shim.store.pool import Connection

_GATHER_SECONDS = 0.1
_ERRAND_PAUSE = 1.0
_RECOVERIES = 10
_RECOVERED_AT_ONCE = 1000


class OrderedError(Exception):
    """The topic's keys are worked on one job at a time."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} keeps the order of its keys: work on it with leases")


class Outcome(NamedTuple):
    """What became of acknowledgements.

    Attributes:
        settled: the jobs that were settled as the application said.
        lost: those that somebody else was given, since the lease had run out.
    """

    settled: Sequence[Claimed]
    lost: Sequence[Claimed]


class Claimer:
    """Claims jobs for one share consumer, and settles them.

    It is the application's thread that does so, within polls. In between the keeper settles what has waited for a poll
    long enough, and gives back what was claimed ahead and is not wanted soon.

    Args:
        settings: the consumer's.
        database: where the queue is.

    Attributes:
        leases: of what it holds.
        outcomes: of what was settled, for the consumer to tell.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        schemas = database.schemas
        self._texts = {**claims.load(schemas), **settlements.load(schemas), **transactional.load(schemas)}
        self.leases = Leases()
        self._stock = Stock(settings.prefetch_s)
        self.renew()

    def renew(self) -> None:
        """Begins anew, as another worker that holds nothing. For the forked child."""
        name = self._settings.client_id or "shim"
        self._worker = f"{name}@{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()  # of whoever settles or claims
        self._gathering = threading.Lock()  # of what is pending, for moments
        self.leases.renew()
        self._stock.renew()
        self.outcomes: deque[Outcome] = deque()
        self._pending: deque[Settling] = deque()
        self._gathered_at = self._errands_after = 0.0
        self._terms: dict[str, Terms] = {}
        self._terms_for: AbstractSet[str] = frozenset()
        self._terms_until = 0.0
        self._turns = 0
        self._unsure = False

    @property
    def keeper(self) -> Keeper:
        """What runs beside all claimers of this process."""
        return keeper_for(self._database.pool, self._database.schemas)

    def owes(self) -> bool:
        """Whether anything is to be settled or given back."""
        return bool(self._pending) or self._stock.leaving

    def gather(self, settlings: Iterable[Settling]) -> None:
        """Takes in what is to be settled: by the next claim, by `settle`, or by the keeper when neither comes soon."""
        for settling in settlings:
            with self._gathering:
                if not self._pending:
                    self._gathered_at = monotonic()
                last = self._pending[-1] if self._pending else None
                if last is not None and last.lease == settling.lease and not last.retried:
                    last.join(settling)
                else:
                    self._pending.append(settling)

    def has(self, names: AbstractSet[str]) -> bool:
        """Whether there are claimed jobs of these topics to hand out."""
        return self._stock.has(names)

    def hand_out(self, names: AbstractSet[str], most: int) -> Delivery | None:
        """Returns claimed jobs of these topics, if there are any; what was gathered and what is left wait a moment."""
        delivery = self._stock.hand_out(names, most)
        if delivery is not None:
            self.keeper.expect(self.errand_at)
        return delivery

    def claim(self, names: AbstractSet[str], most: int, expired: AbstractSet[str]) -> bool:
        """Settles what is pending and claims what is due, of one topic after another, for `hand_out`.

        Args:
            names: the topics.
            most: how many jobs are handed out at once; more may be claimed.
            expired: topics with jobs whose lease ran out: they are recovered, if nobody just did.

        Returns:
            whether there was anything to claim.

        Raises:
            OwnedError: another group owns a topic.
            DatabaseError: Postgres is away, or refused; what is pending stays so.
        """
        with self._lock, self._database.connection() as conn:
            self._give_back(conn)
            self._look_up(conn, names)
            self._recover(conn, expired)
            while self._pending and not (len(self._pending) == 1 and self._pending[0].plain):
                self._settle_first(conn)
            found = any(self._claim(conn, terms, self._stock.wanted(most)) for terms in self._in_turn())
            while self._pending:  # no topic's jobs may run here, so no claim took it along
                self._settle_first(conn)
        if found:
            self.keeper.expect(self.leases.due_at)
        return found

    def take_in(
        self, caller: psycopg.Connection[Any], names: AbstractSet[str], most: int, limit_s: float
    ) -> list[Claimed]:
        """Takes jobs in the application's own transaction, which completes them when it commits.

        Args:
            caller: the application's connection, in a transaction.
            names: the topics; the first that has something due.
            most: how many jobs at most.
            limit_s: how long the transaction may take.

        Raises:
            OwnedError: another group owns a topic.
            DatabaseError: Postgres is away, or refused.
            OrderedError: a topic's keys are worked on one job at a time, which transactions side by side do not keep.
            psycopg.Error: what Postgres refused in the application's transaction.
        """
        with self._database.connection() as conn:
            self._look_up(conn, names)
        ordered = next((terms.topic for terms in self._terms.values() if terms.key_order), None)
        if ordered is not None:
            raise OrderedError(ordered)
        transactional.limit(caller, self._texts, limit_s)
        for terms in self._in_turn():
            jobs = transactional.take_in(caller, self._texts, terms, self._worker, most)
            if jobs:
                return jobs
        return []

    def count_failure(self, ids: Sequence[int], names: Sequence[str], error: str) -> int:
        """Counts deliveries whose transaction was rolled back, and returns how many were still to be counted.

        Raises:
            DatabaseError: Postgres is away, or refused.
        """
        with self._database.connection() as conn:
            return transactional.count_failure(conn, self._texts, ids, names, error)

    def settle(self) -> None:
        """Settles what is pending.

        Raises:
            DatabaseError: Postgres is away, or refused; what is left is to be tried again.
        """
        if self.owes():
            with self._lock, self._database.connection() as conn:
                while self._pending:
                    self._settle_first(conn)
                if self._stock.leaving:
                    self._give_back(conn)

    def leave(self) -> None:
        """Hands out nothing more: what was claimed ahead is given back by `settle`."""
        self._stock.leave()

    @property
    def errand_at(self) -> float:
        """When the keeper is to look after what waits for the application."""
        gathered = self._gathered_at + _GATHER_SECONDS if self._pending else inf
        return max(min(gathered, self._stock.overdue_at), self._errands_after)

    def run_errands(self) -> None:
        """Settles what was gathered, and gives back what was claimed ahead, when their time has come.

        Not while the application's thread is at it. When Postgres is away that is for the application to learn.
        """
        if not self._lock.acquire(blocking=False):
            return
        now = monotonic()
        try:
            with self._database.connection(first=True) as conn:
                while self._pending and self._gathered_at + _GATHER_SECONDS <= now:
                    self._settle_first(conn)
                if self._stock.overdue_at <= now:
                    self._give_back(conn)
        except DatabaseError:
            self._errands_after = now + _ERRAND_PAUSE
        finally:
            self._lock.release()

    def _give_back(self, conn: Connection) -> None:
        """Frees what was claimed ahead and is not to be handed out."""
        left = self._stock.leave()
        if left is not None:
            with self._still(conn, {job.record.topic for job in left.jobs}):
                settlements.return_unseen(conn, self._texts, left.lease, [job.id for job in left.jobs])
            self.leases.end(left.lease, [job.id for job in left.jobs])
            self._stock.left()

    def _look_up(self, conn: Connection, names: AbstractSet[str]) -> None:
        if monotonic() >= self._terms_until or names != self._terms_for:
            self._terms = claims.own(conn, self._texts, self._settings.group_id, sorted(names))
            self._terms_for, self._terms_until = names, monotonic() + claims.TERMS_SECONDS
        if self._unsure:
            known = [lease.token for lease in self.leases.all()]
            with self._still(conn, names):
                settlements.return_unknown(conn, self._texts, self._worker, known, sorted(names))
            self._unsure = False

    def _in_turn(self) -> Iterator[Terms]:
        """The topics whose jobs may run, beginning with another one each time."""
        open_ones = [terms for _, terms in sorted(self._terms.items()) if terms.gate == "open"]
        first, self._turns = self._turns, self._turns + 1  # now, for whoever finds something asks for no more
        for step in range(len(open_ones)):
            yield open_ones[(first + step) % len(open_ones)]

    def _claim(self, conn: Connection, terms: Terms, limit: int) -> bool:
        """Fills the stock, and completes what is pending; False when there was nothing to claim."""
        began, hints = monotonic(), self._database.watcher.hints
        look, after = hints.begin_claim(terms.topic, began)
        first = self._pending[0] if self._pending else None
        done = NOTHING
        self._unsure = True
        if first is not None:
            first.retried = True
            done = Done(first.lease, first.accepted)
        batch = claims.claim(conn, self._texts, terms, self._worker, limit, after, done)
        hints.end_claim(terms.topic, look, batch.after if batch.jobs else None, monotonic())
        if batch.jobs:
            self._begin(batch, terms, began)
        self._unsure = False
        if first is not None:
            if batch.completed == len(first.accepted):
                self._ended(first, None)
            else:
                self._ended(first, settlements.settled_by(conn, self._texts, *done))
        return bool(batch.jobs)

    def _begin(self, batch: Batch, terms: Terms, began: float) -> None:
        until = began + self._settings.job_timeout_s
        ids = frozenset([job.id for job in batch.jobs])
        lease = Lease(batch.lease, ids, terms.lease_ms / 1000, began, until)
        self._stock.fill(lease, batch.jobs)
        self.leases.begin(lease)

    def _settle_first(self, conn: Connection) -> None:
        with self._gathering:
            first = self._pending[0]
            again, first.retried = first.retried, True
        held = set[int]()
        with self._still(conn, {job.record.topic for job in first.jobs}):
            if first.accepted:
                held |= settlements.complete(conn, self._texts, first.lease, first.accepted)
            if first.released:
                held |= settlements.release(conn, self._texts, first.lease, first.released).keys()
            if first.rejected:
                held |= settlements.reject(conn, self._texts, first.lease, first.rejected)
            if again:
                held |= settlements.settled_by(conn, self._texts, first.lease, first.ids).keys()
        self._ended(first, held)

    @contextmanager
    def _still(self, conn: Connection, names: Iterable[str]) -> Iterator[None]:
        """A bounded transaction in which gates stay as they are."""
        with conn.transaction():
            bounds.bound(conn, self._texts)
            topics.share_gate(conn, self._texts, sorted(names))
            yield

    def _ended(self, first: Settling, held: Iterable[int] | None) -> None:
        """Takes note of what became of the first that was pending; None when everything was still held."""
        self.leases.end(first.lease, first.ids)
        kept = None if held is None else set(held)
        count_settled(first, kept)
        self.outcomes.append(_outcome(first.jobs, kept))
        with self._gathering:
            self._pending.popleft()  # last: where nothing is pending, everything can be told
            self._gathered_at = monotonic()

    def _recover(self, conn: Connection, expired: AbstractSet[str]) -> None:
        """Counts what others left behind; however long the backlog, but not all the time."""
        names = sorted(expired & self._terms.keys())
        if names and self.keeper.may_recover():
            for name in names:
                self._recover_topic(conn, self._terms[name])

    def _recover_topic(self, conn: Connection, terms: Terms) -> None:
        hints = self._database.watcher.hints
        look = hints.begin_recovery(terms.topic, monotonic())
        rounds = (
            sum(claims.recover(conn, self._texts, terms, _RECOVERED_AT_ONCE, look.window_ms))
            for _ in range(_RECOVERIES)
        )
        more = all(recovered == _RECOVERED_AT_ONCE for recovered in rounds)
        hints.end_recovery(terms.topic, look, monotonic(), more=more)


def _outcome(jobs: Sequence[Claimed], kept: AbstractSet[int] | None) -> Outcome:
    if kept is None:
        return Outcome(jobs, ())
    return Outcome([job for job in jobs if job.id in kept], [job for job in jobs if job.id not in kept])
