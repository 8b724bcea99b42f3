"""A topic on both sides, those who write it, and what is found on each side."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import confluent_kafka
import pytest

import shim
from migrator.cli import app
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.dual import DualProducer
from shim.store import dual_inbox, dual_modes, schema
from shim.store.dual_inbox import Phantom
from shim.store.dual_modes import Mode, Registration
from tests.fixtures.cli import Cli, Running, drain_arguments
from tests.fixtures.kafka import create_topic_on, topic_name

SECONDS = 60.0


class Scene:
    """One topic of two partitions that Kafka numbers, registered in Postgres by a first drain."""

    def __init__(self, servers: str, url: str, conn: Connection) -> None:
        self.servers = servers
        self.url = url
        self.conn = conn
        self.topic = topic_name("emails")
        self.cli = Cli.on(url, servers)
        schemas = schema.store_line().schemas
        self.texts = {**dual_inbox.load(schemas), **dual_modes.load(schemas)}
        create_topic_on(servers, self.topic, 2)
        self.drain()

    def kafka(self, **config: Any) -> Any:
        settings = {name.replace("_", "."): value for name, value in config.items()}
        return confluent_kafka.Producer({"bootstrap.servers": self.servers, "enable.idempotence": True, **settings})

    def queue(self, url: str | None = None, **config: Any) -> shim.Producer:
        settings = {name.replace("_", "."): value for name, value in config.items()}
        return shim.Producer({"shim.dsn": url or self.url, "linger.ms": 1, **settings})

    def dual(self, url: str | None = None, **arguments: Any) -> DualProducer:
        """One whose primary is Kafka at first."""
        return DualProducer(self.kafka(), self.queue(url), **arguments)

    def drain(self, *options: str) -> None:
        """Copies up to Kafka's present end; in this process, which costs no start of another."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("DATABASE_URL", self.url)
            environment.setenv("KAFKA_BOOTSTRAP_SERVERS", self.servers)
            assert app.run(["drain", "--topic", self.topic, "--quiet", "--until", "end", *options]) == 0

    @contextmanager
    def following(self) -> Iterator[Running]:
        with self.cli.start(*drain_arguments([self.topic], ["--follow"])) as running:
            yield running

    def copies(self) -> list[tuple[Any, ...]]:
        """What lies in the inbox, in the order of ids."""
        statement = (
            "select message_id, producer, sequence, key, value, headers, timestamp_ms from dual_inbox "
            "where topic = %s order by message_id"
        )
        return self.conn.execute(statement, [self.topic]).fetchall()

    def jobs(self) -> list[tuple[Any, ...]]:
        """Ids and values of the topic's rows, by partition and offset."""
        statement = "select message_id, value from job_queue where topic = %s order by partition, log_offset"
        return self.conn.execute(statement, [self.topic]).fetchall()

    def producers(self) -> list[Registration]:
        return dual_modes.producers(self.conn, self.texts, self.topic)

    def fence(self) -> Mode:
        return dual_modes.fence(self.conn, self.texts, self.topic)

    def lift(self) -> Mode:
        return dual_modes.lift(self.conn, self.texts, self.topic)

    def hand_over(self) -> Mode:
        return dual_modes.hand_over(self.conn, self.texts, self.topic)

    def wait_until_fenced(self) -> None:
        """Waits until every dual producer has acknowledged the fence."""
        assert wait_until(lambda: all(one.current for one in self.producers()), SECONDS), self.producers()

    def phantoms(self) -> list[Phantom]:
        return dual_inbox.phantoms(self.conn, self.texts, self.topic)

    def sweep(self) -> int:
        return dual_inbox.sweep(self.conn, self.texts, self.topic)

    def in_kafka(self) -> list[Any]:
        """Every message of the topic, by partition and offset."""
        settings = {"bootstrap.servers": self.servers, "group.id": topic_name("look"), "enable.auto.commit": False}
        consumer: Any = confluent_kafka.Consumer(settings)
        try:
            ends = {n: self._end(consumer, n) for n in range(2)}
            consumer.assign([confluent_kafka.TopicPartition(self.topic, n, 0) for n in ends])
            found: list[Any] = []

            def all_found() -> bool:
                found.extend(_good(consumer))
                return len(found) >= sum(ends.values())

            assert wait_until(all_found, SECONDS)
        finally:
            consumer.close()
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    def _end(self, consumer: Any, partition: int) -> int:
        _, high = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(self.topic, partition), SECONDS)
        return int(high)


def settled(dual: DualProducer) -> bool:
    """Whether nothing is under way on either side, once what has come was served."""
    dual.poll(0)
    return not len(dual) and not dual.outcomes().waiting


def wait_for_copies(dual: DualProducer) -> None:
    """Flushes, and waits until the secondary has answered too."""
    assert dual.flush(SECONDS) == 0
    assert wait_until(lambda: settled(dual), SECONDS), dual.outcomes()


def _good(consumer: Any) -> list[Any]:
    messages = consumer.consume(1000, 0.2)
    assert all(message.error() is None for message in messages)
    return list(messages)
