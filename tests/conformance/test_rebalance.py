"""Rebalances of one, two and three members: the callbacks, their order and contents, for both protocols."""

from collections import Counter
from typing import Any

import pytest

from tests.conformance.members import COOPERATIVE, EAGER, Called, Member, every, settle, settled
from tests.conformance.records import fill, held, offsets, serve, take, values
from tests.conformance.side import WAIT_SECONDS, Side

NOTHING: frozenset[tuple[str, int]] = frozenset()

both_protocols = pytest.mark.parametrize("strategy", [EAGER, "roundrobin", COOPERATIVE])


@both_protocols
def test_one_member_has_everything(side: Side, strategy: str) -> None:
    topic = side.topic(3)
    (member,) = settled(side, topic, 3, 1, strategy=strategy)
    assert member.called == [Called("assign", every(topic, 3), NOTHING)]
    assert member.held == every(topic, 3)
    assert set(offsets(member.consumer.assignment()).values()) == {side.api.OFFSET_STORED}


@both_protocols
def test_no_callback_before_poll(side: Side, strategy: str) -> None:
    topic = side.topic(1)
    member = Member(side, side.name("group"), [topic], strategy=strategy)
    assert member.called == []
    assert member.held == set()
    settle([member], every(topic, 1))


@pytest.mark.parametrize("strategy", [EAGER, "roundrobin"])
def test_eager_gives_everything_back_first(side: Side, strategy: str) -> None:
    topic = side.topic(4)
    first, second = settled(side, topic, 4, 2, strategy=strategy)
    assert len(first.held) == len(second.held) == 2
    assert first.called == [
        Called("assign", every(topic, 4), NOTHING),
        Called("revoke", every(topic, 4), every(topic, 4)),
        Called("assign", frozenset(first.held), NOTHING),
    ]
    assert second.called == [Called("assign", frozenset(second.held), NOTHING)]


def test_cooperative_gives_back_only_what_moves(side: Side) -> None:
    topic = side.topic(4)
    first, second = settled(side, topic, 4, 2, strategy=COOPERATIVE)
    assert len(first.held) == len(second.held) == 2
    assert first.called == [
        Called("assign", every(topic, 4), NOTHING),
        Called("revoke", frozenset(second.held), every(topic, 4)),
    ]
    assert second.called == [Called("assign", frozenset(second.held), NOTHING)]


def test_cooperative_calls_back_about_nothing_too(side: Side) -> None:
    """A member that joins a group in which nothing is free yet hears of an empty assignment."""
    topic = side.topic(1)
    group = side.name("group")
    first = Member(side, group, [topic], strategy=COOPERATIVE)
    settle([first], every(topic, 1))
    heard: list[list[Any]] = []
    second = side.consumer(group, {"partition.assignment.strategy": COOPERATIVE})
    second.subscribe([topic], on_assign=lambda _consumer, partitions: heard.append(partitions))
    serve([first.consumer, second], lambda: heard)
    assert heard[0] == []


@both_protocols
def test_three_members_have_one_partition_each(side: Side, strategy: str) -> None:
    topic = side.topic(3)
    members = settled(side, topic, 3, 3, strategy=strategy)
    assert [len(member.held) for member in members] == [1, 1, 1]
    eager = strategy != COOPERATIVE
    first, second, third = ([call.kind for call in member.called] for member in members)
    assert third == ["assign"]
    assert first[:2] == ["assign", "revoke"]
    assert second == ["assign", *(["revoke", "assign"] if eager else [])][: len(second)]


@both_protocols
def test_more_members_than_partitions(side: Side, strategy: str) -> None:
    topic = side.topic(1)
    group = side.name("group")
    first, second = (Member(side, group, [topic], strategy=strategy) for _ in range(2))
    both = [first.consumer, second.consumer]
    serve(both, lambda: first.heard and second.heard and len(first.held) + len(second.held) == 1)
    idle = second if first.held else first
    assert idle.consumer.poll(0.05) is None


@both_protocols
def test_a_member_that_closes_hands_over(side: Side, strategy: str) -> None:
    topic = side.topic(4)
    first, second = settled(side, topic, 4, 2, strategy=strategy)
    kept, moved = frozenset(first.held), frozenset(second.held)
    first.called.clear()
    second.called.clear()
    second.consumer.close()
    assert second.called == [Called("revoke", moved, moved)]
    settle([first], every(topic, 4))
    if strategy == COOPERATIVE:
        assert first.called == [Called("assign", moved, kept)]
    else:
        assert first.called == [Called("revoke", kept, kept), Called("assign", every(topic, 4), NOTHING)]


@both_protocols
def test_a_member_that_unsubscribes_hands_over(side: Side, strategy: str) -> None:
    topic = side.topic(4)
    first, second = settled(side, topic, 4, 2, strategy=strategy)
    moved = frozenset(second.held)
    second.called.clear()
    second.consumer.unsubscribe()
    serve([first.consumer, second.consumer], lambda: first.held == every(topic, 4))
    assert second.called == [Called("revoke", moved, moved)]
    assert second.held == set()
    second.subscribe([topic])
    settle([first, second], every(topic, 4))


@pytest.mark.parametrize(("strategy", "sizes"), [(EAGER, [2, 4]), ("roundrobin", [3, 3]), (COOPERATIVE, [3, 3])])
def test_how_two_topics_are_shared_out(side: Side, strategy: str, sizes: list[int]) -> None:
    """By range the first member has the larger part of each topic."""
    topics = [side.topic(3), side.topic(3)]
    group = side.name("group")
    members = [Member(side, group, topics, strategy=strategy) for _ in range(2)]
    settle(members, every(topics[0], 3) | every(topics[1], 3))
    serve([member.consumer for member in members], lambda: sorted(len(member.held) for member in members) == sizes)


def test_range_goes_by_member_id(side: Side) -> None:
    topic = side.topic(4)
    members = settled(side, topic, 4, 2)
    first, second = sorted(members, key=lambda member: member.consumer.memberid())
    assert first.held == {(topic, 0), (topic, 1)}
    assert second.held == {(topic, 2), (topic, 3)}


def test_cooperative_keeps_what_it_can(side: Side) -> None:
    topic = side.topic(6)
    members = settled(side, topic, 6, 3, strategy=COOPERATIVE)
    serve([member.consumer for member in members], lambda: [len(member.held) for member in members] == [2, 2, 2])
    for member in members:
        taken = frozenset().union(*(call.partitions for call in member.called if call.kind == "assign"))
        given = frozenset().union(*(call.partitions for call in member.called if call.kind == "revoke"))
        assert taken - given == member.held
        assert sum(len(call.partitions) for call in member.called if call.kind == "assign") == len(taken)


@both_protocols
def test_members_with_different_subscriptions(side: Side, strategy: str) -> None:
    one, two = side.topic(2), side.topic(2)
    group = side.name("group")
    first, second = Member(side, group, [one], strategy=strategy), Member(side, group, [one, two], strategy=strategy)
    settle([first, second], every(one, 2) | every(two, 2))
    assert every(two, 2) <= second.held
    assert first.held <= every(one, 2)


@both_protocols
def test_nothing_is_read_twice_when_revoke_commits(side: Side, strategy: str) -> None:
    topic = side.topic(4)
    for partition in range(4):
        fill(side, topic, [b"%d-%d" % (partition, number) for number in range(20)], partition)
    group = side.name("group")
    settings = {"partition.assignment.strategy": strategy, "enable.auto.commit": False}

    def commit(consumer: Any, partitions: list[Any]) -> None:
        known = [tp for tp in consumer.position(partitions) if tp.offset >= 0]
        if known:
            consumer.commit(offsets=known, asynchronous=False)

    first, second = side.consumer(group, settings), side.consumer(group, settings)
    first.subscribe([topic], on_revoke=commit)
    read = values(take(first, 30))
    second.subscribe([topic], on_revoke=commit)
    messages: list[Any] = []

    def all_read() -> bool:
        for consumer in (first, second):
            message = consumer.poll(0.01)
            if message is not None:
                messages.append(message)
        return len(messages) >= 50 and len(held(first)) == 2 == len(held(second))

    serve([], all_read)
    assert first.poll(0.1) is None
    assert second.poll(0.1) is None
    assert Counter(read + values(messages)) == Counter(b"%d-%d" % (p, n) for p in range(4) for n in range(20))
    second.close()
    serve([first], lambda: held(first) == every(topic, 4))


@both_protocols
def test_automatic_commit_before_partitions_move(side: Side, strategy: str) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"a"] * 5, 0)
    fill(side, topic, [b"b"] * 5, 1)
    group = side.name("group")
    first = Member(side, group, [topic], strategy=strategy)
    take(first.consumer, 10)
    second = Member(side, group, [topic], strategy=strategy)
    handed = settle([first, second], every(topic, 2))
    assert handed == [[], []]
    assert second.consumer.poll(0.1) is None
    found = offsets(second.consumer.committed([side.tp(*pair) for pair in second.held], WAIT_SECONDS))
    assert set(found.values()) == {5}


def test_on_assign_may_choose_where_to_begin(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1", b"2"])

    def begin_at_two(consumer: Any, partitions: list[Any]) -> None:
        for tp in partitions:
            tp.offset = 2
        consumer.assign(partitions)

    consumer = side.consumer()
    consumer.subscribe([topic], on_assign=begin_at_two)
    assert values(take(consumer, 1)) == [b"2"]
    assert offsets(consumer.assignment()) == {(topic, 0): 2}


def test_on_assign_may_choose_step_by_step(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1", b"2"])

    def begin_at_one(consumer: Any, partitions: list[Any]) -> None:
        consumer.incremental_assign([side.tp(tp.topic, tp.partition, 1) for tp in partitions])

    consumer = side.consumer(None, {"partition.assignment.strategy": COOPERATIVE})
    consumer.subscribe([topic], on_assign=begin_at_one)
    assert values(take(consumer, 1)) == [b"1"]


def test_on_assign_may_take_less(side: Side) -> None:
    topic = side.topic(3)
    consumer = side.consumer()
    consumer.subscribe([topic], on_assign=lambda consumer, partitions: consumer.assign(partitions[:1]))
    serve([consumer], consumer.assignment)
    assert len(consumer.assignment()) == 1


@pytest.mark.parametrize(
    ("strategy", "method", "text"),
    [
        (COOPERATIVE, "assign", "Failed to set assignment: Local: Erroneous state"),
        (
            EAGER,
            "incremental_assign",
            "Changes to the current assignment must be made using assign() when rebalance protocol type is EAGER",
        ),
        (
            EAGER,
            "incremental_unassign",
            "Changes to the current assignment must be made using assign() when rebalance protocol type is EAGER",
        ),
    ],
)
def test_the_other_protocols_methods_are_refused(side: Side, strategy: str, method: str, text: str) -> None:
    topic = side.topic()
    member = Member(side, side.name("group"), [topic], strategy=strategy, logger=side.silence)
    settle([member], every(topic, 1))
    with pytest.raises(side.api.KafkaException) as caught:
        getattr(member.consumer, method)([side.tp(topic, 0)])
    assert caught.value.args[0].code() == side.code("_STATE")
    assert caught.value.args[0].str() == text


@both_protocols
@pytest.mark.parametrize("kind", ["on_assign", "on_revoke"])
def test_exception_of_a_callback_comes_out_of_poll(side: Side, strategy: str, kind: str) -> None:
    """What the callback was about is done all the same, and the next poll goes on."""
    topic = side.topic(2)
    fill(side, topic, [b"v"], 0)
    group = side.name("group")

    def fails(_consumer: Any, _partitions: list[Any]) -> None:
        raise KeyError("mine")

    consumer = side.consumer(group, {"partition.assignment.strategy": strategy})
    consumer.subscribe([topic], **{kind: fails})
    other = None
    if kind == "on_revoke":
        take(consumer, 1)
        other = Member(side, group, [topic], strategy=strategy)
    with pytest.raises(KeyError, match="mine"):
        serve([consumer, *([other.consumer] if other else [])], lambda: False)
    if other:
        serve([consumer, other.consumer], lambda: len(held(consumer)) == 1 == len(other.held))
    else:
        assert values(take(consumer, 1)) == [b"v"]
        assert held(consumer) == every(topic, 2)
    consumer.subscribe([topic])


def test_consume_serves_callbacks_too(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"v"])
    member = Member(side, side.name("group"), [topic])
    assert values(member.consumer.consume(1, WAIT_SECONDS)) == [b"v"]
    assert member.kinds() == ["assign"]
    member.consumer.close()
    assert member.kinds() == ["assign", "revoke"]


@both_protocols
def test_close_lets_on_revoke_commit(side: Side, strategy: str) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    committed: list[Any] = []

    def commit(consumer: Any, partitions: list[Any]) -> None:
        committed.extend(consumer.commit(offsets=consumer.position(partitions), asynchronous=False))

    consumer = side.consumer(group, {"partition.assignment.strategy": strategy, "enable.auto.commit": False})
    consumer.subscribe([topic], on_revoke=commit)
    take(consumer, 2)
    consumer.close()
    assert offsets(committed) == {(topic, 0): 2}
    (found,) = side.consumer(group).committed([side.tp(topic, 0)], WAIT_SECONDS)
    assert found.offset == 2


def test_a_partition_that_comes_back_goes_on(side: Side) -> None:
    topic = side.topic(2)
    first, second = settled(side, topic, 2, 2, enable_auto_commit=False)
    fill(side, topic, [b"%d" % number for number in range(10)], 0)
    owner, other = (first, second) if (topic, 0) in first.held else (second, first)
    messages = take(owner.consumer, 4)
    owner.consumer.commit(message=messages[-1], asynchronous=False)
    owner.consumer.close()
    (handed,) = settle([other], every(topic, 2))
    rest = [*handed, *take(other.consumer, 6 - len(handed))]
    assert values(rest) == [b"4", b"5", b"6", b"7", b"8", b"9"]


@both_protocols
def test_a_pause_lasts_over_rebalances(side: Side, strategy: str) -> None:
    topic = side.topic(2)
    (first,) = settled(side, topic, 2, 1, strategy=strategy, enable_auto_commit=False)
    everything = [side.tp(topic, 0), side.tp(topic, 1)]
    first.consumer.pause(everything)
    second = Member(side, first.group, [topic], strategy=strategy)
    settle([first, second], every(topic, 2))
    second.consumer.close()
    settle([first], every(topic, 2))
    fill(side, topic, [b"v"])
    assert first.consumer.poll(0.2) is None
    first.consumer.resume(everything)
    assert values(take(first.consumer, 1)) == [b"v"]
