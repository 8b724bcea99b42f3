"""The end of a consumer: what close does, what is left afterwards, and what happens without it."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.members import Member, every, settle
from tests.conformance.records import fill, serve, take, values
from tests.conformance.side import WAIT_SECONDS, Side

CLOSED: dict[str, Callable[[Any, Any], object]] = {
    "poll": lambda consumer, _tp: consumer.poll(0),
    "consume": lambda consumer, _tp: consumer.consume(),
    "subscribe": lambda consumer, _tp: consumer.subscribe(["topic"]),
    "unsubscribe": lambda consumer, _tp: consumer.unsubscribe(),
    "assign": lambda consumer, tp: consumer.assign([tp]),
    "unassign": lambda consumer, _tp: consumer.unassign(),
    "incremental_assign": lambda consumer, tp: consumer.incremental_assign([tp]),
    "incremental_unassign": lambda consumer, tp: consumer.incremental_unassign([tp]),
    "assignment": lambda consumer, _tp: consumer.assignment(),
    "commit": lambda consumer, _tp: consumer.commit(),
    "store_offsets": lambda consumer, tp: consumer.store_offsets(offsets=[tp]),
    "committed": lambda consumer, tp: consumer.committed([tp]),
    "position": lambda consumer, tp: consumer.position([tp]),
    "seek": lambda consumer, tp: consumer.seek(tp),
    "pause": lambda consumer, tp: consumer.pause([tp]),
    "resume": lambda consumer, tp: consumer.resume([tp]),
    "get_watermark_offsets": lambda consumer, tp: consumer.get_watermark_offsets(tp),
    "offsets_for_times": lambda consumer, tp: consumer.offsets_for_times([tp]),
    "memberid": lambda consumer, _tp: consumer.memberid(),
    "consumer_group_metadata": lambda consumer, _tp: consumer.consumer_group_metadata(),
}
HANDLE_CLOSED: dict[str, Callable[[Any], object]] = {
    "list_topics": lambda consumer: consumer.list_topics(),
    "cluster_id": lambda consumer: consumer.cluster_id(),
    "set_sasl_credentials": lambda consumer: consumer.set_sasl_credentials("a", "b"),
}


@pytest.mark.parametrize("method", CLOSED)
def test_a_closed_consumer(side: Side, method: str) -> None:
    consumer = side.consumer()
    consumer.close()
    with pytest.raises(RuntimeError, match=r"^Consumer closed$"):
        CLOSED[method](consumer, side.tp("topic", 0, 0))


@pytest.mark.parametrize("method", HANDLE_CLOSED)
def test_a_closed_handle(side: Side, method: str) -> None:
    consumer = side.consumer()
    consumer.close()
    with pytest.raises(RuntimeError, match=r"^Handle has been closed$"):
        HANDLE_CLOSED[method](consumer)


def test_close_twice(side: Side) -> None:
    consumer = side.consumer()
    assert consumer.close() is None
    assert consumer.close() is None
    assert consumer.__enter__() is consumer


def test_close_is_quick(side: Side) -> None:
    topic = side.topic()
    for consumer in (side.consumer(), Member(side, side.name("group"), [topic]).consumer):
        consumer.poll(0.05)
        began = time.monotonic()
        consumer.close()
        assert time.monotonic() - began < WAIT_SECONDS


def test_with_closes(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1"])
    with side.consumer(group) as consumer:
        consumer.subscribe([topic])
        take(consumer, 1)
    with pytest.raises(RuntimeError):
        consumer.poll(0)
    (found,) = side.consumer(group).committed([side.tp(topic, 0)], WAIT_SECONDS)
    assert found.offset == 1


def test_with_lets_exceptions_through(side: Side) -> None:
    consumer = side.consumer()
    with pytest.raises(KeyError, match="mine"), consumer:
        raise KeyError("mine")
    with pytest.raises(RuntimeError):
        consumer.poll(0)


def test_nobody_commits_for_a_consumer_that_is_dropped(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    fill(side, topic, [b"0", b"1"])
    settings = {"group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
    consumer = side.api.Consumer({**side.connection, **settings})
    consumer.assign([side.tp(topic, 0, 0)])
    assert values(take(consumer, 2)) == [b"0", b"1"]
    del consumer
    (found,) = side.consumer(group).committed([side.tp(topic, 0)], WAIT_SECONDS)
    assert found.offset == -1001


def test_a_program_that_ends_without_close_ends(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"v"])
    program = f"""
import {side.family.package} as client
connection = {{"bootstrap.servers": {side.family.servers!r}}}
consumer = client.Consumer(connection | {{"group.id": {side.name("group")!r}, "auto.offset.reset": "earliest"}})
consumer.subscribe([{topic!r}])
message = None
while message is None:
    message = consumer.poll(1)
print(message.value().decode())
producer = client.Producer(connection)
producer.produce({topic!r}, b"w")
producer.flush()
print("done")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.split()) == (0, ["v", "done"]), ended.stderr


def test_close_in_the_middle_of_a_rebalance(side: Side) -> None:
    topic, group = side.topic(2), side.name("group")
    first = Member(side, group, [topic])
    settle([first], every(topic, 2))
    second = Member(side, group, [topic])
    serve([first.consumer, second.consumer], lambda: "revoke" in first.kinds())
    first.consumer.close()
    settle([second], every(topic, 2))
