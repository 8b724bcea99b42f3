"""Numbers for rows that have none yet: from plain SQL, from callers' own transactions, and delayed ones that are due.

Readers do it: a caller's long transaction never holds a partition, and no service needs to run. Rows are locked first
and heads last, for as short as an append holds them.
"""

from collections import Counter
from collections.abc import Sequence
from random import SystemRandom
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store import append, bounds, topics
from shim.store.partitioner import partition_for
from shim.store.statements import Schemas, Statements
from shim.store.topics import Texts, TopicGate, UnknownTopicError

Connection = psycopg.Connection[TupleRow]


class _Waiting(NamedTuple):
    id: int
    partition: int | None
    key: bytes | None


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**append.load(schemas), **Statements("shim.store.sql", "sequence.sql", schemas)}


def sequence(conn: Connection, statements: Texts, topic: str, limit: int = 5000) -> int:
    """Gives offsets to the topic's due rows that have none, oldest first, and returns how many it numbered.

    One transaction, one sequencer at a time per topic: while another one is at it, this returns 0 at once, and so it
    does while Kafka numbers the topic. Rows that somebody else has locked are left for later. A row goes to the
    partition that it names; one that names none, or one that the topic does not have, goes where the topic's
    partitioner sends its key, and without a key to one partition that is drawn for the batch.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        topic: the topic.
        limit: how many rows at most; a result as large as that means that more may wait.

    Raises:
        UnknownTopicError: the topic is not registered.
        psycopg.Error: Postgres is gone, or a lock was not to be had in time; nothing was numbered then.
    """
    with conn.transaction():
        bounds.bound(conn, statements)
        gate = topics.share_gate(conn, statements, [topic]).get(topic)
        if gate is None:
            raise UnknownTopicError(topic)
        if gate.sequencer == "kafka" or not _alone(conn, statements, topic):
            return 0
        rows = [_Waiting(*row) for row in conn.execute(statements["lock_waiting"], {"topic": topic, "limit": limit})]
        if rows:
            _number(conn, statements, rows, gate)
        return len(rows)


def _alone(conn: Connection, statements: Texts, topic: str) -> bool:
    row = conn.execute(statements["try_sequencing"], {"topic": topic}).fetchone()
    return bool(row and row[0])


def _number(conn: Connection, statements: Texts, rows: Sequence[_Waiting], gate: TopicGate) -> None:
    places = _places(rows, gate)
    reserved = append.reserve(conn, statements, Counter(places))
    arguments = {
        "ids": [row.id for row in rows],
        "partitions": [partition for _, partition in places],
        "offsets": list(reserved.numbers(places)),
    }
    conn.execute(statements["number_rows"], arguments)


def _places(rows: Sequence[_Waiting], gate: TopicGate) -> list[append.TP]:
    drawn = SystemRandom().randrange(gate.partitions)
    return [(gate.topic, _partition(row, gate, drawn)) for row in rows]


def _partition(row: _Waiting, gate: TopicGate, drawn: int) -> int:
    if row.partition is not None and 0 <= row.partition < gate.partitions:
        return row.partition
    found = partition_for(gate.partitioner, row.key, gate.partitions)
    return drawn if found is None else found
