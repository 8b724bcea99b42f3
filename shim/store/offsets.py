"""Where consumer groups stand: the next offset that a group will read, per partition.

A commit is one statement for all its partitions, and each is fenced: it counts only while the member holds the
partition under the epoch that it acquired it with. It may run in a transaction of the caller's own, together with the
effects of the work: then both come true or neither, and nobody takes over a partition before that is decided.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import tuple_row

from shim.store import beats
from shim.store.assignors import TP
from shim.store.beats import Member, fenced
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[Any]
Texts = Mapping[str, LiteralString]
CommitResult = Literal[
    "ok", "unknown-member", "illegal-generation", "fenced-instance", "unknown-topic", "metadata-too-large"
]
DeleteResult = Literal["ok", "subscribed"]

LONGEST_METADATA = 4096
"""How many bytes of metadata a commit may carry: what Kafka's brokers take unless told otherwise."""


class Commit(NamedTuple):
    """What a group commits in one partition.

    Attributes:
        topic: the topic.
        partition: the partition.
        offset: the next offset that the group will read; not negative.
        leader_epoch: Kafka's, kept and given back as it is.
        metadata: the caller's own words.
        epoch: under which the member holds the partition (`Assignment.held`). None without membership, and for a
            partition that the member does not hold: the latter is written unless another member holds it.
    """

    topic: str
    partition: int
    offset: int
    leader_epoch: int | None = None
    metadata: str = ""
    epoch: int | None = None


class Committed(NamedTuple):
    """What a group has committed in one partition.

    Attributes:
        offset: the next offset that it will read.
        leader_epoch: as it was committed.
        metadata: as it was committed.
    """

    offset: int
    leader_epoch: int | None
    metadata: str


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**Statements("shim.store.sql", "offsets.sql", schemas), **beats.load(schemas)}


def commit(
    conn: Connection,
    texts: Texts,
    group_id: str,
    member_id: str | None,
    commits: Collection[Commit],
    *,
    instance_id: str | None = None,
) -> dict[TP, CommitResult]:
    """Commits offsets, in one statement; in the caller's transaction if there is one.

    In a transaction the partitions stay fenced in until it ends: until then nobody else can acquire them, and
    `release` passes them over. So such a transaction had better be short, and end before the group is left.

    Args:
        conn: any connection.
        texts: from `load`.
        group_id: the group.
        member_id: who commits; None for whoever is no member: an administrator, or a consumer that assigns its
            partitions itself.
        commits: what; of two for one partition the later one counts.
        instance_id: of a static member.

    Returns:
        per partition what became of it; only ``ok`` was written. ``unknown-member``: the member's lease is over or it
        was removed, or without a member the group has live ones. ``illegal-generation``: the member does not hold the
        partition, or under another epoch. ``fenced-instance``: another process goes by its instance id.
        ``unknown-topic``: no such partition. ``metadata-too-large``: more than `LONGEST_METADATA`.
    """
    wanted = {(one.topic, one.partition): one for one in commits}
    short = [one for one in wanted.values() if len(one.metadata.encode()) <= LONGEST_METADATA]
    results: dict[TP, CommitResult] = dict.fromkeys(wanted, "metadata-too-large")
    results |= _write(conn, texts, group_id, member_id, short)
    if instance_id is not None and member_id is not None and "unknown-member" in results.values():
        return _with_reason(conn, texts, Member(group_id, member_id, instance_id), results)
    return results


def committed(
    conn: Connection, texts: Texts, group_id: str, partitions: Collection[TP] | None = None
) -> dict[TP, Committed]:
    """Reads where a group stands; partitions in which it never committed are left out.

    Args:
        conn: any connection; in a transaction what was committed in it counts already.
        texts: from `load`.
        group_id: the group.
        partitions: which; None for all.
    """
    with conn.cursor(row_factory=tuple_row) as cursor:
        if partitions is None:
            cursor.execute(texts["read_all_offsets"], {"group_id": group_id})
        else:
            cursor.execute(texts["read_offsets"], {"group_id": group_id, **_columns(partitions)})
        return {(topic, partition): Committed(*rest) for topic, partition, *rest in cursor}


def delete_offsets(conn: Connection, texts: Texts, group_id: str, partitions: Collection[TP]) -> dict[TP, DeleteResult]:
    """Forgets where a group stands, in one statement.

    Returns:
        per partition ``ok``, also where there was nothing to forget, or ``subscribed``: a live member of the group
        reads the topic, so nothing was deleted.
    """
    arguments = {"group_id": group_id, **_columns(partitions)}
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(texts["delete_offsets"], arguments)
        return {(topic, partition): "subscribed" if read else "ok" for topic, partition, read in rows}


def _write(
    conn: Connection, texts: Texts, group_id: str, member_id: str | None, commits: Collection[Commit]
) -> dict[TP, CommitResult]:
    arguments = {
        "group_id": group_id,
        "member_id": member_id,
        "topics": [one.topic for one in commits],
        "partitions": [one.partition for one in commits],
        "offsets": [one.offset for one in commits],
        "leader_epochs": [one.leader_epoch for one in commits],
        "metadata": [one.metadata for one in commits],
        "epochs": [one.epoch for one in commits],
    }
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(texts["commit_offsets"], arguments)
        return {(topic, partition): result for topic, partition, result in rows}


def _with_reason(
    conn: Connection, texts: Texts, member: Member, results: Mapping[TP, CommitResult]
) -> dict[TP, CommitResult]:
    reason: CommitResult = "fenced-instance" if fenced(conn, texts, member) else "unknown-member"
    return {tp: reason if result == "unknown-member" else result for tp, result in results.items()}


def _columns(partitions: Collection[TP]) -> dict[str, list[str] | list[int]]:
    return {
        "topics": [topic for topic, _ in partitions],
        "partitions": [partition for _, partition in partitions],
    }
