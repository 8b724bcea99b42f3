"""The gate of a topic: one row that `Consumer` obeys, and parked jobs that every claim passes over.

A job is parked by a ``process_after`` so far away that no claim, the article's own included, ever reaches it. The row
is always set first: what is written from then on lands on the right side, so what is left behind only shrinks, and a
run that was killed is simply run again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from shim.store import topics
from shim.store.statements import Schemas, Statements
from shim.store.topics import Gate, Sequencer, Texts, UnknownTopicError

Connection = psycopg.Connection[TupleRow]
OnProgress = Callable[[int], None]

_PAGE = 200_000
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class GateStatus:
    """Where a topic's unfinished jobs stand.

    Attributes:
        topic: the topic.
        gate: whether jobs may run here.
        sequencer: which side gives out offsets.
        claimable: pending jobs that a worker may take, now or when they are due.
        parked: pending jobs behind the gate.
        held: pending jobs that wait for a person.
        processing: jobs that are being worked on.
    """

    topic: str
    gate: Gate
    sequencer: Sequencer
    claimable: int
    parked: int
    held: int
    processing: int


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**topics.load(schemas), **Statements("shim.store.sql", "gate.sql", schemas)}


def open_gate(conn: Connection, statements: Texts, topic: str, on_progress: OnProgress = lambda _done: None) -> int:
    """Lets the topic's jobs run here, oldest first, and returns how many were un-parked.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        topic: the topic.
        on_progress: told after every batch how many were un-parked so far.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    topics.set_gate(conn, statements, topic, "open")
    done = 0
    for ids in _parked(conn, statements, topic):
        for start in range(0, len(ids), _BATCH):
            done += conn.execute(statements["unpark"], {"ids": ids[start : start + _BATCH]}).rowcount
            on_progress(done)
    return done


def close_gate(conn: Connection, statements: Texts, topic: str, on_progress: OnProgress = lambda _done: None) -> int:
    """Keeps the topic's jobs from running here, and returns how many were parked; jobs that run go on running.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        topic: the topic.
        on_progress: told after every batch how many were parked so far.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    topics.set_gate(conn, statements, topic, "closed")
    done = 0
    while parked := conn.execute(statements["park"], {"topic": topic, "limit": _BATCH}).rowcount:
        done += parked
        on_progress(done)
    return done


def gate_status(conn: Connection, statements: Texts, topic: str) -> GateStatus:
    """Counts the topic's unfinished jobs.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    known = topics.read_topic(conn, statements, topic)
    if known is None:
        raise UnknownTopicError(topic)
    counts = conn.execute(statements["count_by_gate"], {"topic": topic}).fetchone() or (0, 0, 0, 0)
    return GateStatus(topic, known.gate, known.sequencer, *counts)


def _parked(conn: Connection, statements: Texts, topic: str) -> Iterator[list[int]]:
    arguments = {"topic": topic, "limit": _PAGE}
    while ids := [row[0] for row in conn.execute(statements["parked_ids"], arguments)]:
        yield ids
