"""Rows of which at most one of each key is unfinished: a second one is not added until the first is done.

Two writers of the same key wait for each other, however long the first one's transaction lasts. So these rows take no
offsets, which would hold a partition meanwhile, and have a transaction of their own; a reader numbers them afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow, tuple_row

from shim.store import append as appending
from shim.store import bounds, durability, topics
from shim.store.append import Appended, Draft, Texts
from shim.store.bounds import SynchronousCommit
from shim.store.records import NOT_ADDED
from shim.store.reservation import gates_of
from shim.store.rows import decode_tail, without_value
from shim.store.statements import Schemas, Statements
from shim.store.topics import TopicGate

Connection = psycopg.Connection[TupleRow]

_LOCK_SECONDS = 1
_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Added:
    """What stands in a transaction before its commit; enough to ask for its fate afterwards.

    Attributes:
        xid: the transaction's id, as Postgres writes it.
        now_us: the database's clock, in microseconds since 2000; the creation time of every row.
        durable: whether the commit waits until it is on disk.
        ids: of the rows that were added.
        places: of their drafts.
    """

    xid: str
    now_us: int
    durable: bool
    ids: Sequence[int]
    places: frozenset[int]

    def offsets(self, drafts: Sequence[Draft]) -> list[int | None]:
        """Returns None for each draft that was added, which gets its offset later, and `NOT_ADDED` for the others."""
        return [None if place in self.places else NOT_ADDED for place in range(len(drafts))]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**appending.load(schemas), **Statements("shim.store.sql", "unique.sql", schemas)}


def check_key(key: str) -> str:
    """Returns a deduplication key that Postgres can hold, and an index too.

    Raises:
        ValueError: it is empty, longer than 1024 bytes in UTF-8, or holds what Postgres' text does not.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= _KEY_BYTES or "\0" in key:
        raise ValueError(f"a deduplication key has 1 to {_KEY_BYTES} bytes of UTF-8, and no NUL")
    return key


def append(
    conn: Connection,
    statements: Texts,
    drafts: Sequence[Draft],
    on_reserved: Callable[[Added], None] = lambda _added: None,
    *,
    synchronous_commit: SynchronousCommit | None = None,
) -> Appended:
    """Adds records in one transaction, but for those whose key an unfinished job of their topic has.

    Of several drafts with one key the first counts. Records of a topic whose gate is closed are parked. When the
    connection breaks, the caller asks `outcome` before it adds the same drafts again: the job may be done by then.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        statements: from `load`.
        drafts: from `append.draft`, each with its key; any mixture of topics and partitions.
        on_reserved: told what was added, before the commit.
        synchronous_commit: what the commit waits for; None leaves it as the server has it.

    Raises:
        UnknownTopicError, UnknownPartitionError, SequencerError, ClientEncodingError: as `append.append`.
        psycopg.errors.LockNotAvailable: an open transaction has added one of the keys; nothing was added.
        psycopg.Error: Postgres refused a record, or is gone.
    """
    if not drafts:
        return Appended([], "")
    appending.require_utf8(conn)
    with conn.transaction():
        bounds.bound(conn, statements, lock_s=_LOCK_SECONDS)
        if synchronous_commit is not None:
            bounds.commit_as(conn, statements, synchronous_commit)
        gates = gates_of(conn, statements, _places(drafts), topics.share_gate)
        added = _add(conn, statements, drafts, gates)
        on_reserved(added)
    return Appended(added.offsets(drafts), added.xid)


def append_in(conn: psycopg.Connection[Any], statements: Texts, drafts: Sequence[Draft]) -> list[bool]:
    """Adds records as part of the caller's own open transaction, and returns which of them: for each whether it was.

    Whoever adds the same keys elsewhere waits for that transaction, and it for them. Gates are read and not held.

    Args:
        conn: the caller's connection, whatever its rows look like.
        statements: from `load`.
        drafts: from `append.draft`, each with its key.

    Raises:
        UnknownTopicError, UnknownPartitionError, SequencerError, ClientEncodingError, psycopg.Error: as `append`;
            after the last the caller's transaction can only roll back.
    """
    if not drafts:
        return []
    appending.require_utf8(conn)
    gates = gates_of(conn, statements, _places(drafts), topics.read_gates)
    added = _add(conn, statements, drafts, gates)
    return [place in added.places for place in range(len(drafts))]


def outcome(conn: Connection, statements: Texts, added: Added) -> bool | None:
    """Tells what became of rows when the commit's reply was lost; as `append.outcome`."""
    committed = durability.has_committed(conn, statements, added.xid)
    if not committed or not added.ids:
        return committed
    row = conn.execute(statements["is_added"], {"id": added.ids[0], "now_us": added.now_us}).fetchone()
    return bool(row and row[0])


def _places(drafts: Sequence[Draft]) -> set[appending.TP]:
    return {(draft.topic, draft.partition) for draft in drafts}


def _add(
    conn: psycopg.Connection[Any], statements: Texts, drafts: Sequence[Draft], gates: Mapping[str, TopicGate]
) -> Added:
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(statements["add_unique"], _arguments(drafts, gates)).fetchall()
    ids = {(topic, key): id_ for id_, topic, key, *_ in rows if id_ is not None}
    firsts = {(draft.topic, draft.deduplication_key): place for place, draft in reversed(list(enumerate(drafts)))}
    *_, now_us, xid, durable = rows[0]
    places = frozenset(firsts[key] for key in ids)
    return Added(xid, now_us, durable, list(ids.values()), places)


def _arguments(drafts: Sequence[Draft], gates: Mapping[str, TopicGate]) -> dict[str, list[Any]]:
    tails = [
        decode_tail(draft.tail if gates[draft.topic].keep_value else without_value(draft.tail)) for draft in drafts
    ]
    return {
        "topics": [draft.topic for draft in drafts],
        "partitions": [draft.partition for draft in drafts],
        "timestamps_ms": [tail.timestamp_ms for tail in tails],
        "timestamp_types": [tail.timestamp_type for tail in tails],
        "keys": [tail.key for tail in tails],
        "values": [tail.value for tail in tails],
        "headers": [tail.headers for tail in tails],
        "encodings": [tail.encoding for tail in tails],
        "payloads": [tail.payload for tail in tails],
        "parked": [gates[draft.topic].gate == "closed" for draft in drafts],
        "delays_us": [draft.delay_us or 0 for draft in drafts],
        "deduplication_keys": [draft.deduplication_key for draft in drafts],
    }
