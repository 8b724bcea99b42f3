"""Copies of what dual producers send to Kafka, until the drain has met them there.

The two sides are written at the same moment, so either may be first. A copy that comes before the drain is removed by
it; one that comes after it is not added, or removed by `sweep`. What is left when the topic is fenced and drained to
its end is a phantom: Kafka never had it. It is listed, and never runs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store import bounds
from shim.store.rows import Headers, headers_text
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

_BATCH = 5_000
FIRST = UUID(int=0)
"""Before every id."""


class Copy(NamedTuple):
    """One message as it was sent to Kafka."""

    topic: str
    message_id: UUID
    producer: str
    sequence: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class Phantom(NamedTuple):
    """A copy of which the table has no row, without its bytes.

    Attributes:
        topic: the topic.
        message_id: its id.
        producer: which dual producer wrote it.
        sequence: which of that producer's messages it is.
        created_at: when it was written.
        size: of its value, in bytes; None for a tombstone.
        digest: the first 8 bytes of its value's SHA-256, in hexadecimal.
    """

    topic: str
    message_id: UUID
    producer: str
    sequence: int
    created_at: datetime
    size: int | None
    digest: str | None

    def document(self) -> dict[str, Any]:
        """Returns it as JSON takes it."""
        return {**self._asdict(), "message_id": str(self.message_id), "created_at": self.created_at.isoformat()}


class Swept(NamedTuple):
    """How many copies a batch removed, and the last one that it looked at; None when there is no more."""

    removed: int
    last: UUID | None


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**bounds.load(schemas), **Statements("shim.store.sql", "dual_inbox.sql", schemas)}


def put(conn: Connection, statements: Texts, copies: Sequence[Copy]) -> set[str]:
    """Adds copies, in a transaction of its own; putting the same ones again changes nothing.

    Returns:
        the topics that Kafka does not number, or that are not registered; nothing of those was added.
    """
    arguments = {
        "topics": [copy.topic for copy in copies],
        "message_ids": [copy.message_id for copy in copies],
        "producers": [copy.producer for copy in copies],
        "sequences": [copy.sequence for copy in copies],
        "keys": [copy.key for copy in copies],
        "values": [copy.value for copy in copies],
        "headers": [headers_text(copy.headers) for copy in copies],
        "timestamps_ms": [copy.timestamp_ms for copy in copies],
    }
    with conn.transaction():
        bounds.bound(conn, statements)
        return {row[0] for row in conn.execute(statements["put_copies"], arguments)}


def meet(conn: Connection, statements: Texts, ids: Sequence[tuple[str, bytes]]) -> int:
    """Removes the copies of messages that the drain writes, and returns how many there were.

    Args:
        conn: the drain's transaction.
        statements: from `load`.
        ids: topics and ids.
    """
    arguments = {
        "topics": [topic for topic, _ in ids],
        "message_ids": [UUID(bytes=message_id) for _, message_id in ids],
    }
    return conn.execute(statements["meet_copies"], arguments).rowcount


def sweep(conn: Connection, statements: Texts, topic: str) -> int:
    """Removes the copies that came when the drain had passed already, and returns how many there were.

    Each batch is a transaction of its own: the caller has none open.
    """
    swept = sweep_batch(conn, statements, topic)
    removed = swept.removed
    while swept.last is not None:
        swept = sweep_batch(conn, statements, topic, swept.last)
        removed += swept.removed
    return removed


def sweep_batch(conn: Connection, statements: Texts, topic: str, after: UUID = FIRST) -> Swept:
    """Does one batch of what `sweep` does, from behind an id on."""
    arguments = {"topic": topic, "after": after, "limit": _BATCH}
    looked, removed, last = conn.execute(statements["sweep_copies"], arguments).fetchone() or (0, 0, None)
    return Swept(removed, last if looked == _BATCH else None)


def phantoms(conn: Connection, statements: Texts, topic: str, limit: int = 1000, after: UUID = FIRST) -> list[Phantom]:
    """Returns copies of which the table has no row, the oldest first.

    While producers write, these are also the copies of what the drain has not met yet. Once the topic is fenced, every
    dual producer has acknowledged that, and the drain has reached the end, they are phantoms.

    Args:
        conn: a connection.
        statements: from `load`.
        topic: the topic.
        limit: how many at most.
        after: the last one of those that were listed before.
    """
    with conn.cursor(row_factory=class_row(Phantom)) as cursor:
        arguments = {"topic": topic, "limit": limit, "after": after}
        return cursor.execute(statements["list_phantoms"], arguments).fetchall()
