"""Whatever happens to a consumer group: nobody ever shares a partition, and in the end every one has its member."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator import postgres
from migrator.postgres import Connection
from shim.store import schema, topics
from shim.store.assignors import TP
from tests.fixtures.postgres import Databases
from tests.integration.shim.follower import TOPICS, Follower, committers, fresh, make_topic, settle, would_commit

MOST_PARTITIONS = 6
MEMBERS = 4
LIVE = "select member_id from job_group_member where lease_until > clock_timestamp()"


class Scene:
    """A group whose members subscribe to different topics, one of which may come, grow and go."""

    def __init__(self, conn: Connection, strategy: str) -> None:
        prefix, group_id = fresh("topic"), fresh("group")
        self._conn = conn
        self.partitions = {f"{prefix}.a": 3, f"{prefix}.b": 1}
        self._passing = f"{prefix}.c"
        for topic, count in self.partitions.items():
            make_topic(conn, count, topic)
        subscriptions = [[f"{prefix}.a"], [f"^{prefix}"], [f"{prefix}.a", f"{prefix}.b"], [f"{prefix}.b", "nowhere"]]
        self.members = [
            Follower(conn, group_id, wanted, [strategy], instance_id="static" if rank == 1 else None)
            for rank, wanted in enumerate(subscriptions)
        ]
        self._away = list(self.members)
        self.zombies: list[Follower] = []

    def join(self, rank: int) -> None:
        """Begin a new life; the old one goes on somewhere as a zombie that knows of nothing."""
        member = self.members[rank]
        if member not in self._away:
            self._bury(member)
        else:
            self._away.remove(member)
        member.join()

    def leave(self, rank: int) -> None:
        if (member := self.members[rank]) not in self._away:
            member.leave()
            self._away.append(member)

    def expire(self, rank: int) -> None:
        if (member := self.members[rank]).member_id:
            member.expire()

    def act(self, rank: int) -> None:
        if (member := self.members[rank]) in self._away:
            self.join(rank)
        else:
            member.act()

    def change_topics(self, rank: int) -> None:
        """Let a topic grow; or have one come and go."""
        topic = list(self.partitions)[rank % len(self.partitions)]
        if rank == MEMBERS - 1:
            self._come_or_go()
        elif self.partitions[topic] < MOST_PARTITIONS:
            self.partitions[topic] += 1
            topics.grow_topic(self._conn, TOPICS, topic, self.partitions[topic])

    def judge(self) -> None:
        """See that who lives may commit wherever it believes to hold, that nobody else may, and that no two do."""
        live = {row[0] for row in self._conn.execute(LIVE)}
        may: Counter[TP] = Counter()
        for follower in [*self.members, *self.zombies]:
            results = would_commit(follower)
            allowed = {"ok"} if follower.member_id in live else {"unknown-member", "fenced-instance"}
            assert set(results.values()) <= allowed | {"unknown-topic"}
            may.update(tp for tp, result in results.items() if result == "ok")
        assert max(may.values(), default=0) <= 1

    def rest(self) -> list[Follower]:
        """Let everybody that has not left act until nothing is left to do."""
        present = [member for member in self.members if member not in self._away]
        settle(present)
        return present

    def _bury(self, member: Follower) -> None:
        zombie = Follower(self._conn, member.group_id, member.topics, member.strategies)
        zombie.member_id, zombie.held = member.member_id, dict(member.held)
        self.zombies.append(zombie)
        if member.member_id and member.instance_id is None:
            zombie.expire()

    def _come_or_go(self) -> None:
        if self.partitions.pop(self._passing, None):
            topics.delete_topic(self._conn, TOPICS, self._passing)
        else:
            self.partitions[self._passing] = 2
            make_topic(self._conn, 2, self._passing)


STEPS: dict[str, Callable[[Scene, int], None]] = {
    "join": Scene.join,
    "leave": Scene.leave,
    "expire": Scene.expire,
    "act": Scene.act,
    "change topics": Scene.change_topics,
}


@pytest.fixture(scope="module")
def conn(databases: Databases) -> Iterator[Connection]:
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        yield conn
    databases.drop(url)


def migrate(url: str) -> None:
    with closing(postgres.connect(url, "test")) as conn:
        schema.upgrade(conn, schema.store_line())


steps = st.tuples(st.sampled_from(["act", "act", "act", *STEPS]), st.integers(0, MEMBERS - 1))


@settings(max_examples=40, deadline=None)
@given(
    history=st.lists(steps, min_size=10, max_size=40),
    strategy=st.sampled_from(["range", "roundrobin", "cooperative-sticky"]),
)
def test_every_partition_has_one_member_in_the_end_and_never_two(
    conn: Connection, history: Sequence[tuple[str, int]], strategy: str
) -> None:
    scene = Scene(conn, strategy)
    for step, rank in history:
        STEPS[step](scene, rank)
        scene.judge()
    present = scene.rest()
    scene.judge()
    assert committers(present) == {
        (topic, partition): 1
        for topic, count in scene.partitions.items()
        if any(subscribes(member, topic) for member in present)
        for partition in range(count)
    }
    assert all(subscribes(member, topic) for member in present for topic, _ in member.held)


def subscribes(member: Follower, topic: str) -> bool:
    return any(topic.startswith(name[1:]) if name.startswith("^") else topic == name for name in member.topics)
