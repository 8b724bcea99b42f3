"""Consumer groups as the application sees them: who is told what, and when."""

import gc
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaError, KafkaException
from shim.protocol.group_metadata import GroupMetadata
from shim.store import topics
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import (
    TOPICS,
    WAIT_SECONDS,
    Callbacks,
    MakeConsumer,
    assigned,
    code,
    committed,
    expire,
    fill,
    fresh,
    make_topic,
    members,
    take,
    take_event,
    until,
    values,
)

COOPERATIVE = {"partition_assignment_strategy": "cooperative-sticky"}


def test_an_assignment_comes_in_poll(
    consumer: Consumer, migrated: Connection, group: str, callbacks: Callbacks
) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 1)
    assert consumer.memberid() is None
    consumer.subscribe([topic], **callbacks.all)
    assert members(migrated, group) == []  # nothing happens before poll
    take(consumer, 1)
    assert callbacks.calls == [("assign", (0, 1))]
    assert [one.offset for one in consumer.assignment()] == [-1000, -1000]
    assert members(migrated, group) == [consumer.memberid()]
    metadata = GroupMetadata.decode(consumer.consumer_group_metadata())
    assert metadata == GroupMetadata(group, 1, consumer.memberid() or "", None)


def test_an_eager_group_gives_everything_back_first(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated, partitions=4)
    a, b = consumer_of(migrated_url, group), consumer_of(migrated_url, group)
    of_a, of_b = Callbacks(), Callbacks()
    a.subscribe([topic], **of_a.all)
    until(a, a.assignment)
    b.subscribe([topic], **of_b.all)
    until([a, b], lambda: len(a.assignment()) == len(b.assignment()) == 2)
    assert of_a.names == ["assign", "revoke", "assign"]
    assert of_a.calls[1] == ("revoke", (0, 1, 2, 3))
    assert of_b.names == ["assign"]
    assert sorted(assigned(a) + assigned(b)) == [(topic, number) for number in range(4)]
    b.close()
    assert of_b.names == ["assign", "revoke"]
    until(a, lambda: len(a.assignment()) == 4)
    assert of_a.names == ["assign", "revoke", "assign", "revoke", "assign"]


def test_a_cooperative_group_moves_only_what_has_to_move(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated, partitions=4)
    a, b = consumer_of(migrated_url, group, **COOPERATIVE), consumer_of(migrated_url, group, **COOPERATIVE)
    of_a, of_b = Callbacks(), Callbacks()
    a.subscribe([topic], **of_a.all)
    until(a, a.assignment)
    b.subscribe([topic], **of_b.all)
    until([a, b], lambda: len(a.assignment()) == len(b.assignment()) == 2 and len(of_a.calls) > 2)
    assert of_a.calls[:2] == [("assign", (0, 1, 2, 3)), ("revoke", tuple(one.partition for one in b.assignment()))]
    assert of_a.calls[2:] == [("assign", ())]
    assert of_b.calls == [("assign", ()), ("assign", tuple(one.partition for one in b.assignment()))]
    b.close()
    until(a, lambda: len(a.assignment()) == 4)
    assert of_a.names == ["assign", "revoke", "assign", "assign"]


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_every_message_is_read_once_while_members_come_and_go(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, strategy: str
) -> None:
    topic = make_topic(migrated, partitions=4)
    for partition in range(4):
        fill(migrated, topic, 100, partition)
    settings = {"partition_assignment_strategy": strategy}
    a, b, c = (consumer_of(migrated_url, group, **settings) for _ in range(3))
    a.subscribe([topic])
    handed = take(a, 50)
    b.subscribe([topic])
    handed += until([a, b], lambda: len(a.assignment()) == len(b.assignment()) == 2)
    c.subscribe([topic])
    handed += until([a, b, c], lambda: a.assignment() and b.assignment() and c.assignment())
    a.close()
    handed += until([b, c], lambda: sum(committed(migrated, group).values()) == 400 or len(handed) > 400)
    seen = [(message.partition(), message.offset()) for message in handed]
    assert sorted(seen) == [(partition, offset) for partition in range(4) for offset in range(100)]


def test_what_is_assigned_in_a_callback_is_not_assigned_again(
    consumer: Consumer, migrated: Connection, callbacks: Callbacks
) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 5)
    fill(migrated, topic, 5, 1)

    def on_assign(polled: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            one.offset = 3
        polled.assign(partitions[:1])

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=callbacks.on_revoke)
    assert [message.offset() for message in take(consumer, 2)] == [3, 4]
    assert assigned(consumer) == [(topic, 0)]
    consumer.close()
    assert callbacks.calls == [("revoke", (0, 1))]  # what the group gave, whatever the application made of it


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_what_a_callback_raises_comes_out_of_poll(
    consumer: Consumer, migrated: Connection, raised: type[BaseException]
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 1)

    def fail(_: Consumer, __: list[TopicPartition]) -> None:
        raise raised("of the callback")

    consumer.subscribe([topic], on_assign=fail, on_revoke=fail)
    with pytest.raises(raised, match="of the callback"):
        until(consumer, lambda: False)
    assert assigned(consumer) == [(topic, 0)]
    assert values(take(consumer, 1)) == [b"0"]
    with pytest.raises(raised, match="of the callback"):
        consumer.close()
    with pytest.raises(RuntimeError, match="Consumer closed"):
        consumer.poll(0)


def test_callbacks_may_use_the_consumer(consumer: Consumer, migrated: Connection, group: str) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 3)
    told: list[Any] = []

    def on_assign(polled: Consumer, partitions: list[TopicPartition]) -> None:
        told.append((polled.poll(0), polled.assignment(), polled.committed(partitions)[0].offset, polled.memberid()))

    def on_revoke(polled: Consumer, partitions: list[TopicPartition]) -> None:
        polled.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
        told.append((polled.poll(0), len(polled.assignment()), partitions[0].partition))

    consumer.subscribe([topic], on_assign=on_assign, on_revoke=on_revoke)
    take(consumer, 1)
    assert told == [(None, [], -1001, consumer.memberid())]
    consumer.unsubscribe()
    assert len(consumer.assignment()) == 1  # until the next poll
    assert consumer.poll(0.1) is None
    assert told[1:] == [(None, 1, 0)]
    assert committed(migrated, group) == {0: 2}
    assert (consumer.assignment(), consumer.memberid(), members(migrated, group)) == ([], None, [])


def test_closing_in_a_callback(consumer: Consumer, migrated: Connection, group: str) -> None:
    topic = make_topic(migrated)
    consumer.subscribe([topic], on_assign=lambda polled, _: polled.close())
    with pytest.raises(RuntimeError, match="Consumer closed"):
        consumer.poll(WAIT_SECONDS)
    assert members(migrated, group) == []


def test_another_subscription(consumer: Consumer, migrated: Connection) -> None:
    one, other = make_topic(migrated), make_topic(migrated)
    before, after = Callbacks(), Callbacks()
    consumer.subscribe([one], **before.all)
    until(consumer, consumer.assignment)
    consumer.subscribe([one, other], **after.all)
    until(consumer, lambda: len(consumer.assignment()) == 2)
    assert (before.names, after.names) == (["assign"], ["revoke", "assign"])
    consumer.subscribe([other], **after.all)
    until(consumer, lambda: assigned(consumer) == [(other, 0)])
    assert after.names == ["revoke", "assign", "revoke", "assign"]


def test_another_cooperative_subscription_keeps_what_it_can(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, callbacks: Callbacks
) -> None:
    one, other = make_topic(migrated), make_topic(migrated)
    consumer = consumer_of(migrated_url, group, **COOPERATIVE)
    consumer.subscribe([one], **callbacks.all)
    until(consumer, consumer.assignment)
    consumer.subscribe([one], **callbacks.all)
    assert consumer.poll(0.3) is None
    assert callbacks.names == ["assign"]
    consumer.subscribe([one, other], **callbacks.all)
    until(consumer, lambda: len(consumer.assignment()) == 2)
    assert callbacks.calls == [("assign", (0,)), ("assign", (0,))]
    consumer.subscribe([other], **callbacks.all)
    until(consumer, lambda: assigned(consumer) == [(other, 0)])
    assert "revoke" in callbacks.names


def test_patterns(consumer: Consumer, migrated: Connection) -> None:
    prefix = fresh("many")
    first = make_topic(migrated, topic=f"{prefix}.1")
    make_topic(migrated, topic=fresh("other"))
    consumer.subscribe([f"^{prefix}\\..*", "^nothing-like-it"])
    assert take_event(consumer).topic() == "^nothing-like-it"
    until(consumer, consumer.assignment)
    assert assigned(consumer) == [(first, 0)]
    second = make_topic(migrated, topic=f"{prefix}.2")
    until(consumer, lambda: len(consumer.assignment()) == 2)
    fill(migrated, second, 1)
    assert take(consumer, 1)[0].topic() == second


def test_a_pattern_that_only_python_can_read(consumer: Consumer, migrated: Connection) -> None:
    make_topic(migrated)
    consumer.subscribe(["^(?P<name>.*)"])
    event = take_event(consumer)
    while code(event) == KafkaError.UNKNOWN_TOPIC_OR_PART:
        event = take_event(consumer)
    assert code(event) == KafkaError._INVALID_ARG  # noqa: SLF001
    assert consumer.poll(0.2) is None


def test_a_topic_that_is_not_there_yet(consumer: Consumer, migrated: Connection, callbacks: Callbacks) -> None:
    topic = fresh("late")
    consumer.subscribe([topic], **callbacks.all)
    event = take_event(consumer)
    assert (code(event), event.topic()) == (KafkaError.UNKNOWN_TOPIC_OR_PART, topic)
    assert event.value() == f"Subscribed topic not available: {topic}: Broker: Unknown topic or partition".encode()
    assert consumer.poll(0.5) is None
    assert callbacks.calls == []
    make_topic(migrated, topic=topic)
    fill(migrated, topic, 1)
    take(consumer, 1)
    assert callbacks.calls == [("assign", (0,))]
    topics.delete_topic(migrated, TOPICS, topic)
    assert code(take_event(consumer)) == KafkaError.UNKNOWN_TOPIC_OR_PART
    until(consumer, lambda: callbacks.names[1:] == ["revoke"])
    assert consumer.assignment() == []


def test_topics_can_be_made_by_subscribing(consumer_of: MakeConsumer, migrated_url: str, group: str) -> None:
    consumer = consumer_of(migrated_url, group, allow_auto_create_topics=True, shim_topic_partitions=3)
    topic = fresh("made")
    consumer.subscribe([topic, "no name!"])
    assert take_event(consumer).topic() == "no name!"
    until(consumer, lambda: len(consumer.assignment()) == 3)


def test_partitions_that_are_added(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    consumer.subscribe([topic])
    until(consumer, consumer.assignment)
    topics.grow_topic(migrated, TOPICS, topic, 3)
    until(consumer, lambda: len(consumer.assignment()) == 3)


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_membership_that_was_lost(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, callbacks: Callbacks, strategy: str
) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3)
    consumer = consumer_of(migrated_url, group, partition_assignment_strategy=strategy)
    consumer.subscribe([topic], **callbacks.all)
    take(consumer, 2)
    before = consumer.memberid()
    expire(migrated, consumer)
    handed = until(consumer, lambda: "lost" in callbacks.names and consumer.assignment())
    assert callbacks.calls[:3] == [("assign", (0, 1)), ("lost", (0, 1)), ("assign", (0, 1))]
    assert consumer.memberid() not in {None, before}
    assert committed(migrated, group) == {}  # nothing is committed for what is lost
    handed += until(consumer, lambda: consumer.position([TopicPartition(topic, 0)])[0].offset == 3)
    assert values(handed)[-3:] == [b"0", b"1", b"2"]


def test_without_on_lost_it_is_on_revoke_that_is_told(
    consumer: Consumer, migrated: Connection, callbacks: Callbacks
) -> None:
    topic = make_topic(migrated)
    consumer.subscribe([topic], on_assign=callbacks.on_assign, on_revoke=callbacks.on_revoke)
    until(consumer, consumer.assignment)
    expire(migrated, consumer)
    until(consumer, lambda: callbacks.names == ["assign", "revoke", "assign"])


def test_commits_of_a_lost_membership_are_refused(consumer: Consumer, migrated: Connection, group: str) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 2)
    consumer.subscribe([topic])
    message = take(consumer, 1)[0]
    expire(migrated, consumer)
    with pytest.raises(KafkaException) as refused:
        consumer.commit(message, asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    assert committed(migrated, group) == {}


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_whoever_forgets_to_poll_loses_its_partitions(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, callbacks: Callbacks, strategy: str
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 3)
    slow = consumer_of(
        migrated_url,
        group,
        max_poll_interval_ms=1000,
        session_timeout_ms=1000,
        enable_auto_commit=False,
        partition_assignment_strategy=strategy,
    )
    slow.subscribe([topic], **callbacks.all)
    message = take(slow, 1)[0]
    assert wait_until(lambda: slow.memberid() is None, WAIT_SECONDS)
    assert wait_until(lambda: members(migrated, group) == [], WAIT_SECONDS)
    assert len(slow.assignment()) == 1  # the application has not heard of it yet
    with pytest.raises(KafkaException) as refused:
        slow.commit(message, asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    event = slow.poll(0)
    assert event is not None
    assert code(event) == KafkaError._MAX_POLL_EXCEEDED  # noqa: SLF001
    assert (event.value() or b"").startswith(b"Application maximum poll interval (1000ms) exceeded by ")
    assert callbacks.names == ["assign"]
    assert values(take(slow, 1)) == [b"0"]
    assert callbacks.names == ["assign", "lost", "assign"]


def test_a_long_poll_is_no_pause(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, callbacks: Callbacks
) -> None:
    topic = make_topic(migrated)
    consumer = consumer_of(migrated_url, group, max_poll_interval_ms=1000, session_timeout_ms=1000)
    consumer.subscribe([topic], **callbacks.all)
    assert consumer.poll(3) is None
    assert callbacks.names == ["assign"]


def test_a_static_member_comes_back_to_its_partitions(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated, partitions=2)
    other = consumer_of(migrated_url, group, group_instance_id="other")
    static = consumer_of(migrated_url, group, group_instance_id="one")
    of_other = Callbacks()
    other.subscribe([topic], **of_other.all)
    static.subscribe([topic])
    until([other, static], lambda: len(other.assignment()) == len(static.assignment()) == 1)
    theirs, calls = assigned(static), list(of_other.calls)
    static.close()
    again = consumer_of(migrated_url, group, group_instance_id="one")
    again.subscribe([topic])
    until([other, again], again.assignment)
    assert assigned(again) == theirs
    assert of_other.calls == calls


def test_a_fenced_static_member_ends(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    first = consumer_of(migrated_url, group, group_instance_id="one")
    first.subscribe([topic])
    until(first, first.assignment)
    second = consumer_of(migrated_url, group, group_instance_id="one")
    second.subscribe([topic])
    until(second, second.assignment)
    event = take_event(first)
    assert code(event) == KafkaError._FATAL  # noqa: SLF001
    assert b"Static consumer fenced" in (event.value() or b"")
    with pytest.raises(KafkaException) as refused:
        first.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError._FATAL  # noqa: SLF001
    assert first.poll(0.3) is None
    first.close()
    second.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)


def test_two_protocols_do_not_mix(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    eager, cooperative = consumer_of(migrated_url, group), consumer_of(migrated_url, group, **COOPERATIVE)
    eager.subscribe([topic])
    until(eager, eager.assignment)
    cooperative.subscribe([topic])
    event = take_event(cooperative)
    assert code(event) == KafkaError.INCONSISTENT_GROUP_PROTOCOL
    eager.close()
    until(cooperative, cooperative.assignment)


Change = Callable[[Consumer, list[TopicPartition]], None]


@pytest.mark.parametrize(
    ("strategy", "refused"),
    [
        ("range", [Consumer.incremental_assign, Consumer.incremental_unassign]),
        ("cooperative-sticky", [Consumer.assign, lambda consumer, _: consumer.unassign()]),
    ],
)
def test_changes_that_the_protocol_forbids(
    consumer_of: MakeConsumer,
    migrated_url: str,
    migrated: Connection,
    group: str,
    strategy: str,
    refused: Sequence[Change],
) -> None:
    topic = make_topic(migrated)
    consumer = consumer_of(migrated_url, group, partition_assignment_strategy=strategy)
    consumer.subscribe([topic])
    until(consumer, consumer.assignment)
    for change in refused:
        with pytest.raises(KafkaException) as error:
            change(consumer, [TopicPartition(topic, 0)])
        assert error.value.args[0].code() == KafkaError._STATE  # noqa: SLF001
    assert len(consumer.assignment()) == 1


def test_a_consumer_that_was_collected_leaves_its_group(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    from shim.consumer import Consumer as Forgotten  # noqa: PLC0415  made here, so that nobody else refers to it

    topic = make_topic(migrated, partitions=2)
    forgotten = Forgotten({"shim.dsn": migrated_url, "group.id": group, "heartbeat.interval.ms": 100})
    forgotten.subscribe([topic])
    until(forgotten, forgotten.assignment)
    del forgotten
    gc.collect()
    survivor = consumer_of(migrated_url, group)
    survivor.subscribe([topic])
    until(survivor, lambda: len(survivor.assignment()) == 2)


def test_a_batch_goes_out_before_a_rebalance(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str, callbacks: Callbacks
) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3)
    b = consumer_of(migrated_url, group)
    b.subscribe([topic])
    read = threading.Event()

    def stats_cb(document: str) -> None:
        if json.loads(document)["topics"].get(topic, {}).get("partitions", {}).get("0", {}).get("app_offset") == 3:
            read.set()

    a = consumer_of(migrated_url, group, enable_auto_commit=False, statistics_interval_ms=10, stats_cb=stats_cb)
    a.subscribe([topic], **callbacks.all)
    with ThreadPoolExecutor() as pool:
        batch = pool.submit(a.consume, 100, WAIT_SECONDS)
        assert read.wait(WAIT_SECONDS)
        b.poll(0)  # joins
        assert values(batch.result(WAIT_SECONDS / 2)) == [b"0", b"1", b"2"]
    assert callbacks.names == ["assign"]
    a.commit(asynchronous=False)  # still its own
    until([a, b], lambda: a.assignment() and b.assignment())
    assert committed(migrated, group) == {0: 3}
