"""Commits in all their forms, and who learns of them."""

from collections.abc import Callable
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaError, KafkaException
from shim.message import Message
from shim.protocol.constants import OFFSET_INVALID
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import (
    WAIT_SECONDS,
    MakeConsumer,
    committed,
    fill,
    make_topic,
    oust,
    take,
    until,
    values,
)

NO_OFFSET = KafkaError._NO_OFFSET  # noqa: SLF001


class Commits:
    """An ``on_commit`` that remembers: the error's code, and per partition the offset and the error's code."""

    def __init__(self) -> None:
        self.calls: list[tuple[int | None, dict[int, tuple[int, int | None]]]] = []

    def __call__(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        told = {one.partition: (one.offset, _code(one.error)) for one in partitions}
        self.calls.append((_code(error), told))


def _code(error: KafkaError | None) -> int | None:
    return None if error is None else error.code()


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def topic(migrated: Connection) -> str:
    """Two partitions, five records in the first."""
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 5)
    return topic


@pytest.fixture
def reading(consumer: Consumer, topic: str) -> Consumer:
    """A consumer that has been handed three messages of the first partition."""
    consumer.subscribe([topic])
    take(consumer, 3)
    return consumer


def test_what_is_stored_of_the_assignment(reading: Consumer, migrated: Connection, group: str) -> None:
    answer = reading.commit(asynchronous=False)
    assert [(one.partition, one.offset, one.error) for one in answer] == [(0, 3, None), (1, OFFSET_INVALID, None)]
    assert committed(migrated, group) == {0: 3}
    with pytest.raises(KafkaException) as nothing:
        reading.commit(asynchronous=False)
    assert nothing.value.args[0].code() == NO_OFFSET
    assert nothing.value.args[0].str() == "Commit failed: Local: No offset stored"


def test_behind_a_message(consumer: Consumer, topic: str, migrated: Connection, group: str) -> None:
    consumer.subscribe([topic])
    message = take(consumer, 2)[-1]
    assert [one.offset for one in consumer.commit(message, asynchronous=False)] == [2]
    legacy: dict[str, Any] = {"async": False}
    assert [one.offset for one in consumer.commit(message, None, False) or []] == [2]
    assert [one.offset for one in consumer.commit(message=message, **legacy) or []] == [2]
    assert committed(migrated, group) == {0: 2}


def test_offsets_with_their_metadata(reading: Consumer, topic: str, migrated: Connection, group: str) -> None:
    wanted = [TopicPartition(topic, 0, 4, "as it was", 7), TopicPartition(topic, 1)]
    answer = reading.commit(offsets=wanted, asynchronous=False)
    assert [(one.offset, one.metadata, one.leader_epoch) for one in answer] == [
        (4, "as it was", 7),
        (-1001, None, None),
    ]
    read = reading.committed([TopicPartition(topic, 0), TopicPartition(topic, 1), TopicPartition("unheard", 0)])
    assert [(one.offset, one.metadata, one.leader_epoch) for one in read] == [
        (4, "as it was", 7),
        (-1001, None, None),
        (-1001, None, None),
    ]
    reading.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)  # backwards
    assert committed(migrated, group) == {0: 1}


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        pytest.param([], NO_OFFSET, id="nothing"),
        pytest.param([(0, -1001, None)], NO_OFFSET, id="no-offset"),
        pytest.param([(9, 1, None)], KafkaError.UNKNOWN_TOPIC_OR_PART, id="no-such-partition"),
        pytest.param([(0, 1, "x" * 5000)], KafkaError.OFFSET_METADATA_TOO_LARGE, id="much-metadata"),
    ],
)
def test_offsets_that_are_refused(
    reading: Consumer,
    topic: str,
    migrated: Connection,
    group: str,
    refused: list[tuple[int, int, str | None]],
    error: int,
) -> None:
    with pytest.raises(KafkaException) as raised:
        reading.commit(offsets=[TopicPartition(topic, *one) for one in refused], asynchronous=False)
    assert raised.value.args[0].code() == error
    assert committed(migrated, group) == {}


def test_messages_that_are_refused(reading: Consumer) -> None:
    with pytest.raises(KafkaException) as nowhere:
        reading.commit(Message(), asynchronous=False)
    assert nowhere.value.args[0].code() == NO_OFFSET
    with pytest.raises(KafkaException) as event:
        reading.commit(Message(error=KafkaError(1)), asynchronous=False)
    assert event.value.args[0].code() == KafkaError._INVALID_ARG  # noqa: SLF001


def test_on_commit_learns_of_commits_in_the_background(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, migrated: Connection, group: str, commits: Commits
) -> None:
    consumer = consumer_of(migrated_url, group, enable_auto_commit=False, on_commit=commits)
    consumer.subscribe([topic])
    message = take(consumer, 3)[-1]
    consumer.commit(message)
    assert wait_until(lambda: committed(migrated, group) == {0: 3}, WAIT_SECONDS)  # without any poll
    assert commits.calls == []
    until(consumer, lambda: commits.calls)
    assert commits.calls == [(None, {0: (3, None)})]
    consumer.commit(offsets=[])
    consumer.commit(offsets=[TopicPartition(topic, 9, 1), TopicPartition(topic, 0, 1)])
    until(consumer, lambda: len(commits.calls) == 3)
    assert commits.calls[1] == (NO_OFFSET, {})
    assert commits.calls[2] == (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        {9: (1, KafkaError.UNKNOWN_TOPIC_OR_PART), 0: (1, None)},
    )
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    consumer.poll(0.1)
    assert len(commits.calls) == 3  # a commit that was waited for is not told


def test_commits_keep_their_order(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, migrated: Connection, group: str
) -> None:
    consumer = consumer_of(migrated_url, group, enable_auto_commit=False)
    consumer.subscribe([topic])
    take(consumer, 1)
    for offset in range(50):
        consumer.commit(offsets=[TopicPartition(topic, 0, offset)])
    consumer.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    assert committed(migrated, group) == {0: 4}
    consumer.commit(offsets=[TopicPartition(topic, 0, 5)])
    assert [one.offset for one in consumer.committed([TopicPartition(topic, 0)])] == [5]


def test_closing_waits_for_commits_and_tells_of_them(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, migrated: Connection, group: str, commits: Commits
) -> None:
    consumer = consumer_of(migrated_url, group, enable_auto_commit=False, on_commit=commits)
    consumer.subscribe([topic])
    consumer.commit(take(consumer, 2)[-1])
    consumer.close()
    assert committed(migrated, group) == {0: 2}
    assert commits.calls == [(None, {0: (2, None)})]


def test_automatic_commits_need_no_poll(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, migrated: Connection, group: str, commits: Commits
) -> None:
    consumer = consumer_of(migrated_url, group, auto_commit_interval_ms=100, on_commit=commits)
    consumer.subscribe([topic])
    take(consumer, 3)
    assert wait_until(lambda: committed(migrated, group) == {0: 3}, WAIT_SECONDS)
    until(consumer, lambda: len(commits.calls) > 1)
    assert (None, {0: (3, None), 1: (OFFSET_INVALID, None)}) in commits.calls
    until(consumer, lambda: committed(migrated, group) == {0: 5})
    told = len(commits.calls)
    assert consumer.poll(0.5) is None
    assert len(commits.calls) <= told + 1  # nothing new, nothing told


@pytest.mark.parametrize("end", [Consumer.close, Consumer.unassign, lambda consumer: consumer.assign([])])
def test_what_is_stored_is_committed_when_it_is_given_back(
    consumer_of: MakeConsumer,
    migrated_url: str,
    topic: str,
    migrated: Connection,
    group: str,
    end: Callable[[Consumer], None],
) -> None:
    consumer = consumer_of(migrated_url, group)
    consumer.assign([TopicPartition(topic, 0)])
    take(consumer, 3)
    assert committed(migrated, group) == {}
    end(consumer)
    assert committed(migrated, group) == {0: 3}


def test_without_automatic_commits_closing_commits_nothing(reading: Consumer, migrated: Connection, group: str) -> None:
    reading.close()
    assert committed(migrated, group) == {}


def test_a_crash_loses_what_was_stored_and_not_committed(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, group: str
) -> None:
    """Where a consumer goes on decides the committed offset alone."""
    first = consumer_of(migrated_url, group, enable_auto_commit=False)
    first.assign([TopicPartition(topic, 0)])
    take(first, 4)
    first.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    first.close()
    second = consumer_of(migrated_url, group, enable_auto_commit=False)
    second.assign([TopicPartition(topic, 0)])
    assert values(take(second, 3)) == [b"2", b"3", b"4"]


def test_offsets_are_stored_by_hand(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, migrated: Connection, group: str
) -> None:
    consumer = consumer_of(migrated_url, group, enable_auto_offset_store=False, auto_commit_interval_ms=100)
    with pytest.raises(KafkaException) as unassigned:
        consumer.store_offsets(offsets=[TopicPartition(topic, 0, 1)])
    assert unassigned.value.args[0].code() == KafkaError._UNKNOWN_PARTITION  # noqa: SLF001
    consumer.subscribe([topic])
    first, second, _ = take(consumer, 3)
    with pytest.raises(KafkaException):
        consumer.commit(asynchronous=False)  # handed out, and not stored
    consumer.store_offsets(first)
    assert wait_until(lambda: committed(migrated, group) == {0: 1}, WAIT_SECONDS)
    consumer.store_offsets(message=second)
    assert wait_until(lambda: committed(migrated, group) == {0: 2}, WAIT_SECONDS)
    consumer.store_offsets(offsets=[TopicPartition(topic, 0, 3, "beside"), TopicPartition(topic, 9, 1)])
    assert wait_until(lambda: committed(migrated, group) == {0: 3}, WAIT_SECONDS)
    assert consumer.committed([TopicPartition(topic, 0)])[0].metadata == "beside"
    consumer.store_offsets(offsets=[TopicPartition(topic, 0, 2)])  # backwards: only at the end
    with pytest.raises(KafkaException):
        consumer.commit(asynchronous=False)
    with pytest.raises(KafkaException) as foreign:
        consumer.store_offsets(offsets=[TopicPartition(topic, 9, 1)])
    assert foreign.value.args[0].code() == KafkaError._STATE  # noqa: SLF001
    consumer.close()
    assert committed(migrated, group) == {0: 2}


def test_storing_needs_the_setting(reading: Consumer, topic: str) -> None:
    with pytest.raises(KafkaException) as refused:
        reading.store_offsets(offsets=[TopicPartition(topic, 0, 1)])
    assert refused.value.args[0].code() == KafkaError._INVALID_ARG  # noqa: SLF001


@pytest.mark.parametrize("message", [True, False])
def test_a_partition_that_another_took_cannot_be_committed(
    reading: Consumer, topic: str, migrated: Connection, group: str, message: bool
) -> None:
    """The member lives and does not know it yet: as after a pause of its process, or a failover."""
    migrated.execute(
        "update job_group_partition set holder = 'heir', epoch = epoch + 1 where group_id = %s and partition = 0",
        [group],
    )
    what: dict[str, Any] = (
        {"message": Message(topic=topic, partition=0, offset=2)}
        if message
        else {"offsets": [TopicPartition(topic, 0, 3)]}
    )
    with pytest.raises(KafkaException) as fenced:
        reading.commit(**what, asynchronous=False)
    assert fenced.value.args[0].code() == KafkaError.ILLEGAL_GENERATION
    assert committed(migrated, group) == {}


def test_an_ousted_member_cannot_commit(reading: Consumer, topic: str, migrated: Connection, group: str) -> None:
    oust(migrated, reading.memberid(), topic, group)
    with pytest.raises(KafkaException) as fenced:
        reading.commit(asynchronous=False)
    assert fenced.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    assert committed(migrated, group) == {}


def test_whoever_assigns_by_hand_commits_unless_the_group_has_members(
    consumer_of: MakeConsumer, migrated_url: str, topic: str, migrated: Connection, group: str
) -> None:
    by_hand, member = (consumer_of(migrated_url, group, enable_auto_commit=False) for _ in range(2))
    by_hand.assign([TopicPartition(topic, 0)])
    take(by_hand, 2)
    by_hand.commit(asynchronous=False)
    assert committed(migrated, group) == {0: 2}
    member.subscribe([topic])
    until(member, member.assignment)
    with pytest.raises(KafkaException) as refused:
        by_hand.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    member.close()
    by_hand.commit(offsets=[TopicPartition(topic, 0, 5)], asynchronous=False)
    assert committed(migrated, group) == {0: 5}
