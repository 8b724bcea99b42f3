"""A million messages: rows, offsets and digest are what was produced, and nothing is held in memory to find out."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message, Producer

from migrator.embedded.parts import Broker
from migrator.embedded.process import wait_until
from tests.fixtures.cli import Cli, create_tables
from tests.fixtures.kafka import create_topic_on, topic_name
from tests.fixtures.oracle import Digest, Expected, Headers, Produced, check
from tests.fixtures.postgres import Databases

pytestmark = [pytest.mark.real_kafka, pytest.mark.slow, pytest.mark.timeout(1200)]

_MESSAGES = 1_000_000
_PARTITIONS = 8
_SECONDS = 600.0


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


def messages() -> Iterator[tuple[int, bytes, bytes, Headers]]:
    """Partition, key, value and headers of each message; about 300 bytes of JSON, always the same."""
    dice = random.Random(20261122)  # noqa: S311  # the same messages in every run
    for number in range(_MESSAGES):
        body = {"id": number, "to": f"user{number % 9973}@example.org", "body": dice.randbytes(110).hex()}
        headers: Headers = ((b"trace", dice.randbytes(8)),) if number % 4 else ()
        yield dice.randrange(_PARTITIONS), b"user-%d" % (number % 9973), json.dumps(body).encode(), headers


class Counting:
    """Digests what the broker acknowledges; a partition's reports come in the order of its offsets."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.digest = Digest()
        self.kinds: Counter[int] = Counter()

    def acknowledged(self, headers: Headers, error: object, message: Message) -> None:
        assert error is None, error
        kind, stamp = message.timestamp()
        offset, partition = message.offset(), message.partition()
        assert offset is not None
        assert partition is not None
        key, value = message.key(), message.value()
        self.kinds[kind] += 1
        self.digest.add(Produced(self.topic, partition, offset, _bytes(key), _bytes(value), headers, stamp, kind))


def _bytes(content: Any) -> bytes | None:
    assert content is None or isinstance(content, bytes)
    return content


def produce(servers: str, topic: str) -> Counting:
    counting = Counting(topic)
    settings = {"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 50, "compression.type": "lz4"}
    producer: Any = Producer({**settings, "queue.buffering.max.messages": 200_000})
    for partition, key, value, headers in messages():
        arguments: dict[str, Any] = {
            "partition": partition,
            "headers": [(name.decode(), content) for name, content in headers] or None,
            "on_delivery": partial(counting.acknowledged, headers),
        }
        while True:
            try:
                producer.produce(topic, value, key, **arguments)
            except BufferError:
                producer.poll(1)
            else:
                break
        producer.poll(0)
    assert wait_until(lambda: producer.flush(1) == 0, _SECONDS)
    return counting


def test_a_million_messages_arrive_as_they_were_produced(broker: Broker, url: str) -> None:
    topic = topic_name("million")
    create_topic_on(broker.bootstrap_servers, topic, _PARTITIONS)
    counting = produce(broker.bootstrap_servers, topic)
    assert sum(counting.digest.counts.values()) == _MESSAGES
    ends = {partition: last + 1 for partition, last in counting.digest.last.items()}
    assert sum(ends.values()) == _MESSAGES
    cli = Cli.on(url, broker.bootstrap_servers)
    done = cli.drain(topic, timeout=_SECONDS).expect(0)
    start = dict.fromkeys(ends, 0)
    counts = check(url, Expected(topic, start, ends, counting.digest, at_least=_MESSAGES), done)
    assert (counts.rows, counts.dead, counts.skipped, counts.gaps) == (_MESSAGES, 0, 0, {})
    assert done.document["rows_this_run"] == _MESSAGES
    again = cli.drain(topic).expect(0)
    assert again.document["rows_this_run"] == 0
    with psycopg.connect(url) as conn:
        found = conn.execute("select count(distinct (partition, log_offset)) from job_queue").fetchone()
    assert found == (_MESSAGES,)
