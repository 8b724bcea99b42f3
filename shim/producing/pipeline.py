"""A producer's way from its queue to its reports: outbox, packer, sender, inbox.

It knows nothing of the producer, which may therefore be collected while messages are under way; they are lost then, as
the original loses them, and the log says so.
"""

import atexit
import os
import weakref
from collections.abc import Collection, Mapping
from math import inf
from time import monotonic

from shim import environment
from shim.client.inbox import Inbox
from shim.client.notices import Notices
from shim.config.settings import Settings, Severity
from shim.errors import KafkaError
from shim.producing.delivery import Reporter
from shim.producing.outbox import Limits, Outbox
from shim.producing.packing import Packing
from shim.producing.routes import Plan, Routes
from shim.producing.sender import Demands, Packer, Sender
from shim.producing.statistics import ProducerStatistics
from shim.producing.unique_sender import UniqueSender
from shim.protocol.codes import Local
from shim.store import unique
from shim.store.meter import meter
from shim.store.notify import announce
from shim.store.pool import pool_for
from shim.store.statements import Schemas

_TICK_SECONDS = 0.25
# librdkafka counts batch.size for each partition; its default would have a backlog committed in rather small pieces.
_BATCHES = 4


class Pipeline:
    """Everything of a producer but its API.

    Args:
        settings: the producer's.

    Attributes:
        outbox: the messages.
        routes: what is known of their topics.
        schemas: where the queue's tables are.
        texts: the statements of `shim.store.unique`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.schemas = Schemas({"queue": settings.schema})
        self.texts = unique.load(self.schemas)
        named = settings.client_id if "client.id" in settings.given else None
        self.pool = pool_for(environment.dsn(settings), size=settings.pool_size, application_name=named)
        self._inbox = Inbox()
        self._notices = Notices(settings, self._inbox)
        self.routes = Routes(self.texts, _plan(settings))
        self.outbox = Outbox(_limits(settings))
        self._reporter = Reporter(
            self.outbox, self._inbox, settings.on_delivery, only_errors=settings.delivery_report_only_error
        )
        patience_s = settings.statement_timeout_s
        ways = (self.pool, self.texts, self.routes, self.outbox, self._reporter, patience_s)
        packing = Packing(*ways)
        demands = Demands(settings.acks, settings.retries, patience_s)
        rest = (self.routes, self.outbox, self._reporter, self._notices, demands)
        self._sender = Sender(self.pool, self.texts, packing, *rest)
        self._unique_sender = UniqueSender(self.pool, self.texts, Packing(*ways, careful=True), *rest)
        self._packer = Packer(self.outbox, packing, self._sender.offer, self._unique_sender.offer, self._notices)
        self.outbox.on_due = self._packer.wake
        self._sender.on_room = self._packer.wake
        if settings.notify != "off":
            self._sender.on_stored = self._unique_sender.on_stored = self._announce
        self._started = monotonic()
        self._statistics_due = self._started + (settings.statistics_interval_s or inf)
        self._tick_due = 0.0
        _alive.add(self)
        meter.attend(self)

    def renew(self) -> None:
        """Begins anew in a forked child, empty; what the parent queued stays with the parent."""
        left = len(self.outbox)
        for part in (self._inbox, self.outbox, self._reporter, self._packer, self._sender, self._unique_sender):
            part.renew()
        if left:
            self._notices.log(Severity.INFO, "FORK", f"{left} messages stay with the process that produced them")

    def __len__(self) -> int:
        # In this order: what is just being reported is in neither of the two.
        queued, under_way, served = len(self.outbox), self._reporter.under_way, len(self._inbox)
        return queued + served or under_way

    def gauges(self) -> Mapping[str, float]:
        """Returns how many messages are queued, or reported and not yet served."""
        return {"producer_queue_messages": len(self)}

    def poll(self, seconds: float) -> int:
        """Serves what waits for the application, or the first that comes; returns how much that was."""
        deadline = _deadline(seconds)
        while True:
            self._tick()
            served = self._inbox.serve()
            left = deadline - monotonic()
            if served or not left > 0:
                return served
            self._inbox.wait(min(left, _TICK_SECONDS))

    def flush(self, seconds: float) -> int:
        """Serves until nothing is left, or the time is over; returns how much is left."""
        deadline = _deadline(seconds)
        self.outbox.hurry(1)
        try:
            while True:
                self._tick()
                self._inbox.serve()
                left = deadline - monotonic()
                if not self or not left > 0:
                    return len(self)
                self._inbox.wait(min(left, _TICK_SECONDS))
        finally:
            self.outbox.hurry(-1)

    def make_room(self) -> None:
        """Serves what comes, or waits a moment, without any lingering."""
        self.outbox.hurry(1)
        try:
            self.poll(_TICK_SECONDS)
        finally:
            self.outbox.hurry(-1)

    def purge(self, *, queued: bool, sent: bool) -> None:
        """Gives up messages: those that wait, and those that may have reached Postgres."""
        waiting, under_way = self.outbox.purge(queued=queued, sent=sent)
        self._reporter.failed(waiting, KafkaError(Local.PURGE_QUEUE))
        self._reporter.failed(under_way, KafkaError(Local.PURGE_INFLIGHT))

    def end(self) -> None:
        """Stops the threads after what they are at, and says what is lost by that."""
        _alive.discard(self)
        self._packer.close()
        self._sender.close()
        self._unique_sender.close()
        messages, size = len(self.outbox), self.outbox.size
        if messages:
            lost = f"{_counted(messages, 'message')} ({_counted(size, 'byte')})"
            self._settings.log(
                Severity.WARNING,
                "TERMINATE",
                f"Producer terminating with {lost} still in queue or transit: "
                "use flush() to wait for outstanding message delivery",
            )

    def _tick(self) -> None:
        now = monotonic()
        if now >= self._tick_due:
            self._tick_due = now + _TICK_SECONDS
            self._reporter.expire()
            if self.outbox:
                self._packer.wake()  # Ctrl-C may have kept a message from doing so
        if now >= self._statistics_due:
            self._statistics_due = now + self._settings.statistics_interval_s
            self._notices.statistics(self._statistics().document())

    def _statistics(self) -> ProducerStatistics:
        settings = self._settings
        return ProducerStatistics(
            name=settings.name,
            client_id=settings.client_id,
            started=self._started,
            events=len(self._inbox),
            messages=len(self),
            bytes=self.outbox.size,
            most_messages=settings.queue_max_messages,
            most_bytes=settings.queue_max_bytes,
            sent_messages=self._sender.sent_messages + self._unique_sender.sent_messages,
            sent_bytes=self._sender.sent_bytes + self._unique_sender.sent_bytes,
            topics=self.routes.names,
        )

    def _announce(self, topics: Collection[str]) -> None:
        announce(self.pool, topics, schema=self._settings.schema)


_alive: weakref.WeakSet[Pipeline] = weakref.WeakSet()


def _renew_all() -> None:
    for pipeline in list(_alive):
        pipeline.renew()


def _end_all() -> None:
    for pipeline in list(_alive):
        pipeline.end()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_all)


def _deadline(seconds: float) -> float:
    return inf if seconds < 0 else monotonic() + seconds


def _plan(settings: Settings) -> Plan:
    chosen = settings.partitioner if "partitioner" in settings.given else None
    return Plan(settings.topic_partitions, chosen, settings.sticky_linger_s)


def _limits(settings: Settings) -> Limits:
    return Limits(
        queue_messages=settings.queue_max_messages,
        queue_bytes=settings.queue_max_bytes,
        batch_messages=settings.batch_num_messages,
        batch_bytes=settings.batch_size,
        parcel_bytes=settings.batch_size * (1 if "batch.size" in settings.given else _BATCHES),
        linger_s=settings.linger_s,
        timeout_s=settings.message_timeout_s,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
