"""Consumer groups without a leader: who is a member, who is to hold which partition, and who does.

The *target* of a group, who is to hold what, is a pure function of its members and of the topics that they subscribe
to (`shim.store.assignors`). Whoever notices that these changed holds the group's row, writes the new target and
counts the generation up. The *holder* of a partition is who really has it: a member takes what is its own by the
target once the former holder let go of it or is no member any more, and each taking has an epoch of its own, under
which the member commits (`shim.store.offsets`). So no partition ever has two holders, whatever the targets say.

A member lives by its lease, which its process renews (`shim.store.beats`). A lease that is over is over, whether or
not anybody noticed: the member can neither beat, take nor commit any more. Whoever notices removes it, under the
group's row and its own, and from then on it holds nothing.

All of it goes by the database's clock. Every function that changes something runs in a short transaction of its own,
which locks the group's row first, then members, then partitions in order. Only commits lock partitions without the
group: where one waits in an open transaction its partition is passed over, never waited for.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store import beats, group_facts, group_lock, targets
from shim.store.assignors import TP, Protocol, protocol_of
from shim.store.beats import Beat, Beats, Member, beat, fenced
from shim.store.errors import StoreError
from shim.store.group_facts import GroupFacts, GroupNotEmptyError, MemberFacts, delete_group, describe_groups
from shim.store.group_lock import hold, hold_free
from shim.store.statements import Schemas, Statements
from shim.store.targets import InconsistentProtocolError, assign_anew

__all__ = [
    "Assignment",
    "Beat",
    "Beats",
    "FencedInstanceError",
    "GroupFacts",
    "GroupNotEmptyError",
    "InconsistentProtocolError",
    "InvalidPatternError",
    "Member",
    "MemberFacts",
    "Membership",
    "UnknownMemberError",
    "acquire",
    "beat",
    "delete_group",
    "describe_groups",
    "join",
    "leave",
    "load",
    "new_member_id",
    "read_assignment",
    "rebalance",
    "release",
]

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


class UnknownMemberError(StoreError):
    """The member's lease is over, or it was removed; it has lost its partitions, and joins again under a new id.

    Attributes:
        group_id: the group.
        member_id: the member.
    """

    def __init__(self, group_id: str, member_id: str) -> None:
        super().__init__(f"group {group_id!r} has no member {member_id!r}")
        self.group_id = group_id
        self.member_id = member_id


class FencedInstanceError(StoreError):
    """Another process goes by this instance id; were this one to join again, the two would oust each other for ever.

    Attributes:
        group_id: the group.
        instance_id: the static member's ``group.instance.id``.
    """

    def __init__(self, group_id: str, instance_id: str) -> None:
        super().__init__(f"another member of group {group_id!r} goes by instance id {instance_id!r}")
        self.group_id = group_id
        self.instance_id = instance_id


class InvalidPatternError(StoreError):
    """A subscription that begins with ``^`` is no regular expression.

    Attributes:
        patterns: those of the subscription; one of them at least is not.
        reason: in Postgres' words.
    """

    def __init__(self, patterns: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.patterns = patterns
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Membership:
    """What a member says of itself when it joins.

    Attributes:
        group_id: ``group.id``.
        member_id: from `new_member_id`, a new one for each life as a member.
        instance_id: ``group.instance.id`` of a static member, else None.
        client_id: ``client.id``.
        host: where it runs.
        topics: the subscription; a name that begins with ``^`` is a pattern.
        strategies: the assignment strategies that it knows, the dearest first.
        session_ms: how long its lease lasts from each heartbeat on.
    """

    group_id: str
    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    topics: tuple[str, ...]
    strategies: tuple[str, ...]
    session_ms: int


class Assignment(NamedTuple):
    """A member's part of a generation.

    Attributes:
        generation: which one.
        protocol: ``eager``: give up and release everything, wait until all of ``target`` is free, acquire it all.
            ``cooperative``: release what is held and no target, acquire what is free, and go on until the rest is.
        target: what the member is to hold.
        held: what it holds, with the epoch under which it commits.
        free: what of the target nobody holds any more, so that the member may acquire it.
    """

    generation: int
    protocol: Protocol
    target: frozenset[TP]
    held: Mapping[TP, int]
    free: frozenset[TP]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {
        **Statements("shim.store.sql", "groups.sql", schemas),
        **Statements("shim.store.sql", "holdings.sql", schemas),
        **group_lock.load(schemas),
        **targets.load(schemas),
        **beats.load(schemas),
        **group_facts.load(schemas),
    }


def new_member_id(client_id: str, instance_id: str | None = None) -> str:
    """Returns an id for one life as a member, of the form that Kafka's coordinator gives."""
    return f"{instance_id or client_id}-{uuid.uuid4()}"


def join(conn: Connection, texts: Texts, membership: Membership, *, rejoin: bool = False) -> Assignment:
    """Makes a member, or changes its subscription; the group is assigned anew, unless nothing changed.

    A static member whose instance id is known comes in place of that one's former life, which is fenced: without a new
    generation its targets are handed over, free to be acquired, if it subscribes to the same.

    Args:
        conn: a connection outside of any transaction.
        texts: from `load`.
        membership: who joins.
        rejoin: whether the member is one already and only wants something else than before.

    Raises:
        InconsistentProtocolError: it knows no strategy that all others know.
        InvalidPatternError: Postgres cannot read a pattern.
        UnknownMemberError: a rejoining member is none any more.
        FencedInstanceError: another one took a rejoining static member's place.
    """
    _check_patterns(conn, texts, membership)
    member = Member(membership.group_id, membership.member_id, membership.instance_id)
    with conn.transaction():
        while hold(conn, texts, member.group_id) is None:
            conn.execute(texts["ensure_group"], {"group_id": member.group_id})
        if rejoin:
            _require(conn, texts, member)
        unchanged = _put_member(conn, texts, membership)
        if _remove_expired(conn, texts, member.group_id) or not unchanged:
            assign_anew(conn, texts, member.group_id, membership.strategies)
        return _read(conn, texts, member)


def read_assignment(
    conn: Connection, texts: Texts, group_id: str, member_id: str, *, instance_id: str | None = None
) -> Assignment:
    """Reads a member's part of the present generation, in one statement that locks nothing.

    Raises:
        UnknownMemberError: it is no member any more.
        FencedInstanceError: another one took the static member's place.
    """
    return _read(conn, texts, Member(group_id, member_id, instance_id))


def acquire(
    conn: Connection,
    texts: Texts,
    group_id: str,
    member_id: str,
    generation: int,
    partitions: Collection[TP],
    *,
    instance_id: str | None = None,
) -> dict[TP, int]:
    """Takes partitions that the member is to hold and nobody else holds.

    Args:
        conn: a connection outside of any transaction.
        texts: from `load`.
        group_id: the group.
        member_id: the member.
        generation: of the `Assignment` that the member goes by; in a later one it gets nothing.
        partitions: what it wants.
        instance_id: of a static member.

    Returns:
        the epoch of each that it holds now. What is missing is not free yet, or a former holder's commit still waits
        in an open transaction, whose effects nobody may overtake: read the assignment again later, and try again.

    Raises:
        UnknownMemberError: it is no member any more.
        FencedInstanceError: another one took the static member's place.
    """
    with conn.transaction():
        present = hold(conn, texts, group_id)
        _require(conn, texts, Member(group_id, member_id, instance_id))
        if present != generation:
            return {}
        rows = conn.execute(texts["acquire_partitions"], _holding(group_id, member_id, partitions))
        return {(topic, partition): epoch for topic, partition, epoch in rows}


def release(conn: Connection, texts: Texts, group_id: str, member_id: str, partitions: Collection[TP]) -> frozenset[TP]:
    """Gives partitions back that the member holds; others, and those of a member that is none any more, are no error.

    Returns:
        what was given back. A partition with a commit that waits in an open transaction stays held, since another
        holder would start below it: release it again when that transaction has ended.
    """
    with conn.transaction():
        hold(conn, texts, group_id)
        rows = conn.execute(texts["release_partitions"], _holding(group_id, member_id, partitions))
        return frozenset((topic, partition) for topic, partition in rows)


def leave(conn: Connection, texts: Texts, group_id: str, member_id: str) -> None:
    """Ends a membership, with all that it holds; the group is assigned anew. One that has ended already is no error.

    A static member that goes to come back does not leave: it just beats no more.
    """
    with conn.transaction():
        hold(conn, texts, group_id)
        left = conn.execute(texts["remove_member"], {"group_id": group_id, "member_id": member_id}).rowcount
        if _remove_expired(conn, texts, group_id) or left:
            assign_anew(conn, texts, group_id)


def rebalance(conn: Connection, texts: Texts, group_id: str, *, wait: bool = True) -> int:
    """Removes members whose lease is over, and assigns the group anew if anything is not as it was assigned.

    Any number of processes may notice and call this at once: one of them does it, the others find it done.

    Args:
        conn: a connection outside of any transaction.
        texts: from `load`.
        group_id: the group.
        wait: whether to wait for whoever is changing the group just now; else that one's change is taken as enough,
            and the next heartbeat tells whether it was.

    Returns:
        the generation after that; 0 when there is no such group, or without ``wait`` when somebody is at it.
    """
    with conn.transaction():
        generation = (hold if wait else hold_free)(conn, texts, group_id)
        if not generation:
            return 0
        removed = _remove_expired(conn, texts, group_id)
        return assign_anew(conn, texts, group_id, force=removed) or generation


def _check_patterns(conn: Connection, texts: Texts, membership: Membership) -> None:
    patterns = tuple(name for name in membership.topics if name.startswith("^"))
    if patterns:
        try:
            conn.execute(texts["check_patterns"], {"patterns": list(patterns)})
        except psycopg.errors.InvalidRegularExpression as error:
            raise InvalidPatternError(patterns, error.diag.message_primary or "invalid") from None


def _require(conn: Connection, texts: Texts, member: Member) -> None:
    place = {"group_id": member.group_id, "member_id": member.member_id}
    if conn.execute(texts["read_live_member"], place).rowcount == 0:
        raise _refusal(conn, texts, member)


def _refusal(conn: Connection, texts: Texts, member: Member) -> StoreError:
    if member.instance_id is not None and fenced(conn, texts, member):
        return FencedInstanceError(member.group_id, member.instance_id)
    return UnknownMemberError(member.group_id, member.member_id)


def _put_member(conn: Connection, texts: Texts, membership: Membership) -> bool:
    """Adds or renews the member; returns whether it was there and wants the same as before."""
    arguments = {
        "group_id": membership.group_id,
        "member_id": membership.member_id,
        "instance_id": membership.instance_id,
        "client_id": membership.client_id,
        "host": membership.host,
        "topics": list(membership.topics),
        "strategies": list(membership.strategies),
        "session_ms": membership.session_ms,
    }
    row = conn.execute(texts["renew_member"], arguments).fetchone()
    if row is None:
        conn.execute(texts["add_member"], arguments)
    return row == (True,)


def _remove_expired(conn: Connection, texts: Texts, group_id: str) -> bool:
    return conn.execute(texts["remove_expired"], {"group_id": group_id}).rowcount > 0


def _read(conn: Connection, texts: Texts, member: Member) -> Assignment:
    place = {"group_id": member.group_id, "member_id": member.member_id}
    rows = conn.execute(texts["read_assignment"], place).fetchall()
    if not rows:
        raise _refusal(conn, texts, member)
    generation, assignor = rows[0][:2]
    parts = [((topic, partition), *rest) for _, _, topic, partition, *rest in rows if topic is not None]
    return Assignment(
        generation,
        protocol_of(assignor),
        target=frozenset(tp for tp, _, mine, _, _ in parts if mine),
        held={tp: epoch for tp, epoch, _, held, _ in parts if held},
        free=frozenset(tp for tp, _, mine, _, free in parts if mine and free),
    )


def _holding(group_id: str, member_id: str, partitions: Collection[TP]) -> dict[str, object]:
    return {
        "group_id": group_id,
        "member_id": member_id,
        "topics": [topic for topic, _ in partitions],
        "partitions": [partition for _, partition in partitions],
    }
