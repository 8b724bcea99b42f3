"""Topics: who numbers one, whether its jobs may run, and where its partitions and groups stand.

Every function runs in the caller's transaction, or in its own when there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store.errors import StoreError
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
Sequencer = Literal["kafka", "postgres"]
Gate = Literal["open", "closed"]


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


class TopicGate(NamedTuple):
    """What a writer has to know of a topic, held still until its transaction ends."""

    topic: str
    gate: Gate
    sequencer: Sequencer
    keep_value: bool


class GroupOffset(NamedTuple):
    """A group's committed offset in one partition: the next offset that it will read."""

    partition: int
    offset: int
    leader_epoch: int | None = None
    metadata: str = ""


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "topics.sql", schemas)


def register_topic(conn: Connection, statements: Texts, topic: str, partitions: int) -> bool:
    """Makes a topic that Kafka numbers, with a closed gate; returns False when it was there already."""
    arguments = {"topic": topic, "partitions": partitions}
    return conn.execute(statements["register_topic"], arguments).rowcount == 1


def register_partitions(conn: Connection, statements: Texts, topic: str, next_offsets: Mapping[int, int]) -> int:
    """Makes the heads of a topic's partitions; those that exist keep their place. Returns how many are new."""
    arguments = {
        "topic": topic,
        "partitions": list(next_offsets),
        "next_offsets": list(next_offsets.values()),
    }
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
    rows = conn.execute(statements["read_gates"], {"topics": list(topics)})
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


def _change(conn: Connection, statement: LiteralString, topic: str, arguments: Mapping[str, str]) -> None:
    if conn.execute(statement, {"topic": topic, **arguments}).rowcount == 0:
        raise UnknownTopicError(topic)
