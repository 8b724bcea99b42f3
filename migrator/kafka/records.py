"""Kafka's records and facts as plain values, so that planning and copying need no client to be tested."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Headers = tuple[tuple[bytes, bytes | None], ...]


class SourceRecord(NamedTuple):
    """One record as the broker holds it. ``timestamp_type`` is librdkafka's: 0 none, 1 create, 2 log append."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    timestamp_ms: int
    timestamp_type: int


class UnreadableRecord(NamedTuple):
    """A record that arrived but that the client library cannot take apart; ``reason`` says which part."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    timestamp_type: int
    reason: str


class EndOfPartition(NamedTuple):
    """The reader stands at ``offset``: every offset below it that can be read has been delivered."""

    topic: str
    partition: int
    offset: int


class OutOfRange(NamedTuple):
    """The broker no longer (or not yet) holds the offset that was asked for; nothing was reset."""

    topic: str
    partition: int


Event = SourceRecord | UnreadableRecord | EndOfPartition | OutOfRange


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """Where one partition's log stands. ``high`` is the high watermark, ``last_stable`` the last stable offset.

    The two differ exactly while a producer's transaction is open (``last_stable`` < ``high``).
    """

    partition: int
    low: int
    high: int
    last_stable: int


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic's identity and extent at one moment. ``topic_id`` is None where the broker has none (before 2.8, mock).

    ``retention_ms`` is -1 for unlimited. ``cleanup_policy`` is Kafka's text, such as ``delete`` or ``compact,delete``.
    """

    cluster_id: str
    topic: str
    topic_id: str | None
    partitions: tuple[PartitionFacts, ...]
    cleanup_policy: str
    retention_ms: int

    @property
    def compacted(self) -> bool:
        """Whether the log cleaner may have removed records from the middle of the log."""
        return "compact" in self.cleanup_policy

    def changes_since(self, cluster_id: str, topic_id: str | None, partitions: int) -> str:
        """Says what is not as it was frozen, so that the topic is another one; empty when it is the same."""
        known = (
            ("the cluster", cluster_id, self.cluster_id),
            ("the topic id", topic_id, self.topic_id),
            ("the number of partitions", partitions, len(self.partitions)),
        )
        return "; ".join(f"{name} was {before}, is {now}" for name, before, now in known if before != now)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a consumer group committed for one partition: the next offset that it would read."""

    offset: int
    metadata: str = ""
    leader_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A group that has something to do with one topic.

    Attributes:
        group_id: the group's name.
        kind: ``consumer`` (new protocol), ``classic``, or ``share``.
        state: Kafka's word, upper case: ``EMPTY``, ``STABLE``, ``PREPARING_REBALANCE``, ...
        members: how many members the group has now, on whichever topics.
        offsets: committed offsets of this topic by partition; partitions without a commit are absent.
    """

    group_id: str
    kind: str
    state: str
    members: int
    offsets: Mapping[int, Commit] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether somebody may be processing records through this group right now."""
        return self.members > 0
