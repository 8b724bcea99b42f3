"""What waits for the application, and is served in its own thread by poll and flush: reports, errors, statistics."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple, Protocol

from shim.codes import Local
from shim.constants import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE
from shim.errors import KafkaError
from shim.message import Message
from shim.outbox import Outbox, Parcel, size_of
from shim.outgoing import OnDelivery, Outgoing

_NO_OFFSET = -1001
_NO_TIMESTAMP = (TIMESTAMP_NOT_AVAILABLE, -1)


class Event(Protocol):
    """Something to be served. What an application's callback raises goes out, and the rest is served next time."""

    def serve(self) -> int:
        """Serves what is left of it, and returns how much that was."""

    def __bool__(self) -> bool:
        """Whether anything is left."""


class Inbox:
    """Events in the order in which they came."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begins anew, empty. For the forked child."""
        self._events: deque[Event] = deque()
        self._arrived = threading.Condition(threading.Lock())

    def __len__(self) -> int:
        return len(self._events)

    @property
    def notices(self) -> int:
        """How many of the events are no reports."""
        return sum(isinstance(event, Notice) for event in list(self._events))

    def post(self, event: Event) -> None:
        """Adds an event, from any thread."""
        with self._arrived:
            self._events.append(event)
            self._arrived.notify_all()

    def wake(self) -> None:
        """Ends every wait: something may have changed that is no event."""
        with self._arrived:
            self._arrived.notify_all()

    def wait(self, seconds: float) -> None:
        """Returns when there is an event, when woken, or when the time is over. Signals interrupt it."""
        with self._arrived:
            if not self._events:
                self._arrived.wait(seconds)

    def serve(self) -> int:
        """Serves the events that are there by now, and returns how much that was."""
        served = 0
        for _ in range(len(self._events)):
            try:
                event = self._events.popleft()
            except IndexError:  # another thread serves too
                break
            try:
                served += event.serve()
            finally:
                if event:
                    self._events.appendleft(event)
        return served


class Notice:
    """A callback's one call: an error, statistics, a line for a log."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call

    def serve(self) -> int:
        """Makes the call, whatever comes of it."""
        call, self._call = self._call, None
        if call is not None:
            call()
        return 1

    def __bool__(self) -> bool:
        return self._call is not None


class Stored(NamedTuple):
    """Where the messages of a report were stored, side by side with them."""

    partitions: Sequence[int]
    offsets: Sequence[int | None]
    timestamps: Sequence[int]

    def report(self, place: int, entry: Outgoing, latency: float) -> tuple[KafkaError | None, Message]:
        """Returns what a message's callback is called with."""
        stamp = (TIMESTAMP_CREATE_TIME, self.timestamps[place])
        offset = self.offsets[place]
        where = (entry.topic, self.partitions[place], _NO_OFFSET if offset is None else offset)
        return None, Message.from_report(*where, entry.key, entry.value, _header_list(entry), stamp, latency)


class Failed(NamedTuple):
    """Why the messages of a report were not stored; a message that timed out on the way may be there all the same."""

    error: KafkaError

    def report(self, _place: int, entry: Outgoing, latency: float) -> tuple[KafkaError | None, Message]:
        """Returns what a message's callback is called with."""
        where, what = (entry.topic, entry.partition, _NO_OFFSET), (entry.key, entry.value, _header_list(entry))
        return self.error, Message.from_report(*where, *what, _NO_TIMESTAMP, latency, self.error)


class Reports:
    """Delivery reports of messages that have a callback.

    Args:
        entries: the messages.
        fate: what became of them.
        on_delivery: the producer's callback, for those that have none of their own.
        release: gives back the room of messages: how many, and how many bytes.
    """

    def __init__(
        self,
        entries: Sequence[Outgoing],
        fate: Stored | Failed,
        on_delivery: OnDelivery | None,
        release: Callable[[int, int], None],
    ) -> None:
        self._entries = entries
        self._fate = fate
        self._on_delivery = on_delivery
        self._release = release
        self._known_at = monotonic()
        self._next = 0

    def __bool__(self) -> bool:
        return self._next < len(self._entries)

    def serve(self) -> int:
        """Calls the callbacks."""
        first = self._next
        for place in range(first, len(self._entries)):
            entry = self._entries[place]
            self._next = place + 1
            self._release(1, entry.size)
            tell: Any = self._on_delivery if entry.on_delivery is None else entry.on_delivery
            tell(*self._fate.report(place, entry, self._known_at - entry.queued_at))
        return self._next - first


class Silence:
    """Messages whose fate nobody asked to be told: until it is served, they count as queued all the same."""

    def __init__(self, messages: int, size: int, release: Callable[[int, int], None]) -> None:
        self._messages = messages
        self._size = size
        self._release = release

    def __bool__(self) -> bool:
        return self._messages > 0

    def serve(self) -> int:
        """Gives back their room."""
        served, self._messages = self._messages, 0
        self._release(served, self._size)
        return served


class Reporter:
    """Settles messages: makes events of what became of them. For any thread.

    Args:
        outbox: where they are.
        inbox: where events go.
        on_delivery: the producer's callback, for messages that have none of their own.
        only_errors: whether nobody wants to hear of messages that were delivered.
    """

    def __init__(self, outbox: Outbox, inbox: Inbox, on_delivery: OnDelivery | None, *, only_errors: bool) -> None:
        self._outbox = outbox
        self._release = outbox.release
        self._inbox = inbox
        self._on_delivery = on_delivery
        self._only_errors = only_errors

    def delivered(self, parcel: Parcel, offsets: Sequence[int | None]) -> None:
        """Settles a parcel that was stored, at these offsets, unless it was given up meanwhile."""
        entries, drafts = parcel.entries, parcel.drafts
        if not self._outbox.settle(parcel):
            return
        if self._only_errors:
            self._release(len(entries), size_of(entries))
            self._inbox.wake()
            return
        heard = self._heard(entries)
        self._keep_count(entries, heard)
        if heard:
            partitions = [drafts[place].partition for place in heard]
            stamps = [parcel.stamp(entries[place]) for place in heard]
            self._post(entries, heard, Stored(partitions, [offsets[place] for place in heard], stamps))

    def undeliverable(self, parcel: Parcel, error: KafkaError) -> None:
        """Settles a parcel that cannot be stored."""
        entries = parcel.entries
        if self._outbox.settle(parcel):
            self.failed(entries, error)

    def expire(self) -> None:
        """Settles the messages that have been under way for too long."""
        expired = self._outbox.expired()
        if expired:
            self.failed(expired, KafkaError(Local.MSG_TIMED_OUT))

    def failed(self, entries: Sequence[Outgoing], error: KafkaError) -> None:
        """Reports that messages, which no parcel holds any more, were not stored, and why."""
        heard = self._heard(entries)
        self._keep_count(entries, heard)
        if heard:
            self._post(entries, heard, Failed(error))

    def _heard(self, entries: Sequence[Outgoing]) -> Sequence[int]:
        """The places of the messages with a callback."""
        if self._on_delivery is not None:
            return range(len(entries))
        return [place for place, entry in enumerate(entries) if entry.on_delivery is not None]

    def _keep_count(self, entries: Sequence[Outgoing], heard: Sequence[int]) -> None:
        silent = len(entries) - len(heard)
        if silent:
            size = size_of(entries) - sum(entries[place].size for place in heard)
            self._inbox.post(Silence(silent, size, self._release))

    def _post(self, entries: Sequence[Outgoing], heard: Sequence[int], fate: Stored | Failed) -> None:
        spoken = entries if len(heard) == len(entries) else [entries[place] for place in heard]
        self._inbox.post(Reports(spoken, fate, self._on_delivery, self._release))


def _header_list(entry: Outgoing) -> list[tuple[str, bytes | None]] | None:
    if entry.headers is None:
        return None
    return [(name.decode(), value) for name, value in entry.headers]
