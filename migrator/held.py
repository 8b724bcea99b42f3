"""Rows that wait for a person: pending, out of every claim's reach, with the reason in ``last_error``.

Batches are bounded, and a run that was killed is simply run again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.rows import class_row

from migrator.errors import UsageError
from migrator.postgres import Connection
from shim.store import topics
from shim.store.statements import Schemas, Statements

_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Choice:
    """Which held rows are meant; None is any.

    Attributes:
        topics: names of topics.
        partition: a partition.
        offset: an offset in it.
    """

    topics: tuple[str, ...] | None = None
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One held row, without its bytes. Rows that came by plain SQL have neither partition nor offset."""

    id: int
    topic: str
    partition: int | None
    offset: int | None
    reason: str
    created_at: datetime
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Held:
    """The held rows of one ``job_queue``, over a connection in autocommit.

    Attributes:
        conn: the connection.
        texts: from `open_held`.
    """

    conn: Connection
    texts: Mapping[str, LiteralString]

    def count(self, choice: Choice) -> int:
        """Returns how many match."""
        row = self.conn.execute(self.texts["count_held"], _arguments(choice)).fetchone()
        return int(row[0]) if row else 0

    def listed(self, choice: Choice, limit: int | None) -> list[HeldRow]:
        """Returns those that match, by topic, partition and offset."""
        with self.conn.cursor(row_factory=class_row(HeldRow)) as cursor:
            return cursor.execute(self.texts["list_held"], _arguments(choice) | {"limit": limit}).fetchall()

    def release(self, choice: Choice) -> int:
        """Lets rows run: at once when their topic's gate is open, with all others when it opens. Returns how many.

        The gate is held still for each batch, so that no row is left behind by a gate that opens meanwhile.
        """
        released = 0
        for topic, ids in self._pages(choice):
            with self.conn.transaction():
                gate = topics.share_gate(self.conn, self.texts, [topic]).get(topic)
                is_open = gate is None or gate.gate == "open"
                arguments = {"ids": ids, "open": is_open}
                released += self.conn.execute(self.texts["release_held"], arguments).rowcount
        return released

    def discard(self, choice: Choice) -> int:
        """Ends rows as failed, without running them. Returns how many."""
        return sum(
            self.conn.execute(self.texts["discard_held"], {"ids": ids}).rowcount for _, ids in self._pages(choice)
        )

    def _pages(self, choice: Choice) -> Iterator[tuple[str, list[int]]]:
        for topic in choice.topics or ():
            after = 0
            while ids := self._ids(choice, topic, after):
                yield topic, ids
                after = ids[-1]

    def _ids(self, choice: Choice, topic: str, after: int) -> list[int]:
        arguments = _arguments(choice) | {"topic": topic, "after": after, "limit": _PAGE}
        return [int(row[0]) for row in self.conn.execute(self.texts["held_ids"], arguments)]


def open_held(conn: Connection, schemas: Schemas) -> Held:
    """Returns the held rows of the queue in the given schemas."""
    return Held(conn, {**topics.load(schemas), **Statements("migrator.sql", "held.sql", schemas)})


def choose(names: Sequence[str], partition: int | None, offset: int | None, *, everything: bool) -> Choice:
    """Returns what is to be changed: one row of a topic, or everything of it or of one partition.

    Raises:
        UsageError: it is not said which.
    """
    if not names:
        raise UsageError("which topic?", code="topic-missing", hint="add --topic NAME; migrator held list")
    single = partition is not None and offset is not None
    if single == everything or (offset is not None and partition is None):
        hint = "--partition P --offset O for one, --all for all of the topic"
        raise UsageError("which held jobs?", code="held-choice", hint=hint)
    return Choice(tuple(names), partition, offset)


def _arguments(choice: Choice) -> dict[str, object]:
    return {
        "topics": list(choice.topics) if choice.topics else None,
        "partition": choice.partition,
        "offset": choice.offset,
    }
