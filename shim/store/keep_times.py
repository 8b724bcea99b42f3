"""How long a topic keeps what it holds: a log's rows from their creation on, a job from the moment it was finished."""

from collections.abc import Mapping, Sequence
from typing import Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store.statements import Schemas, Statements
from shim.store.topics import UnknownTopicError

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
KeepTime = Literal["retention_ms", "completed_retention_ms", "failed_retention_ms"]

FOR_EVER_MS = 9_223_372_036_854_775_807
"""A job's keep-time that never ends; a log's is None."""


class KeepTimes(NamedTuple):
    """One topic's keep-times.

    Attributes:
        topic: its name.
        retention_ms: how long rows of a log are kept after they were created; None for ever.
        completed_retention_ms: how long a completed job of a share group or of plain SQL is kept after it was finished;
            None for as long as ``retention_ms`` says.
        failed_retention_ms: the same for a job that has failed for good.
    """

    topic: str
    retention_ms: int | None
    completed_retention_ms: int | None
    failed_retention_ms: int | None


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "keep_times.sql", schemas)


def read(conn: Connection, texts: Texts, topics: Sequence[str] | None) -> dict[str, KeepTimes]:
    """Returns the keep-times of these topics, or of all for None, by name; unknown ones are left out."""
    arguments = {"topics": None if topics is None else list(topics)}
    with conn.cursor(row_factory=class_row(KeepTimes)) as cursor:
        return {times.topic: times for times in cursor.execute(texts["read_keep_times"], arguments)}


def change(conn: Connection, texts: Texts, topic: str, times: Mapping[KeepTime, int | None]) -> None:
    """Changes those of a topic's keep-times that are named.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    arguments: dict[str, object] = {"topic": topic, "names": list(times)}
    for column in KeepTimes._fields[1:]:
        arguments[column] = times.get(column)  # type: ignore[call-overload]  # all of them are keep-times
    if conn.execute(texts["change_keep_times"], arguments).rowcount == 0:
        raise UnknownTopicError(topic)
