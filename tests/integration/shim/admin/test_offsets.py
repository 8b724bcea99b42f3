import time
from typing import Any

import pytest

from tests.integration.shim.admin.sides import SECONDS, Side, code_of, text_of

pytestmark = pytest.mark.real_kafka

NOW = int(time.time() * 1000) - 100_000
"""Recent, so that Kafka's retention leaves the records alone."""
TIMES = [NOW, NOW + 10, NOW + 50, NOW + 20, NOW + 50]


def standing(admin: Any, side: Side, group: str, partitions: Any = None) -> list[tuple[int, int, str | None]]:
    asked = side.ConsumerGroupTopicPartitions(group, partitions)
    found = admin.list_consumer_group_offsets([asked])[group].result(SECONDS)
    assert found.group_id == group
    assert [one.error for one in found.topic_partitions] == [None] * len(found.topic_partitions)
    return [(one.partition, one.offset, one.metadata) for one in found.topic_partitions]


def move(admin: Any, side: Side, group: str, partitions: Any) -> Any:
    asked = side.ConsumerGroupTopicPartitions(group, partitions)
    return admin.alter_consumer_group_offsets([asked])[group]


def offset(admin: Any, side: Side, topic: str, partition: int, spec: Any) -> tuple[int, int]:
    (future,) = admin.list_offsets({side.TopicPartition(topic, partition): spec}).values()
    found = future.result(SECONDS)
    return found.offset, found.timestamp


def test_a_group_is_moved_and_read_back(side: Side, admin: Any, topic: str, name: str) -> None:
    wanted = [side.TopicPartition(topic, 1, 1000), side.TopicPartition(topic, 0, 4, "some words")]
    moved = move(admin, side, name, wanted).result(SECONDS)
    assert moved.group_id == name
    assert [(one.partition, one.offset, one.error) for one in moved.topic_partitions] == [(0, 4, None), (1, 1000, None)]
    found = standing(admin, side, name)
    assert [(partition, offset) for partition, offset, _ in found] == [(0, 4), (1, 1000)]
    assert found[0][2] == "some words"
    assert move(admin, side, name, [side.TopicPartition(topic, 0, 1)]).result(SECONDS)
    assert standing(admin, side, name)[0][:2] == (0, 1)


def test_partitions_without_an_offset_are_told_when_asked_for(side: Side, admin: Any, topic: str, name: str) -> None:
    move(admin, side, name, [side.TopicPartition(topic, 1, 7)]).result(SECONDS)
    asked = [side.TopicPartition(topic, partition) for partition in (2, 1, 9)]
    assert [found[:2] for found in standing(admin, side, name, asked)] == [(1, 7), (2, -1001), (9, -1001)]
    assert standing(admin, side, f"{name}-never") == []
    asked = [side.TopicPartition(topic, 0)]
    assert [found[:2] for found in standing(admin, side, f"{name}-never", asked)] == [(0, -1001)]


def test_unknown_partitions_are_not_moved(side: Side, admin: Any, topic: str, name: str) -> None:
    wanted = [side.TopicPartition(topic, 0, 1), side.TopicPartition(topic, 9, 1), side.TopicPartition(name + "x", 0, 1)]
    moved = move(admin, side, name, wanted).result(SECONDS).topic_partitions
    errors = {(one.topic, one.partition): one.error and one.error.name() for one in moved}
    unknown = "UNKNOWN_TOPIC_OR_PART"
    assert errors == {(topic, 0): None, (topic, 9): unknown, (name + "x", 0): unknown}


def test_a_group_with_members_is_not_moved(side: Side, admin: Any, topic: str, name: str) -> None:
    group = f"{name}-live"
    with side.member(group, topic):
        (moved,) = move(admin, side, group, [side.TopicPartition(topic, 0, 1)]).result(SECONDS).topic_partitions
    assert (moved.error.name(), moved.error.str()) == ("UNKNOWN_MEMBER_ID", "Broker: Unknown member")


def test_partitions_named_twice_are_refused(side: Side, admin: Any, topic: str, name: str) -> None:
    twice = [side.TopicPartition(topic, 0), side.TopicPartition(topic, 0)]
    asked = side.ConsumerGroupTopicPartitions(name, twice)
    with_offsets = [side.TopicPartition(topic, 0, 1), side.TopicPartition(topic, 0, 2)]
    futures = [
        admin.list_consumer_group_offsets([asked])[name],
        move(admin, side, name, with_offsets),
        *admin.delete_records(with_offsets).values(),
    ]
    assert [(code_of(one), text_of(one)) for one in futures] == [
        ("_INVALID_ARG", "Duplicate partitions not allowed")
    ] * 3


def test_the_ends_of_a_partition(side: Side, admin: Any, topic: str) -> None:
    side.produce(topic, 0, TIMES)
    assert offset(admin, side, topic, 0, side.OffsetSpec.earliest()) == (0, -1)
    assert offset(admin, side, topic, 0, side.OffsetSpec.latest()) == (5, -1)
    assert offset(admin, side, topic, 2, side.OffsetSpec.earliest()) == (0, -1)
    assert offset(admin, side, topic, 2, side.OffsetSpec.latest()) == (0, -1)


def test_offsets_by_time(side: Side, admin: Any, topic: str) -> None:
    side.produce(topic, 0, TIMES)
    for asked, found in {
        0: (0, NOW),
        NOW: (0, NOW),
        NOW + 5: (1, NOW + 10),
        NOW + 15: (2, NOW + 50),
        NOW + 50: (2, NOW + 50),
        NOW + 51: (-1, -1),
    }.items():
        assert offset(admin, side, topic, 0, side.OffsetSpec.for_timestamp(asked)) == found
    assert offset(admin, side, topic, 2, side.OffsetSpec.for_timestamp(0)) == (-1, -1)


def test_the_newest_record(side: Side, admin: Any, topic: str) -> None:
    side.produce(topic, 0, TIMES)
    assert offset(admin, side, topic, 0, side.OffsetSpec.max_timestamp()) == (2, NOW + 50)
    assert offset(admin, side, topic, 2, side.OffsetSpec.max_timestamp()) == (-1, -1)


def test_offsets_of_many_partitions_at_once(side: Side, admin: Any, topic: str, name: str) -> None:
    side.produce(topic, 0, TIMES)
    futures = admin.list_offsets(
        {
            side.TopicPartition(topic, 0): side.OffsetSpec.latest(),
            side.TopicPartition(topic, 1): side.OffsetSpec.earliest(),
            side.TopicPartition(topic, 9): side.OffsetSpec.latest(),
            side.TopicPartition(f"{name}-never", 0): side.OffsetSpec.latest(),
        },
        isolation_level=side.IsolationLevel.READ_COMMITTED,
    )
    assert futures[side.TopicPartition(topic, 0)].result(SECONDS).offset == 5
    assert futures[side.TopicPartition(topic, 1)].result(SECONDS).offset == 0
    assert code_of(futures[side.TopicPartition(topic, 9)]) == "_UNKNOWN_PARTITION"
    assert code_of(futures[side.TopicPartition(f"{name}-never", 0)]) == "UNKNOWN_TOPIC_OR_PART"
    assert admin.list_offsets({}) == {}


def test_partitions_that_are_not_there(side: Side, admin: Any, topic: str, name: str) -> None:
    there = side.TopicPartition(topic, 0, 0)
    missing = [side.TopicPartition(topic, 9, 0), side.TopicPartition(f"{name}-never", 0, 0)]
    futures = admin.delete_records([there, *missing])
    assert futures[there].result(SECONDS).low_watermark == 0
    assert [code_of(futures[one]) for one in missing] == ["_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_OR_PART"]
    none = [
        *admin.delete_records(missing).values(),
        *admin.list_offsets(dict.fromkeys(missing, side.OffsetSpec.latest())).values(),
    ]
    assert [(code_of(one), text_of(one)) for one in none] == [
        ("_NOENT", "Failed to query partition leaders: No leaders found")
    ] * 4


def test_a_negative_time_is_refused(side: Side, admin: Any, topic: str) -> None:
    asked = side.TopicPartition(topic, 0)
    (future,) = admin.list_offsets({asked: side.OffsetSpec.for_timestamp(-5)}).values()
    assert (code_of(future), text_of(future)) == ("_INVALID_ARG", "Partition 0 has an invalid offset -5")


def test_records_are_deleted_below_an_offset(side: Side, admin: Any, topic: str) -> None:
    side.produce(topic, 0, TIMES)
    side.produce(topic, 1, TIMES)
    first, second = side.TopicPartition(topic, 0, 3), side.TopicPartition(topic, 1, -1)
    futures = admin.delete_records([first, second])
    assert futures[first].result(SECONDS).low_watermark == 3
    assert futures[second].result(SECONDS).low_watermark == 5
    assert offset(admin, side, topic, 0, side.OffsetSpec.earliest()) == (3, -1)
    assert offset(admin, side, topic, 0, side.OffsetSpec.for_timestamp(0)) == (3, NOW + 20)
    assert offset(admin, side, topic, 1, side.OffsetSpec.earliest()) == (5, -1)
    assert offset(admin, side, topic, 1, side.OffsetSpec.latest()) == (5, -1)
    (back,) = admin.delete_records([side.TopicPartition(topic, 0, 1)]).values()
    assert back.result(SECONDS).low_watermark == 3
    assert admin.delete_records([]) == {}


@pytest.mark.parametrize("outside", [6, -2, -1001])
def test_records_outside_of_a_partition_are_not_deleted(side: Side, admin: Any, topic: str, outside: int) -> None:
    side.produce(topic, 0, TIMES)
    (future,) = admin.delete_records([side.TopicPartition(topic, 0, outside)]).values()
    assert (code_of(future), text_of(future)) == ("OFFSET_OUT_OF_RANGE", "Broker: Offset out of range")
    assert offset(admin, side, topic, 0, side.OffsetSpec.earliest()) == (0, -1)
