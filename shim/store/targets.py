"""Who is to hold which partition of a consumer group: read, decided, and written as a new generation."""

from collections.abc import Mapping, Sequence
from typing import LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store.assignors import TP, Subscriber, Target, assign, common_strategy
from shim.store.errors import StoreError
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


class InconsistentProtocolError(StoreError):
    """The members of the group have no assignment strategy in common, so this one could not join.

    Attributes:
        group_id: the group.
        strategies: what the member offered.
    """

    def __init__(self, group_id: str, strategies: tuple[str, ...]) -> None:
        super().__init__(f"nobody else in group {group_id!r} can do {', '.join(strategies) or 'nothing'}")
        self.group_id = group_id
        self.strategies = strategies


class _Subscribers(NamedTuple):
    """The members of a group with what they know and want, and how many partitions each wanted topic has."""

    members: Sequence[Subscriber]
    strategies: Sequence[Sequence[str]]
    partitions: Mapping[str, int]


def load(schemas: Schemas) -> Texts:
    """Returns the statements that `assign_anew` runs."""
    return Statements("shim.store.sql", "groups.sql", schemas)


def assign_anew(
    conn: Connection, texts: Texts, group_id: str, offered: Sequence[str] = (), *, force: bool = True
) -> int | None:
    """Decides who is to hold what, inside a transaction that holds the group's row.

    Args:
        conn: that transaction.
        texts: from `load`.
        group_id: the group.
        offered: the strategies of the member that is joining.
        force: whether it is a new generation even if everybody is to hold the same as before.

    Returns:
        the new generation; None when there was nothing to change.

    Raises:
        InconsistentProtocolError: the members have no strategy in common; the caller must roll back.
    """
    subscribers = _read_subscribers(conn, texts, group_id)
    target, current = _read_targets(conn, texts, group_id)
    strategy = common_strategy(subscribers.strategies) if subscribers.members else ""
    if strategy is None:
        raise InconsistentProtocolError(group_id, tuple(offered))
    wanted = assign(strategy, subscribers.members, subscribers.partitions, current) if strategy else {}
    if wanted == target and not force:
        return None
    return _write_targets(conn, texts, group_id, strategy, wanted)


def _read_subscribers(conn: Connection, texts: Texts, group_id: str) -> _Subscribers:
    members, strategies, counts = [], [], dict[str, int]()
    for member_id, instance_id, known, topics, partitions in conn.execute(
        texts["read_subscribers"], {"group_id": group_id}
    ):
        members.append(Subscriber(member_id, instance_id, frozenset(topics or ())))
        strategies.append(known)
        counts.update(zip(topics or (), partitions or (), strict=True))
    return _Subscribers(members, strategies, counts)


def _read_targets(conn: Connection, texts: Texts, group_id: str) -> tuple[Target, Mapping[TP, str]]:
    """Who was to hold what; and the same with the present holder where nobody is to hold it any more."""
    rows = conn.execute(texts["read_targets"], {"group_id": group_id}).fetchall()
    target = {(topic, partition): member for topic, partition, member, _ in rows if member is not None}
    current = {(topic, partition): member or holder for topic, partition, member, holder in rows if member or holder}
    return target, current


def _write_targets(conn: Connection, texts: Texts, group_id: str, strategy: str, wanted: Target) -> int:
    arguments = {
        "group_id": group_id,
        "assignor": strategy,
        "topics": [topic for topic, _ in wanted],
        "partitions": [partition for _, partition in wanted],
        "targets": list(wanted.values()),
    }
    row = conn.execute(texts["write_targets"], arguments).fetchone()
    conn.execute(texts["remove_idle_partitions"], {"group_id": group_id})
    return row[0] if row else 0
