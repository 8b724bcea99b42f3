"""Rows into ``job_queue``: by COPY, in the binary format that ``rows`` encodes, at offsets reserved before."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, tuple_row

from shim.store import durability, topics
from shim.store.bounds import SynchronousCommit
from shim.store.errors import ClientEncodingError, StoreError
from shim.store.message_id import message_id
from shim.store.reservation import TP, Reserved, begin, ended, gates_of, outcome, reserve
from shim.store.rows import (
    COLUMNS,
    COPY_HEADER,
    COPY_TRAILER,
    Draft,
    Framer,
    Headers,
    encode_tail,
    tail_headers,
    with_message_id,
)
from shim.store.statements import Schemas, Statements
from shim.store.topics import TopicGate
from shim.store.values import View

__all__ = [
    "TP",
    "Appended",
    "Draft",
    "Refusal",
    "Reserved",
    "ShortCopyError",
    "append",
    "append_in",
    "copy_rows",
    "draft",
    "judge_json",
    "load",
    "outcome",
    "refusal",
    "require_utf8",
    "reserve",
]

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

LONGEST_DELAY_US = 100 * 366 * 86_400 * 1_000_000
"""A delay of more than a century is a mistake."""

_CHUNK_BYTES = 128 * 1024
# The words around them depend on the server's language, the names and numbers do not.
_COPY_LINE = re.compile(r"^[^\n\d]*COPY[^\n\d]*(\d+)(.*)$", re.MULTILINE)
_RECORD_CLASSES = ("22", "23", "54")
_UTF8 = ("UTF8", "UNICODE")
_LOG_KEY = "job_queue_log_key"


class ShortCopyError(StoreError):
    """Postgres stored another number of rows than were sent: the stream was cut and taken for whole.

    A binary COPY without its trailer is accepted; only the count tells.
    """

    def __init__(self, sent: int, stored: int) -> None:
        super().__init__(f"COPY stored {stored} rows of {sent}")
        self.sent = sent
        self.stored = stored


class Appended(NamedTuple):
    """What became of an append.

    Attributes:
        offsets: each draft's offset, in the order of the drafts; None for one that is delayed.
        xid: the transaction's id; empty when there was nothing to append.
    """

    offsets: list[int | None]
    xid: str


class Refusal(NamedTuple):
    """Which draft made Postgres refuse an append.

    Attributes:
        position: its place among the drafts.
        column: the column that would not take it, where Postgres said so; ``payload`` means that the record can be
            appended once its view is JSON null.
        sqlstate: why.
    """

    position: int
    column: str | None
    sqlstate: str


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    own = Statements("shim.store.sql", "append.sql", schemas)
    return {**topics.load(schemas), **durability.load(schemas), **own}


def draft(
    topic: str,
    partition: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers | None,
    timestamp_ms: int | None,
    view: View,
    delay_us: int | None = None,
    deduplication_key: str | None = None,
) -> Draft:
    """Encodes a record for `append`; whatever can be done before heads are locked is done here.

    Args:
        topic: where it goes.
        partition: where it goes.
        key: the exact bytes, or None.
        value: the exact bytes, or None for a tombstone.
        headers: names and values in their order; None and an empty tuple stay apart.
        timestamp_ms: the record's create time, in milliseconds since 1970; None for the time of the append, by the
            database's clock.
        view: what stands in ``encoding`` and ``payload``; never a doubtful one, `judge_json` settles those.
        delay_us: how long from the append on nobody may see the record; None and 0 for not at all.
        deduplication_key: what at most one unfinished job of the topic may have; None for most.

    Raises:
        ValueError: the view is doubtful, or the delay is negative or longer than a century.
    """
    if view.doubtful:
        raise ValueError("only Postgres can judge this value: see judge_json")
    if delay_us is not None and not 0 <= delay_us <= LONGEST_DELAY_US:
        raise ValueError(f"a delay of {delay_us} microseconds is negative, or longer than a century")
    tail = encode_tail(key, value, headers, timestamp_ms, view)
    return Draft(topic, partition, tail, delay_us, deduplication_key)


def append(
    conn: Connection,
    statements: Texts,
    drafts: Sequence[Draft],
    on_reserved: Callable[[Reserved], None] = lambda _reserved: None,
    *,
    synchronous_commit: SynchronousCommit | None = None,
) -> Appended:
    """Appends records in one transaction: all of them or none.

    Offsets rise in the order of the drafts. Records of a topic whose gate is closed are parked. When the connection
    breaks, the caller asks `outcome` before it appends the same drafts again.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        drafts: from `draft`; any mixture of topics and partitions.
        on_reserved: told what was reserved before the first row is sent. An append whose connection breaks before has
            not happened; one that breaks after may have.
        synchronous_commit: what the commit waits for; None leaves it as the server has it.

    Raises:
        UnknownTopicError: a topic is not registered.
        UnknownPartitionError: a topic has no such partition.
        SequencerError: Kafka numbers a topic.
        ClientEncodingError: the connection's encoding is not UTF8.
        ShortCopyError: Postgres stored fewer rows than were sent.
        psycopg.Error: Postgres refused a record (`refusal` tells which), or is gone, or a lock was not to be had.
    """
    if not drafts:
        return Appended([], "")
    require_utf8(conn)
    counts = _counted(drafts)
    with ended(conn):
        gates, reserved = begin(conn, statements, counts, synchronous_commit)
        on_reserved(reserved)
        offsets = reserved.offsets(drafts)
        _copy(conn, statements, drafts, offsets, gates, reserved.now_us)
    return Appended(offsets, reserved.xid)


def append_in(conn: psycopg.Connection[Any], statements: Texts, drafts: Sequence[Draft]) -> None:
    """Writes records as part of the caller's own open transaction; they exist when and if it commits.

    They get their offsets from a reader afterwards, so a long transaction holds up nobody. For the same reason gates
    are read and not held: a record may land un-parked when its topic's gate closes before the commit.

    Args:
        conn: the caller's connection, whatever its rows look like.
        statements: from `load`.
        drafts: from `draft`.

    Raises:
        UnknownTopicError, UnknownPartitionError, SequencerError, ClientEncodingError, ShortCopyError, psycopg.Error:
            as `append` does; after the last two the caller's transaction can only roll back.
    """
    if not drafts:
        return
    require_utf8(conn)
    counts = _counted(drafts)
    gates = gates_of(conn, statements, counts, topics.read_gates)
    with conn.cursor(row_factory=tuple_row) as cursor:
        (now_us,) = cursor.execute(statements["read_clock"]).fetchone() or (0,)
    _copy(conn, statements, drafts, [None] * len(drafts), gates, now_us)


def refusal(error: psycopg.Error) -> Refusal | None:
    """Tells which draft made Postgres refuse an append.

    Returns:
        None when no draft is at fault, or Postgres does not say which one: an append of half of them tells more.
    """
    sqlstate = error.sqlstate or ""
    if not sqlstate.startswith(_RECORD_CLASSES) or error.diag.constraint_name == _LOG_KEY:
        return None
    # The last, for what comes before may quote a record.
    lines = _COPY_LINE.findall(error.diag.context or "")
    if not lines:
        return None
    line, rest = lines[-1]
    named = [word for word in re.findall(r"\w+", rest) if word in COLUMNS]
    return Refusal(int(line) - 1, named[0] if named else error.diag.column_name, sqlstate)


def copy_rows(conn: psycopg.Connection[Any], statements: Texts, rows: Iterable[bytes], *, dual: bool = False) -> int:
    """Copies encoded rows in the caller's transaction, and returns how many.

    ``rows`` is drawn from while COPY runs, so that encoding and storing overlap.

    Args:
        conn: the caller's connection.
        statements: from `load`.
        rows: from an encoder.
        dual: whether each of them went through `with_message_id`.

    Raises:
        ShortCopyError: the stored count is not the sent count; the caller must roll back.
        psycopg.Error: Postgres refused a row (its context names the line) or is gone.
    """
    sent = 0
    pending, size = [COPY_HEADER], 0
    with conn.cursor() as cursor:
        with cursor.copy(statements["copy_dual_rows" if dual else "copy_rows"]) as stream:
            for row in rows:
                sent += 1
                pending.append(row)
                size += len(row)
                if size > _CHUNK_BYTES:
                    stream.write(b"".join(pending))
                    pending, size = [], 0
            pending.append(COPY_TRAILER)
            stream.write(b"".join(pending))
        if cursor.rowcount != sent:
            raise ShortCopyError(sent, cursor.rowcount)
    return sent


def judge_json(conn: Connection, statements: Texts, values: Sequence[str]) -> list[str | None]:
    """Asks Postgres which texts jsonb takes: for each None where it does, else the SQLSTATE."""
    return [row[0] for row in conn.execute(statements["judge_json"], {"values": list(values)})]


def _copy(
    conn: psycopg.Connection[Any],
    statements: Texts,
    drafts: Sequence[Draft],
    offsets: Sequence[int | None],
    gates: Mapping[str, TopicGate],
    now_us: int,
) -> None:
    """Copies drafts; where a topic was ever written on both sides, each with the id in its headers."""
    rows = _framed(drafts, offsets, gates, now_us)
    dual = any(gate.dual for gate in gates.values())
    if dual:
        rows = map(with_message_id, rows, [message_id(tail_headers(draft.tail)) for draft in drafts])
    copy_rows(conn, statements, rows, dual=dual)


def _framed(
    drafts: Sequence[Draft], offsets: Sequence[int | None], gates: Mapping[str, TopicGate], now_us: int
) -> Iterator[bytes]:
    framers: dict[TP, Framer] = {}
    for (topic, partition, tail, delay_us, _), offset in zip(drafts, offsets, strict=True):
        framer = framers.get((topic, partition))
        if framer is None:
            gate = gates[topic]
            parked, keep_value = gate.gate == "closed", gate.keep_value
            framer = Framer(topic, partition, now_us=now_us, parked=parked, keep_value=keep_value)
            framers[topic, partition] = framer
        yield framer.frame(offset, tail, delay_us)


def _counted(drafts: Iterable[Draft]) -> Counter[TP]:
    counts: Counter[TP] = Counter()
    for topic, partition, _, delay_us, _ in drafts:
        counts[topic, partition] += not delay_us
    return counts


def require_utf8(conn: psycopg.Connection[Any]) -> None:
    """Makes sure that texts are sent as they are stored; as `append` raises."""
    encoding = conn.info.parameter_status("client_encoding")
    if encoding not in _UTF8:
        raise ClientEncodingError(str(encoding))
