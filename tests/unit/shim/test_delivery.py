"""What waits for the application: served in order, once, and not lost by an exception."""

import threading
import time
from contextlib import suppress
from math import inf
from typing import Any

import pytest

from shim.client.inbox import Inbox, Notice
from shim.errors import KafkaError
from shim.producing.delivery import Reporter
from shim.producing.outbox import Limits, Outbox, Parcel
from shim.producing.outgoing import size_of

LIMITS = Limits(
    queue_messages=100,
    queue_bytes=1000,
    batch_messages=10,
    batch_bytes=100,
    parcel_bytes=100,
    linger_s=0,
    timeout_s=inf,
)


class Desk:
    """A producer's queue and inbox without its threads."""

    def __init__(self, on_delivery: Any = None, *, only_errors: bool = False) -> None:
        self.outbox = Outbox(LIMITS)
        self.inbox = Inbox()
        self.reporter = Reporter(self.outbox, self.inbox, on_delivery, only_errors=only_errors)

    def __len__(self) -> int:
        return len(self.outbox) + len(self.inbox)

    def room(self) -> int:
        """How many messages of 10 bytes still fit."""
        message = ("topic", -1, None, None, 0, None, 10, time.monotonic(), None)
        with suppress(BufferError):
            for _ in range(1000):
                self.outbox.put(message)
        waiting, _ = self.outbox.purge(queued=True, sent=False)
        self.outbox.release(len(waiting), size_of(waiting))
        return len(waiting)

    def parcel(self, *callbacks: Any) -> Parcel:
        for number, callback in enumerate(callbacks):
            content = (b"k", b"%d" % number, 70 + number)
            self.outbox.put(("topic", -1, *content, callback, 3, time.monotonic(), None, b"h", None))
        parcel = self.outbox.take()
        assert isinstance(parcel, Parcel)
        for number in range(len(callbacks)):
            parcel.drafts.add("topic", number % 2, b"")
        return parcel


def test_a_delivered_parcel() -> None:
    told: list[Any] = []
    desk = Desk(on_delivery=lambda error, message: told.append(("default", error, message)))
    own = lambda error, message: told.append(("own", error, message))  # noqa: E731  a callback
    desk.reporter.delivered(desk.parcel(own, None, own), [10, 20, None])
    assert (len(desk), told) == (3, [])
    assert desk.inbox.serve() == 3
    assert len(desk) == 0
    assert [(who, error) for who, error, _ in told] == [("own", None), ("default", None), ("own", None)]
    places = [(m.topic(), m.partition(), m.offset(), m.timestamp()) for _, _, m in told]
    assert places == [("topic", 0, 10, (1, 70)), ("topic", 1, 20, (1, 71)), ("topic", 0, None, (1, 72))]
    assert [(m.key(), m.value(), m.headers()) for _, _, m in told][1] == (b"k", b"1", [("h", None)])


def test_messages_without_a_callback_are_counted() -> None:
    told: list[Any] = []
    desk = Desk()
    desk.reporter.delivered(desk.parcel(None, lambda *report: told.append(report), None), [10, 20, 30])
    assert len(desk) == 3
    assert desk.inbox.serve() == 3
    assert (len(desk), desk.room()) == (0, 100)
    assert [message.offset() for _, message in told] == [20]


def test_a_callback_that_is_false_is_called() -> None:
    class Empty(list[Any]):
        def __call__(self, *report: Any) -> None:
            self.append(report)

    own, default = Empty(), Empty()
    desk = Desk(on_delivery=default)
    desk.reporter.delivered(desk.parcel(own, None), [1, 2])
    desk.inbox.serve()
    assert (len(own), len(default)) == (1, 1)


def test_what_was_delivered_is_silent_if_asked() -> None:
    told: list[Any] = []
    desk = Desk(on_delivery=lambda error, _: told.append(error), only_errors=True)
    desk.reporter.delivered(desk.parcel(None, None), [10, 20])
    assert (len(desk), desk.room()) == (0, 100)
    desk.reporter.undeliverable(desk.parcel(None), KafkaError(KafkaError.UNKNOWN))
    assert desk.inbox.serve() == 1
    assert told == [KafkaError.UNKNOWN]


def test_a_parcel_is_reported_once() -> None:
    desk = Desk()
    parcel = desk.parcel(None)
    desk.reporter.undeliverable(parcel, KafkaError(KafkaError.UNKNOWN))
    desk.reporter.delivered(parcel, [1])
    desk.reporter.undeliverable(parcel, KafkaError(KafkaError.UNKNOWN))
    assert desk.inbox.serve() == 1
    assert len(desk) == 0


def test_an_exception_keeps_the_rest_for_the_next_time() -> None:
    told: list[int] = []

    def fail(*_: Any) -> None:
        raise LookupError

    note = lambda _error, message: told.append(message.offset())  # noqa: E731  a callback
    desk = Desk()
    desk.reporter.delivered(desk.parcel(note, fail, note), [1, 2, 3])
    desk.reporter.delivered(desk.parcel(note), [4])
    with pytest.raises(LookupError):
        desk.inbox.serve()
    assert (told, len(desk)) == ([1], 2)
    assert desk.inbox.serve() == 2
    assert told == [1, 3, 4]


def test_a_callback_may_serve_too() -> None:
    told: list[int] = []
    desk = Desk()

    def nested(_error: Any, message: Any) -> None:
        told.append(message.offset())
        desk.inbox.serve()

    desk.reporter.delivered(desk.parcel(nested, nested), [1, 2])
    desk.reporter.delivered(desk.parcel(nested), [3])
    assert desk.inbox.serve() >= 1
    assert sorted(told) == [1, 2, 3]
    assert len(desk) == 0


def test_a_notice_is_served_once_even_if_it_fails() -> None:
    inbox = Inbox()
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise LookupError

    inbox.post(Notice(fail))
    inbox.post(Notice(lambda: calls.append(2)))
    assert len(inbox) == 2
    with pytest.raises(LookupError):
        inbox.serve()
    assert inbox.serve() == 1
    assert calls == [1, 2]


def test_waiting_ends_with_an_event_or_a_wake_up() -> None:
    inbox = Inbox()
    for end in (lambda: inbox.post(Notice(lambda: None)), inbox.wake):
        started = time.monotonic()
        timer = threading.Timer(0.05, end)
        timer.start()
        inbox.wait(60)
        assert time.monotonic() - started < 30
        timer.join()
        inbox.serve()
