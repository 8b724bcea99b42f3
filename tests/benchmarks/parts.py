"""The servers of a benchmark: Apache Kafka with the JVM's own defaults, and a Postgres that keeps what it commits."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import Producer

from migrator import postgres
from migrator.embedded.kafka import EmbeddedKafka
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.kafka.properties import kafka_properties
from migrator.kafka.records import SourceRecord
from migrator.kafka.source import ConfluentSource
from shim.store.schema import store_line, upgrade
from tests.benchmarks.jobs import HEADER, PARTITIONS, jobs
from tests.benchmarks.measuring import Connection, note
from tests.fixtures.kafka import create_topic_on
from tests.fixtures.postgres import Databases, Setup, with_database

_SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",  # no checkpoint falls into a run; one is taken before each
    "checkpoint_timeout": "30min",
    "autovacuum": "off",  # it would fall into some runs and not into others
    "synchronous_commit": "on",
}
_QUEUE_MESSAGES = 200_000


@dataclass(frozen=True, slots=True)
class Server:
    """A Postgres that a benchmark runs against."""

    server: EmbeddedPostgres
    databases: Databases

    @contextmanager
    def database(self, setup: Setup | None = None) -> Iterator[tuple[str, Connection]]:
        """A new database, as URL and as a connection; dropped afterwards.

        Args:
            setup: prepares it; None for `tables`.
        """
        url = self.databases.create(setup or tables)
        try:
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("checkpoint")
                yield url, conn
        finally:
            self.databases.drop(url)


@dataclass(frozen=True, slots=True)
class Parts(Server):
    """What a benchmark runs against that needs Kafka too."""

    kafka: EmbeddedKafka


@contextmanager
def parts() -> Iterator[Parts]:
    """Starts both servers, and removes them afterwards."""
    with EmbeddedKafka(heap="1g", jvm_options=()) as kafka, postgres_alone() as alone:
        yield Parts(alone.server, alone.databases, kafka)


@contextmanager
def postgres_alone() -> Iterator[Server]:
    """Starts the Postgres without Kafka, and removes it afterwards."""
    with EmbeddedPostgres(fsync=True, settings=_SETTINGS) as server:
        databases = Databases(with_database(server.url, "postgres"))
        yield Server(server, databases)
        databases.drop_all()


def produce(bootstrap_servers: str, messages: int) -> str:
    """Fills a new topic with JSON of about 300 bytes, each with a key and one header; returns its name."""
    topic = f"jobs-{uuid.uuid4().hex[:8]}"
    create_topic_on(bootstrap_servers, topic, PARTITIONS)
    producer: Any = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": 50,
            "queue.buffering.max.messages": _QUEUE_MESSAGES,
            "enable.idempotence": True,
        }
    )
    for number, (key, value, trace) in enumerate(jobs(messages)):
        while len(producer) >= _QUEUE_MESSAGES:
            producer.poll(0.1)
        producer.produce(topic, value, key, headers=[(HEADER, trace)])
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    note(f"{messages:,} messages produced")
    return topic


def read(bootstrap_servers: str, topic: str, messages: int, at_once: int = 2_000) -> Iterator[list[SourceRecord]]:
    """Every record of a topic that `produce` made, in the portions in which they arrive."""
    missing = messages
    with ConfluentSource(kafka_properties(bootstrap_servers)) as source:
        source.assign({(topic, partition): 0 for partition in range(PARTITIONS)})
        while missing:
            records = [event for event in source.read(at_once, 1.0) if isinstance(event, SourceRecord)]
            missing -= len(records)
            yield records


def tables(url: str) -> None:
    """Makes all tables of this project."""
    with psycopg.connect(url, autocommit=True) as conn:
        for line in (store_line(), postgres.migrator_line()):
            upgrade(conn, line)
