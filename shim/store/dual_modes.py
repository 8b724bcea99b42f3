"""Whose write counts in a topic that is written on both sides, and who writes there.

While Kafka numbers a topic, Kafka is the primary of its dual producers; once Postgres does, Postgres is. In between the
topic is fenced. Each dual producer registers before its first write, and acknowledges an epoch when nothing that it
wrote in an earlier one is on its way; so whoever fences knows when the last write has ended.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store import bounds, topics
from shim.store.errors import StoreError
from shim.store.statements import Schemas, Statements
from shim.store.topics import Sequencer, UnknownTopicError

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

LEASE_SECONDS = 10.0
"""How long a dual producer counts as alive after its last beat; it has one each second."""


class Mode(NamedTuple):
    """A topic's row, as dual producers see it.

    Attributes:
        topic: the topic.
        sequencer: the primary side.
        fenced: whether nothing may be written for now.
        epoch: one more with each change.
        registered: whether the dual producer that asks is known as one of this topic.
    """

    topic: str
    sequencer: Sequencer
    fenced: bool
    epoch: int
    registered: bool


class Registration(NamedTuple):
    """One dual producer of a topic.

    Attributes:
        topic: the topic.
        producer: its name, which is in the headers of its messages.
        host: where it runs.
        registered_at: since when.
        acknowledged: the epoch in which nothing of an earlier one is on its way.
        current: whether that is the topic's present epoch.
        alive: whether it was heard of lately.
    """

    topic: str
    producer: str
    host: str
    registered_at: datetime
    acknowledged: int
    current: bool
    alive: bool


class NotFencedError(StoreError):
    """The topic's primary cannot change: it is not fenced, or not everybody has stopped writing.

    Attributes:
        topic: its name.
        waiting_for: the dual producers that have not acknowledged the fence; none when there is no fence.
    """

    def __init__(self, topic: str, waiting_for: Sequence[Registration] = ()) -> None:
        names = ", ".join(one.producer for one in waiting_for)
        super().__init__(f"topic {topic!r} is not fenced" + (f" everywhere: waiting for {names}" if names else ""))
        self.topic = topic
        self.waiting_for = tuple(waiting_for)


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**topics.load(schemas), **Statements("shim.store.sql", "dual_modes.sql", schemas)}


def register(conn: Connection, statements: Texts, producer: str, host: str, names: Sequence[str]) -> dict[str, Mode]:
    """Registers a dual producer with topics, and returns their modes; those that do not exist are left out.

    Whoever fences a topic at the same moment goes first, and this sees the fence; or comes after, and sees this.
    """
    wanted = sorted(names)
    arguments = {"topics": wanted, "producer": producer, "host": host, "lease_s": LEASE_SECONDS}
    with conn.transaction():
        bounds.bound(conn, statements)
        topics.share_gate(conn, statements, wanted)
        conn.execute(statements["forget_lapsed"])
        conn.execute(statements["begin_epochs"], {"topics": wanted})
        conn.execute(statements["register_producer"], arguments)
        return _modes(conn, statements["read_modes"], {"topics": wanted})


def beat(conn: Connection, statements: Texts, producer: str, acknowledged: Mapping[str, int]) -> dict[str, Mode]:
    """Renews a dual producer's leases, and returns the modes of its topics.

    Args:
        conn: a connection.
        statements: from `load`.
        producer: its name.
        acknowledged: by topic the epoch in which nothing of an earlier one is on its way.
    """
    arguments = {
        "producer": producer,
        "topics": list(acknowledged),
        "acknowledged": list(acknowledged.values()),
        "lease_s": LEASE_SECONDS,
    }
    return _modes(conn, statements["beat"], arguments)


def leave(conn: Connection, statements: Texts, producer: str) -> None:
    """Takes note that a dual producer has ended, with nothing on its way."""
    conn.execute(statements["leave"], {"producer": producer})


def dismiss(conn: Connection, statements: Texts, topic: str, producer: str) -> bool:
    """Forgets a dual producer that a person knows to be dead; returns False, and does nothing, while it lives."""
    return conn.execute(statements["dismiss"], {"topic": topic, "producer": producer}).rowcount == 1


def producers(conn: Connection, statements: Texts, topic: str) -> list[Registration]:
    """Returns who writes a topic on both sides."""
    with conn.cursor(row_factory=class_row(Registration)) as cursor:
        return cursor.execute(statements["list_producers"], {"topic": topic}).fetchall()


def read(conn: Connection, statements: Texts, topic: str) -> Mode:
    """Returns a topic's mode.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    with conn.cursor(row_factory=class_row(Mode)) as cursor:
        mode = cursor.execute(statements["read_mode"], {"topic": topic}).fetchone()
    if mode is None:
        raise UnknownTopicError(topic)
    return mode


def fence(conn: Connection, statements: Texts, topic: str) -> Mode:
    """Makes dual producers refuse messages for a topic; it holds once `producers` are all ``current``.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    return _set_fence(conn, statements, topic, fenced=True)


def lift(conn: Connection, statements: Texts, topic: str) -> Mode:
    """Lets dual producers go on as before.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    return _set_fence(conn, statements, topic, fenced=False)


def hand_over(conn: Connection, statements: Texts, topic: str) -> Mode:
    """Makes Postgres the primary of a topic that Kafka numbers, and lifts the fence: the one moment of the change.

    That the drain has reached Kafka's end is the caller's to prove before.

    Raises:
        UnknownTopicError: the topic is not registered.
        NotFencedError: it is not fenced, or a dual producer has not acknowledged that; a dead one is dismissed first.
    """
    with conn.transaction():
        bounds.bound(conn, statements)
        conn.execute(statements["hold_gate"], {"topic": topic})
        mode = read(conn, statements, topic)
        if mode.sequencer == "postgres":
            return mode
        waiting_for = [one for one in producers(conn, statements, topic) if not one.current]
        if not mode.fenced or waiting_for:
            raise NotFencedError(topic, waiting_for)
        conn.execute(statements["hand_over"], {"topic": topic})
        return read(conn, statements, topic)


def _set_fence(conn: Connection, statements: Texts, topic: str, *, fenced: bool) -> Mode:
    with conn.transaction():
        bounds.bound(conn, statements)
        conn.execute(statements["hold_gate"], {"topic": topic})
        conn.execute(statements["set_fence"], {"topic": topic, "fenced": fenced})
        return read(conn, statements, topic)


def _modes(conn: Connection, statement: LiteralString, arguments: Mapping[str, object]) -> dict[str, Mode]:
    with conn.cursor(row_factory=class_row(Mode)) as cursor:
        return {mode.topic: mode for mode in cursor.execute(statement, arguments)}
