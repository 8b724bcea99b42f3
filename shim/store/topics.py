"""Topics: who numbers one, whether its jobs may run, and where its partitions and groups stand.

Every function runs in the caller's transaction, or in its own when there is none, unless it says otherwise.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row, tuple_row

from shim.store import bounds
from shim.store.errors import (
    OffsetRangeError,
    PartitionCountError,
    SequencerError,
    StoreError,
    TopicNameError,
    UnknownPartitionError,
)
from shim.store.partitioner import DEFAULT, NAMES, UnknownPartitionerError
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
Sequencer = Literal["kafka", "postgres"]
Gate = Literal["open", "closed"]

WEEK_MS = 604_800_000  # how long Kafka keeps records unless it is told otherwise
MOST_PARTITIONS = 10_000

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_BATCH = 5_000


class UnknownTopicError(StoreError):
    """No such topic is registered.

    Attributes:
        topic: its name.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} is not registered")
        self.topic = topic


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of ``job_topic``.

    Attributes:
        topic: the name.
        partitions: how many there are.
        partitioner: how keys find their partition.
        sequencer: which side gives out offsets.
        gate: whether jobs may run here.
        keep_value: whether rows keep the bytes that were produced.
        owner_group: the group whose progress the topic's status tells.
        owner_kind: what kind of group that is.
        opened_at: when the gate was first opened; before that no job of the topic can have run here.
    """

    topic: str
    partitions: int
    partitioner: str
    sequencer: Sequencer
    gate: Gate
    keep_value: bool
    owner_group: str | None
    owner_kind: Literal["consumer", "share"] | None
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What clients are told of a topic.

    Attributes:
        topic: the name.
        topic_id: another one when a topic is deleted and made again.
        partitions: how many there are, numbered from 0.
        partitioner: how keys find their partition.
        sequencer: which side gives out offsets.
        gate: whether jobs may run here.
        keep_value: whether rows keep the bytes that were produced.
        retention_ms: how long rows are kept after they were created; None for ever.
    """

    topic: str
    topic_id: UUID
    partitions: int
    partitioner: str
    sequencer: Sequencer
    gate: Gate
    keep_value: bool
    retention_ms: int | None


class TopicGate(NamedTuple):
    """What a writer has to know of a topic; ``dual`` is whether it was ever written on both sides."""

    topic: str
    gate: Gate
    sequencer: Sequencer
    keep_value: bool
    partitions: int
    partitioner: str
    dual: bool


class GroupOffset(NamedTuple):
    """A group's committed offset in one partition: the next offset that it will read."""

    partition: int
    offset: int
    leader_epoch: int | None = None
    metadata: str = ""


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**bounds.load(schemas), **Statements("shim.store.sql", "topics.sql", schemas)}


def register_topic(conn: Connection, statements: Texts, topic: str, partitions: int) -> bool:
    """Makes a topic that Kafka numbers, with a closed gate; returns False when it was there already.

    Its rows are kept for ever until somebody decides otherwise: what was drained is not ours to remove.
    """
    arguments = {"topic": topic, "partitions": partitions}
    return conn.execute(statements["register_topic"], arguments).rowcount == 1


def register_partitions(conn: Connection, statements: Texts, topic: str, next_offsets: Mapping[int, int]) -> int:
    """Makes the heads of a topic's partitions; those that exist keep their place. Returns how many are new.

    The first offset that each will hold is its low watermark too.
    """
    arguments = {"topic": topic, "partitions": list(next_offsets), "next_offsets": list(next_offsets.values())}
    return conn.execute(statements["register_partitions"], arguments).rowcount


def read_topic(conn: Connection, statements: Texts, topic: str) -> Topic | None:
    """Returns a topic, or None when it is not registered."""
    with conn.cursor(row_factory=class_row(Topic)) as cursor:
        return cursor.execute(statements["read_topic"], {"topic": topic}).fetchone()


def list_topics(conn: Connection, statements: Texts) -> list[Topic]:
    """Returns every topic, by name."""
    with conn.cursor(row_factory=class_row(Topic)) as cursor:
        return cursor.execute(statements["list_topics"]).fetchall()


def share_gate(conn: Connection, statements: Texts, topics: Sequence[str]) -> dict[str, TopicGate]:
    """Holds the gates and sequencers of topics still until the transaction ends, and returns them by topic."""
    # Two statements: the second must see what was committed while the first one waited.
    conn.execute(statements["share_gates"], {"topics": list(topics)})
    return read_gates(conn, statements, topics)


def read_gates(conn: psycopg.Connection[Any], statements: Texts, topics: Sequence[str]) -> dict[str, TopicGate]:
    """Returns the gates and sequencers of topics as they are at this moment, by topic; changes and holds nothing."""
    # The connection may be a caller's own, with rows of another make.
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(statements["read_gates"], {"topics": list(topics)})
        return {row[0]: TopicGate(*row) for row in rows}


def advance_heads(conn: Connection, statements: Texts, heads: Mapping[tuple[str, int], int]) -> int:
    """Moves heads forward, never back.

    Args:
        conn: the transaction that wrote the rows.
        statements: from `load`.
        heads: the next offset by (topic, partition).

    Returns:
        how many heads moved.
    """
    arguments = {
        "topics": [topic for topic, _ in heads],
        "partitions": [partition for _, partition in heads],
        "next_offsets": list(heads.values()),
    }
    return conn.execute(statements["advance_heads"], arguments).rowcount


def own_topic(conn: Connection, statements: Texts, topic: str, group_id: str) -> None:
    """Names the consumer group whose progress the topic's status tells.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    _change(conn, statements["own_topic"], topic, {"group_id": group_id})


def number_in_postgres(conn: Connection, statements: Texts, topic: str) -> None:
    """Lets Postgres give out the topic's offsets from here on.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    with conn.transaction():
        conn.execute(statements["hold_gate"], {"topic": topic})
        _change(conn, statements["number_in_postgres"], topic, {})


def set_gate(conn: Connection, statements: Texts, topic: str, gate: Gate) -> None:
    """Opens or closes the topic's row, after the batches that are being written; jobs are not touched.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    with conn.transaction():
        conn.execute(statements["hold_gate"], {"topic": topic})
        _change(conn, statements["set_gate"], topic, {"gate": gate})


def copy_group_offsets(
    conn: Connection, statements: Texts, group_id: str, topic: str, offsets: Sequence[GroupOffset]
) -> int:
    """Takes over a group's committed offsets; those that stand here already stay. Returns how many are new."""
    arguments = {
        "group_id": group_id,
        "topic": topic,
        "partitions": [one.partition for one in offsets],
        "offsets": [one.offset for one in offsets],
        "leader_epochs": [one.leader_epoch for one in offsets],
        "metadata": [one.metadata for one in offsets],
    }
    return conn.execute(statements["copy_group_offset"], arguments).rowcount


def create_topic(
    conn: Connection,
    statements: Texts,
    topic: str,
    partitions: int,
    *,
    partitioner: str = DEFAULT,
    retention_ms: int | None = WEEK_MS,
) -> bool:
    """Makes a topic that Postgres numbers, from offset 0 and with an open gate; returns False when it was there.

    Args:
        conn: a connection.
        statements: from `load`.
        topic: a name that Kafka would take.
        partitions: how many, numbered from 0.
        partitioner: how keys find their partition; one of `partitioner.NAMES`.
        retention_ms: how long rows are kept after they were created; None for ever.

    Raises:
        TopicNameError: Kafka would not take the name.
        PartitionCountError: fewer than 1 or more than `MOST_PARTITIONS`.
        UnknownPartitionerError: no partitioner has that name.
    """
    if not _NAME.fullmatch(topic) or topic in {".", ".."}:
        raise TopicNameError(topic)
    if not 1 <= partitions <= MOST_PARTITIONS:
        raise PartitionCountError(topic, partitions)
    if partitioner not in NAMES:
        raise UnknownPartitionerError(partitioner)
    arguments = {"topic": topic, "partitions": partitions, "partitioner": partitioner, "retention_ms": retention_ms}
    return conn.execute(statements["create_topic"], arguments).rowcount > 0


def grow_topic(conn: Connection, statements: Texts, topic: str, total: int) -> None:
    """Adds empty partitions to a topic until it has ``total``; keys may move to them, as they do in Kafka.

    Raises:
        UnknownTopicError: the topic is not registered.
        SequencerError: Kafka numbers it, and decides how many partitions there are.
        PartitionCountError: ``total`` is no more than there are, or more than `MOST_PARTITIONS`.
    """
    with conn.transaction():
        # Also keeps two that grow the same topic apart.
        conn.execute(statements["hold_gate"], {"topic": topic})
        found = writable(topic, read_gates(conn, statements, [topic])).partitions
        if not found < total <= MOST_PARTITIONS:
            raise PartitionCountError(topic, total, found)
        conn.execute(statements["grow_topic"], {"topic": topic, "total": total})


def delete_topic(conn: Connection, statements: Texts, topic: str) -> bool:
    """Removes a topic with its rows and its groups' offsets; returns False when there is none.

    Rows go in bounded batches first, each in a transaction of its own: the caller has none open, and a run that was
    killed is simply run again. The last ones go with the topic, behind the appends in flight and before any later one.

    Raises:
        SequencerError: Kafka numbers it.
        psycopg.errors.LockNotAvailable: somebody works on rows of the topic in a long transaction.
    """
    found = read_gates(conn, statements, [topic])
    if not found:
        return False
    writable(topic, found)
    _delete(conn, statements["delete_rows"], {"topic": topic})
    with conn.transaction():
        bounds.bound(conn, statements)
        conn.execute(statements["hold_gate"], {"topic": topic})
        conn.execute(statements["delete_rest"], {"topic": topic})
        return conn.execute(statements["delete_topic"], {"topic": topic}).rowcount == 1


def advance_start(conn: Connection, statements: Texts, topic: str, partition: int, before_offset: int) -> int:
    """Removes the rows of a partition below an offset, as Kafka's delete-records does; returns the low watermark.

    The low watermark moves first, and never back. A run that was killed or failed after that is simply run again.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        topic: the topic.
        partition: the partition.
        before_offset: the first offset to keep; -1 removes everything up to the head.

    Raises:
        UnknownTopicError: the topic is not registered.
        UnknownPartitionError: it has no such partition.
        SequencerError: Kafka numbers it.
        OffsetRangeError: the offset is behind the head, or negative.
        psycopg.errors.LockNotAvailable: somebody works on such rows in a long transaction.
    """
    place: dict[str, object] = {"topic": topic, "partition": partition}
    with conn.transaction():
        bounds.bound(conn, statements)
        writable(topic, share_gate(conn, statements, [topic]))
        head = conn.execute(statements["lock_head"], place).fetchone()
        if head is None:
            raise UnknownPartitionError(topic, partition)
        before = head[1] if before_offset == -1 else before_offset
        if not 0 <= before <= head[1]:
            raise OffsetRangeError(topic, partition, before_offset, head[1])
        start = max(int(head[0]), before)
        conn.execute(statements["move_start"], {**place, "start_offset": start})
    _delete(conn, statements["delete_below"], {**place, "before": start})
    with conn.transaction():
        bounds.bound(conn, statements)
        conn.execute(statements["delete_rest_below"], {**place, "before": start})
    return start


def describe_topics(conn: Connection, statements: Texts, topics: Sequence[str] | None) -> dict[str, TopicFacts]:
    """Returns what clients are told of these topics, or of all for None, by name; unknown ones are left out."""
    arguments = {"topics": None if topics is None else list(topics)}
    with conn.cursor(row_factory=class_row(TopicFacts)) as cursor:
        return {facts.topic: facts for facts in cursor.execute(statements["describe_topics"], arguments)}


def cluster_id(conn: Connection, statements: Texts) -> str:
    """Returns what identifies this queue to clients, as a cluster's id does in Kafka.

    Raises:
        StoreError: somebody removed it.
    """
    row = conn.execute(statements["read_cluster_id"]).fetchone()
    if row is None:
        raise StoreError("table job_cluster has lost its row")
    return str(row[0])


def writable(topic: str, gates: Mapping[str, TopicGate]) -> TopicGate:
    """Returns the topic's gate if it may be written to by others than the drain.

    Raises:
        UnknownTopicError: it is not among the gates.
        SequencerError: Kafka numbers it.
    """
    gate = gates.get(topic)
    if gate is None:
        raise UnknownTopicError(topic)
    if gate.sequencer == "kafka":
        raise SequencerError(topic)
    return gate


def _delete(conn: Connection, statement: LiteralString, arguments: Mapping[str, object]) -> None:
    while conn.execute(statement, {**arguments, "limit": _BATCH}).rowcount == _BATCH:
        pass


def _change(conn: Connection, statement: LiteralString, topic: str, arguments: Mapping[str, object]) -> None:
    if conn.execute(statement, {"topic": topic, **arguments}).rowcount == 0:
        raise UnknownTopicError(topic)
