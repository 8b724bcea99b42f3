"""The owner of a topic: the group whose progress ``status`` tells. Who it is, and how it becomes another one.

A share group runs what is pending, and a consumer group what lies above its offsets, whatever the status. So at a
change from one kind to the other every job has to be clearly done or clearly not, or it would run twice, or never.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store import bounds, gate
from shim.store.claims import OwnerKind
from shim.store.errors import StoreError
from shim.store.gate import GateStatus
from shim.store.statements import Schemas, Statements
from shim.store.topics import Gate, UnknownTopicError

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
Obstacle = Literal["processing", "held", "gate-open", "claimable", "members", "unsettled"]


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a topic, and how it stands with it.

    Attributes:
        topic: the topic.
        owner_group: the group whose progress ``status`` tells; None for nobody's.
        owner_kind: what kind of group that is.
        gate: whether jobs may run here.
        members: how many live members of an owning consumer group read the topic.
        unsettled: how many offsets an owning consumer group is ahead of ``status``.
    """

    topic: str
    owner_group: str | None
    owner_kind: OwnerKind | None
    gate: Gate
    members: int
    unsettled: int


class Owner(NamedTuple):
    """Who is to own a topic.

    Attributes:
        group_id: the group; None for nobody.
        kind: what kind of group that is; None for nobody.
    """

    group_id: str | None
    kind: OwnerKind | None


NOBODY = Owner(None, None)


class Outlook(NamedTuple):
    """What follows when a consumer group comes to own a topic.

    Attributes:
        completes: pending jobs below its offsets: they count as done from then on.
        repeats: finished jobs at or above its offsets: it reads them all the same, as it does now.
        uncommitted: partitions in which it has no offset, so that ``auto.offset.reset`` says where it begins.
    """

    completes: int = 0
    repeats: int = 0
    uncommitted: int = 0


class ObstacleError(StoreError):
    """The topic cannot change hands as it stands; nothing was changed.

    Attributes:
        before: who owns it.
        jobs: where its unfinished jobs stand.
        obstacle: what is in the way, see `obstacle`.
    """

    def __init__(self, before: Ownership, jobs: GateStatus, obstacle: Obstacle) -> None:
        super().__init__(f"topic {before.topic!r} cannot change its owner: {obstacle}")
        self.before = before
        self.jobs = jobs
        self.obstacle = obstacle


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**gate.load(schemas), **Statements("shim.store.sql", "owners.sql", schemas)}


def ownerships(conn: Connection, texts: Texts, names: Sequence[str] | None = None) -> list[Ownership]:
    """Returns who owns these topics, or all of them for None, by name; unknown ones are left out."""
    with conn.cursor(row_factory=class_row(Ownership)) as cursor:
        found = cursor.execute(texts["read_ownership"], {"topics": None if names is None else list(names)})
        return found.fetchall()


def foresee(conn: Connection, texts: Texts, topic: str, owner: Owner) -> Outlook:
    """Returns what follows when the topic goes to this owner, by where it stands now; nothing for a share group."""
    if owner.kind != "consumer":
        return Outlook()
    found = conn.execute(texts["foresee"], {"topic": topic, "group_id": owner.group_id}).fetchone()
    return Outlook(*found or ())


def obstacle(before: Ownership, jobs: GateStatus, owner: Owner) -> Obstacle | None:
    """Returns what keeps the topic from going to this owner, or None.

    From one share group to another nothing does: a claim is its worker's, whatever the group, and what is pending is
    pending for both. Share consumers learn of another owner only after a while; so when none may claim any more the
    gate has to be closed. For a consumer group nobody recovers a job that is being worked on, and nothing that is held
    stays so. What a consumer group did must stand in the rows before others look at them.
    """
    if before.owner_kind == "share" and owner.kind != "share":
        return _worked_on(jobs) or _claimable(jobs) or _held(jobs, owner)
    if owner.kind == "consumer":
        return _worked_on(jobs) or _held(jobs, owner)
    if before.owner_kind == "consumer" and before.members:
        return "members"
    return "unsettled" if before.unsettled else None


def change(conn: Connection, texts: Texts, topic: str, owner: Owner) -> Ownership:
    """Gives the topic to another owner, or to nobody, and returns who owned it; its own owner may be named again.

    Settle before (`shim.store.settle`) what a consumer group leaves, and afterwards what one comes to own. Where a
    share group lets go, its consumers know after `claims.TERMS_SECONDS`: keep the gate closed until then.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        texts: from `load`.
        topic: the topic.
        owner: whom to give it to.

    Raises:
        UnknownTopicError: the topic is not registered.
        ObstacleError: it cannot change hands as it stands.
    """
    with conn.transaction():
        bounds.bound(conn, texts)
        conn.execute(texts["hold_gate"], {"topic": topic})
        conn.execute(texts["hold_owner"], {"topic": topic})
        before, jobs = standing(conn, texts, topic)
        if owner == (before.owner_group, before.owner_kind):
            return before
        found = obstacle(before, jobs, owner)
        if found is not None:
            raise ObstacleError(before, jobs, found)
        if owner.kind == "consumer":
            conn.execute(texts["settle_anew"], {"topic": topic})
        conn.execute(texts["set_owner"], {"topic": topic, **owner._asdict()})
        return before


def standing(conn: Connection, texts: Texts, topic: str) -> tuple[Ownership, GateStatus]:
    """Returns who owns a topic and where its unfinished jobs stand: what `obstacle` goes by.

    Raises:
        UnknownTopicError: the topic is not registered.
    """
    found = ownerships(conn, texts, [topic])
    if not found:
        raise UnknownTopicError(topic)
    return found[0], gate.gate_status(conn, texts, topic)


def _worked_on(jobs: GateStatus) -> Obstacle | None:
    return "processing" if jobs.processing else None


def _claimable(jobs: GateStatus) -> Obstacle | None:
    if jobs.gate == "open":
        return "gate-open"
    return "claimable" if jobs.claimable else None


def _held(jobs: GateStatus, owner: Owner) -> Obstacle | None:
    return "held" if jobs.held and owner.kind == "consumer" else None
