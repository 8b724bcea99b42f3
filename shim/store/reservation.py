"""What an append holds before its commit: the heads of its partitions, and the offsets that it took from them.

Heads are locked in one order everywhere, and held until the rows are committed. So a reader that saw an offset never
sees a smaller one of that partition appear later.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store import bounds, durability, topics
from shim.store.bounds import SynchronousCommit
from shim.store.errors import UnknownPartitionError
from shim.store.rows import Draft
from shim.store.topics import TopicGate

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
TP = tuple[str, int]
ReadGates = Callable[[psycopg.Connection[Any], Texts, list[str]], Mapping[str, TopicGate]]


@dataclass(frozen=True, slots=True)
class Reserved:
    """What an append holds between its reservation and its commit; enough to ask for its fate afterwards.

    Attributes:
        xid: the transaction's id, as Postgres writes it.
        firsts: the first reserved offset by (topic, partition).
        counts: how many offsets were reserved, by (topic, partition); no key has none.
        now_us: the database's clock, in microseconds since 2000; the creation time of every row.
        durable: whether the commit waits until it is on disk.
        delayed: where the records go when all of them are delayed.
    """

    xid: str
    firsts: Mapping[TP, int]
    counts: Mapping[TP, int]
    now_us: int
    durable: bool
    delayed: Sequence[TP] = ()

    def numbers(self, places: Iterable[TP]) -> Iterator[int]:
        """Yields the next reserved offset of each place, in their order."""
        following = dict(self.firsts)
        for place in places:
            yield following[place]
            following[place] += 1

    def offsets(self, drafts: Iterable[Draft]) -> list[int | None]:
        """Returns the offsets of the drafts that this was reserved for, in their order; None for those delayed."""
        following = dict(self.firsts)
        offsets: list[int | None] = []
        for topic, partition, _, delay_us, _ in drafts:
            if delay_us:
                offsets.append(None)
                continue
            offset = following[topic, partition]
            following[topic, partition] = offset + 1
            offsets.append(offset)
        return offsets


@contextmanager
def ended(conn: Connection) -> Iterator[None]:
    """Commits the transaction that the block begins, or rolls it back. psycopg's own would begin it in a trip apart."""
    try:
        yield
    except BaseException:
        if not conn.closed:
            with suppress(psycopg.Error):
                conn.rollback()
        raise
    conn.commit()


def begin(
    conn: Connection, statements: Texts, counts: Mapping[TP, int], synchronous_commit: SynchronousCommit | None
) -> tuple[Mapping[str, TopicGate], Reserved]:
    """Begins a transaction and reserves, in one trip to the server: all writers wait while heads are held.

    Args:
        conn: a connection in autocommit, outside of any transaction, in a block of `ended`.
        statements: from `append.load`.
        counts: how many offsets by (topic, partition); 0 for places that are only written to.
        synchronous_commit: what the commit waits for; None leaves it as the server has it.

    Returns:
        what a writer has to know of the topics, and what was reserved.

    Raises:
        UnknownTopicError, UnknownPartitionError, SequencerError: a place cannot be written to.
    """
    numbered = {tp: count for tp, count in counts.items() if count}
    names = {"topics": topics_of(counts)}
    with conn.pipeline():
        conn.execute("begin")
        bounds.bound(conn, statements)
        if synchronous_commit is not None:
            bounds.commit_as(conn, statements, synchronous_commit)
        conn.execute(statements["share_gates"], names)
        gates = conn.execute(statements["read_gates"], names)
        heads = conn.execute(statements["reserve"], _wanted(numbered))
    checked = _checked(counts, {row[0]: TopicGate(*row) for row in gates})
    reserved = _reserved(heads.fetchall(), numbered)
    return checked, reserved if numbered else replace(reserved, delayed=list(counts))


def reserve(conn: Connection, statements: Texts, counts: Mapping[TP, int]) -> Reserved:
    """Takes offsets from partitions' heads, and holds the heads until the caller's transaction ends.

    Args:
        conn: a connection inside a transaction that has shared the topics' gates.
        statements: from `load`.
        counts: how many offsets by (topic, partition).

    Raises:
        UnknownPartitionError: there is no such partition.
    """
    return _reserved(conn.execute(statements["reserve"], _wanted(counts)).fetchall(), counts)


def outcome(conn: Connection, statements: Texts, reserved: Reserved) -> bool | None:
    """Tells what became of an append whose reply was lost: True committed, False it never will be, None not yet clear.

    Committed counts only if the rows are where they were to be. After a failover a server may know the transaction's
    id as somebody else's.

    Args:
        conn: a new connection in autocommit, to the server that is written to.
        statements: from `load`.
        reserved: what ``on_reserved`` was told.

    Returns:
        None while the transaction runs, and from a standby: ask again.

    Raises:
        psycopg.Error: Postgres is gone; ask again.
    """
    committed = durability.has_committed(conn, statements, reserved.xid)
    if not committed:
        return committed
    arguments = {
        "topics": [topic for topic, _ in reserved.firsts],
        "partitions": [partition for _, partition in reserved.firsts],
        "firsts": list(reserved.firsts.values()),
        "now_us": reserved.now_us,
    }
    if reserved.delayed:
        topic, partition = reserved.delayed[0]
        row = conn.execute(statements["is_delayed"], {"topic": topic, "partition": partition, **arguments}).fetchone()
        return bool(row and row[0])
    return conn.execute(statements["missing_rows"], arguments).fetchone() is None


def gates_of(
    conn: psycopg.Connection[Any], statements: Texts, places: Collection[TP], read: ReadGates
) -> Mapping[str, TopicGate]:
    """Returns the gates of the topics of these places.

    Raises:
        UnknownTopicError, UnknownPartitionError, SequencerError: one of them cannot be written to.
    """
    return _checked(places, read(conn, statements, topics_of(places)))


def topics_of(places: Iterable[TP]) -> list[str]:
    """Returns the topics of places, in the one order in which they are locked."""
    return sorted({topic for topic, _ in places})


def _checked(places: Iterable[TP], gates: Mapping[str, TopicGate]) -> Mapping[str, TopicGate]:
    for topic, partition in places:
        if not 0 <= partition < topics.writable(topic, gates).partitions:
            raise UnknownPartitionError(topic, partition)
    return gates


def _wanted(counts: Mapping[TP, int]) -> dict[str, list[Any]]:
    return {
        "topics": [topic for topic, _ in counts],
        "partitions": [partition for _, partition in counts],
        "counts": list(counts.values()),
    }


def _reserved(rows: Sequence[TupleRow], counts: Mapping[TP, int]) -> Reserved:
    firsts = {(topic, partition): first for topic, partition, first, *_ in rows if topic is not None}
    for topic, partition in counts:
        if (topic, partition) not in firsts:
            raise UnknownPartitionError(topic, partition)
    # The last row's clock was read when every head was held.
    *_, now_us, xid, durable = rows[-1]
    return Reserved(xid, firsts, counts, now_us, durable)
