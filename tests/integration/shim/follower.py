"""A consumer reduced to how it follows its group; what it believes to hold is judged by whether it may commit there."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from shim.store import groups, offsets, topics
from shim.store.assignors import TP
from shim.store.groups import Connection, Member, Membership, UnknownMemberError
from shim.store.offsets import Commit, CommitResult
from shim.store.schema import store_line
from shim.store.topics import Texts

SCHEMAS = store_line().schemas
TEXTS: Texts = {**groups.load(SCHEMAS), **offsets.load(SCHEMAS)}
TOPICS: Texts = topics.load(SCHEMAS)
EXPIRE = "update job_group_member set lease_until = clock_timestamp() - interval '1 second' where member_id = %s"
SESSION_MS = 60_000


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@dataclass
class Follower:
    """One life of a consumer after another, in one group."""

    conn: Connection
    group_id: str
    topics: Sequence[str]
    strategies: Sequence[str] = ("range",)
    instance_id: str | None = None
    session_ms: int = SESSION_MS
    member_id: str = ""
    generation: int = 0
    held: dict[TP, int] = field(default_factory=dict)

    @property
    def member(self) -> Member:
        return Member(self.group_id, self.member_id, self.instance_id)

    def membership(self) -> Membership:
        return Membership(
            self.group_id,
            self.member_id,
            self.instance_id,
            client_id="client",
            host="host",
            topics=tuple(self.topics),
            strategies=tuple(self.strategies),
            session_ms=self.session_ms,
        )

    def join(self) -> groups.Assignment:
        self.member_id = groups.new_member_id("client", self.instance_id)
        self.held = {}
        assignment = groups.join(self.conn, TEXTS, self.membership())
        self.generation = assignment.generation
        return assignment

    def leave(self) -> None:
        groups.leave(self.conn, TEXTS, self.group_id, self.member_id)
        self.held, self.member_id = {}, ""

    def expire(self) -> None:
        """Let the lease run out without anybody knowing, the follower least of all."""
        self.conn.execute(EXPIRE, [self.member_id])

    def read(self) -> groups.Assignment:
        return groups.read_assignment(self.conn, TEXTS, self.group_id, self.member_id, instance_id=self.instance_id)

    def acquire(self, partitions: Collection[TP], generation: int | None = None) -> dict[TP, int]:
        wanted = self.generation if generation is None else generation
        taken = groups.acquire(
            self.conn, TEXTS, self.group_id, self.member_id, wanted, partitions, instance_id=self.instance_id
        )
        self.held |= taken
        return taken

    def release(self, partitions: Iterable[TP]) -> frozenset[TP]:
        released = groups.release(self.conn, TEXTS, self.group_id, self.member_id, list(partitions))
        self.held = {tp: epoch for tp, epoch in self.held.items() if tp not in released}
        return released

    def beat(self) -> groups.Beats:
        return groups.beat(self.conn, TEXTS, [self.member])

    def commit(self, offset: int = 0, conn: Connection | None = None) -> dict[TP, CommitResult]:
        commits = [Commit(*tp, offset, epoch=epoch) for tp, epoch in self.held.items()]
        return offsets.commit(
            conn or self.conn, TEXTS, self.group_id, self.member_id, commits, instance_id=self.instance_id
        )

    def act(self) -> bool:
        """Do what a consumer does from one heartbeat to the next; returns whether it changed anything."""
        if not self.member_id:
            self.join()
            return True
        beats = self.beat()
        generations = [groups.rebalance(self.conn, TEXTS, group_id) for group_id in beats.stale]
        if beats.members[self.member_id].state != "live":
            self.held, self.member_id = {}, ""
            return True
        try:
            return self._follow() or bool(generations)
        except UnknownMemberError:
            self.held, self.member_id = {}, ""
            return True

    def _follow(self) -> bool:
        before = (self.generation, dict(self.held))
        assignment = self.read()
        eager = assignment.protocol == "eager"
        if not eager:
            self.release(self.held.keys() - assignment.target)
        elif assignment.generation != self.generation:
            self.release(self.held)
        self.generation = assignment.generation
        assignment = self.read()
        if not eager or assignment.free == assignment.target - assignment.held.keys():
            self.acquire(assignment.target, assignment.generation)  # more than is free: it is not given that
        return before != (self.generation, self.held)


def settle(followers: Collection[Follower], rounds: int = 50) -> None:
    """Let everybody act, in turns, until there is nothing left to do; who lost its membership joins again."""
    for _ in range(rounds):
        # All of them act, whoever changed something.
        if not sum(follower.act() for follower in followers):
            return
    raise AssertionError("the group does not come to rest")


def would_commit(follower: Follower) -> dict[TP, CommitResult]:
    """What would come of committing wherever a follower believes to hold."""
    if not follower.held:
        return {}
    with follower.conn.transaction(force_rollback=True):
        return follower.commit()


def committers(followers: Iterable[Follower]) -> dict[TP, int]:
    """How many followers may commit each partition that somebody believes to hold."""
    may = (tp for follower in followers for tp, result in would_commit(follower).items() if result == "ok")
    return dict(Counter(may))


def make_topic(conn: Connection, partitions: int, topic: str | None = None) -> str:
    name = topic or fresh("topic")
    assert topics.create_topic(conn, TOPICS, name, partitions)
    return name


def all_of(topic: str, partitions: int) -> frozenset[TP]:
    return frozenset((topic, partition) for partition in range(partitions))
