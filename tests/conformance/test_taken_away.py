"""What is left of a partition that was taken away, paused or sought: what is not told any more, and what is known."""

from collections.abc import Callable
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from tests.conformance.members import COOPERATIVE, EAGER
from tests.conformance.records import fill, held, offsets, serve, take, take_event
from tests.conformance.side import WAIT_SECONDS, Side

NUMBERS = [b"%d" % number for number in range(5)]
ENDS: dict[str, object] = {"enable.partition.eof": True}
PATIENT: dict[str, object] = {"auto.commit.interval.ms": 3_600_000}
QUIET_SECONDS = 0.3


def told_one_end_of_two(side: Side) -> tuple[Any, Any]:
    """A consumer that was told one end while another one waits, and the partition of the other."""
    topic = side.topic(2)
    consumer = side.consumer(None, ENDS)
    consumer.assign([side.tp(topic, 0, 0), side.tp(topic, 1, 0)])
    told = take_event(consumer).partition()
    return consumer, side.tp(topic, 1 - told, 0)


def test_the_end_of_what_was_taken_away_is_not_told(side: Side) -> None:
    consumer, _ = told_one_end_of_two(side)
    consumer.unassign()
    assert consumer.poll(QUIET_SECONDS) is None


def test_the_end_of_what_was_sought_is_told_once(side: Side) -> None:
    consumer, other = told_one_end_of_two(side)
    consumer.seek(other)
    assert take_event(consumer).partition() == other.partition
    assert consumer.poll(QUIET_SECONDS) is None


def test_the_end_of_what_is_paused_is_told_later(side: Side) -> None:
    consumer, other = told_one_end_of_two(side)
    consumer.pause([other])
    assert consumer.poll(QUIET_SECONDS) is None
    consumer.resume([other])
    assert take_event(consumer).partition() == other.partition


def test_a_partition_with_nowhere_to_begin_cannot_be_sought(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer(None, {"auto.offset.reset": "error", "logger": side.silence})
    consumer.assign([side.tp(topic, 0, 99)])
    assert take_event(consumer).error().code() == side.code("_AUTO_OFFSET_RESET")
    for offset in (0, side.api.OFFSET_STORED):
        assert side.refusal(lambda: consumer.seek(side.tp(topic, 0, offset)))[0] == side.code("_STATE")  # noqa: B023  it is called at once


@pytest.mark.differs("refused-seek")
def test_a_seek_that_is_refused(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0"])
    consumer = side.consumer(None, ENDS)
    consumer.assign([side.tp(topic, 0, 0)])
    take(consumer, 1)
    take_event(consumer)
    fill(side, topic, [b"1"])
    tp = side.tp(topic, 0, side.api.OFFSET_STORED)
    fetched = side.either(kafka=(0, 2), shim=(0, 1))  # the shim looks when it is polled
    assert wait_until(lambda: consumer.get_watermark_offsets(tp, cached=True) == fetched, WAIT_SECONDS)
    assert side.refusal(lambda: consumer.seek(tp))[0] == side.code("_INVALID_ARG")
    message = consumer.poll(side.either(kafka=QUIET_SECONDS, shim=WAIT_SECONDS))
    assert side.either(kafka=message is None, shim=message is not None and message.value() == b"1")


def test_store_offsets_of_what_was_taken_away(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, NUMBERS)
    consumer = side.consumer(None, {"enable.auto.offset.store": False})
    consumer.assign([side.tp(topic, 0, 0)])
    (message,) = take(consumer, 1)
    consumer.unassign()
    for store in (
        lambda: consumer.store_offsets(message),
        lambda: consumer.store_offsets(offsets=[side.tp(topic, 0, 1)]),
    ):
        assert side.refusal(store) == (side.code("_STATE"), "StoreOffsets failed: Local: Erroneous state")


@pytest.mark.parametrize("strategy", [EAGER, COOPERATIVE])
def test_who_left_its_group_is_still_bound_by_the_protocol(side: Side, strategy: str) -> None:
    topic = side.topic()
    consumer = side.consumer(None, {"partition.assignment.strategy": strategy})
    consumer.subscribe([topic])
    serve([consumer], lambda: held(consumer))
    consumer.unsubscribe()
    serve([consumer], lambda: not held(consumer))
    right, wrong = consumer.assign, consumer.incremental_assign
    if strategy == COOPERATIVE:
        right, wrong = wrong, right
    assert side.refusal(lambda: wrong([side.tp(topic, 0)]))[0] == side.code("_STATE")
    right([side.tp(topic, 0)])
    assert held(consumer) == {(topic, 0)}


ROUNDS: dict[str, Callable[[Any, Any], object]] = {
    "assign": lambda consumer, tp: consumer.assign([tp]),
    "unassign": lambda consumer, tp: (consumer.unassign(), consumer.assign([tp])),
    "incremental": lambda consumer, tp: (consumer.incremental_unassign([tp]), consumer.incremental_assign([tp])),
}


@pytest.mark.parametrize("how", ROUNDS)
def test_what_was_committed_on_the_way_out_is_nothing_new(side: Side, how: str) -> None:
    """Be it read again: a commit of everything never goes back."""
    topic, group = side.topic(), side.name("group")
    fill(side, topic, NUMBERS)
    tp = side.tp(topic, 0, 0)
    consumer = side.consumer(group, PATIENT)
    consumer.assign([tp])
    take(consumer, 5)
    ROUNDS[how](consumer, tp)
    assert wait_until(lambda: offsets(consumer.committed([tp], WAIT_SECONDS)) == {(topic, 0): 5}, WAIT_SECONDS)
    take(consumer, 3)
    assert side.refusal(lambda: consumer.commit(asynchronous=False))[0] == side.code("_NO_OFFSET")


@pytest.mark.parametrize("strategy", [EAGER, COOPERATIVE])
def test_a_member_commits_what_it_gave_up_and_nobody_took(side: Side, strategy: str) -> None:
    kept, given_up = side.topic(), side.topic()
    consumer = side.consumer(None, {"partition.assignment.strategy": strategy})
    consumer.subscribe([kept, given_up])
    serve([consumer], lambda: held(consumer) == {(kept, 0), (given_up, 0)})
    consumer.subscribe([kept])
    serve([consumer], lambda: held(consumer) == {(kept, 0)})
    answer = consumer.commit(offsets=[side.tp(given_up, 0, 1)], asynchronous=False)
    assert offsets(answer) == {(given_up, 0): 1}


@pytest.mark.differs("lost-when-unsubscribed")
def test_what_is_no_longer_wanted_is_given_up(side: Side) -> None:
    """The original loses it nearly always: whenever it has not heard of the new topic yet."""
    left, wanted, told = side.topic(), side.topic(), list[str]()
    fill(side, left, NUMBERS)
    group = side.name("group")
    consumer = side.consumer(group, {"partition.assignment.strategy": COOPERATIVE, "enable.auto.commit": True})
    callbacks = {"on_revoke": lambda *_: told.append("revoked"), "on_lost": lambda *_: told.append("lost")}
    consumer.subscribe([left], **callbacks)
    take(consumer, 5)
    consumer.subscribe([wanted], **callbacks)
    serve([consumer], lambda: held(consumer) == {(wanted, 0)})
    assert told in side.either(kafka=[["lost"], ["revoked"]], shim=[["revoked"]])
    stands = {"lost": -1001, "revoked": 5}[told[0]]
    tp = side.tp(left, 0)
    assert wait_until(lambda: offsets(consumer.committed([tp], WAIT_SECONDS)) == {(left, 0): stands}, WAIT_SECONDS)


@pytest.mark.differs("commit-after-leaving")
def test_commits_of_who_left_its_group(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, NUMBERS)
    tp = side.tp(topic, 0, 0)
    consumer = side.consumer(group, PATIENT)
    consumer.subscribe([topic])
    take(consumer, 5)
    consumer.unsubscribe()
    serve([consumer], lambda: not held(consumer))
    consumer.assign([tp])
    (message,) = take(consumer, 1)
    try:
        answer = offsets(consumer.commit(message=message, asynchronous=False))
    except side.api.KafkaException as refused:
        answer = refused.args[0].code()
    assert answer == side.either(kafka=side.error.UNKNOWN_MEMBER_ID, shim={(topic, 0): 1})
    take(consumer, 1)
    consumer.close()
    assert offsets(side.consumer(group).committed([tp], WAIT_SECONDS)) == {(topic, 0): side.either(kafka=5, shim=2)}
