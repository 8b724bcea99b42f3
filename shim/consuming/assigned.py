"""The partitions that a consumer is assigned, whoever assigned them: its group, or the application."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from shim.consuming.cursor import Cursor
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Local
from shim.protocol.constants import OFFSET_INVALID, OFFSET_STORED
from shim.store.fetch import TP
from shim.topic_partition import TopicPartition


class Assigned:
    """A consumer's cursors.

    Args:
        on_removed: called with cursors that are no longer assigned.
        on_changed: called after every change of what is assigned.

    Attributes:
        cursors: by topic and partition; never changed, always replaced, so that other threads may read it.
        changes: how often the assignment was set or changed.
    """

    def __init__(self, on_removed: Callable[[Sequence[Cursor]], None], on_changed: Callable[[], None]) -> None:
        self.cursors: Mapping[TP, Cursor] = {}
        self.changes = 0
        self._on_removed = on_removed
        self._on_changed = on_changed
        self._known: set[TP] = set()
        self._paused: set[TP] = set()
        self._left: dict[TP, int] = {}

    def partitions(self) -> list[TopicPartition]:
        """Returns what is assigned, in order, with the offsets that were asked for."""
        return [TopicPartition(*tp, cursor.asked) for tp, cursor in sorted(self.cursors.items())]

    def topics(self) -> set[str]:
        """Returns the topics of what is assigned."""
        return {topic for topic, _ in self.cursors}

    def replace(self, partitions: Iterable[TopicPartition]) -> None:
        """Assigns these and nothing else; each starts anew, wherever it stood.

        Raises:
            KafkaException: a partition is named twice.
        """
        try:
            new = self._new(partitions)
        except KafkaException as twice:
            raise KafkaException(KafkaError(Local.INVALID_ARG)) from twice
        removed = list(self.cursors.values())
        self.cursors = new
        self._changed(removed, new.values())

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Assigns these too.

        Raises:
            KafkaException: a partition is named twice, or is assigned already.
        """
        new = self._new(partitions)
        for topic, partition in new.keys() & self.cursors.keys():
            text = f"{topic} [{partition}] is already part of the current assignment"
            raise KafkaException(KafkaError(Local.CONFLICT, text))
        self.cursors = {**self.cursors, **new}
        self._changed([], new.values())

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Takes these away.

        Raises:
            KafkaException: a partition is named twice, or is not assigned.
        """
        gone = self._new(partitions).keys()
        for topic, partition in gone - self.cursors.keys():
            text = f"{topic} [{partition}] can't be unassigned since it is not in the current assignment"
            raise KafkaException(KafkaError(Local.INVALID_ARG, text))
        removed = [self.cursors[tp] for tp in gone]
        self.cursors = {tp: cursor for tp, cursor in self.cursors.items() if tp not in gone}
        self._changed(removed)

    def drop(self, partitions: Iterable[TP]) -> None:
        """Takes these away, as far as they are assigned."""
        self.remove([TopicPartition(*tp) for tp in partitions if tp in self.cursors])

    def positions(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Returns the next offset to hand out of each, OFFSET_INVALID where nothing was."""
        places = [(one.topic, one.partition) for one in partitions]
        known = [self.cursors.get(tp) for tp in places]
        return [
            TopicPartition(*tp, OFFSET_INVALID if one is None else one.position)
            for tp, one in zip(places, known, strict=True)
        ]

    def store(self, partitions: Iterable[TopicPartition]) -> None:
        """Stores offsets; those of partitions that are not assigned are passed over.

        Raises:
            KafkaException: none of them is assigned.
        """
        wanted = [(self.cursors.get((one.topic, one.partition)), one) for one in partitions]
        for cursor, one in wanted:
            if cursor is not None:
                cursor.store(max(one.offset, OFFSET_INVALID), one.metadata, one.leader_epoch)
        if wanted and all(cursor is None for cursor, _ in wanted):
            raise self._foreign({one.topic for _, one in wanted})

    def committed(self, tp: TP, offset: int) -> None:
        """Takes note of a commit; of a partition that was taken away it counts when that is assigned again."""
        cursor = self.cursors.get(tp)
        if cursor is not None:
            cursor.committed = offset
        elif any(topic == tp[0] for topic, _ in self._known):
            self._left[tp] = offset

    def seek(self, tp: TP, offset: int) -> None:
        """Goes elsewhere in a partition.

        Raises:
            KafkaException: it is not assigned; there was nowhere to start, and only another assignment helps; or it is
                to go to what is stored, which is said by assigning.
        """
        cursor = self.cursors.get(tp)
        if cursor is None:
            raise self._foreign({tp[0]})
        if cursor.failed or offset == OFFSET_STORED:
            raise KafkaException(KafkaError(Local.STATE if cursor.failed else Local.INVALID_ARG))
        cursor.seek(offset)

    def renew(self, *, kept: bool) -> None:
        """Begins anew in a forked child, without a word to anybody: what is stored is its parent's to commit.

        Args:
            kept: whether the partitions stay assigned, each where it stands.
        """
        self.cursors = dict(self.cursors) if kept else {}
        self.changes += 1
        for cursor in self.cursors.values():
            cursor.stored, cursor.beside = OFFSET_INVALID, None

    def pause(self, partitions: Iterable[TopicPartition], *, paused: bool) -> None:
        """Pauses or resumes partitions; a pause lasts over later assignments. Ones never assigned are passed over."""
        asked = {(one.topic, one.partition) for one in partitions} & self._known
        self._paused = self._paused | asked if paused else self._paused - asked
        for tp in asked & self.cursors.keys():
            self.cursors[tp].paused = paused

    def _foreign(self, topics: AbstractSet[str]) -> KafkaException:
        """Returns what is said of partitions that are not assigned: whether others of their topics ever were."""
        heard_of = not topics.isdisjoint(topic for topic, _ in self._known)
        return KafkaException(KafkaError(Local.STATE if heard_of else Local.UNKNOWN_PARTITION))

    def _new(self, partitions: Iterable[TopicPartition]) -> dict[TP, Cursor]:
        new: dict[TP, Cursor] = {}
        for one in partitions:
            cursor = Cursor(one.topic, one.partition, one.offset)
            if cursor.tp in new:
                raise KafkaException(
                    KafkaError(Local.INVALID_ARG, f"Duplicate {one.topic} [{one.partition}] in input list")
                )
            cursor.paused = cursor.tp in self._paused
            new[cursor.tp] = cursor
        return new

    def _changed(self, removed: Sequence[Cursor], added: Iterable[Cursor] = ()) -> None:
        self.changes += 1
        self._known |= self.cursors.keys()
        for cursor in removed:
            self._left.pop(cursor.tp, None)
        for cursor in added:
            cursor.committed = self._left.get(cursor.tp, OFFSET_INVALID)
        self._on_removed(removed)
        self._on_changed()
