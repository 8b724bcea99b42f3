"""One life of a consumer as a member of its group, as the coordinator sees it from its own thread."""

import weakref
from time import monotonic

from shim.client.bell import Bell
from shim.config.settings import Settings
from shim.store.beats import BeatState
from shim.store.groups import Beat

_BEATS_PER_SESSION = 3


class Activity:
    """When an application polled last.

    Attributes:
        left_at: when it left poll, by ``time.monotonic``; None while it is inside.
    """

    __slots__ = ("__weakref__", "left_at")

    def __init__(self) -> None:
        self.left_at: float | None = monotonic()


class Member:
    """A member, from its joining to its end.

    It does not keep its consumer alive: the member of one that was collected without ``close()`` leaves the group.

    Args:
        settings: the consumer's.
        member_id: the id of this life.
        generation: the group's, when it joined.
        activity: of the application.
        bell: rung at whatever the consumer has to do something about.

    Attributes:
        group_id: ``group.id``.
        member_id: the id of this life.
        instance_id: ``group.instance.id``, or None.
        heartbeat_s: seconds from one heartbeat to the next.
        session_s: how long its lease lasts.
        state: what the last heartbeat told.
        generation: what the last heartbeat told of the group.
        excess_s: by how much max.poll.interval.ms was exceeded.
    """

    def __init__(self, settings: Settings, member_id: str, generation: int, activity: Activity, bell: Bell) -> None:
        self.group_id = settings.group_id
        self.member_id = member_id
        self.instance_id = settings.group_instance_id
        self.session_s = settings.session_timeout_s
        self.heartbeat_s = min(settings.heartbeat_interval_s, self.session_s / _BEATS_PER_SESSION)
        self.state: BeatState = "live"
        self.generation = generation
        self.excess_s = 0.0
        self._longest_s = settings.max_poll_interval_s
        self._activity = weakref.ref(activity)
        self._bell = bell

    @property
    def live(self) -> bool:
        """Whether it is a member, as far as is known."""
        return self.state == "live"

    def overdue_in(self) -> float:
        """Seconds until the application forgot to poll; it did when none are left, or forgot the consumer itself."""
        activity = self._activity()
        if activity is None:
            return 0.0
        left_at = activity.left_at
        left = self._longest_s if left_at is None else left_at + self._longest_s - monotonic()
        self.excess_s = max(0.0, -left)
        return left

    def told(self, beat: Beat) -> None:
        """Takes note of a heartbeat; a life that has ended does not begin again."""
        if self.state != "live":
            return
        if beat.state == "live" and beat.generation is not None and beat.generation <= self.generation:
            return
        self.generation = beat.generation or self.generation
        self.state = beat.state
        self._bell.ring()
