"""A member in a process of its own: ``python -m tests.integration.shim.member_process URL GROUP TOPIC``.

It joins, takes what it is given, prints ``holds N``, and beats until it is told that it is out. Then it tries to
commit and to take what it held, and prints what it was told and what came of both.
"""

import sys
import threading

from shim.store.coordinator import coordinator_for
from shim.store.groups import Beat, UnknownMemberError
from shim.store.pool import pool_for
from tests.integration.shim.follower import SCHEMAS, Follower

SESSION_S = 1.5


class Member:
    """What the coordinator knows of a follower."""

    def __init__(self, follower: Follower, *, session_s: float = SESSION_S, heartbeat_s: float = 0.1) -> None:
        self.group_id = follower.group_id
        self.member_id = follower.member_id
        self.instance_id = follower.instance_id
        self.heartbeat_s = heartbeat_s
        self.session_s = session_s
        self.idle = False
        self.heard: list[Beat] = []
        self.out = threading.Event()

    def overdue_in(self) -> float:
        return 0.0 if self.idle else self.session_s

    def told(self, beat: Beat) -> None:
        self.heard.append(beat)
        if beat.state != "live":
            self.out.set()


def main(url: str, group_id: str, topic: str) -> None:
    pool = pool_for(url)
    with pool.connection() as conn:
        follower = Follower(conn, group_id, [topic], session_ms=round(SESSION_S * 1000))
        follower.acquire(follower.join().free)
    member = Member(follower)
    coordinator_for(pool, SCHEMAS).add(member)
    print("holds", len(follower.held), flush=True)  # noqa: T201  # for the test that started us
    member.out.wait(60)
    with pool.connection() as conn:
        follower.conn = conn
        results = set(follower.commit().values())
        try:
            taken = len(follower.acquire(follower.held))
        except UnknownMemberError:
            taken = 0
    print(member.heard[-1].state, *results, "took", taken, flush=True)  # noqa: T201  # same


if __name__ == "__main__":
    main(*sys.argv[1:])
