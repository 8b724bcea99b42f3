"""What a client was told, decided: every property with its default, in the units that Python counts in. Pure."""

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Any, Generic, Protocol, Self, TypeVar

T = TypeVar("T")

COOPERATIVE = "cooperative-sticky"
STRATEGIES = ("range", "roundrobin", COOPERATIVE)
"""How partitions can be assigned; the first two revoke all of them for it, the last only those that move."""


class Severity(IntEnum):
    """Levels of syslog, as ``log_level`` counts them, and the level of Python's ``logging`` that each becomes."""

    logged: int

    def __new__(cls, level: int, logged: int) -> Self:  # noqa: D102  of what each member is made
        severity = int.__new__(cls, level)
        severity._value_ = level
        severity.logged = logged
        return severity

    ERROR = 3, logging.ERROR
    WARNING = 4, logging.WARNING
    NOTICE = 5, logging.INFO
    INFO = 6, logging.INFO
    DEBUG = 7, logging.DEBUG


class Logger(Protocol):
    """What a client logs to: one of Python's loggers, or anything with their ``log``."""

    def log(self, level: int, msg: str, *args: object) -> object:
        """Takes one line."""


class _Read(Generic[T]):
    """Reads one property from ``Settings.values``, in the unit that Python counts in."""

    def __init__(self, name: str, unit: Callable[[Any], T]) -> None:
        self._name = name
        self._unit = unit

    def __get__(self, settings: "Settings", owner: "type[Settings]") -> T:
        return self._unit(settings.values[self._name])


def _seconds(name: str) -> _Read[float]:
    return _Read(name, lambda milliseconds: float(milliseconds) / 1000)


def _whole(name: str) -> _Read[int]:
    return _Read(name, int)


def _limit(name: str) -> _Read[int]:
    return _Read(name, lambda limit: int(limit) or sys.maxsize)


def _bytes(name: str) -> _Read[int]:
    return _Read(name, lambda kilobytes: int(kilobytes) * 1024)


def _flag(name: str) -> _Read[bool]:
    return _Read(name, bool)


def _word(name: str) -> _Read[str]:
    return _Read(name, lambda word: str(word or ""))


def _text(name: str) -> _Read[str | None]:
    return _Read(name, lambda text: None if text is None else str(text))


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The decided configuration of one client.

    Attributes:
        name: what the client is called in logs and statistics, such as ``rdkafka#producer-1``.
        values: every property of librdkafka and of the shim by its canonical name, defaults included.
        callbacks: those that were given, by name: ``error_cb``, ``stats_cb``, ``throttle_cb``, ``on_delivery`` and
            ``on_commit``.
        given: the canonical names of the properties that the application set.
        ignored: what it set to no effect, as it spelt it; the client's one warning names them.
        logger: where lines go.
    """

    name: str
    values: Mapping[str, Any]
    callbacks: Mapping[str, Callable[..., Any]]
    given: frozenset[str]
    ignored: tuple[str, ...]
    logger: Logger

    def __repr__(self) -> str:
        return f"Settings({self.name!r})"

    def log(self, severity: Severity, facility: str, text: str) -> None:
        """Logs one line, unless ``log_level`` silences it; it must not hold a secret, a key or a value."""
        if severity <= self.log_level:
            self.logger.log(severity.logged, "%s [%s] %s", facility, self.name, text)

    # Where Postgres is.

    notify_dsn = _text("shim.notify.dsn")
    notify = _word("shim.notify")
    """``auto``, ``on`` or ``off``."""
    pool_size = _whole("shim.pool.size")
    statement_timeout_s = _seconds("socket.timeout.ms")
    retention = _flag("shim.retention")

    @property
    def dsn(self) -> str | None:
        """``shim.dsn``, or ``bootstrap.servers`` where that is a URL of Postgres; `shim.environment` knows the rest."""
        servers = self.values["metadata.broker.list"]
        dsn = self.values["shim.dsn"] or (servers if is_postgres_url(servers) else None)
        return None if dsn is None else str(dsn)

    @property
    def schema(self) -> str:
        """The schema of ``job_queue``."""
        return str(self.values["shim.schema"] or "public")

    # Every client.

    client_id = _word("client.id")
    message_max_bytes = _whole("message.max.bytes")
    allow_auto_create_topics = _flag("allow.auto.create.topics")
    statistics_interval_s = _seconds("statistics.interval.ms")

    @property
    def log_level(self) -> int:
        """The least severe level that is logged; ``debug`` opens all of them."""
        return Severity.DEBUG if self.values["debug"] else int(self.values["log_level"])

    # Producers.

    batch_num_messages = _whole("batch.num.messages")
    batch_size = _whole("batch.size")
    queue_max_messages = _limit("queue.buffering.max.messages")
    queue_max_bytes = _bytes("queue.buffering.max.kbytes")
    block_on_full = _flag("shim.block.on.full")
    retries = _whole("message.send.max.retries")
    acks = _whole("request.required.acks")
    """-1 for all, 1, or 0."""
    delivery_report_only_error = _flag("delivery.report.only.error")
    partitioner = _word("partitioner")
    topic_partitions = _whole("shim.topic.partitions")

    @property
    def message_timeout_s(self) -> float:
        """How long a message may wait for its delivery; infinite where the property is 0."""
        return int(self.values["message.timeout.ms"]) / 1000 or inf

    @property
    def linger_s(self) -> float:
        """How long a flush waits for more messages: less than they may wait for their delivery."""
        return min(float(self.values["queue.buffering.max.ms"]) / 1000, self.message_timeout_s)

    @property
    def sticky_linger_s(self) -> float:
        """How long messages without a key stay with one partition: twice the linger, where nothing else is said."""
        if "sticky.partitioning.linger.ms" in self.given:
            return int(self.values["sticky.partitioning.linger.ms"]) / 1000
        return 2 * self.linger_s

    # Consumers.

    group_id = _word("group.id")
    group_instance_id = _text("group.instance.id")
    auto_offset_reset = _word("auto.offset.reset")
    """``earliest``, ``latest`` or ``error``."""
    enable_auto_commit = _flag("enable.auto.commit")
    auto_commit_interval_s = _seconds("auto.commit.interval.ms")
    enable_auto_offset_store = _flag("enable.auto.offset.store")
    enable_partition_eof = _flag("enable.partition.eof")
    max_poll_records = _whole("max.poll.records")
    share_acknowledgement_mode = _word("share.acknowledgement.mode")
    """``implicit`` or ``explicit``."""
    job_timeout_s = _seconds("shim.job.timeout.ms")
    prefetch_s = _seconds("shim.prefetch.ms")
    max_poll_interval_s = _seconds("max.poll.interval.ms")
    session_timeout_s = _seconds("session.timeout.ms")
    heartbeat_interval_s = _seconds("heartbeat.interval.ms")
    queued_min_messages = _whole("queued.min.messages")
    queued_max_bytes = _bytes("queued.max.messages.kbytes")
    fetch_max_bytes = _whole("fetch.max.bytes")
    max_partition_fetch_bytes = _whole("fetch.message.max.bytes")

    @property
    def strategies(self) -> tuple[str, ...]:
        """How partitions are assigned, the preferred way first."""
        if self.values["group.protocol"] == "consumer":
            return (COOPERATIVE,)
        return strategies_of(self.values["partition.assignment.strategy"]) or STRATEGIES[:2]

    # Callbacks; all but the logger run in the application's thread, inside poll and its like.

    @property
    def error_cb(self) -> Callable[..., Any] | None:
        """Is called with a ``KafkaError`` that concerns the client as a whole."""
        return self.callbacks.get("error_cb")

    @property
    def stats_cb(self) -> Callable[..., Any] | None:
        """Is called with statistics as JSON."""
        return self.callbacks.get("stats_cb")

    @property
    def on_delivery(self) -> Callable[..., Any] | None:
        """Is called with an error or None, and the message, where ``produce`` names no other."""
        return self.callbacks.get("on_delivery")

    @property
    def on_commit(self) -> Callable[..., Any] | None:
        """Is called with an error or None, and the partitions, after a commit in the background."""
        return self.callbacks.get("on_commit")


def strategies_of(text: str | None) -> tuple[str, ...]:
    """Returns the names of ``partition.assignment.strategy``, each once."""
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def is_postgres_url(text: str | None) -> bool:
    """Whether ``bootstrap.servers`` names a database rather than brokers."""
    return bool(text) and str(text).startswith(("postgres://", "postgresql://"))
