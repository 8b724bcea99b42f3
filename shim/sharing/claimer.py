"""A share consumer's dealings with the queue: it claims, settles and recovers, each in one short transaction."""

import os
import socket
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

import psycopg

from shim.client.database import Database
from shim.config.settings import Settings
from shim.sharing.flight import Place, Settling
from shim.sharing.leases import Lease, Leases
from shim.store import bounds, claims, settlements, topics, transactional
from shim.store.claims import NOTHING, Batch, Claimed, Done, Terms
from shim.store.hints import Hints
from shim.store.pool import Connection

_TERMS_SECONDS = 5.0
_RECOVERY_SECONDS = 1.0
_RECOVERED_AT_ONCE = 1000


class OrderedError(Exception):
    """The topic's keys are worked on one job at a time."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} keeps the order of its keys: work on it with leases")


class Delivery(NamedTuple):
    """What a claim brought.

    Attributes:
        lease: the claim's token.
        jobs: what was claimed, of one topic.
    """

    lease: int
    jobs: Sequence[Claimed]


class Outcome(NamedTuple):
    """What became of acknowledgements.

    Attributes:
        settled: where the records are that were settled as the application said.
        lost: where those are that somebody else was given, since the lease had run out.
    """

    settled: Sequence[Place]
    lost: Sequence[Place]


class Claimer:
    """Claims jobs for one share consumer, and settles them.

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
        self.renew()

    def renew(self) -> None:
        """Begins anew, as another worker that holds nothing. For the forked child."""
        name = self._settings.client_id or "shim"
        self._worker = f"{name}@{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.leases.renew()
        self.outcomes: deque[Outcome] = deque()
        self._terms: dict[str, Terms] = {}
        self._terms_until = self._recovery_at = 0.0
        self._turns = 0
        self._unsure = False

    def claim(self, names: frozenset[str], limit: int, pending: deque[Settling]) -> Delivery | None:
        """Settles what is pending and claims what is due, of one topic after another.

        Args:
            names: the topics.
            limit: how many jobs at most.
            pending: emptied from the front as it is settled; what is left after an error is to be tried again.

        Returns:
            the jobs of one topic; None when nothing is due.

        Raises:
            OwnedError: another group owns a topic.
            DatabaseError: Postgres is away, or refused.
        """
        with self._database.connection() as conn:
            self._look_up(conn, names)
            self._recover(conn)
            while pending and not (len(pending) == 1 and pending[0].plain):
                self._settle_first(conn, pending)
            for terms in self._in_turn():
                batch = self._claim(conn, terms, limit, pending)
                if batch.jobs:
                    return Delivery(batch.lease, batch.jobs)
            while pending:  # no topic's jobs may run here, so no claim took it along
                self._settle_first(conn, pending)
        return None

    def take_in(
        self, caller: psycopg.Connection[Any], names: frozenset[str], most: int, limit_s: float
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

    def settle(self, pending: deque[Settling]) -> None:
        """Settles what is pending, emptying it from the front.

        Raises:
            DatabaseError: Postgres is away, or refused; what is left is to be tried again.
        """
        if pending:
            with self._database.connection() as conn:
                while pending:
                    self._settle_first(conn, pending)

    def _look_up(self, conn: Connection, names: frozenset[str]) -> None:
        if monotonic() >= self._terms_until or not names.issuperset(self._terms):
            self._terms = claims.own(conn, self._texts, self._settings.group_id, sorted(names))
            self._terms_until = monotonic() + _TERMS_SECONDS
        if self._unsure:
            known = [lease.token for lease in self.leases.all()]
            with self._still(conn, names):
                settlements.return_unknown(conn, self._texts, self._worker, known, sorted(names))
            self._unsure = False

    def _in_turn(self) -> Iterator[Terms]:
        """The topics whose jobs may run, beginning with another one each time."""
        open_ones = [terms for _, terms in sorted(self._terms.items()) if terms.gate == "open"]
        for step in range(len(open_ones)):
            yield open_ones[(self._turns + step) % len(open_ones)]
        self._turns += 1

    def _claim(self, conn: Connection, terms: Terms, limit: int, pending: deque[Settling]) -> Batch:
        began, hints = monotonic(), self._hints
        done = Done(pending[0].lease, pending[0].accepted) if pending else NOTHING
        look, after = hints.begin_claim(terms.topic, began)
        self._unsure = True
        if pending:
            pending[0].retried = True
        batch = claims.claim(conn, self._texts, terms, self._worker, limit, after, done)
        self._unsure = False
        hints.end_claim(terms.topic, look, batch.after if batch.jobs else None, monotonic())
        if batch.jobs:
            self._begin(batch, terms, began)
        if pending:
            first = pending.popleft()
            all_of_it = batch.completed == len(first.accepted)
            held = first.accepted if all_of_it else settlements.settled_by(conn, self._texts, *done)
            self._ended(first, held)
        return batch

    @property
    def _hints(self) -> Hints:
        """What all consumers of this process share."""
        return self._database.watcher.hints

    def _begin(self, batch: Batch, terms: Terms, began: float) -> None:
        until = began + self._settings.job_timeout_s
        ids = frozenset(job.id for job in batch.jobs)
        self.leases.begin(Lease(batch.lease, ids, terms.lease_ms / 1000, began, until))

    def _settle_first(self, conn: Connection, pending: deque[Settling]) -> None:
        first = pending[0]
        again, first.retried = first.retried, True
        names = {topic for topic, _, _ in first.places.values()}
        held = set[int]()
        with self._still(conn, names):
            if first.accepted:
                held |= settlements.complete(conn, self._texts, first.lease, first.accepted)
            if first.released:
                held |= settlements.release(conn, self._texts, first.lease, first.released).keys()
            if first.rejected:
                held |= settlements.reject(conn, self._texts, first.lease, first.rejected)
            if again:
                held |= settlements.settled_by(conn, self._texts, first.lease, list(first.places)).keys()
        pending.popleft()
        self._ended(first, held)

    @contextmanager
    def _still(self, conn: Connection, names: Iterable[str]) -> Iterator[None]:
        """A bounded transaction in which gates stay as they are."""
        with conn.transaction():
            bounds.bound(conn, self._texts)
            topics.share_gate(conn, self._texts, sorted(names))
            yield

    def _ended(self, settling: Settling, held: Iterable[int]) -> None:
        self.leases.end(settling.lease, settling.places)
        kept = set(held)
        settled = [place for job_id, place in settling.places.items() if job_id in kept]
        lost = [place for job_id, place in settling.places.items() if job_id not in kept]
        self.outcomes.append(Outcome(settled, lost))

    def _recover(self, conn: Connection) -> None:
        """Counts what others left behind; however long the backlog, but not all the time."""
        if monotonic() >= self._recovery_at:
            self._recovery_at = monotonic() + _RECOVERY_SECONDS
            for terms in self._terms.values():
                look = self._hints.begin_recovery(terms.topic, monotonic())
                ended = sum(claims.recover(conn, self._texts, terms, _RECOVERED_AT_ONCE, look.window_ms))
                self._hints.end_recovery(terms.topic, look, monotonic(), more=ended >= _RECOVERED_AT_ONCE)
