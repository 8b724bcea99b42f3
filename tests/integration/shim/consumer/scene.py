"""What the tests of the consumer have in common: topics with records, and consumers that are polled until something."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.message import Message
from shim.store import append, topics
from shim.store.fetch import TP
from shim.store.schema import store_line
from shim.store.values import view
from shim.topic_partition import TopicPartition

MakeConsumer = Callable[..., Consumer]

WAIT_SECONDS = 60.0
APPEND = append.load(store_line().schemas)
TOPICS = topics.load(store_line().schemas)


class Callbacks:
    """Rebalance callbacks that remember what they were called with, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._note("assign", partitions)

    def on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._note("revoke", partitions)

    def on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._note("lost", partitions)

    @property
    def all(self) -> dict[str, Any]:
        return {"on_assign": self.on_assign, "on_revoke": self.on_revoke, "on_lost": self.on_lost}

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def _note(self, name: str, partitions: list[TopicPartition]) -> None:
        assert all(one.offset == -1001 for one in partitions)
        self.calls.append((name, tuple(one.partition for one in partitions)))


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def make_topic(conn: Connection, partitions: int = 1, topic: str | None = None) -> str:
    name = topic or fresh("topic")
    assert topics.create_topic(conn, TOPICS, name, partitions)
    return name


def fill(conn: Connection, topic: str, values: int | Iterable[bytes | None], partition: int = 0) -> None:
    """Append records; a number stands for as many, of which each value is its own number."""
    wanted = [b"%d" % number for number in range(values)] if isinstance(values, int) else values
    now_ms = int(time.time() * 1000)
    drafts = [append.draft(topic, partition, b"key", value, None, now_ms, view(value)) for value in wanted]
    append.append(conn, APPEND, drafts)


def until(consumers: Consumer | Sequence[Consumer], done: Callable[[], object]) -> list[Message]:
    """Poll consumers in turns until something is so; returns what they handed out."""
    polled = [consumers] if isinstance(consumers, Consumer) else consumers
    handed: list[Message] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it did not come to pass"
        for consumer in polled:
            message = consumer.poll(0.05)
            if message is not None:
                handed.append(message)
    return handed


def take(consumer: Consumer, count: int) -> list[Message]:
    """Poll so many records; events are passed over."""
    taken: list[Message] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(taken) < count:
        assert time.monotonic() < deadline, f"{len(taken)} of {count} messages came"
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            taken.append(message)
    return taken


def take_event(consumer: Consumer) -> Message:
    """Poll until an event comes; records are passed over."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is not None:
            return message
    raise AssertionError("no event came")


def values(messages: Iterable[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]


def code(message: Message) -> int:
    error = message.error()
    assert error is not None
    return error.code()


def assigned(consumer: Consumer) -> list[TP]:
    return [(one.topic, one.partition) for one in consumer.assignment()]


def committed(conn: Connection, group_id: str) -> dict[int, int]:
    """Where a group stands in its topic, by partition."""
    rows = conn.execute("select partition, committed_offset from job_group_offset where group_id = %s", [group_id])
    return dict(rows.fetchall())


def members(conn: Connection, group_id: str) -> list[str]:
    rows = conn.execute("select member_id from job_group_member where group_id = %s order by member_id", [group_id])
    return [row[0] for row in rows]


def expire(conn: Connection, consumer: Consumer) -> None:
    """Let a member's lease run out, as it would if its process had been stopped for too long."""
    row = conn.execute(
        "update job_group_member set lease_until = clock_timestamp() - interval '1 second' where member_id = %s",
        [consumer.memberid()],
    )
    assert row.rowcount == 1


def oust(conn: Connection, member_id: str | None, topic: str, group_id: str, heir: str = "heir") -> None:
    """Let another member take everything that a member holds."""
    with conn.transaction():
        conn.execute("delete from job_group_member where member_id = %s", [member_id])
        conn.execute(
            "update job_group_partition set holder = %s, epoch = epoch + 1 where group_id = %s and topic = %s",
            [heir, group_id, topic],
        )


def lag(document: str, topic: str, partition: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document)["topics"][topic]["partitions"][str(partition)]
    return found
