"""``AdminClient`` and consumer groups: who is in them, and where they stand."""

import socket
from typing import Any

import pytest

from tests.conformance.members import Member, every, settle
from tests.conformance.records import fill, offsets, take
from tests.conformance.side import ADMIN_SECONDS, Side


def member_of(side: Side, topic: str, partitions: int, **settings: Any) -> Member:
    """A settled member of a group of its own."""
    member = Member(side, side.name("group"), [topic], **settings)
    settle([member], every(topic, partitions))
    return member


def test_describe_a_group(side: Side) -> None:
    topic = side.topic(2)
    member = member_of(side, topic, 2, client_id="worker", group_instance_id="one")
    found = side.cluster.describe_consumer_groups([member.group])[member.group].result(ADMIN_SECONDS)
    assert (found.group_id, found.is_simple_consumer_group) == (member.group, False)
    assert (found.state, found.partition_assignor) == (side.api.ConsumerGroupState.STABLE, "range")
    assert found.type == side.api.ConsumerGroupType.CLASSIC
    assert type(found.coordinator) is side.api.Node
    (described,) = found.members
    assert described.member_id == member.consumer.memberid()
    assert (described.client_id, described.group_instance_id) == ("worker", "one")
    assert described.host
    assert {(tp.topic, tp.partition) for tp in described.assignment.topic_partitions} == every(topic, 2)


@pytest.mark.differs("member-host")
def test_host_of_a_member(side: Side) -> None:
    member = member_of(side, side.topic(), 1)
    found = side.cluster.describe_consumer_groups([member.group])[member.group].result(ADMIN_SECONDS)
    assert found.members[0].host == side.either(kafka="/127.0.0.1", shim=socket.gethostname())


def test_describe_a_group_without_members(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    side.consumer(group).commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False)
    found = side.cluster.describe_consumer_groups([group])[group].result(ADMIN_SECONDS)
    assert (found.state, found.members, found.partition_assignor) == (side.api.ConsumerGroupState.EMPTY, [], "")


def test_describe_a_group_that_does_not_exist(side: Side) -> None:
    group = side.name("group")
    found = side.cluster.describe_consumer_groups([group])[group].result(ADMIN_SECONDS)
    assert (found.state, found.members) == (side.api.ConsumerGroupState.DEAD, [])
    assert found.is_simple_consumer_group is True


def test_list_groups(side: Side) -> None:
    topic, idle = side.topic(), side.name("group")
    member = member_of(side, topic, 1)
    side.consumer(idle).commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False)
    state = side.api.ConsumerGroupState

    def listed(**filters: Any) -> dict[str, Any]:
        found = side.cluster.list_consumer_groups(**filters).result(ADMIN_SECONDS)
        assert found.errors == []
        return {listing.group_id: listing.state for listing in found.valid if listing.group_id in {member.group, idle}}

    assert listed() == {member.group: state.STABLE, idle: state.EMPTY}
    assert listed(states={state.EMPTY}) == {idle: state.EMPTY}
    assert listed(states={state.STABLE}) == {member.group: state.STABLE}


def offsets_of(side: Side, group: str, partitions: list[Any] | None = None) -> dict[tuple[str, int], int]:
    asked = side.api.ConsumerGroupTopicPartitions(group, partitions)
    found = side.cluster.list_consumer_group_offsets([asked])[group].result(ADMIN_SECONDS)
    assert found.group_id == group
    return offsets(found.topic_partitions)


def test_list_offsets_of_a_group(side: Side) -> None:
    topic, group = side.topic(2), side.name("group")
    side.consumer(group).commit(offsets=[side.tp(topic, 0, 3)], asynchronous=False)
    assert offsets_of(side, group) == {(topic, 0): 3}
    asked = [side.tp(topic, 0), side.tp(topic, 1)]
    assert offsets_of(side, group, asked) == {(topic, 0): 3, (topic, 1): -1001}
    assert offsets_of(side, side.name("group")) == {}


def test_alter_offsets_of_a_group(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    request = side.api.ConsumerGroupTopicPartitions(group, [side.tp(topic, 0, 1)])
    answer = side.cluster.alter_consumer_group_offsets([request])[group].result(ADMIN_SECONDS)
    assert [(tp.topic, tp.partition, tp.error) for tp in answer.topic_partitions] == [(topic, 0, None)]
    assert offsets_of(side, group) == {(topic, 0): 1}
    fill(side, topic, [b"0", b"1"])
    consumer = side.consumer(group)
    consumer.subscribe([topic])
    assert take(consumer, 1)[0].offset() == 1


def test_alter_offsets_of_a_group_with_members(side: Side) -> None:
    topic = side.topic()
    member = member_of(side, topic, 1)
    request = side.api.ConsumerGroupTopicPartitions(member.group, [side.tp(topic, 0, 1)])
    answer = side.cluster.alter_consumer_group_offsets([request])[member.group].result(ADMIN_SECONDS)
    assert [tp.error for tp in answer.topic_partitions] == [side.error.UNKNOWN_MEMBER_ID]
    assert offsets_of(side, member.group) == {}


def test_alter_offsets_refuses(side: Side) -> None:
    for wrong in ([side.tp("topic", 0, -5)], []):
        request = side.api.ConsumerGroupTopicPartitions("group", wrong)
        with pytest.raises(ValueError, match="topic_partitions"):
            side.cluster.alter_consumer_group_offsets([request])


def test_delete_groups(side: Side) -> None:
    topic, idle, missing = side.topic(), side.name("group"), side.name("group")
    member = member_of(side, topic, 1)
    side.consumer(idle).commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False)
    futures = side.cluster.delete_consumer_groups([idle, missing, member.group])
    assert futures[idle].result(ADMIN_SECONDS) is None
    assert side.failure(futures[missing]) == (side.error.GROUP_ID_NOT_FOUND, "Broker: The group id does not exist")
    assert side.failure(futures[member.group]) == (side.error.NON_EMPTY_GROUP, "Broker: The group is not empty")
    assert offsets_of(side, idle) == {}


def test_list_groups_of_old(side: Side) -> None:
    member = member_of(side, side.topic(), 1, client_id="worker")
    with pytest.warns(DeprecationWarning, match="list_groups"):
        (found,) = side.cluster.list_groups(member.group, ADMIN_SECONDS)
    assert (found.id, found.state, found.protocol_type, found.protocol) == (member.group, "Stable", "consumer", "range")
    assert repr(found) == f"GroupMetadata({member.group})"
    assert [(one.id, one.client_id) for one in found.members] == [(member.consumer.memberid(), "worker")]
