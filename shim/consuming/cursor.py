"""Where a consumer stands in one partition: what it asked for, what it has been handed, stored and committed."""

from collections.abc import Iterator

from shim.protocol.constants import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, OFFSET_STORED
from shim.store.fetch import TP, Head, Mark
from shim.store.records import Record

_TAIL = -2000
"""``_TAIL - n`` is librdkafka's way to say: n messages before the end."""


class Cursor:
    """One partition that a consumer is assigned.

    Attributes:
        topic: the topic.
        partition: the partition.
        asked: the offset that it was assigned with, as ``assignment()`` tells it.
        start: where to start, an offset or one of the logical ones; None once that is found out.
        reset: whether a start that cannot be found is to be reset, rather than looked for among committed offsets.
        failed: there is nowhere to start, and ``auto.offset.reset`` is ``error``.
        fetched: the next offset to fetch.
        position: the next offset to hand out; OFFSET_INVALID before the first message.
        stored: the next offset to commit; OFFSET_INVALID without any.
        beside: that offset with the metadata and the leader epoch to commit beside it, where the application stored
            it; one object, since another thread reads it.
        committed: what this consumer committed last; OFFSET_INVALID before that.
        head: the partition's ends as last seen; None before.
        mark: the last record that was fetched, to be known again; None without any.
        records: what is fetched and not handed out; None without any.
        paused: whether nothing is to be handed out.
        told_end: the offset at which the end of the partition was told; None before, and once there was more.
        received: how many messages have been fetched.
        received_bytes: how many bytes these had.
    """

    __slots__ = (
        "asked",
        "beside",
        "committed",
        "failed",
        "fetched",
        "head",
        "mark",
        "partition",
        "paused",
        "position",
        "received",
        "received_bytes",
        "records",
        "reset",
        "start",
        "stored",
        "told_end",
        "topic",
    )

    def __init__(self, topic: str, partition: int, asked: int = OFFSET_STORED) -> None:
        self.topic = topic
        self.partition = partition
        self.asked = OFFSET_STORED if asked == OFFSET_INVALID else asked
        self.start: int | None = self.asked
        self.reset = False
        self.failed = False
        self.fetched = 0
        self.position = OFFSET_INVALID
        self.stored = OFFSET_INVALID
        self.beside: tuple[int, str | None, int | None] | None = None
        self.committed = OFFSET_INVALID
        self.head: Head | None = None
        self.mark: Mark | None = None
        self.records: Iterator[Record] | None = None
        self.paused = False
        self.told_end: int | None = None
        self.received = 0
        self.received_bytes = 0

    @property
    def tp(self) -> TP:
        """Topic and partition."""
        return self.topic, self.partition

    @property
    def lost(self) -> bool:
        """Whether it has to be found out where to go on: at the start, and where the next offset is not there."""
        return not self.failed and self.records is None and (self.start is not None or self._astray)

    @property
    def behind(self) -> bool:
        """Whether the partition holds more than has been fetched, as far as is known."""
        return self.start is None and self.head is not None and self.fetched < self.head.next

    @property
    def _astray(self) -> bool:
        return self.head is not None and not self.head.start <= self.fetched <= self.head.next

    def seek(self, offset: int) -> None:
        """Goes elsewhere; what was fetched is dropped."""
        self.start = offset
        self.reset = offset == OFFSET_INVALID
        self.failed = False
        self.records = None
        self.position = OFFSET_INVALID
        self.told_end = None

    def begin(self, offset: int) -> None:
        """Starts to fetch here: the start has been found out."""
        if offset != self.fetched:
            self.mark = None
        self.start = None
        self.fetched = offset
        self.records = None

    def fail(self) -> None:
        """Stays where it is: there is nowhere to go."""
        self.start = self.fetched if self.start is None else self.start
        self.failed = True

    def store(self, offset: int, metadata: str | None = None, leader_epoch: int | None = None) -> None:
        """Notes what the next commit is to say."""
        self.beside = (offset, metadata, leader_epoch)
        self.stored = offset


def located(start: int, head: Head, committed: int | None) -> int | None:
    """Returns the offset that a start means, None where that lies outside of the partition or there is none. Pure.

    Args:
        start: an offset, or a logical one.
        head: the partition's ends.
        committed: where the group stands; None where it never committed.
    """
    if start == OFFSET_BEGINNING:
        return head.start
    if start == OFFSET_END:
        return head.next
    if start in {OFFSET_STORED, OFFSET_INVALID}:
        offset = committed
    elif start <= _TAIL:
        offset = max(head.start, head.next - (_TAIL - start))
    else:
        offset = start
    return offset if offset is not None and head.start <= offset <= head.next else None
