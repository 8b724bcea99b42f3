"""What keeps the members of a process in their groups: one heartbeat for all of them, and an eye on each.

Kafka has a broker for this. Here every process looks after its own members, and whichever notices that a group has to
be assigned anew does it.
"""

import threading
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

import psycopg

from shim.store import groups
from shim.store.groups import Beat, Member
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.statements import Schemas

_CONNECTION_SECONDS = 5.0
_LOOKS_PER_SESSION = 5
_PATIENCE_SECONDS = 10.0


class Beating(Protocol):
    """A member, as the coordinator knows it. Its consumer implements this; an object stands for one member id."""

    @property
    def group_id(self) -> str:
        """``group.id``."""

    @property
    def member_id(self) -> str:
        """The id under which it joined."""

    @property
    def instance_id(self) -> str | None:
        """``group.instance.id`` of a static member, else None."""

    @property
    def heartbeat_s(self) -> float:
        """Seconds from one heartbeat to the next; at most a third of the session."""

    @property
    def session_s(self) -> float:
        """Seconds for which its lease lasts."""

    def overdue_in(self) -> float:
        """Seconds until it was not polled for longer than max.poll.interval.ms, at the earliest; 0 or less: it is."""

    def told(self, beat: Beat) -> None:
        """Is told, in the coordinator's thread, what came of a heartbeat. Must be quick, and must not raise.

        Any state but ``live`` is the last that it is told; after `Coordinator.remove` one more may come.
        """


@dataclass(slots=True)
class _Seat:
    """A member; by `time.monotonic` when its next heartbeat is due, and when its lease is over if none gets through."""

    member: Beating
    due: float
    over: float


def coordinator_for(pool: Pool, schemas: Schemas) -> "Coordinator":
    """Returns this process's coordinator of a queue; the first call makes it."""
    return pool.part(Coordinator, lambda: Coordinator(pool, schemas), schemas.names["queue"])


class Coordinator(Part):
    """Beats for all members of this process, in one statement each time.

    It leaves the group for members that are not polled any more, has groups assigned anew, and tells each member what
    became of it. It survives any outage, and a fork; a forked child has no members. Get it by `coordinator_for`.

    Args:
        pool: where its connections come from; it holds one only while it beats.
        schemas: which queue.
    """

    def __init__(self, pool: Pool, schemas: Schemas) -> None:
        self._pool = pool
        self._texts = groups.load(schemas)
        super().__init__("shim-coordinator")

    def renew(self) -> None:
        """Begins anew in this process, without members."""
        super().renew()
        self._lock = threading.Lock()
        self._seats: dict[str, _Seat] = {}
        self._look_at = 0.0

    def add(self, member: Beating) -> None:
        """Begins to beat for a member that has just joined."""
        self.start()
        now = time.monotonic()
        with self._lock:
            self._seats[member.member_id] = _Seat(member, now + member.heartbeat_s, now + member.session_s)
        self.wake()

    def remove(self, member_id: str) -> None:
        """Beats no more for a member: it leaves, or a static one lets its lease run out. Others are no error."""
        self.start()
        self._dismiss(member_id)

    def round(self) -> float | None:
        """Sees off members that are overdue, and beats if it is time; returns the seconds until the next look."""
        for seat in self._all():
            if seat.member.overdue_in() <= 0:
                self._see_off(seat.member)
        seats = self._all()
        if any(seat.due <= time.monotonic() for seat in seats):
            self._beat(seats)
        waits = [min(seat.due - time.monotonic(), seat.member.overdue_in()) for seat in self._all()]
        return max(0.0, min(waits)) if waits else None

    def failed(self, error: Exception) -> None:  # noqa: ARG002  # whatever it was, no heartbeat got through
        """Tells members whose lease must be over by now that it is."""
        now = time.monotonic()
        for seat in self._all():
            if seat.over <= now and self._dismiss(seat.member.member_id):
                seat.member.told(Beat(seat.member.member_id, "out-of-touch"))

    def _all(self) -> list[_Seat]:
        with self._lock:
            return list(self._seats.values())

    def _dismiss(self, member_id: str) -> bool:
        with self._lock:
            return self._seats.pop(member_id, None) is not None

    def _connection(self) -> AbstractContextManager[groups.Connection]:
        return self._pool.connection(_CONNECTION_SECONDS, patience=_PATIENCE_SECONDS)

    def _see_off(self, member: Beating) -> None:
        if not self._dismiss(member.member_id):
            return
        member.told(Beat(member.member_id, "overdue"))
        if member.instance_id is not None:
            return  # as in Kafka a static member's place is kept for it until its lease runs out
        # Should the server be away, the lease ends the membership.
        with suppress(psycopg.OperationalError), self._connection() as conn:
            groups.leave(conn, self._texts, member.group_id, member.member_id)

    def _beat(self, seats: Collection[_Seat]) -> None:
        members = {seat.member.member_id: seat for seat in seats}
        asked = time.monotonic()
        look = asked >= self._look_at
        with self._connection() as conn:
            beats = groups.beat(conn, self._texts, [_member(seat.member) for seat in seats], look=look)
            if look:
                self._look_at = asked + min(seat.member.session_s for seat in seats) / _LOOKS_PER_SESSION
            for member_id, beat in beats.members.items():
                self._settle(members[member_id], beat, asked)
            for group_id in sorted(beats.stale):
                self._rebalance(conn, group_id)

    def _settle(self, seat: _Seat, beat: Beat, asked: float) -> None:
        seat.due, seat.over = asked + seat.member.heartbeat_s, asked + seat.member.session_s
        if beat.state == "live" or self._dismiss(beat.member_id):
            seat.member.told(beat)

    def _rebalance(self, conn: groups.Connection, group_id: str) -> None:
        generation = groups.rebalance(conn, self._texts, group_id, wait=False)
        for seat in self._all():
            if generation and seat.member.group_id == group_id:
                seat.member.told(Beat(seat.member.member_id, "live", generation))


def _member(member: Beating) -> Member:
    return Member(member.group_id, member.member_id, member.instance_id)
