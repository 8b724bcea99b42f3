"""The two sides that the same tests run on: confluent_kafka on Kafka, and the shim on Postgres."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import confluent_kafka
import confluent_kafka.admin
import psycopg

import shim.admin
import shim.model
import shim.topic_partition
from migrator.embedded.process import wait_until
from shim.store import append, groups
from shim.store.append import draft
from shim.store.groups import Membership
from shim.store.statements import Schemas
from shim.store.values import view

QUEUE = Schemas({"queue": "public"})
SECONDS = 30.0


class Side(Protocol):
    """One of the two: its names, its configuration, and how records and members come to be there."""

    name: str
    conf: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """Return what the API calls by that name."""

    def produce(self, topic: str, partition: int, timestamps: Sequence[int]) -> None:
        """Write a record for each timestamp, in milliseconds."""

    def member(self, group: str, topic: str) -> AbstractContextManager[object]:
        """Keep a member in the group that holds every partition of the topic."""


class OnKafka:
    name = "kafka"

    def __init__(self, bootstrap_servers: str) -> None:
        self.conf: dict[str, Any] = {"bootstrap.servers": bootstrap_servers}

    def __getattr__(self, name: str) -> Any:
        return getattr(confluent_kafka.admin, name, None) or getattr(confluent_kafka, name)

    def produce(self, topic: str, partition: int, timestamps: Sequence[int]) -> None:
        producer = confluent_kafka.Producer(self.conf)
        for timestamp in timestamps:
            producer.produce(topic, b"value", partition=partition, timestamp=timestamp)
        assert producer.flush(SECONDS) == 0

    @contextmanager
    def member(self, group: str, topic: str) -> Iterator[None]:
        consumer = confluent_kafka.Consumer({**self.conf, "group.id": group, "client.id": "tester"})
        consumer.subscribe([topic])
        try:
            assert wait_until(lambda: consumer.poll(0.1) is not None or bool(consumer.assignment()), SECONDS)
            yield
        finally:
            consumer.close()


class OnPostgres:
    name = "postgres"

    def __init__(self, url: str) -> None:
        self.conf: dict[str, Any] = {"shim.dsn": url}
        self.url = url

    def __getattr__(self, name: str) -> Any:
        homes = (shim.admin, shim.model, shim.topic_partition)
        return next(getattr(home, name) for home in homes if hasattr(home, name))

    def produce(self, topic: str, partition: int, timestamps: Sequence[int]) -> None:
        drafts = [draft(topic, partition, None, b"value", None, timestamp, view(b"value")) for timestamp in timestamps]
        with psycopg.connect(self.url, autocommit=True) as conn:
            append.append(conn, append.load(QUEUE), drafts)

    @contextmanager
    def member(self, group: str, topic: str) -> Iterator[None]:
        texts = groups.load(QUEUE)
        member_id = groups.new_member_id("tester")
        membership = Membership(group, member_id, None, "tester", "/127.0.0.1", (topic,), ("range",), 45_000)
        with psycopg.connect(self.url, autocommit=True) as conn:
            given = groups.join(conn, texts, membership)
            groups.acquire(conn, texts, group, member_id, given.generation, given.free)
            yield
            groups.leave(conn, texts, group, member_id)


def code_of(future: Any) -> str:
    """The name of the code that a future failed with."""
    failure = future.exception(SECONDS)
    assert failure is not None
    assert type(failure).__name__ == "KafkaException"
    return str(failure.args[0].name())


def text_of(future: Any) -> str:
    """The text that a future failed with."""
    return str(future.exception(SECONDS).args[0].str())
