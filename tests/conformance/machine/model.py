"""What Kafka's rules say of one consumer: what each call answers, and what may come next."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.conformance.machine.answers import Place, Refused, kafka_error
from tests.conformance.machine.cursor import INVALID, Cursor
from tests.conformance.machine.group import Group
from tests.conformance.machine.log import TP, Logs


@dataclass(frozen=True)
class Habits:
    """How a consumer is configured.

    Attributes:
        reset: ``auto.offset.reset``.
        auto_commit: ``enable.auto.commit``, with an interval that never passes.
        auto_store: ``enable.auto.offset.store``.
    """

    reset: str
    auto_commit: bool
    auto_store: bool


class ModelConsumer:
    """A consumer without a client; its methods are named, and answer, as a client's.

    Args:
        name: the first part of its member's id.
        logs: all partitions.
        group: its group.
        habits: its configuration.

    Attributes:
        cursors: what it is assigned.
        paused: what it has paused, assigned or not.
        closed: whether it is closed.
        was_member: whether it ever was a member; the group's protocol then binds it for good.
        last: the last record that was handed out; None before the first.
    """

    def __init__(self, name: str, logs: Logs, group: Group, habits: Habits) -> None:
        self.name = name
        self.group = group
        self._logs = logs
        self._habits = habits
        self.cursors: dict[TP, Cursor] = {}
        self.paused: set[TP] = set()
        self.closed = self.was_member = False
        self.last: Place | None = None
        self._heard_of: set[str] = set()
        self._belated: Counter[TP] = Counter()
        self._topics: set[str] = set()
        self._left: dict[TP, int] = {}

    @property
    def member(self) -> bool:
        """Whether it is subscribed."""
        return self.name in self.group.members

    @property
    def subscription(self) -> frozenset[str]:
        """What it is subscribed to."""
        return self.group.members.get(self.name, frozenset())

    @property
    def waits_for_group(self) -> bool:
        """Whether it may just be finding out where its group stands."""
        return any(one.waits_for_group for one in self.cursors.values())

    @property
    def left(self) -> bool:
        """Whether it left its group and is still open: the original commits nothing (``commit-after-leaving``)."""
        return self.was_member and not self.member and not self.closed

    @property
    def commits_automatically(self) -> bool:
        """Whether it commits automatically."""
        return self._habits.auto_commit

    @property
    def movable(self) -> list[TP]:
        """Partitions in which it can go elsewhere."""
        return sorted(tp for tp, cursor in self.cursors.items() if not cursor.fresh and not cursor.failed)

    @property
    def has_to_commit(self) -> bool:
        """Whether anything new is stored."""
        return any(cursor.to_commit() >= 0 for cursor in self.cursors.values())

    def knows(self, tp: TP) -> bool:
        """Whether it is sure to have noticed this partition, or another of its topic: that is in the background."""
        if tp in self.cursors:
            return not self.cursors[tp].fresh and not self.cursors[tp].refuses
        return tp[0] in self._heard_of

    # Assigning.

    def subscribe(self, topics: Iterable[str]) -> None:
        self._require_open()
        self.group.members[self.name] = frozenset(topics)
        self.was_member = True

    def unsubscribe(self) -> None:
        self._require_open()
        self.group.members.pop(self.name, None)

    def assign(self, places: Sequence[Place]) -> None:
        self._require_open()
        if self.was_member and self.group.cooperative:
            raise kafka_error("_STATE")
        self.removed(list(self.cursors))
        self.added(places)

    def unassign(self) -> None:
        self.assign([])

    def incremental_assign(self, places: Sequence[Place]) -> None:
        self._require_open()
        if self.was_member and not self.group.cooperative:
            raise kafka_error("_STATE")
        if self.cursors.keys() & {one[:2] for one in places}:
            raise kafka_error("_CONFLICT")
        self.added(places)

    def incremental_unassign(self, places: Sequence[Place]) -> None:
        self._require_open()
        if self.was_member and not self.group.cooperative:
            raise kafka_error("_STATE")
        if {one[:2] for one in places} - self.cursors.keys():
            raise kafka_error("_INVALID_ARG")
        self.removed([one[:2] for one in places])

    def assignment(self) -> list[Place]:
        self._require_open()
        return sorted(Place(*tp, cursor.asked) for tp, cursor in self.cursors.items())

    # Reading.

    def seek(self, place: Place) -> None:
        self._require_open()
        if place[:2] not in self.cursors:
            raise kafka_error("_STATE")
        if self.cursors[place[:2]].failed:
            raise kafka_error("_STATE")
        self.cursors[place[:2]].begin(place.offset)

    def pause(self, places: Sequence[Place]) -> None:
        self._require_open()
        self.paused |= {one[:2] for one in places}

    def resume(self, places: Sequence[Place]) -> None:
        self._require_open()
        resumed = self.paused & {one[:2] for one in places}
        self.paused -= resumed
        for tp in resumed & self.cursors.keys():
            self.cursors[tp].may_repeat_end = True

    def position(self, places: Sequence[Place]) -> list[Place]:
        self._require_open()
        return sorted(
            Place(*one[:2], self.cursors[one[:2]].position if one[:2] in self.cursors else INVALID) for one in places
        )

    # Committing.

    def commit(self, places: Sequence[Place] | None = None) -> list[Place]:
        self._require_open()
        wanted = self._everything() if places is None else places
        if all(one.offset < 0 for one in wanted):
            raise kafka_error("_NO_OFFSET")
        if not self.group.admits(self.name):
            raise kafka_error("UNKNOWN_MEMBER_ID")
        if any(one.offset >= 0 and one[:2] not in self._logs for one in wanted):
            raise kafka_error("UNKNOWN_TOPIC_OR_PART")
        for one in wanted:
            self._commit(one)
        return sorted(wanted)

    def store_offsets(self, places: Sequence[Place]) -> None:
        self._require_open()
        if self._habits.auto_store:
            raise kafka_error("_INVALID_ARG")
        if all(one[:2] not in self.cursors for one in places):
            raise kafka_error("_STATE")
        for one in places:
            if one[:2] in self.cursors:
                self.cursors[one[:2]].stored = one.offset

    def committed(self, places: Sequence[Place]) -> list[Place]:
        self._require_open()
        return sorted(Place(*one[:2], self.group.stands(one[:2])) for one in places)

    # Asking.

    def get_watermark_offsets(self, place: Place) -> tuple[int, int]:
        self._require_open()
        if place[:2] not in self._logs:
            raise kafka_error("_UNKNOWN_PARTITION")
        log = self._logs[place[:2]]
        return log.start, log.end

    def offsets_for_times(self, places: Sequence[Place]) -> list[Place]:
        self._require_open()
        found = [(one, self._logs[one[:2]].at(one.offset)) for one in places]
        return sorted(Place(*one[:2], -1 if offset is None else offset) for one, offset in found)

    def close(self) -> None:
        if not self.closed:
            self.removed(list(self.cursors))
            self.group.members.pop(self.name, None)
            self.closed = True

    # What happens to it.

    def added(self, places: Iterable[Place]) -> None:
        """Partitions were assigned, by whomever."""
        for one in places:
            tp = one[:2]
            self._topics.add(one.topic)
            self.cursors[tp] = Cursor(self._logs[tp], one.offset, self.group.stands(tp), self._habits.reset)
            if self.cursors[tp].committed < 0:
                self.cursors[tp].committed = self._left.get(tp, INVALID)

    def removed(self, tps: Iterable[TP], *, by_group: bool = False, lost: bool = False) -> None:
        """Partitions were taken away; what is stored of them is committed where that is automatic, and allowed."""
        gone = {tp: self.cursors.pop(tp) for tp in tps}
        for tp, cursor in gone.items():
            self._belated[tp] += cursor.refuses
            self._left.pop(tp, None)
        if self._habits.auto_commit and not lost and (by_group or self.group.admits(self.name)):
            last = {tp: one.stored for tp, one in gone.items() if one.stored >= 0}
            self.group.committed.update(last)
            self._left.update(last)

    def may_lose(self, tps: Iterable[TP]) -> bool:
        """Whether the original may take these for lost: it wants their topics no more (``lost-when-unsubscribed``)."""
        return self.group.cooperative and self.subscription.isdisjoint({tp[0] for tp in tps})

    def disturbed(self, *, still: bool) -> None:
        """A rebalance began, in which even what stays may be paused for a while; or it is over."""
        for cursor in self.cursors.values():
            cursor.may_repeat_end, cursor.disturbed = True, still

    def due(self) -> str:
        """What has to come, in words; nothing for nothing."""
        waits = {tp: cursor.due for tp, cursor in sorted(self.cursors.items()) if tp not in self.paused}
        return "; ".join(f"of {topic} [{number}] {due}" for (topic, number), due in waits.items() if due)

    def handed(self, place: Place) -> bool:
        """A record was handed out; returns whether it may be."""
        cursor = self._listening(place)
        if cursor is None or not cursor.record(place.offset):
            return False
        self.last = place
        if self._habits.auto_store:
            cursor.stored = place.offset + 1
        return True

    def told_end(self, place: Place) -> bool:
        """The end of a partition was told; returns whether it may be."""
        cursor = self._listening(place)
        return cursor is not None and cursor.end(place.offset)

    def told_error(self, place: Place, error: str) -> bool:
        """An error was told; returns whether it may be: even of what has been paused or taken away meanwhile."""
        self._heard_of.add(place.topic)
        tp = place[:2]
        cursor = self.cursors.get(tp)
        if error != "_AUTO_OFFSET_RESET":
            return False
        if cursor is not None and cursor.error():
            return True
        self._belated[tp] -= 1
        return self._belated[tp] >= 0

    def _listening(self, place: Place) -> Cursor | None:
        self._heard_of.add(place.topic)
        tp = place[:2]
        return self.cursors.get(tp) if tp not in self.paused else None

    def _everything(self) -> list[Place]:
        return [Place(*tp, cursor.to_commit()) for tp, cursor in self.cursors.items()]

    def _commit(self, place: Place) -> None:
        tp = place[:2]
        if place.offset >= 0:
            self.group.committed[tp] = place.offset
            if tp in self.cursors:
                self.cursors[tp].committed = place.offset
            elif tp[0] in self._topics:
                self._left[tp] = place.offset

    def _require_open(self) -> None:
        if self.closed:
            raise Refused("RuntimeError")
