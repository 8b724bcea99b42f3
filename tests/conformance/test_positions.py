"""Positions, seek, pause and resume, and assignments that a program makes itself."""

from typing import Any

import pytest

from tests.conformance.records import fill, held, offsets, serve, take, take_event, values
from tests.conformance.side import WAIT_SECONDS, Side


def assigned(side: Side, topic: str, *partitions: int, **settings: object) -> Any:
    consumer = side.consumer(None, settings)
    consumer.assign([side.tp(topic, partition, 0) for partition in partitions or (0,)])
    return consumer


def position(side: Side, consumer: Any, topic: str, partition: int = 0) -> int:
    (found,) = consumer.position([side.tp(topic, partition)])
    return int(found.offset)


def test_position_is_the_next_offset(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = assigned(side, topic)
    assert position(side, consumer, topic) == -1001
    for expected in (1, 2, 3):
        take(consumer, 1)
        assert position(side, consumer, topic) == expected
    assert position(side, consumer, topic, 1) == -1001
    assert offsets(consumer.position([side.tp("other", 0), side.tp(topic, 0)])) == {("other", 0): -1001, (topic, 0): 3}
    assert consumer.position([]) == []
    with pytest.raises(TypeError, match="requires list of TopicPartition"):
        consumer.position("x")


def test_seek(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = assigned(side, topic)
    take(consumer, 3)
    assert consumer.seek(side.tp(topic, 0, 1)) is None
    assert values(take(consumer, 2)) == [b"1", b"2"]
    consumer.seek(side.tp(topic, 0, 0))
    assert values(take(consumer, 1)) == [b"0"]
    assert position(side, consumer, topic) == 1


def test_seek_throws_away_what_was_fetched(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(100)])
    consumer = assigned(side, topic)
    take(consumer, 10)
    consumer.seek(side.tp(topic, 0, 50))
    assert values(take(consumer, 2)) == [b"50", b"51"]


@pytest.mark.parametrize(("name", "expected"), [("OFFSET_BEGINNING", b"0"), ("OFFSET_END", b"new")])
def test_seek_to_either_end(side: Side, name: str, expected: bytes) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1"])
    consumer = assigned(side, topic, **{"enable.partition.eof": True})
    take(consumer, 2)
    take_event(consumer)
    consumer.seek(side.tp(topic, 0, getattr(side.api, name)))
    if name == "OFFSET_END":
        take_event(consumer)
        fill(side, topic, [b"new"])
    assert values(take(consumer, 1)) == [expected]


def test_seek_refuses(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"v"])
    consumer = assigned(side, topic)
    take(consumer, 1)
    erroneous = (side.code("_STATE"), "Failed to seek to offset 2: Local: Erroneous state")
    assert side.refusal(lambda: consumer.seek(side.tp(topic, 1, 2))) == erroneous
    unknown = (side.code("_UNKNOWN_PARTITION"), "Failed to seek to offset 2: Local: Unknown partition")
    assert side.refusal(lambda: consumer.seek(side.tp(side.name("unheard"), 0, 2))) == unknown
    for wrong in ("x", (topic, 0, 2), None):
        with pytest.raises(TypeError):
            consumer.seek(wrong)


def test_pause_and_resume(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"a"], 0)
    fill(side, topic, [b"b0", b"b1"], 1)
    consumer = assigned(side, topic, 0, 1)
    assert consumer.pause([side.tp(topic, 1)]) is None
    assert values(take(consumer, 1)) == [b"a"]
    assert consumer.poll(0.2) is None
    assert consumer.resume([side.tp(topic, 1)]) is None
    assert values(take(consumer, 2)) == [b"b0", b"b1"]


def test_pause_keeps_the_position(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(20)])
    consumer = assigned(side, topic)
    take(consumer, 5)
    consumer.pause([side.tp(topic, 0)])
    assert consumer.poll(0.2) is None
    assert position(side, consumer, topic) == 5
    consumer.resume([side.tp(topic, 0)])
    assert values(take(consumer, 2)) == [b"5", b"6"]


def test_seek_while_paused(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(5)])
    consumer = assigned(side, topic)
    take(consumer, 5)
    consumer.pause([side.tp(topic, 0)])
    consumer.seek(side.tp(topic, 0, 3))
    assert consumer.poll(0.2) is None
    consumer.resume([side.tp(topic, 0)])
    assert values(take(consumer, 2)) == [b"3", b"4"]


def test_pause_of_what_is_not_assigned(side: Side) -> None:
    consumer = assigned(side, side.topic())
    assert consumer.pause([side.tp("other", 1)]) is None
    assert consumer.resume([side.tp("other", 1)]) is None
    with pytest.raises(TypeError, match="requires list of TopicPartition"):
        consumer.pause("x")


@pytest.mark.parametrize("wrong", [None, "x", (), {}, [1], ["topic"], [("topic", 0)]], ids=str)
@pytest.mark.parametrize("method", ["assign", "incremental_assign", "incremental_unassign"])
def test_assign_takes_a_list_of_partitions(side: Side, method: str, wrong: object) -> None:
    with pytest.raises(TypeError):
        getattr(side.consumer(), method)(wrong)


def test_assign_refuses_duplicates(side: Side) -> None:
    consumer = side.consumer(None, {"logger": side.silence})
    answer = side.refusal(lambda: consumer.assign([side.tp("topic", 0), side.tp("topic", 0, 1)]))
    assert answer == (
        side.code("_INVALID_ARG"),
        "Failed to set assignment: Local: Invalid argument or configuration",
    )


def test_assign_replaces(side: Side) -> None:
    topic = side.topic(3)
    for partition in range(3):
        fill(side, topic, [b"%d" % partition], partition)
    consumer = assigned(side, topic, 0)
    assert held(consumer) == {(topic, 0)}
    assert values(take(consumer, 1)) == [b"0"]
    consumer.assign([side.tp(topic, 1, 0), side.tp(topic, 2, 0)])
    assert held(consumer) == {(topic, 1), (topic, 2)}
    assert set(values(take(consumer, 2))) == {b"1", b"2"}
    assert consumer.unassign() is None
    assert held(consumer) == set()
    assert consumer.poll(0.1) is None


def test_assign_of_nothing(side: Side) -> None:
    consumer = assigned(side, side.topic())
    consumer.assign([])
    assert consumer.assignment() == []


def test_assignment_shows_the_offsets_asked_for(side: Side) -> None:
    topic = side.topic(3)
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 7), side.tp(topic, 1, side.api.OFFSET_BEGINNING), side.tp(topic, 2)])
    assert offsets(consumer.assignment()) == {(topic, 0): 7, (topic, 1): -2, (topic, 2): -1000}


def test_assign_step_by_step(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"a"], 0)
    fill(side, topic, [b"b"], 1)
    consumer = side.consumer()
    assert consumer.incremental_assign([side.tp(topic, 0, 0)]) is None
    assert values(take(consumer, 1)) == [b"a"]
    consumer.incremental_assign([side.tp(topic, 1, 0)])
    assert held(consumer) == {(topic, 0), (topic, 1)}
    assert values(take(consumer, 1)) == [b"b"]
    consumer.incremental_unassign([side.tp(topic, 0)])
    assert held(consumer) == {(topic, 1)}


def test_steps_that_do_not_fit(side: Side) -> None:
    topic = side.topic(2)
    consumer = side.consumer(None, {"logger": side.silence})
    consumer.incremental_assign([side.tp(topic, 0, 0)])
    code, text = side.refusal(lambda: consumer.incremental_assign([side.tp(topic, 0, 0)]))
    assert code == side.code("_CONFLICT")
    assert "is already part of the current assignment" in text
    code, text = side.refusal(lambda: consumer.incremental_unassign([side.tp(topic, 1)]))
    assert code == side.code("_INVALID_ARG")
    assert "can't be unassigned since it is not in the current assignment" in text
    assert held(consumer) == {(topic, 0)}


def test_an_assigned_consumer_is_no_member(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    first, second = side.consumer(group), side.consumer(group)
    fill(side, topic, [b"v"])
    for consumer in (first, second):
        consumer.assign([side.tp(topic, 0, 0)])
        assert values(take(consumer, 1)) == [b"v"]
        assert not consumer.memberid()


def test_memberid_of_a_member(side: Side) -> None:
    topic = side.topic()
    consumer = side.consumer(None, {"client.id": "worker"})
    assert consumer.memberid() is None
    consumer.subscribe([topic])
    serve([consumer], consumer.assignment)
    assert consumer.memberid().startswith("worker-")


def test_group_metadata_is_opaque(side: Side) -> None:
    assert isinstance(side.consumer().consumer_group_metadata(), bytes)


def test_committed_and_position_part(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0", b"1", b"2"])
    consumer = assigned(side, topic, **{"enable.auto.commit": False})
    take(consumer, 3)
    consumer.commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False)
    consumer.seek(side.tp(topic, 0, 0))
    take(consumer, 2)
    assert position(side, consumer, topic) == 2
    assert consumer.committed([side.tp(topic, 0)], WAIT_SECONDS)[0].offset == 1


def test_position_after_seek_is_unknown_until_the_next_record(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(5)])
    consumer = assigned(side, topic)
    take(consumer, 5)
    consumer.seek(side.tp(topic, 0, 2))
    assert position(side, consumer, topic) == -1001
    take(consumer, 1)
    assert position(side, consumer, topic) == 3


@pytest.mark.parametrize("how", ["assign", "unassign", "incremental"])
def test_a_pause_lasts_until_resume(side: Side, how: str) -> None:
    """Whatever was assigned in between."""
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(5)])
    consumer = side.consumer()
    partitions = [side.tp(topic, 0, 0)]
    begin = consumer.incremental_assign if how == "incremental" else consumer.assign
    begin(partitions)
    take(consumer, 1)
    consumer.pause(partitions)
    if how == "unassign":
        consumer.unassign()
    elif how == "incremental":
        consumer.incremental_unassign(partitions)
    begin(partitions)
    assert consumer.poll(0.3) is None
    consumer.resume(partitions)
    assert values(take(consumer, 1)) == [b"0"]
