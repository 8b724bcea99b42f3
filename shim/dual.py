"""``DualProducer``: writes each message on both sides, and answers for one of them.

It takes a producer that leads to Kafka and one that leads to Postgres, whichever is the primary at first. Which one is,
says each topic's row in Postgres from then on, so the sides change without a deploy. Everything that the caller is told
is the primary's; what becomes of the copies on the other side is counted.

While Kafka is the primary, copies go to ``dual_inbox``, where the drain meets them; they are no jobs. While Postgres
is, they go to Kafka, each one when Postgres has reported that it is stored.
"""

import weakref
from _thread import start_new_thread
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import inf
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

import psycopg

from shim.errors import KafkaError, KafkaException
from shim.message import Headers
from shim.mirroring import refusals
from shim.mirroring.inbox_writer import Given, InboxWriter
from shim.mirroring.kafka_copies import KafkaCopies
from shim.mirroring.outcomes import OnSecondary, Outcomes, Tally
from shim.mirroring.register import Register
from shim.mirroring.role import Role
from shim.mirroring.side import queue_side
from shim.mirroring.stamp import Stamped
from shim.producing.outgoing import ANY_PARTITION, OnDelivery, batch_fields
from shim.protocol.codes import Local
from shim.store.topics import Sequencer

__all__ = ["DualProducer", "Outcomes"]

_CLOSED = "Producer has been closed"
_NO_TRANSACTIONS = "a DualProducer has no transactions: they cannot span both sides"
_SLICE_SECONDS = 0.05
_POLICIES = ("count", "raise")


class DualProducer:
    """A producer, safe to use from several threads, that writes on both sides.

    The first message of a topic waits until the topic's row has been read. The two producers are the DualProducer's
    own from now on: whoever else produces with them, or closes them, disturbs its counts.

    Args:
        primary: a ``confluent_kafka.Producer`` or a ``shim.Producer``; answers for topics that have no row.
        secondary: the other one.
        on_delivery: for messages that have no callback of their own. One in the configuration of a Kafka producer
            cannot be seen here, and is not called.
        on_secondary: is told what became of each copy: ``ok``, ``failed`` or ``unknown``, the topic, the message's id,
            and the error or None. It is called in a thread of the DualProducer's, and must be quick.
        on_secondary_failure: ``count`` goes on whatever happens to the secondary; ``raise`` refuses messages, with a
            retriable error, while the secondary has taken none for ``patience_s`` seconds.
        patience_s: that many seconds.
        mode_timeout_s: how long the first message of a topic waits at most for the topic's row.
        close_s: how long ``close()`` waits at most for the secondary.

    Raises:
        ValueError: not exactly one of the two leads to Postgres, or there is no such policy.
    """

    def __init__(
        self,
        primary: Any,
        secondary: Any,
        *,
        on_delivery: OnDelivery | None = None,
        on_secondary: OnSecondary | None = None,
        on_secondary_failure: Literal["count", "raise"] = "count",
        patience_s: float = 30.0,
        mode_timeout_s: float = 5.0,
        close_s: float = 5.0,
    ) -> None:
        if on_secondary_failure not in _POLICIES:
            raise ValueError(f"on_secondary_failure is one of {_POLICIES}, not {on_secondary_failure!r}")
        sides = queue_side(primary), queue_side(secondary)
        side = sides[0] or sides[1]
        if side is None or all(sides):
            raise ValueError("exactly one of the two must be a shim.Producer: it leads to the topics' modes")
        self._queue, self._kafka = (primary, secondary) if sides[0] else (secondary, primary)
        self._side = side
        self._on_delivery = on_delivery
        self._patience_s = patience_s if on_secondary_failure == "raise" else inf
        self._mode_timeout_s = mode_timeout_s
        self._close_s = close_s
        self._refusal = refusals.exception_type()
        self._tally = Tally(on_secondary)
        self._first: Sequencer = "postgres" if sides[0] else "kafka"
        self._register = register = Register(side, self._first)
        self._inbox = inbox = InboxWriter(side, self._tally)
        self._copies = KafkaCopies(self._kafka, self._tally)
        self._closed = False
        self._finalizer = weakref.finalize(self, start_new_thread, _end_forgotten, (register, inbox))
        self._finalizer.atexit = False

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = ANY_PARTITION,
        callback: OnDelivery | None = None,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: Headers | None = None,
    ) -> None:
        """Queues a message at the primary, and its copy for the secondary; its headers get id, producer and sequence.

        Args:
            topic: where it goes.
            value: as the primary takes it.
            key: as the primary takes it.
            partition: -1 leaves it to the primary's partitioner.
            callback: is called with an error or None, and the message, by poll or flush: the primary's report.
            on_delivery: the same; ``callback`` counts more.
            timestamp: the create time in milliseconds since 1970; 0 for now.
            headers: a dict, or a list of pairs.

        Raises:
            BufferError: the primary's queue is full; call ``poll()``, and try again.
            KafkaException: what the primary raises; or a retriable one, ``_RETRY``: the topic is fenced, its mode
                was never read, or the policy says so. Call ``poll()``, and try again. It is caught as an exception of
                either client.
            RuntimeError: the producer has been closed.
        """
        if self._closed:
            raise RuntimeError(_CLOSED)
        role = self._register.role(topic, self._mode_timeout_s)
        if role is None:
            raise self._refusal(refusals.unread(topic))
        if self._patience_s < inf and self._tally.troubled(self._patience_s):
            raise self._refusal(refusals.behind(self._patience_s))
        tell = on_delivery if callback is None else callback
        with role.lock:
            if role.fenced:
                raise self._refusal(refusals.fenced(topic, role.epoch))
            stamped = self._register.stamp.stamp(headers)
            write = self._to_kafka if role.primary == "kafka" else self._to_postgres
            write(role, stamped, (value, key, partition), timestamp or stamped.timestamp_ms, tell)

    def produce_batch(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        partition: int = ANY_PARTITION,
        callback: OnDelivery | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> int:
        """Queues messages as ``produce()`` does, and returns how many; one that is not queued is given ``_error``.

        Raises:
            TypeError, ValueError: an argument or a field is of another kind; nothing is queued then.
            RuntimeError: the producer has been closed.
        """
        if not isinstance(messages, list):
            raise TypeError("messages must be a list")
        common = {"partition": partition, "on_delivery": on_delivery if callback is None else callback}
        fields = [batch_fields(message, place) for place, message in enumerate(messages)]
        if any({"delay", "deduplication_key"} & one.keys() for one in fields):
            raise ValueError("Kafka has no delay and no deduplication_key, so a DualProducer has none")
        queued = 0
        for message, own in zip(messages, fields, strict=True):
            try:
                self.produce(topic, **{**common, **own})
            except BufferError:
                message["_error"] = KafkaError(Local.QUEUE_FULL)
            except KafkaException as refusal:
                message["_error"] = refusal.args[0]
            else:
                queued += 1
        return queued

    def poll(self, timeout: float = -1) -> int:
        """Serves callbacks of the primary; returns how much was served, or 0 when nothing came in time."""
        primaries = self._primaries()
        self._serve_others(primaries)
        if len(primaries) == 1:
            return int(primaries[0].poll(timeout))
        deadline = _deadline(timeout)
        while True:
            served = sum(int(primary.poll(0)) for primary in primaries[1:])
            left = 0.0 if served else max(0.0, deadline - monotonic())
            served += int(primaries[0].poll(min(left, _SLICE_SECONDS)))
            if served or not left > 0:
                return served

    def flush(self, timeout: float = -1) -> int:
        """Waits until the primary has reported on every message; returns how many it has not.

        The secondary is not waited for; `close` does, for a while.
        """
        primaries = self._primaries()
        deadline = _deadline(timeout)
        left = sum(int(primary.flush(_rest(deadline))) for primary in primaries)
        self._serve_others(primaries)
        return left

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Gives up the primary's messages; their reports say so. Copies that are on their way stay on it."""
        for primary in self._primaries():
            primary.purge(in_queue, in_flight, blocking)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Returns the cluster and its topics as the first primary sees them."""
        primary = self._open(self._first)
        return primary.list_topics(topic, timeout) if topic is not None else primary.list_topics(timeout=timeout)

    def outcomes(self) -> Outcomes:
        """Returns what has become of the copies so far; reports from a Kafka secondary are served by ``poll()``."""
        return self._tally.counts(sum(len(role.copies) for role in self._register.roles.copy().values()))

    @property
    def name(self) -> str:
        """What stands in the header ``dual.producer`` of each message; another name in each process."""
        return self._register.stamp.producer

    @property
    def modes_age_s(self) -> float | None:
        """For how many seconds the topics' modes have not been read; None before the first time, and 1 as a rule."""
        return self._register.age_s

    def init_transactions(self, *_: Any) -> None:
        """Raises KafkaException: no transaction spans both sides."""
        self._refuse_transactions()

    begin_transaction = commit_transaction = abort_transaction = send_offsets_to_transaction = init_transactions

    def close(self) -> bool:
        """Flushes the primary, however long that takes, and the secondary for a while; then closes both."""
        if self._closed:
            return True
        self.flush(-1)
        self._closed = True
        self._finalizer.detach()
        deadline = monotonic() + self._close_s
        self._flush_copies(deadline)
        self._inbox.give_up()
        with suppress(psycopg.Error):  # the registration lapses
            self._register.leave()
        self._kafka.purge()
        self._kafka.flush(_rest(deadline))
        for producer in (self._kafka, self._queue):
            getattr(producer, "close", producer.flush)()
        return True

    def __len__(self) -> int:
        return 0 if self._closed else sum(len(primary) for primary in self._primaries())

    def __bool__(self) -> Literal[True]:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _to_kafka(self, role: Role, stamped: Stamped, what: Given, timestamp_ms: int, tell: OnDelivery | None) -> None:
        done = partial(self._reported, role.pending["kafka"], tell or self._on_delivery)
        self._queue_at(self._kafka, role, stamped, what, timestamp_ms, done)
        self._inbox.send(role, stamped, self.name, what, timestamp_ms)

    def _to_postgres(
        self, role: Role, stamped: Stamped, what: Given, timestamp_ms: int, tell: OnDelivery | None
    ) -> None:
        tell = tell or self._on_delivery or self._side.settings.on_delivery
        done = partial(self._stored, role, str(stamped.message_id), timestamp_ms, tell)
        self._queue_at(self._queue, role, stamped, what, timestamp_ms, done)

    @staticmethod
    def _queue_at(primary: Any, role: Role, stamped: Stamped, what: Given, timestamp_ms: int, done: OnDelivery) -> None:
        """Queues a message at the primary; until that has reported on it, a fence is not acknowledged."""
        pending = role.pending[role.primary]
        pending.append(None)
        try:
            primary.produce(role.topic, *what, on_delivery=done, timestamp=timestamp_ms, headers=stamped.headers)
        except BaseException:
            pending.pop()
            raise

    @staticmethod
    def _reported(pending: deque[None], tell: OnDelivery | None, error: KafkaError | None, message: Any) -> None:
        """Is told what became of a message in Kafka, the primary."""
        pending.pop()
        if tell is not None:
            tell(error, message)

    def _stored(
        self,
        role: Role,
        message_id: str,
        timestamp_ms: int,
        tell: OnDelivery | None,
        error: KafkaError | None,
        message: Any,
    ) -> None:
        """Is told what became of a message in Postgres, the primary; only what is there is copied to Kafka."""
        if error is None:
            self._copies.send(role, message_id, timestamp_ms, message)
        self._reported(role.pending["postgres"], tell, error, message)

    def _primaries(self) -> Sequence[Any]:
        """The producers that are some topic's primary, or owe reports from when they were."""
        if self._closed:
            raise RuntimeError(_CLOSED)
        sides: set[Sequencer] = set().union(*(role.primaries for role in self._register.roles.copy().values()))
        return [self._of(side) for side in sorted(sides or {self._first})]

    def _serve_others(self, primaries: Sequence[Any]) -> None:
        for producer in (self._kafka, self._queue):
            if producer not in primaries:
                producer.poll(0)

    def _flush_copies(self, deadline: float) -> None:
        while any(role.copies for role in self._register.roles.copy().values()) and monotonic() < deadline:
            self._kafka.poll(min(_SLICE_SECONDS, _rest(deadline)))

    def _of(self, side: str) -> Any:
        return self._kafka if side == "kafka" else self._queue

    def _open(self, side: str) -> Any:
        if self._closed:
            raise RuntimeError(_CLOSED)
        return self._of(side)

    def _refuse_transactions(self) -> NoReturn:
        if self._closed:
            raise RuntimeError(_CLOSED)
        raise self._refusal(KafkaError(Local.NOT_CONFIGURED, _NO_TRANSACTIONS))


def _deadline(seconds: float) -> float:
    return inf if seconds < 0 else monotonic() + seconds


def _rest(deadline: float) -> float:
    return -1.0 if deadline == inf else max(0.0, deadline - monotonic())


def _end_forgotten(register: Register, inbox: InboxWriter) -> None:
    """Ends what a producer that was collected has left behind; in a thread that holds no lock."""
    for part in (register, inbox):
        Thread(target=part.close, name="shim-end", daemon=True).start()
