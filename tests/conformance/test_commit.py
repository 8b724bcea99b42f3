"""Committing: every form of it, what it answers, what a group then finds, and what is committed by itself."""

from typing import Any

import pytest

from tests.conformance.records import fill, offsets, serve, take, values
from tests.conformance.side import WAIT_SECONDS, Side

MANUAL = {"enable.auto.commit": False}
RECIPE = {"enable.auto.offset.store": False}


def committed(consumer: Any, *partitions: Any) -> list[int]:
    """The group's offsets."""
    return [tp.offset for tp in consumer.committed(list(partitions), WAIT_SECONDS)]


def reading(side: Side, topic: str, group: str, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    """A consumer of one partition, with its group's offset as the start."""
    consumer = side.consumer(group, settings, **more)
    consumer.assign([side.tp(topic, 0)])
    return consumer


def test_a_message(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = reading(side, topic, group, MANUAL)
    messages = take(consumer, 3)
    answer = consumer.commit(message=messages[1], asynchronous=False)
    assert [(tp.topic, tp.partition, tp.offset, tp.error) for tp in answer] == [(topic, 0, 2, None)]
    assert committed(consumer, side.tp(topic, 0)) == [2]
    assert consumer.commit(messages[0], asynchronous=False)[0].offset == 1
    assert committed(consumer, side.tp(topic, 0)) == [1]


def test_offsets(side: Side) -> None:
    topic, group = side.topic(3), side.name("group")
    consumer = side.consumer(group, MANUAL)
    answer = consumer.commit(offsets=[side.tp(topic, 0, 5), side.tp(topic, 2, 7)], asynchronous=False)
    assert offsets(answer) == {(topic, 0): 5, (topic, 2): 7}
    assert all(type(tp) is side.api.TopicPartition and tp.error is None for tp in answer)
    assert committed(consumer, side.tp(topic, 0), side.tp(topic, 1), side.tp(topic, 2)) == [5, -1001, 7]


def test_offsets_with_metadata(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    consumer = side.consumer(group, MANUAL)
    consumer.commit(offsets=[side.tp(topic, 0, 5, metadata="żółć")], asynchronous=False)
    (found,) = consumer.committed([side.tp(topic, 0)], WAIT_SECONDS)
    assert (found.offset, found.metadata) == (5, "żółć")


def test_offsets_of_a_partition_without_one(side: Side) -> None:
    topic, group = side.topic(2), side.name("group")
    consumer = side.consumer(group, MANUAL)
    answer = consumer.commit(offsets=[side.tp(topic, 0, 5), side.tp(topic, 1)], asynchronous=False)
    assert offsets(answer) == {(topic, 0): 5, (topic, 1): -1001}
    assert committed(consumer, side.tp(topic, 1)) == [-1001]


def test_everything_stored(side: Side) -> None:
    topic, group = side.topic(2), side.name("group")
    fill(side, topic, [b"0", b"1"])
    consumer = side.consumer(group, MANUAL)
    consumer.assign([side.tp(topic, 0), side.tp(topic, 1)])
    take(consumer, 2)
    assert offsets(consumer.commit(asynchronous=False)) == {(topic, 0): 2, (topic, 1): -1001}
    assert committed(consumer, side.tp(topic, 0)) == [2]


def test_nothing_new_is_an_error(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0"])
    consumer = reading(side, topic, group, MANUAL)
    nothing = (side.code("_NO_OFFSET"), "Commit failed: Local: No offset stored")
    assert side.refusal(lambda: consumer.commit(asynchronous=False)) == nothing
    take(consumer, 1)
    consumer.commit(asynchronous=False)
    assert side.refusal(lambda: consumer.commit(asynchronous=False)) == nothing
    assert side.refusal(lambda: consumer.commit(offsets=[], asynchronous=False)) == nothing
    assert side.refusal(lambda: consumer.commit(offsets=[side.tp(topic, 0, -5)], asynchronous=False)) == nothing
    assert consumer.commit() is None
    assert consumer.commit(offsets=[]) is None


def test_what_cannot_be_committed(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer()
    tp = side.tp(topic, 0, 1)
    with pytest.raises(ValueError, match="message and offsets are mutually exclusive"):
        consumer.commit(message=side.api.Message(topic, 0, 1), offsets=[tp])
    for wrong in ({"message": 5}, {"message": tp}, {"offsets": 5}, {"offsets": (tp,)}, {"offsets": [(topic, 0, 1)]}):
        with pytest.raises(TypeError):
            consumer.commit(**wrong)
    failed = side.api.Message(topic, 0, 1, error=side.error(side.code("_PARTITION_EOF")))
    code, text = side.refusal(lambda: consumer.commit(message=failed))
    assert code == side.code("_INVALID_ARG")
    assert text.startswith("Cannot commit offsets for message with error")


@pytest.mark.parametrize("partition", ["partition", "topic", "mixed"])
def test_partitions_that_are_not_there(side: Side, partition: str) -> None:
    topic, group = side.topic(), side.name("group")
    asked = {
        "partition": [side.tp(topic, 7, 1)],
        "topic": [side.tp(side.name("missing"), 0, 1)],
        "mixed": [side.tp(topic, 0, 1), side.tp(topic, 7, 1)],
    }
    consumer = side.consumer(group, MANUAL)
    answer = side.refusal(lambda: consumer.commit(offsets=asked[partition], asynchronous=False))
    assert answer == (side.error.UNKNOWN_TOPIC_OR_PART, "Commit failed: Broker: Unknown topic or partition")
    assert committed(consumer, side.tp(topic, 0)) == [1 if partition == "mixed" else -1001]


def test_beyond_the_end(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    consumer = side.consumer(group, MANUAL)
    consumer.commit(offsets=[side.tp(topic, 0, 500)], asynchronous=False)
    assert committed(consumer, side.tp(topic, 0)) == [500]


def test_async_is_the_old_name(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    consumer = side.consumer(group, MANUAL)
    answer = consumer.commit(**{"offsets": [side.tp(topic, 0, 3)], "async": False})
    assert offsets(answer) == {(topic, 0): 3}
    assert committed(consumer, side.tp(topic, 0)) == [3]


def test_asynchronous_is_the_default_and_calls_back_from_poll(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1"])
    called: list[tuple[Any, Any]] = []
    consumer = reading(
        side, topic, group, MANUAL, on_commit=lambda error, partitions: called.append((error, partitions))
    )
    messages = take(consumer, 2)
    assert consumer.commit(messages[0]) is None
    serve([consumer], lambda: called)
    ((error, partitions),) = called
    assert error is None
    assert offsets(partitions) == {(topic, 0): 1}
    assert all(type(tp) is side.api.TopicPartition and tp.error is None for tp in partitions)
    assert committed(consumer, side.tp(topic, 0)) == [1]


def test_synchronous_does_not_call_back(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    called: list[Any] = []
    consumer = side.consumer(group, {**MANUAL, "on_commit": lambda *answer: called.append(answer)})
    consumer.commit(offsets=[side.tp(topic, 0, 3)], asynchronous=False)
    consumer.commit(offsets=[side.tp(topic, 0, 4)])
    serve([consumer], lambda: called)
    assert [offsets(partitions) for _, partitions in called] == [{(topic, 0): 4}]


def test_a_failed_commit_calls_back(side: Side) -> None:
    group = side.name("group")
    called: list[Any] = []
    consumer = side.consumer(group, {**MANUAL, "on_commit": lambda *answer: called.append(answer)})
    consumer.commit(offsets=[side.tp(side.name("missing"), 0, 3)])
    serve([consumer], lambda: called)
    ((error, partitions),) = called
    assert error == side.error.UNKNOWN_TOPIC_OR_PART
    assert [tp.error for tp in partitions] == [side.error.UNKNOWN_TOPIC_OR_PART]


def test_commit_keeps_groups_apart(side: Side) -> None:
    topic, one, two = side.topic(), side.name("group"), side.name("group")
    side.consumer(one).commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False)
    side.consumer(two).commit(offsets=[side.tp(topic, 0, 2)], asynchronous=False)
    assert committed(side.consumer(one), side.tp(topic, 0)) == [1]
    assert committed(side.consumer(two), side.tp(topic, 0)) == [2]


def test_committed(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer()
    asked = side.tp(topic, 0, 77)
    (found,) = consumer.committed([asked], WAIT_SECONDS)
    assert found is not asked
    assert (found.offset, found.error, asked.offset) == (-1001, None, 77)
    assert committed(consumer, side.tp(side.name("missing"), 3)) == [-1001]
    assert consumer.committed([], WAIT_SECONDS) == []
    with pytest.raises(TypeError, match="requires list of TopicPartition"):
        consumer.committed(5)


def test_a_group_goes_on_where_it_stood(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"%d" % number for number in range(6)])
    for expected in ([b"0", b"1"], [b"2", b"3"], [b"4", b"5"]):
        consumer = side.consumer(group, MANUAL)
        consumer.subscribe([topic])
        messages = take(consumer, 2)
        assert values(messages) == expected
        consumer.commit(message=messages[-1], asynchronous=False)
        consumer.close()


def test_what_is_not_committed_comes_again(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1"])
    for _ in range(2):
        consumer = side.consumer(group, MANUAL)
        consumer.subscribe([topic])
        assert values(take(consumer, 2)) == [b"0", b"1"]
        consumer.close()


def test_close_commits_what_was_handed_out(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = side.consumer(group)
    consumer.subscribe([topic])
    take(consumer, 2)
    consumer.close()
    assert committed(side.consumer(group), side.tp(topic, 0)) == [2]


def test_close_of_an_assigned_consumer_commits_too(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = reading(side, topic, group)
    take(consumer, 2)
    consumer.close()
    assert committed(side.consumer(group), side.tp(topic, 0)) == [2]


def test_close_commits_nothing_if_told_so(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0"])
    consumer = reading(side, topic, group, MANUAL)
    take(consumer, 1)
    consumer.close()
    assert committed(side.consumer(group), side.tp(topic, 0)) == [-1001]


def test_automatic_commit_in_its_interval(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1"])
    called: list[Any] = []
    consumer = reading(
        side, topic, group, {"auto.commit.interval.ms": 100, "on_commit": lambda *answer: called.append(answer)}
    )
    take(consumer, 2)
    serve([consumer], lambda: committed(consumer, side.tp(topic, 0)) == [2])
    serve([consumer], lambda: called)
    assert called[-1][0] is None
    assert offsets(called[-1][1]) == {(topic, 0): 2}


def test_store_offsets_recipe(side: Side) -> None:
    """At least once: what is stored after the work is committed, what was merely handed out is not."""
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = side.consumer(group, RECIPE)
    consumer.subscribe([topic])
    messages = take(consumer, 3)
    assert consumer.store_offsets(message=messages[0]) is None
    consumer.store_offsets(messages[1])
    consumer.close()
    assert committed(side.consumer(group), side.tp(topic, 0)) == [2]


def test_stored_offsets_are_committed_in_the_interval(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1"])
    consumer = reading(side, topic, group, {**RECIPE, "auto.commit.interval.ms": 100})
    message, _ = take(consumer, 2)
    consumer.store_offsets(message)
    serve([consumer], lambda: committed(consumer, side.tp(topic, 0)) == [1])


def test_stored_offsets_and_a_manual_commit(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = reading(side, topic, group, {**RECIPE, **MANUAL})
    take(consumer, 3)
    assert side.refusal(lambda: consumer.commit(asynchronous=False))[0] == side.code("_NO_OFFSET")
    consumer.store_offsets(offsets=[side.tp(topic, 0, 2)])
    assert offsets(consumer.commit(asynchronous=False)) == {(topic, 0): 2}
    consumer.close()
    assert committed(side.consumer(group), side.tp(topic, 0)) == [2]


def test_store_offsets_refuses(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"0"])
    consumer = reading(side, topic, side.name("group"), RECIPE)
    (message,) = take(consumer, 1)
    with pytest.raises(ValueError, match="expected either message or offsets"):
        consumer.store_offsets()
    with pytest.raises(ValueError, match="mutually exclusive"):
        consumer.store_offsets(message=message, offsets=[side.tp(topic, 0, 1)])
    with pytest.raises(TypeError):
        consumer.store_offsets(message=5)
    with pytest.raises(TypeError):
        consumer.store_offsets(offsets=5)
    erroneous = (side.code("_STATE"), "StoreOffsets failed: Local: Erroneous state")
    assert side.refusal(lambda: consumer.store_offsets(offsets=[side.tp(topic, 1, 1)])) == erroneous
    assert side.refusal(lambda: consumer.store_offsets(side.api.Message(topic, 1, 1))) == erroneous
    unknown = (side.code("_UNKNOWN_PARTITION"), "StoreOffsets failed: Local: Unknown partition")
    assert side.refusal(lambda: consumer.store_offsets(offsets=[side.tp(side.name("unheard"), 0, 1)])) == unknown


def test_store_offsets_beside_automatic_storing(side: Side) -> None:
    topic = side.topic()
    consumer = reading(side, topic, side.name("group"))
    code, text = side.refusal(lambda: consumer.store_offsets(offsets=[side.tp(topic, 0, 1)]))
    assert code == side.code("_INVALID_ARG")
    assert text == "StoreOffsets failed: Local: Invalid argument or configuration"


def test_commit_of_an_assigned_consumer_beside_a_group(side: Side) -> None:
    """Who is no member of a group that has members may not commit for it."""
    topic, group = side.topic(), side.name("group")
    member = side.consumer(group)
    member.subscribe([topic])
    serve([member], member.assignment)
    outsider = side.consumer(group, MANUAL)
    answer = side.refusal(lambda: outsider.commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False))
    assert answer[0] == side.error.UNKNOWN_MEMBER_ID


@pytest.mark.differs("commit-of-subclass")
def test_commit_of_a_subclass_of_message(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    consumer = side.consumer(group, MANUAL)
    mine = type("Mine", (side.api.Message,), {})(topic, 0, 4)
    try:
        answer = offsets(consumer.commit(message=mine, asynchronous=False))
    except TypeError:
        answer = {}
    assert answer == side.either(kafka={}, shim={(topic, 0): 5})
