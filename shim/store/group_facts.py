"""What an operator wants to know of consumer groups, and their removal."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store import group_lock
from shim.store.assignors import TP, Protocol, protocol_of
from shim.store.errors import StoreError
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
GroupState = Literal["Stable", "PreparingRebalance", "CompletingRebalance", "Empty", "Dead"]


class GroupNotEmptyError(StoreError):
    """The group has live members.

    Attributes:
        group_id: the group.
    """

    def __init__(self, group_id: str) -> None:
        super().__init__(f"group {group_id!r} has members")
        self.group_id = group_id


class MemberFacts(NamedTuple):
    """A live member.

    Attributes:
        member_id: its id.
        instance_id: ``group.instance.id`` of a static member, else None.
        client_id: ``client.id``.
        host: where it runs.
        assignment: the partitions that it holds, in order.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    assignment: tuple[TP, ...]


class GroupFacts(NamedTuple):
    """A group.

    Attributes:
        group_id: the group.
        state: in Kafka's words. ``PreparingRebalance``: somebody still holds what another one is to have;
            ``CompletingRebalance``: everybody let go, and somebody has not taken its own yet; ``Empty``: no live
            member; ``Dead``: there is no such group.
        generation: how often it was assigned anew.
        assignor: the strategy by which it was; empty without members.
        protocol: what that strategy asks of members; None without members.
        members: the live ones, by member id.
    """

    group_id: str
    state: GroupState
    generation: int
    assignor: str
    protocol: Protocol | None
    members: tuple[MemberFacts, ...]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**group_lock.load(schemas), **Statements("shim.store.sql", "group_facts.sql", schemas)}


def describe_groups(conn: Connection, texts: Texts, group_ids: Sequence[str] | None) -> dict[str, GroupFacts]:
    """Describes groups.

    Args:
        conn: any connection.
        texts: from `load`.
        group_ids: which; None for all that have members or offsets, or had members once.

    Returns:
        them by id; one that does not exist is ``Dead``, as Kafka has it.
    """
    if group_ids is None:
        group_ids = [row[0] for row in conn.execute(texts["list_groups"])]
    arguments = {"group_ids": list(dict.fromkeys(group_ids))}
    members = _by_group(conn.execute(texts["describe_members"], arguments))
    rows = conn.execute(texts["describe_groups"], arguments)
    return {row[0]: _facts(*row, members=tuple(members[row[0]])) for row in rows}


def delete_group(conn: Connection, texts: Texts, group_id: str) -> bool:
    """Removes a group with its offsets, in a transaction of its own; returns False when there was none.

    Raises:
        GroupNotEmptyError: it has live members.
    """
    place = {"group_id": group_id}
    with conn.transaction():
        group_lock.hold(conn, texts, group_id)
        if conn.execute(texts["has_live_member"], place).fetchone() == (True,):
            raise GroupNotEmptyError(group_id)
        groups = conn.execute(texts["delete_group"], place).rowcount
        offsets = conn.execute(texts["delete_group_offsets"], place).rowcount
    return groups + offsets > 0


def _by_group(rows: Iterable[TupleRow]) -> Mapping[str, list[MemberFacts]]:
    members = defaultdict[str, list[MemberFacts]](list)
    for group_id, member_id, instance_id, client_id, host, topics, partitions in rows:
        assignment = tuple(zip(topics or (), partitions or (), strict=True))
        members[group_id].append(MemberFacts(member_id, instance_id, client_id, host, assignment))
    return members


def _facts(
    group_id: str,
    known: bool,
    generation: int,
    assignor: str,
    kept: int,
    untaken: int,
    *,
    members: tuple[MemberFacts, ...],
) -> GroupFacts:
    if not members:
        return GroupFacts(group_id, "Empty" if known else "Dead", generation, "", None, ())
    state: GroupState = "PreparingRebalance" if kept else "CompletingRebalance" if untaken else "Stable"
    return GroupFacts(group_id, state, generation, assignor, protocol_of(assignor), members)
