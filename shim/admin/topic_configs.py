"""Configurations of topics: which entries mean something in Postgres, and what the others are."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shim.admin.background import unsupported
from shim.admin.configs import ConfigEntry, ConfigSource
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Broker
from shim.store.keep_times import FOR_EVER_MS, KeepTime, KeepTimes
from shim.store.partitioner import DEFAULT, NAMES
from shim.store.topics import WEEK_MS, TopicFacts

RETENTION = "retention.ms"
COMPLETED_RETENTION = "shim.completed.retention.ms"
FAILED_RETENTION = "shim.failed.retention.ms"
PARTITIONER = "shim.partitioner"

KEEP_TIMES: Mapping[str, KeepTime] = MappingProxyType(
    {
        RETENTION: "retention_ms",
        COMPLETED_RETENTION: "completed_retention_ms",
        FAILED_RETENTION: "failed_retention_ms",
    }
)
"""What can be changed at any time, and which column holds it."""

AS_THE_LOG = -2
"""A job's keep-time that is whatever ``retention.ms`` says; Kafka's own word for it in ``local.retention.ms``."""

FIXED = MappingProxyType({"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "retention.bytes": "-1"})
"""What cannot be otherwise here: asking for another value is refused."""

UNUSED = frozenset(
    {
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "delete.retention.ms",
        "file.delete.delay.ms",
        "flush.messages",
        "flush.ms",
        "follower.replication.throttled.replicas",
        "index.interval.bytes",
        "leader.replication.throttled.replicas",
        "local.retention.bytes",
        "local.retention.ms",
        "max.compaction.lag.ms",
        "max.message.bytes",
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
        "message.timestamp.difference.max.ms",
        "min.cleanable.dirty.ratio",
        "min.compaction.lag.ms",
        "min.insync.replicas",
        "preallocate",
        "remote.log.copy.disable",
        "remote.log.delete.on.disable",
        "remote.storage.enable",
        "segment.bytes",
        "segment.index.bytes",
        "segment.jitter.ms",
        "segment.ms",
        "unclean.leader.election.enable",
    }
)
"""How a broker is to store a topic. Postgres decides that by itself: taken with a new topic, and logged as unused."""

_LONG = re.compile(r"[+-]?\d{1,19}")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """What a new topic's configuration asks for.

    Attributes:
        keep_times: how long what it holds is kept, as far as the configuration says.
        partitioner: how keys find their partition.
        unused: the entries that have no effect here.
    """

    keep_times: Mapping[KeepTime, int | None]
    partitioner: str
    unused: tuple[str, ...]


def read_config(config: Mapping[str, object]) -> TopicConfig:
    """Returns what the configuration of a new topic asks for.

    Raises:
        KafkaException: ``INVALID_CONFIG``, or ``_UNSUPPORTED_FEATURE`` for what cannot be had here.
    """
    given = {str(name): str(value) for name, value in config.items()}
    check_names(given)
    for name, value in given.items():
        if FIXED.get(name, value) != value:
            raise KafkaException(unsupported(f"{name} is always {FIXED[name]}"))
    partitioner = given.get(PARTITIONER, DEFAULT)
    if partitioner not in NAMES:
        raise _invalid(PARTITIONER, partitioner, f"String must be one of: {', '.join(NAMES)}")
    return TopicConfig(
        keep_times={column: keep_time(name, given[name]) for name, column in KEEP_TIMES.items() if name in given},
        partitioner=partitioner,
        unused=tuple(sorted(given.keys() & UNUSED)),
    )


def keep_time(name: str, value: str) -> int | None:
    """Returns what is stored for the value of a keep-time.

    ``-1`` is for ever, and for jobs ``-2`` is as long as ``retention.ms`` says.
    """
    least = -1 if name == RETENTION else AS_THE_LOG
    if not _LONG.fullmatch(value) or abs(int(value)) > _LARGEST:
        raise _invalid(name, value, "Not a number of type LONG")
    if int(value) < least:
        raise _invalid(name, value, f"Value must be at least {least}")
    if int(value) == least:
        return None
    return FOR_EVER_MS if int(value) == -1 else int(value)


def default_keep_time(name: str) -> int | None:
    """Returns what is stored where nobody has decided."""
    return WEEK_MS if name == RETENTION else None


def check_names(names: Iterable[str]) -> None:
    """Raises KafkaException for a name that Kafka does not know either."""
    for name in names:
        if name not in UNUSED and name not in FIXED and name not in KEEP_TIMES and name != PARTITIONER:
            raise KafkaException(KafkaError(Broker.INVALID_CONFIG, f"Unknown topic config name: {name}"))


def describe_config(topic: TopicFacts, times: KeepTimes) -> dict[str, ConfigEntry]:
    """Returns the entries of a topic's configuration that mean something here."""
    entries = [
        _entry(RETENTION, _told(times.retention_ms, none=-1), str(WEEK_MS)),
        _entry(COMPLETED_RETENTION, _told(times.completed_retention_ms, none=AS_THE_LOG), str(AS_THE_LOG)),
        _entry(FAILED_RETENTION, _told(times.failed_retention_ms, none=AS_THE_LOG), str(AS_THE_LOG)),
        _entry(PARTITIONER, topic.partitioner, DEFAULT, read_only=True),
        *(_entry(name, value, value, read_only=True) for name, value in FIXED.items()),
    ]
    return {entry.name: entry for entry in entries}


def _told(stored: int | None, *, none: int) -> str:
    """What is told of a keep-time, by what is stored."""
    if stored is None:
        return str(none)
    return "-1" if stored == FOR_EVER_MS else str(stored)


def _entry(name: str, value: str, default: str, *, read_only: bool = False) -> ConfigEntry:
    """Sources are told by number, as the original does."""
    if value == default:
        return ConfigEntry(name, value, ConfigSource.DEFAULT_CONFIG.value, read_only, is_default=True)
    source = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    synonym = ConfigEntry(name, value, source, is_synonym=True)
    return ConfigEntry(name, value, source, read_only, synonyms={name: synonym})


def _invalid(name: str, value: str, why: str) -> KafkaException:
    return KafkaException(KafkaError(Broker.INVALID_CONFIG, f"Invalid value {value} for configuration {name}: {why}"))
