"""Heartbeats: one statement renews the leases of every member in a process, and tells what became of their groups."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, tuple_row

from shim.store.connection import repeat
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
BeatState = Literal["live", "gone", "fenced", "overdue", "out-of-touch"]


class Member(NamedTuple):
    """Who beats.

    Attributes:
        group_id: its group.
        member_id: its id.
        instance_id: ``group.instance.id`` of a static member, else None.
    """

    group_id: str
    member_id: str
    instance_id: str | None = None


class Beat(NamedTuple):
    """What a member learns from its heartbeat. All states but ``live`` are the end of this member id.

    Attributes:
        member_id: whose heartbeat.
        state: ``live``: the lease is renewed. ``gone``: the lease was over, or the member was removed; it has lost its
            partitions and may join again under a new id. ``fenced``: another process goes by its instance id, and this
            one must not join again. From `Coordinator` alone: ``overdue``: it was not polled for max.poll.interval.ms
            and has left its group, as ``gone`` otherwise; ``out-of-touch``: no heartbeat got through for as long as
            the lease lasts, so it is to be taken for over, as ``gone`` otherwise.
        generation: of a live member's group; another one than before means that its assignment may have changed.
    """

    member_id: str
    state: BeatState
    generation: int | None = None


class Beats(NamedTuple):
    """What one statement found.

    Attributes:
        members: by member id.
        stale: of the groups that were looked at, those that need a `rebalance`: a member's lease is over, a topic has
            other partitions than were assigned, or a topic that somebody subscribes to came or went.
    """

    members: Mapping[str, Beat]
    stale: frozenset[str]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that `beat` runs."""
    return {
        **Statements("shim.store.sql", "beats.sql", schemas),
        "read_instance": Statements("shim.store.sql", "groups.sql", schemas)["read_instance"],
    }


def beat(conn: Connection, texts: Texts, members: Sequence[Member], *, look: bool = True) -> Beats:
    """Renews the leases of members, in one statement; a lease that is over stays so.

    To look at the groups too costs as much again for each of their members and partitions, and each process of a group
    does it: it need not be every time.

    Only for a static member whose lease was over there is a second statement, which tells ``gone`` from ``fenced``.
    """
    known = {member.member_id: member for member in members}
    group_ids = [member.group_id for member in known.values()]
    arguments = {"member_ids": list(known), "group_ids": group_ids, "looked_at": group_ids if look else []}
    rows = repeat(conn, texts["beat"], arguments).fetchall()
    beats = {
        member_id: _gone(conn, texts, known[member_id]) if generation is None else Beat(member_id, "live", generation)
        for member_id, generation, _ in rows
    }
    return Beats(beats, frozenset(known[member_id].group_id for member_id, _, stale in rows if stale))


def fenced(conn: psycopg.Connection[Any], texts: Texts, member: Member) -> bool:
    """Tells whether another member goes by the instance id of this one."""
    if member.instance_id is None:
        return False
    place = {"group_id": member.group_id, "instance_id": member.instance_id}
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(texts["read_instance"], place).fetchone()
    return row is not None and row[0] != member.member_id


def _gone(conn: Connection, texts: Texts, member: Member) -> Beat:
    return Beat(member.member_id, "fenced" if fenced(conn, texts, member) else "gone")
