"""Delivery reports: what became of messages, as it is told to the application in its own thread."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter, length_hint
from time import monotonic
from typing import Any, NamedTuple

from shim.client.inbox import Inbox
from shim.errors import KafkaError
from shim.message import Message
from shim.producing.outbox import Outbox, Parcel
from shim.producing.outgoing import ON_DELIVERY, SIZE, OnDelivery, Row, size_of
from shim.protocol.codes import Local
from shim.protocol.constants import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE
from shim.store.meter import meter

_NO_OFFSET = -1001
_topic = itemgetter(0)
_NO_TIMESTAMP = (TIMESTAMP_NOT_AVAILABLE, -1)


class Stored(NamedTuple):
    """Where the messages of a report were stored, side by side with them.

    An offset of None is given out later; `NOT_ADDED` stands in place of one where there is nothing to give it to.
    """

    partitions: Sequence[int]
    offsets: Sequence[int | None]
    timestamps_ms: Sequence[int]

    def report(self, place: int, row: Row, known_at: float) -> tuple[KafkaError | None, Message]:
        """Returns what a message's callback is called with."""
        topic, _, key, value, _, _, _, queued_at, _, *raw = row
        offset = self.offsets[place]
        where = (topic, self.partitions[place], _NO_OFFSET if offset is None else offset)
        when = (TIMESTAMP_CREATE_TIME, self.timestamps_ms[place])
        return None, Message.from_report(*where, key, value, raw, when, known_at - queued_at)


class Failed(NamedTuple):
    """Why the messages of a report were not stored; a message that timed out on the way may be there all the same."""

    error: KafkaError

    def report(self, _place: int, row: Row, known_at: float) -> tuple[KafkaError | None, Message]:
        """Returns what a message's callback is called with."""
        topic, partition, key, value, _, _, _, queued_at, _, *raw = row
        what = (topic, partition, _NO_OFFSET, key, value, raw)
        return self.error, Message.from_report(*what, _NO_TIMESTAMP, known_at - queued_at, self.error)


class Reports:
    """Delivery reports of messages that have a callback.

    Args:
        rows: the messages.
        fate: what became of them.
        on_delivery: the producer's callback, for those that have none of their own.
        release: gives back the room of messages: how many, and how many bytes.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        fate: Stored | Failed,
        on_delivery: OnDelivery | None,
        release: Callable[[int, int], None],
    ) -> None:
        self._rows = rows
        self._fate = fate
        self._on_delivery = on_delivery
        self._release = release
        self._known_at = monotonic()
        self._left = iter(range(len(rows)))

    def __len__(self) -> int:
        return length_hint(self._left)

    def serve(self) -> int:
        """Calls the callbacks."""
        served = 0
        for place in self._left:
            served += 1
            row = self._rows[place]
            self._release(1, row[SIZE])
            tell: Any = self._on_delivery if row[ON_DELIVERY] is None else row[ON_DELIVERY]
            tell(*self._fate.report(place, row, self._known_at))
        return served


class Silence:
    """Messages whose fate nobody asked to be told: until it is served, they count as queued all the same."""

    def __init__(self, messages: int, size: int, release: Callable[[int, int], None]) -> None:
        self._messages = messages
        self._left = iter(((messages, size),))
        self._release = release

    def __len__(self) -> int:
        return self._messages * length_hint(self._left)

    def serve(self) -> int:
        """Gives back their room."""
        served = 0
        for messages, size in self._left:
            served = messages
            self._release(messages, size)
        return served


class Reporter:
    """Settles messages: makes events of what became of them. For any thread.

    Args:
        outbox: where they are.
        inbox: where events go.
        on_delivery: the producer's callback, for messages that have none of their own.
        only_errors: whether nobody wants to hear of messages that were delivered.

    Attributes:
        under_way: how many stored messages are just being reported.
    """

    def __init__(self, outbox: Outbox, inbox: Inbox, on_delivery: OnDelivery | None, *, only_errors: bool) -> None:
        self._outbox = outbox
        self._release = outbox.release
        self._inbox = inbox
        self._on_delivery = on_delivery
        self._only_errors = only_errors
        self.renew()

    def renew(self) -> None:
        """Begins anew, with nothing to report. For the forked child."""
        self._lock = threading.Lock()
        self.under_way = 0

    def delivered(self, parcel: Parcel, offsets: Sequence[int | None]) -> None:
        """Settles a parcel that was stored, at these offsets, unless it was given up meanwhile.

        For a thread that Ctrl-C does not reach.
        """
        messages = len(parcel.rows)
        with self._lock:
            self.under_way += messages
        try:
            self._deliver(parcel, offsets)
        finally:
            with self._lock:
                self.under_way -= messages

    def _deliver(self, parcel: Parcel, offsets: Sequence[int | None]) -> None:
        rows, drafts = parcel.rows, parcel.drafts
        if not self._outbox.settle(parcel):
            return
        meter.count_each("producer_messages", Counter(map(_topic, rows)))
        if self._only_errors:
            self._release(len(rows), size_of(rows))
            self._inbox.wake()
            return
        heard = self._heard(rows)
        if heard:
            partitions = [drafts.partitions[place] for place in heard]
            stamps = [parcel.stamp(place) for place in heard]
            self._post(rows, heard, Stored(partitions, [offsets[place] for place in heard], stamps))
        self._keep_count(rows, heard)

    def undeliverable(self, parcel: Parcel, error: KafkaError) -> None:
        """Settles a parcel that cannot be stored."""
        rows = parcel.rows
        if self._outbox.settle(parcel):
            self.failed(rows, error)

    def expire(self) -> None:
        """Settles the messages that have been under way for too long."""
        self.failed(self._outbox.expired(), KafkaError(Local.MSG_TIMED_OUT))

    def failed(self, rows: Sequence[Row], error: KafkaError) -> None:
        """Reports that messages, which no parcel holds any more, were not stored, and why."""
        if rows:
            meter.count("producer_errors", error.name(), by=len(rows))
        heard = self._heard(rows)
        if heard:
            self._post(rows, heard, Failed(error))
        self._keep_count(rows, heard)

    def _heard(self, rows: Sequence[Row]) -> Sequence[int]:
        """The places of the messages with a callback."""
        if self._on_delivery is not None:
            return range(len(rows))
        return [place for place, row in enumerate(rows) if row[ON_DELIVERY] is not None]

    def _post(self, rows: Sequence[Row], heard: Sequence[int], fate: Stored | Failed) -> None:
        spoken = rows if len(heard) == len(rows) else [rows[place] for place in heard]
        self._inbox.post(Reports(spoken, fate, self._on_delivery, self._release))

    def _keep_count(self, rows: Sequence[Row], heard: Sequence[int]) -> None:
        silent = len(rows) - len(heard)
        if silent:
            size = size_of(rows) - sum(rows[place][SIZE] for place in heard)
            self._inbox.post(Silence(silent, size, self._release))
