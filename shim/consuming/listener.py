"""What an application is told of its assignment, and what is usual where it does not act on it itself."""

from collections.abc import Callable, Collection

from shim.consuming.assigned import Assigned
from shim.consuming.subscription import Callback, Subscription
from shim.store.fetch import TP
from shim.topic_partition import TopicPartition


class RebalanceListener:
    """Calls ``on_assign``, ``on_revoke`` and ``on_lost``, in the application's thread.

    An application may assign or unassign in a callback; where it does not, that is done for it. What a callback raises
    goes out of poll, after that.

    Args:
        assigned: the consumer's partitions.

    Attributes:
        subscription: whose callbacks are called; None for none.
        telling: whether a callback runs.
        losing: whether what is unassigned now has been lost, so that nothing of it can be committed.
    """

    def __init__(self, assigned: Assigned) -> None:
        self._assigned = assigned
        self.subscription: Subscription | None = None
        self.telling = False
        self.losing = False

    def assigned(self, consumer: object, partitions: Collection[TP], *, eager: bool) -> None:
        """Tells of partitions that have been assigned: all of them in an eager group, else those that are new."""
        callback = self.subscription and self.subscription.on_assign
        self._call(callback, consumer, partitions, lambda: self._assign(partitions, eager=eager))

    def revoked(self, consumer: object, partitions: Collection[TP], *, eager: bool) -> None:
        """Tells of partitions that are about to be given back; their offsets can be committed until it returns."""
        callback = self.subscription and self.subscription.on_revoke
        self._call(callback, consumer, partitions, lambda: self._unassign(partitions, eager=eager))

    def lost(self, consumer: object, partitions: Collection[TP], *, eager: bool) -> None:
        """Tells of partitions that others may hold by now."""
        callback = self.subscription and (self.subscription.on_lost or self.subscription.on_revoke)
        self.losing = True
        try:
            self._call(callback, consumer, partitions, lambda: self._unassign(partitions, eager=eager))
        finally:
            self.losing = False

    def _call(
        self, callback: Callback | None, consumer: object, partitions: Collection[TP], usual: Callable[[], None]
    ) -> None:
        before = self._assigned.changes
        self.telling = True
        try:
            if callback is not None:
                callback(consumer, _listed(partitions))
        finally:
            self.telling = False
            if self._assigned.changes == before:
                usual()

    def _assign(self, partitions: Collection[TP], *, eager: bool) -> None:
        if eager:
            self._assigned.replace(_listed(partitions))
        else:
            self._assigned.drop(partitions)
            self._assigned.add(_listed(partitions))

    def _unassign(self, partitions: Collection[TP], *, eager: bool) -> None:
        if eager:
            self._assigned.replace([])
        else:
            self._assigned.drop(partitions)


def _listed(partitions: Collection[TP]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic, partition in sorted(partitions)]
