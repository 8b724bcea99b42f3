"""Stored offsets: what is stored by whom, and when and how far a commit without arguments takes them."""

from typing import Any

from migrator.embedded.process import wait_until
from tests.conformance.records import fill, offsets, serve, take
from tests.conformance.side import WAIT_SECONDS, Side

MANUAL: dict[str, object] = {"enable.auto.commit": False}
RECIPE: dict[str, object] = {"enable.auto.offset.store": False}
NUMBERS = [b"%d" % number for number in range(10)]


def reading(side: Side, group: str, settings: dict[str, object], **more: Any) -> tuple[Any, Any]:
    """A consumer of the first of ten records, and its partition."""
    topic = side.topic()
    fill(side, topic, NUMBERS)
    tp = side.tp(topic, 0, 0)
    consumer = side.consumer(group, settings, **more)
    consumer.assign([tp])
    return consumer, tp


def committed(side: Side, group: str, tp: Any) -> int:
    """Where a group stands."""
    (found,) = side.consumer(group).committed([tp], WAIT_SECONDS)
    return int(found.offset)


def test_storing_follows_a_seek_back_as_far_as_nothing_was_committed(side: Side) -> None:
    group = side.name("group")
    consumer, tp = reading(side, group, MANUAL)
    take(consumer, 5)
    consumer.seek(side.tp(tp.topic, 0, 2))
    take(consumer, 1)
    assert consumer.commit(asynchronous=False)[0].offset == 3


def test_commit_of_everything_never_goes_back(side: Side) -> None:
    """A commit of a message, or of offsets, does."""
    group = side.name("group")
    consumer, tp = reading(side, group, MANUAL)
    take(consumer, 6)
    assert consumer.commit(asynchronous=False)[0].offset == 6
    consumer.seek(tp)
    (message,) = take(consumer, 1)
    assert side.refusal(lambda: consumer.commit(asynchronous=False))[0] == side.code("_NO_OFFSET")
    assert committed(side, group, tp) == 6
    consumer.commit(message=message, asynchronous=False)
    assert committed(side, group, tp) == 1


def test_close_after_a_seek_back(side: Side) -> None:
    group = side.name("group")
    consumer, tp = reading(side, group, {})
    take(consumer, 5)
    consumer.seek(side.tp(tp.topic, 0, 1))
    take(consumer, 1)
    consumer.close()
    assert committed(side, group, tp) == 2


def test_what_was_only_assigned_is_not_committed(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, NUMBERS)
    consumer = side.consumer(group)
    consumer.assign([side.tp(topic, 0, 4)])
    consumer.close()
    assert committed(side, group, side.tp(topic, 0)) == -1001


def test_the_last_offset_stored_counts(side: Side) -> None:
    group = side.name("group")
    consumer, tp = reading(side, group, RECIPE)
    take(consumer, 6)
    for offset in (5, 2):
        consumer.store_offsets(offsets=[side.tp(tp.topic, 0, offset)])
    consumer.close()
    assert committed(side, group, tp) == 2


def test_stored_metadata_is_committed(side: Side) -> None:
    group = side.name("group")
    consumer, tp = reading(side, group, {**RECIPE, **MANUAL})
    take(consumer, 3)
    consumer.store_offsets(offsets=[side.tp(tp.topic, 0, 2, metadata="half-way")])
    consumer.commit(asynchronous=False)
    (found,) = consumer.committed([tp], WAIT_SECONDS)
    assert (found.offset, found.metadata) == (2, "half-way")


def test_an_offset_that_is_committed_already_is_nothing_new(side: Side) -> None:
    consumer, tp = reading(side, side.name("group"), {**RECIPE, **MANUAL})
    take(consumer, 3)
    consumer.store_offsets(offsets=[side.tp(tp.topic, 0, 2)])
    consumer.commit(asynchronous=False)
    for offset in (2, 1):
        consumer.store_offsets(offsets=[side.tp(tp.topic, 0, offset)])
        assert side.refusal(lambda: consumer.commit(asynchronous=False))[0] == side.code("_NO_OFFSET")


def test_close_calls_on_commit(side: Side) -> None:
    called: list[tuple[Any, Any]] = []
    consumer, tp = reading(side, side.name("group"), {}, on_commit=lambda *answer: called.append(answer))
    take(consumer, 3)
    consumer.close()
    assert [(error, offsets(partitions)) for error, partitions in called] == [(None, {(tp.topic, 0): 3})]


def test_nothing_new_calls_nobody(side: Side) -> None:
    called: list[tuple[Any, Any]] = []
    settings: dict[str, object] = {"auto.commit.interval.ms": 50}
    consumer, tp = reading(side, side.name("group"), settings, on_commit=lambda *answer: called.append(answer))
    take(consumer, 3)
    consumer.pause([tp])
    serve([consumer], lambda: called)

    def silent() -> bool:
        before = len(called)
        return consumer.poll(0.3) is None and len(called) == before

    assert wait_until(silent, WAIT_SECONDS)
    assert {frozenset(offsets(partitions).items()) for _, partitions in called} == {frozenset({((tp.topic, 0), 3)})}
