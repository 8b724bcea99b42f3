"""The servers of a benchmark: Apache Kafka with the JVM's own defaults, and a Postgres that keeps what it commits."""

import json
import random
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
from tests.benchmarks.measuring import Connection, note
from tests.fixtures.kafka import create_topic_on
from tests.fixtures.postgres import Databases, with_database

PARTITIONS = 8
HEADER = "trace-id"
_SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",  # no checkpoint falls into a run; one is taken before each
    "checkpoint_timeout": "30min",
    "autovacuum": "off",  # it would fall into some runs and not into others
    "synchronous_commit": "on",
}
_QUEUE_MESSAGES = 200_000
_BODY_BYTES = 300


@dataclass(frozen=True, slots=True)
class Parts:
    """What a benchmark runs against."""

    kafka: EmbeddedKafka
    server: EmbeddedPostgres
    databases: Databases

    @contextmanager
    def database(self) -> Iterator[tuple[str, Connection]]:
        """A new database with all tables, as URL and as a connection; dropped afterwards."""
        url = self.databases.create(_tables)
        try:
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("checkpoint")
                yield url, conn
        finally:
            self.databases.drop(url)


@contextmanager
def parts() -> Iterator[Parts]:
    """Starts both servers, and removes them afterwards."""
    with EmbeddedKafka(heap="1g", jvm_options=()) as kafka, EmbeddedPostgres(fsync=True, settings=_SETTINGS) as server:
        databases = Databases(with_database(server.url, "postgres"))
        yield Parts(kafka, server, databases)
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
    dice = random.Random(1)  # noqa: S311
    for number in range(messages):
        key, value, trace = job(dice, number)
        while len(producer) >= _QUEUE_MESSAGES:
            producer.poll(0.1)
        producer.produce(topic, value, key, headers=[(HEADER, trace)])
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    note(f"{messages:,} messages produced")
    return topic


def job(dice: random.Random, number: int) -> tuple[bytes, bytes, bytes]:
    """One job: its key, its value, and its header's value."""
    user = dice.randrange(1_000_000)
    body = {
        "job": number,
        "kind": "welcome-email",
        "user": user,
        "to": f"user{user}@example.com",
        "locale": dice.choice(("en", "de", "fr", "ja")),
        "attempts": 0,
        "urgent": bool(user % 7),
        "data": "",
    }
    missing = max(0, _BODY_BYTES - len(json.dumps(body)))
    body["data"] = dice.randbytes(missing // 2 + 1).hex()[:missing]
    return b"user-%d" % user, json.dumps(body).encode(), dice.randbytes(16).hex().encode()


def read(bootstrap_servers: str, topic: str, messages: int, at_once: int = 2_000) -> Iterator[list[SourceRecord]]:
    """Every record of a topic that `produce` made, in the portions in which they arrive."""
    missing = messages
    with ConfluentSource(kafka_properties(bootstrap_servers)) as source:
        source.assign({(topic, partition): 0 for partition in range(PARTITIONS)})
        while missing:
            records = [event for event in source.read(at_once, 1.0) if isinstance(event, SourceRecord)]
            missing -= len(records)
            yield records


def _tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for line in (store_line(), postgres.migrator_line()):
            upgrade(conn, line)
