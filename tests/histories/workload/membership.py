"""Members of a group: one that commits in one of many ways, and one whose effects happen with their offsets."""

import time
from random import Random
from threading import Event
from typing import Any

import psycopg

from tests.histories.journal import Journal
from tests.histories.operation import Facts, Log, Position, Record, Send
from tests.histories.workload.consuming import Consuming
from tests.histories.workload.plan import Plan
from tests.histories.workload.transaction import Transaction
from tests.histories.workload.values import Values, encoded

_BATCH = 50
_POLL_SECONDS = 0.3
_CONNECT_SECONDS = 5
_DRAIN_SECONDS = 90.0
_LABOUR_SECONDS = 0.2
_TOO_SLOW = 0.02
_WAYS = ("sync", "async", "mixed", "stored", "auto", "message")


class Membership:
    """A member that reads the first topic, and commits.

    Args:
        plan: what it was told.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._dice: Random = plan.dice
        self._way = "sync" if plan.until_end else self._dice.choice(_WAYS)
        self._journal: Journal = plan.journal()
        self._logs: list[Log] = [(plan.topics[0], partition) for partition in range(plan.partitions)]
        self._consuming = Consuming(plan, self._journal, self._settings())

    def run(self) -> None:
        """Works until it is killed, leaves, or has reached the end if it was told to.

        Raises:
            TimeoutError: it did not reach the end.
        """
        self._subscribe()
        if self._plan.until_end:
            self._drain()
        else:
            while self._step() and not self._fidget():
                pass
        self._consuming.close()

    def _drain(self) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._consuming.records or not self._at_end():
            if not self._step() or time.monotonic() > deadline:
                raise TimeoutError(f"{self._plan.group} did not reach the end")

    def _step(self) -> bool:
        records = self._consuming.read(self._dice.randint(1, _BATCH), _POLL_SECONDS)
        return not records or self.work()

    def work(self) -> bool:
        """Commits, or not yet; False if this life is to end."""
        where = self._consuming.where()
        self._labour()
        if self._way == "auto":
            self._consuming.store(where)
        elif self._plan.until_end or self._dice.random() < 0.5:
            self._commit(where)
        return True

    def _labour(self) -> None:
        """Takes its time between what it read and its commit; now and then so long that others take over and commit."""
        if not self._plan.until_end:
            slow = self._dice.random() < _TOO_SLOW
            Event().wait(2 * self._plan.session_ms / 1000 if slow else self._dice.uniform(0, _LABOUR_SECONDS))

    def _commit(self, where: tuple[Position, ...]) -> None:
        way = self._dice.choice(("sync", "async")) if self._way == "mixed" else self._way
        if way == "sync":
            self._consuming.commit(where, offsets=self._consuming.spelled(where))
        elif way == "async":
            self._consuming.commit_later(where)
        elif way == "stored":
            self._consuming.commit(where)
        else:
            self._consuming.commit_behind_last()

    def _fidget(self) -> bool:
        """Asks where the group stands, or subscribes anew; tells whether it wants to leave."""
        chance = self._dice.random()
        if chance < 0.1:
            self._consuming.committed(self._logs)
        elif chance < 0.11:
            self._consuming.consumer.unsubscribe()
            self._consuming.read(_BATCH, _POLL_SECONDS)
            self._subscribe()
        return chance > 0.99

    def _subscribe(self) -> None:
        callbacks = {"on_assign": self._assigned, "on_revoke": self._revoked, "on_lost": self._lost}
        self._consuming.consumer.subscribe([self._plan.topics[0]], **callbacks)

    def _assigned(self, _consumer: Any, partitions: list[Any]) -> None:
        self._consuming.noted("assign", partitions)

    def _revoked(self, _consumer: Any, partitions: list[Any]) -> None:
        where = self._consuming.where([(one.topic, one.partition) for one in partitions])
        if where and self._commits_when_revoked and self._dice.random() < 0.7:
            self._consuming.commit(where, offsets=self._consuming.spelled(where))
        self._consuming.noted("revoke", partitions)

    @property
    def _commits_when_revoked(self) -> bool:
        return self._way != "auto"

    def _lost(self, _consumer: Any, partitions: list[Any]) -> None:
        self._consuming.noted("lost", partitions)

    def _at_end(self) -> bool:
        ends, standing = self._consuming.ends(self._logs), self._consuming.committed(self._logs)
        if ends is None or standing is None:
            return False
        return all(standing[log] >= end for log, end in ends.items() if end)

    def _settings(self) -> dict[str, Any]:
        plan, auto = self._plan, self._way == "auto"
        part = plan.process.partition(".")[0]
        static = {"group_instance_id": part} if self._dice.random() < 0.3 and not plan.until_end else {}
        return plan.settings(
            **static,
            group_id=plan.group,
            session_timeout_ms=plan.session_ms,
            max_poll_interval_ms=plan.session_ms + 500,
            socket_timeout_ms=self._dice.choice((1_000, 10_000)),
            heartbeat_interval_ms=plan.session_ms // 3,
            partition_assignment_strategy=plan.strategy,
            auto_offset_reset="earliest",
            enable_auto_commit=auto,
            auto_commit_interval_ms=200,
            enable_auto_offset_store=self._way == "stored",
        )


class Relaying(Membership):
    """A member whose effect is a copy in the second topic, written in one transaction with the offset.

    Args:
        plan: what it was told.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._values = Values(plan.process)
        self._producer = plan.api.Producer(plan.settings())
        self._connection: psycopg.Connection[Any] | None = None

    def work(self) -> bool:
        """Copies records; when that fails this life ends, since its position is behind what was not done."""
        records, connection = self._consuming.records, self._connected()
        if connection is None:
            return False
        where = tuple(Position(*log, self._consuming.positions[log]) for log in sorted({one.log for one in records}))
        copies = [self._values.next() for _ in records]
        sends = tuple(Send(copy, self._plan.topics[1]) for copy in copies)
        facts = Facts(sends=sends, records=records, positions=where, group=self._plan.group)
        with Transaction(self._journal, connection, facts, self._plan.api.KafkaException) as transaction:
            self._consuming.consumer.commit_in(connection, offsets=self._consuming.spelled(where))
            self._labour()
            for record, copy in zip(records, copies, strict=True):
                self._copy(connection, record, copy)
            if self._dice.random() < 0.02 and not self._plan.until_end:
                transaction.roll_back()
        return transaction.committed

    @property
    def _commits_when_revoked(self) -> bool:
        return False

    def _copy(self, connection: psycopg.Connection[Any], record: Record, copy: str) -> None:
        self._producer.produce_in(connection, self._plan.topics[1], encoded(copy), partition=record.partition)

    def _connected(self) -> psycopg.Connection[Any] | None:
        if self._connection is None:
            try:
                self._connection = psycopg.connect(self._plan.servers, connect_timeout=_CONNECT_SECONDS)
            except psycopg.OperationalError:
                return None
        return self._connection
