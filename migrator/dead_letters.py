"""Records that became no row: what they are, and appending them after all.

A retried record gets a new place. While Postgres numbers the topic it takes the partition's next offset; while Kafka
does, only the drain may write offsets, so the row waits without one until the topic is numbered here. Either way it
bears its old coordinates in headers, and lands behind the same gate as every other row.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, LiteralString, NamedTuple, NoReturn

import psycopg
from psycopg.rows import class_row

from migrator.errors import CannotStartError
from migrator.postgres import Connection, classify
from shim.store import append, topics
from shim.store.rows import COLUMNS, Headers, RowEncoder
from shim.store.statements import Schemas, Statements
from shim.store.topics import TopicGate, UnknownTopicError
from shim.store.values import Format, FormatError, View, forced_view, judged_view

Result = Literal["retried", "dead", "already"]

_HEADERS_LOST = "its headers could not be read when it was drained"
_HELD = "held: a retried dead letter whose first delivery may have been processed"
_LENGTH_BYTES = 4
_NULL = b"\xff\xff\xff\xff"
_BOUNDS = {"lock_timeout": "10s", "statement_timeout": "300s", "idle_timeout": "60s", "check_interval": "2s"}


class LetterStage(StrEnum):
    """Where a record failed to become a row: when it was read, when its format was decided, when it was written."""

    READ = "read"
    FORMAT = "format"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant; None is any.

    Attributes:
        topics: names of topics.
        stage: where they died.
        partition: Kafka's partition.
        offset: Kafka's offset.
        limit: how many at most.
    """

    topics: tuple[str, ...] | None = None
    stage: LetterStage | None = None
    partition: int | None = None
    offset: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that became no row, without its bytes."""

    id: int
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    size: int | None
    digest: str | None
    created_at: datetime
    retried_at: datetime | None
    retried_offset: int | None


@dataclass(frozen=True, slots=True)
class Contents:
    """A dead letter's bytes, and what Postgres said of it. Not for output unless the user asks."""

    key: bytes | None
    value: bytes | None
    headers: list[bytes | None] | None
    timestamp_ms: int
    timestamp_type: int
    sqlstate: str | None
    constraint_name: str | None
    column_name: str | None

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """Names and values, in order."""
        return _pairs(self.headers)


class Retrial(NamedTuple):
    """What became of one dead letter that was to be retried.

    Attributes:
        topic: its topic.
        partition: its partition, which it keeps.
        offset: its old offset.
        result: ``retried``, ``dead`` (still), or ``already`` (somebody else did it meanwhile).
        new_offset: its new offset; None while Kafka numbers the topic.
        encoding: what its value was taken for.
        reason: why it is still dead.
    """

    topic: str
    partition: int
    offset: int
    result: Result
    new_offset: int | None = None
    encoding: str | None = None
    reason: str | None = None


class _Locked(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: list[bytes | None] | None
    timestamp_ms: int
    timestamp_type: int
    stage: str
    held: bool
    now_us: int


class _Waiting(NamedTuple):
    id: int
    topic: str
    partition: int
    offset: int


class _StillDeadError(Exception):
    """Carries why a record is dead out of its transaction."""

    def __init__(self, stage: str, reason: str, error: psycopg.Error | None = None) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason
        self.error = error


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one ``job_queue``, over a connection in autocommit.

    Attributes:
        conn: the connection.
        queue_schema: the queue's schema.
        texts: from `open_dead_letters`.
    """

    conn: Connection
    queue_schema: str
    texts: Mapping[str, LiteralString]

    def count(self, choice: Choice) -> tuple[int, int]:
        """Returns how many match, and how many of those were retried already; a limit does not count."""
        row = self.conn.execute(self.texts["count_dead_letters"], self._arguments(choice)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def listed(self, choice: Choice) -> list[DeadLetter]:
        """Returns those that match, by topic, partition and offset."""
        with self.conn.cursor(row_factory=class_row(DeadLetter)) as cursor:
            return cursor.execute(self.texts["list_dead_letters"], self._arguments(choice)).fetchall()

    def found(self, topic: str, partition: int, offset: int) -> tuple[DeadLetter, Contents]:
        """Returns one dead letter with its bytes.

        Raises:
            CannotStartError: there is none at these coordinates.
        """
        letters = self.listed(Choice((topic,), partition=partition, offset=offset))
        if not letters:
            raise CannotStartError(
                f"topic {topic!r} has no dead letter in partition {partition} at offset {offset}",
                code="dead-letter-unknown",
                hint=f"migrator dead-letters list --topic {topic}",
            )
        with self.conn.cursor(row_factory=class_row(Contents)) as cursor:
            contents = cursor.execute(self.texts["read_dead_letter"], {"id": letters[0].id}).fetchone()
        return letters[0], contents or _gone(topic)

    def retry(
        self, choice: Choice, fmt: Format = Format.AUTO, *, execute: bool, without_headers: bool = False
    ) -> Iterator[Retrial]:
        """Appends dead letters as rows, each in a transaction of its own.

        Args:
            choice: which ones; its topics must be named.
            fmt: how values are read.
            execute: False does it all and rolls it back, so that the answer is Postgres' own.
            without_headers: also records whose headers were lost when they were drained.

        Yields:
            what became of each, as soon as it is known.
        """
        for topic in choice.topics or ():
            arguments = self._arguments(choice) | {"topic": topic}
            rows = self.conn.execute(self.texts["waiting_dead_letters"], arguments).fetchall()
            for row in rows:
                yield self._retried(_Waiting(*row), fmt, execute=execute, without_headers=without_headers)

    def _retried(self, waiting: _Waiting, fmt: Format, *, execute: bool, without_headers: bool) -> Retrial:
        place = waiting[1:]
        try:
            with self.conn.transaction(force_rollback=not execute):
                self.conn.execute(self.texts["bound_transaction"], _BOUNDS)
                return self._append(waiting, fmt, without_headers=without_headers)
        except _StillDeadError as verdict:
            dead = verdict
        except psycopg.Error as error:
            if classify(error) != "record":
                raise
            dead = _StillDeadError("write", _refusal(error), error)
        if execute:
            self._mark_dead(waiting.id, dead)
        return Retrial(*place, "dead", reason=dead.reason)

    def _append(self, waiting: _Waiting, fmt: Format, *, without_headers: bool) -> Retrial:
        row = self.conn.execute(self.texts["lock_dead_letter"], {"id": waiting.id}).fetchone()
        if row is None:
            return Retrial(*waiting[1:], "already")
        letter = _Locked(*row)
        if letter.stage == "read" and not without_headers:
            raise _StillDeadError("read", _HEADERS_LOST)
        gate = self._gate(waiting.topic)
        view = self._view(letter.value, fmt)
        new_offset = self._next_offset(waiting, gate)
        append.copy_rows(self.conn, self.texts, [_encoded(waiting, letter, gate, view, new_offset)])
        self.conn.execute(self.texts["mark_retried"], {"id": waiting.id, "offset": new_offset})
        return Retrial(*waiting[1:], "retried", new_offset, view.encoding)

    def _gate(self, topic: str) -> TopicGate:
        gate = topics.share_gate(self.conn, self.texts, [topic]).get(topic)
        if gate is None:
            raise UnknownTopicError(topic)
        return gate

    def _view(self, value: bytes | None, fmt: Format) -> View:
        try:
            view = forced_view(value, fmt, _parse)
        except FormatError as rejection:
            raise _StillDeadError("format", str(rejection)) from None
        if view.encoding != "json":
            return view
        (sqlstate,) = append.judge_json(self.conn, self.texts, [view.payload.decode()])
        judged = judged_view(view.payload, sqlstate)
        if fmt is Format.JSON and judged.encoding == "text":
            raise _StillDeadError("format", "not JSON: the value is text")
        return judged

    def _next_offset(self, waiting: _Waiting, gate: TopicGate) -> int | None:
        if gate.sequencer == "kafka":
            return None
        arguments = {"topic": waiting.topic, "partition": waiting.partition}
        row = self.conn.execute(self.texts["take_offset"], arguments).fetchone()
        if row is None:
            raise UnknownTopicError(waiting.topic)
        return int(row[0])

    def _mark_dead(self, letter_id: int, dead: _StillDeadError) -> None:
        diagnosis = dead.error.diag if dead.error else None
        arguments = {
            "id": letter_id,
            "stage": dead.stage,
            "reason": dead.reason,
            "sqlstate": dead.error.sqlstate if dead.error else None,
            "constraint_name": diagnosis.constraint_name if diagnosis else None,
            "column_name": diagnosis.column_name if diagnosis else None,
        }
        if dead.stage != "read":
            self.conn.execute(self.texts["mark_dead"], arguments)

    def _arguments(self, choice: Choice) -> dict[str, object]:
        return {
            "queue_schema": self.queue_schema,
            "topics": list(choice.topics) if choice.topics else None,
            "stage": choice.stage,
            "partition": choice.partition,
            "offset": choice.offset,
            "limit": choice.limit,
        }


def open_dead_letters(conn: Connection, schemas: Schemas) -> DeadLetters:
    """Returns the dead letters of the queue in the given schemas."""
    bound = Statements("migrator.sql", "drain.sql", schemas)["bound_transaction"]
    texts = {
        **append.load(schemas),
        **topics.load(schemas),
        **Statements("migrator.sql", "dead_letters.sql", schemas),
        "bound_transaction": bound,
    }
    return DeadLetters(conn, schemas.names["queue"], texts)


def _encoded(waiting: _Waiting, letter: _Locked, gate: TopicGate, view: View, new_offset: int | None) -> bytes:
    encoder = RowEncoder(waiting.topic, now_us=letter.now_us, parked=gate.gate == "closed", keep_value=gate.keep_value)
    row = encoder.encode(
        waiting.partition,
        new_offset or 0,
        letter.key,
        letter.value,
        with_coordinates(letter.headers, waiting.topic, waiting.partition, waiting.offset),
        letter.timestamp_ms,
        letter.timestamp_type,
        view,
        _HELD if letter.held else None,
    )
    return row.copy if new_offset is not None else without_field(row.copy, "log_offset")


def with_coordinates(headers: Sequence[bytes | None] | None, topic: str, partition: int, offset: int) -> Headers:
    """Returns headers as pairs, with the place in Kafka behind the record's own."""
    place = {"kafka.topic": topic, "kafka.partition": str(partition), "kafka.offset": str(offset)}
    return (*_pairs(headers), *((name.encode(), value.encode()) for name, value in place.items()))


def without_field(copy: bytes, name: str) -> bytes:
    """Returns an encoded row with null in one of its fields."""
    start = 2
    for _ in range(COLUMNS.index(name)):
        start = _behind(copy, start)
    return copy[:start] + _NULL + copy[_behind(copy, start) :]


def _behind(copy: bytes, start: int) -> int:
    length = int.from_bytes(copy[start : start + _LENGTH_BYTES], "big", signed=True)
    return start + _LENGTH_BYTES + max(0, length)


def _pairs(headers: Sequence[bytes | None] | None) -> tuple[tuple[bytes, bytes | None], ...]:
    flat = headers or ()
    return tuple((name or b"", value) for name, value in zip(flat[::2], flat[1::2], strict=True))


def _parse(value: bytes) -> object:
    # json.loads would guess UTF-16 in bytes, and let lone surrogates pass; Postgres judges what is left.
    return json.loads(value.decode())


def _refusal(error: psycopg.Error) -> str:
    # Postgres' own message may quote the record; the condition's name, the constraint and the column do not.
    place = error.diag.constraint_name or error.diag.column_name
    return f"{type(error).__name__} ({error.sqlstate})" + (f" on {place}" if place else "")


def _gone(topic: str) -> NoReturn:
    raise CannotStartError(
        f"the dead letter went away while it was read: the drain of topic {topic!r} was forgotten",
        code="dead-letter-unknown",
        hint="migrator dead-letters list",
    )
