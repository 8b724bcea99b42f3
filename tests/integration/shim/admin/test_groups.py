import struct
from typing import Any

import pytest

from tests.integration.shim.admin.sides import SECONDS, Side, code_of, text_of

pytestmark = pytest.mark.real_kafka


def commit(side: Side, admin: Any, group: str, topic: str, offset: int = 1) -> None:
    asked = side.ConsumerGroupTopicPartitions(group, [side.TopicPartition(topic, 0, offset)])
    moved = admin.alter_consumer_group_offsets([asked])[group].result(SECONDS)
    assert [one.error for one in moved.topic_partitions] == [None]


def listed(admin: Any, **which: Any) -> dict[str, Any]:
    found = admin.list_consumer_groups(**which).result(SECONDS)
    assert found.errors == []
    return {one.group_id: one for one in found.valid}


def test_groups_are_listed_by_state(side: Side, admin: Any, topic: str, name: str) -> None:
    with_member, without = f"{name}-live", f"{name}-empty"
    commit(side, admin, without, topic)
    with side.member(with_member, topic):
        stable, empty = side.ConsumerGroupState.STABLE, side.ConsumerGroupState.EMPTY
        found = listed(admin)
        assert (found[with_member].state, found[with_member].is_simple_consumer_group) == (stable, False)
        assert (found[without].state, found[without].is_simple_consumer_group) == (empty, True)
        assert found[with_member].type == found[without].type == side.ConsumerGroupType.CLASSIC
        assert with_member in listed(admin, states={stable})
        assert without not in listed(admin, states={stable})
        assert without in listed(admin, states={empty, side.ConsumerGroupState.DEAD})
        assert {with_member, without} <= listed(admin, states=set(), types=None).keys()


def test_groups_are_listed_by_type(side: Side, admin: Any, topic: str, name: str) -> None:
    commit(side, admin, name, topic)
    assert name in listed(admin, types={side.ConsumerGroupType.CLASSIC})
    assert name not in listed(admin, types={side.ConsumerGroupType.CONSUMER})
    assert name in listed(admin, types={side.ConsumerGroupType.CONSUMER, side.ConsumerGroupType.CLASSIC})


def test_a_group_is_described_with_its_members(side: Side, admin: Any, topic: str, name: str) -> None:
    with side.member(name, topic):
        described = admin.describe_consumer_groups([name])[name].result(SECONDS)
    assert (described.group_id, described.is_simple_consumer_group) == (name, False)
    assert described.state == side.ConsumerGroupState.STABLE
    assert described.type == side.ConsumerGroupType.CLASSIC
    assert described.partition_assignor == "range"
    assert described.authorized_operations is None
    assert described.coordinator.id == admin.describe_cluster().result(SECONDS).controller.id
    (member,) = described.members
    assert member.member_id.startswith("tester-")
    assert (member.client_id, member.host, member.group_instance_id) == ("tester", "/127.0.0.1", None)
    assert member.target_assignment is None
    held = [(one.topic, one.partition, one.offset) for one in member.assignment.topic_partitions]
    assert held == [(topic, partition, -1001) for partition in range(3)]


def test_groups_without_members_are_described(side: Side, admin: Any, topic: str, name: str) -> None:
    empty, dead = f"{name}-empty", f"{name}-dead"
    commit(side, admin, empty, topic)
    found = admin.describe_consumer_groups([empty, dead])
    described = found[empty].result(SECONDS)
    assert described.state == side.ConsumerGroupState.EMPTY
    assert (described.members, described.partition_assignor, described.is_simple_consumer_group) == ([], "", True)
    described = found[dead].result(SECONDS)
    assert described.state == side.ConsumerGroupState.DEAD
    assert (described.members, described.partition_assignor, described.is_simple_consumer_group) == ([], "", True)


def test_what_may_be_done_with_a_group_is_told_when_asked(side: Side, admin: Any, topic: str, name: str) -> None:
    commit(side, admin, name, topic)
    described = admin.describe_consumer_groups([name], include_authorized_operations=True)[name].result(SECONDS)
    names = [operation.name for operation in described.authorized_operations]
    assert [name for name in names if name in {"READ", "DELETE", "DESCRIBE"}] == ["READ", "DELETE", "DESCRIBE"]


def test_groups_named_twice_are_refused(admin: Any, name: str) -> None:
    for future in (
        admin.describe_consumer_groups([name, name])[name],
        admin.delete_consumer_groups([name, name])[name],
    ):
        assert (code_of(future), text_of(future)) == ("_INVALID_ARG", "Duplicate groups not allowed")


def test_a_group_without_a_name_is_refused(admin: Any) -> None:
    assert code_of(admin.describe_consumer_groups([""])[""]) == "INVALID_GROUP_ID"
    assert code_of(admin.delete_consumer_groups([""])[""]) == "GROUP_ID_NOT_FOUND"


def test_only_a_group_without_members_is_deleted(side: Side, admin: Any, topic: str, name: str) -> None:
    with_member, without, never = f"{name}-live", f"{name}-empty", f"{name}-never"
    commit(side, admin, without, topic)
    with side.member(with_member, topic):
        futures = admin.delete_consumer_groups([with_member, without, never])
        assert futures[without].result(SECONDS) is None
        assert code_of(futures[with_member]) == "NON_EMPTY_GROUP"
        assert text_of(futures[with_member]) == "Broker: The group is not empty"
        assert code_of(futures[never]) == "GROUP_ID_NOT_FOUND"
        assert without not in listed(admin)
    assert admin.delete_consumer_groups([with_member])[with_member].result(SECONDS) is None
    assert with_member not in listed(admin)


def test_groups_are_told_with_their_members_bytes(side: Side, admin: Any, topic: str, name: str) -> None:
    with side.member(name, topic):
        (group,) = told(admin, name, timeout=SECONDS)
        assert name in {one.id for one in told(admin)}
    assert (group.id, group.state, group.protocol_type, group.protocol) == (name, "Stable", "consumer", "range")
    assert (str(group), repr(group), group.error) == (name, f"GroupMetadata({name})", None)
    assert group.broker.id == admin.list_topics().controller_id
    (member,) = group.members
    assert (member.client_id, member.client_host) == ("tester", "/127.0.0.1")
    assert partitions_of(member.assignment) == {topic: (0, 1, 2)}
    assert topics_of(member.metadata) == (topic,)


def test_a_group_that_is_not_there_is_not_told(admin: Any, name: str) -> None:
    assert told(admin, name, SECONDS) == []


def told(admin: Any, *args: Any, **kwargs: Any) -> list[Any]:
    with pytest.warns(DeprecationWarning, match=r"use list_consumer_groups\(\) and describe_consumer_groups\(\)"):
        return list(admin.list_groups(*args, **kwargs))


def topics_of(metadata: bytes) -> tuple[str, ...]:
    """Reads a subscription as any version of Kafka's consumer protocol begins."""
    (count,) = struct.unpack_from(">i", metadata, 2)
    topics, place = [], 6
    for _ in range(count):
        (length,) = struct.unpack_from(">h", metadata, place)
        topics.append(metadata[place + 2 : place + 2 + length].decode())
        place += 2 + length
    return tuple(topics)


def partitions_of(assignment: bytes) -> dict[str, tuple[int, ...]]:
    """Reads an assignment as any version of Kafka's consumer protocol begins."""
    (count,) = struct.unpack_from(">i", assignment, 2)
    found, place = {}, 6
    for _ in range(count):
        (length,) = struct.unpack_from(">h", assignment, place)
        topic = assignment[place + 2 : place + 2 + length].decode()
        (partitions,) = struct.unpack_from(">i", assignment, place + 2 + length)
        place += 6 + length
        found[topic] = struct.unpack_from(f">{partitions}i", assignment, place)
        place += 4 * partitions
    return found
