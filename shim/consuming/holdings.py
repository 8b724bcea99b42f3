"""What a member holds of its group's partitions: gives back what is no longer its own, and takes what is.

Eager protocols: on a new generation everything is given back, and taken once all of it is free. Cooperative ones: only
what moves is given back, and what is free is taken, again and again. Who is to hold what the store decides
(`shim.store.groups`).
"""

from collections.abc import Collection, Mapping
from math import inf
from time import monotonic

from shim.consuming.committer import Fence
from shim.consuming.committing import Commits
from shim.consuming.database import Database
from shim.consuming.listener import RebalanceListener
from shim.consuming.member import Member
from shim.store import groups
from shim.store.fetch import TP
from shim.store.groups import Assignment

_SHORT_SECONDS = 0.02
_LONG_SECONDS = 0.25
_COMMIT_SECONDS = 3.0


class Holdings:
    """The partitions of one member.

    Args:
        database: where the group is.
        commits: what has to be done before anything is given back.
        listener: tells the application.
        member: whose they are.

    Attributes:
        generation: of the group, as far as it was followed; -1 before the first.
        protocol: ``eager`` or ``cooperative``.
        settled: whether the member holds what it is to hold, and the application knows.
        quiet: whether an assignment of nothing is kept from the application.
    """

    def __init__(self, database: Database, commits: Commits, listener: RebalanceListener, member: Member) -> None:
        self._database = database
        self._commits = commits
        self._listener = listener
        self._member = member
        self._held: frozenset[TP] = frozenset()
        self._unreleased: frozenset[TP] = frozenset()
        self._announced = False
        self._retry_at = 0.0
        self._pause = _SHORT_SECONDS
        self.generation = -1
        self.protocol: str = "eager"
        self.settled = False
        self.quiet = False
        self._enter({})

    @property
    def eager(self) -> bool:
        """Whether everything is given back before anything is taken."""
        return self.protocol == "eager"

    @property
    def holds(self) -> bool:
        """Whether the application has been assigned anything that it has not given back."""
        return bool(self._held)

    @property
    def pause_s(self) -> float:
        """Seconds until the next step can be gone; infinite when there is none to go."""
        if self.settled and not self._unreleased:
            return inf
        return max(0.0, self._retry_at - monotonic())

    def begin_anew(self) -> None:
        """Takes note that the subscription changed: an eager member is told of its assignment again."""
        self.settled = False
        self._announced = self._announced and not self.eager
        self._retry_at = 0.0

    def read(self) -> Assignment:
        """Reads what the member is to hold.

        Raises:
            DatabaseError: it cannot be read.
            UnknownMemberError: it is no member any more.
            FencedInstanceError: another one took the static member's place.
        """
        member = self._member
        with self._database.connection() as conn:
            return groups.read_assignment(
                conn, self._database.grouping, member.group_id, member.member_id, instance_id=member.instance_id
            )

    def follow(self, consumer: object, assignment: Assignment) -> None:
        """Goes one step towards what the member is to hold, callbacks included.

        Raises:
            DatabaseError: the step could not be gone.
            UnknownMemberError: it is no member any more.
            FencedInstanceError: another one took the static member's place.
        """
        self._take_note(assignment)
        self.release()
        leaving = self._held if self.eager and not self._announced else self._held - assignment.target
        if leaving:
            self.revoke(consumer, leaving)
            self.release()
            self._again(0.0)
        else:
            self._take(consumer, assignment)

    def revoke(self, consumer: object, partitions: frozenset[TP] | None = None) -> None:
        """Parts with partitions, all where none are named: the application is told, and what is stored committed.

        They are still to be released.
        """
        leaving = self._held if partitions is None else partitions
        if not leaving:
            return
        try:
            self._listener.revoked(consumer, leaving, eager=self.eager)
        finally:
            self._commits.finish(_COMMIT_SECONDS)
            self._held -= leaving
            self._unreleased |= leaving
            self._enter({tp: epoch for tp, epoch in self._epochs.items() if tp not in leaving})

    def lose(self, consumer: object) -> None:
        """Parts with all partitions after the membership ended: the application is told, and nothing is committed."""
        if self._held:
            lost, self._held = self._held, frozenset()
            self._listener.lost(consumer, lost, eager=self.eager)

    def release(self) -> None:
        """Lets others take what was revoked; while its offset is committed in an open transaction it stays.

        Raises:
            DatabaseError: it could not be released.
        """
        if self._unreleased:
            member = self._member
            with self._database.connection() as conn:
                given = groups.release(
                    conn, self._database.grouping, member.group_id, member.member_id, self._unreleased
                )
            self._unreleased -= given

    def _take_note(self, assignment: Assignment) -> None:
        holds = assignment.held.keys()
        # What was acquired on the way to a generation that is over by now, the application never heard of.
        self._unreleased = (self._unreleased & holds) | (holds - assignment.target - self._held)
        self.protocol = assignment.protocol
        if assignment.generation != self.generation:
            self.generation = assignment.generation
            self.settled = self._announced = False
            self._pause = _SHORT_SECONDS

    def _take(self, consumer: object, assignment: Assignment) -> None:
        wanted = assignment.target - self._held
        there = wanted & (assignment.free | assignment.held.keys())
        taken = self._acquire(there) if there and (there == wanted or not self.eager) else {}
        if self.eager and taken.keys() != wanted:
            self._again()
        else:
            self._announce(consumer, assignment, taken)

    def _announce(self, consumer: object, assignment: Assignment, taken: Mapping[TP, int]) -> None:
        """Tells the application what came to it, at least once in each generation."""
        first, self._announced = not self._announced, True
        self._held |= frozenset(taken)  # with the keys themselves it would become a set, and what is revoked change
        self._enter({**self._epochs, **taken})
        self.settled = self._held == assignment.target
        self._again()
        if taken or (first and not self.quiet):
            self._listener.assigned(consumer, taken, eager=self.eager)

    def _acquire(self, partitions: Collection[TP]) -> dict[TP, int]:
        member = self._member
        with self._database.connection() as conn:
            return groups.acquire(
                conn,
                self._database.grouping,
                member.group_id,
                member.member_id,
                self.generation,
                partitions,
                instance_id=member.instance_id,
            )

    def _enter(self, epochs: dict[TP, int]) -> None:
        """Commits by these epochs from here on."""
        self._epochs = epochs
        self._commits.fence = Fence(
            self._member.group_id, self._member.member_id, self._member.instance_id, self._epochs
        )

    def _again(self, pause: float | None = None) -> None:
        self._retry_at = monotonic() + (self._pause if pause is None else pause)
        self._pause = min(self._pause * 2, _LONG_SECONDS)
