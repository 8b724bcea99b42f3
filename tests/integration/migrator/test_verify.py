"""Parity of a topic and its rows: what is the same passes, and every difference is named, with nothing beside it."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.embedded.parts import Broker
from shim.store import retention
from shim.store.statements import Schemas
from tests.fixtures.cli import Cli, Done, create_tables
from tests.fixtures.damage import Damage, Named
from tests.fixtures.kafka import create_topic_on, topic_name
from tests.fixtures.postgres import Databases
from tests.integration.migrator.producing import Sent, produce

pytestmark = [pytest.mark.real_kafka]

PARTITIONS = 4
LONG_AGO_MS = 1_600_000_000_000
FOR_EVER = {"retention.ms": "-1"}


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


@pytest.fixture
def topic(broker: Broker) -> str:
    name = topic_name("verify")
    create_topic_on(broker.bootstrap_servers, name, PARTITIONS, FOR_EVER)
    return name


@pytest.fixture
def cli(url: str, broker: Broker) -> Cli:
    return Cli.on(url, broker.bootstrap_servers)


def messages(count: int, old: int) -> Iterator[Sent]:
    """Messages with keys and headers, of which the first so many are years old; a few of every kind among them."""
    odd = (None, b"", b"\x00\xff", b"text", b'{"a": 1, "a": 2}')
    for number in range(count):
        value = odd[number % 5] if number % 100 == 7 else json.dumps({"id": number}).encode()
        yield Sent(
            value if number < old else json.dumps({"id": number}).encode(),
            b"key-%d" % (number % 997),
            [("trace", b"%08d" % number), ("empty", None)],
            LONG_AGO_MS + number if number < old else 0,
            number % PARTITIONS,
        )


def verify(cli: Cli, topic: str, *options: str, status: int = 0, timeout: float = 60.0) -> dict[str, Any]:
    done: Done = cli.run("verify", "--topic", topic, "--json", "--grace", "0", *options, timeout=timeout)
    return done.expect(status).document


def counts(document: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in document["classes"].items() if count}


def named(document: dict[str, Any]) -> Named:
    return {(one["class"], one["partition"], one["offset"]) for one in document["differences"]}


def purge(url: str, topic: str, old: int) -> None:
    """Completes the oldest rows, and lets retention remove them."""
    texts = retention.load(Schemas({"queue": "public"}))
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "update job_queue set status = 'completed' where topic = %s and created_at < '2021-01-01'", [topic]
        )
        conn.execute("update job_topic set retention_ms = 86400000 where topic = %s", [topic])
        deleted = 0
        while (swept := retention.sweep(conn, texts)).deleted:
            deleted += swept.deleted
    assert deleted == old


def drained(cli: Cli, broker: Broker, topic: str, count: int, old: int) -> None:
    produce(broker.bootstrap_servers, topic, messages(count, old), linger_ms=20)
    cli.drain(topic, options=("--open",), timeout=600).expect(0)


def show_every_difference(cli: Cli, broker: Broker, url: str, topic: str, count: int, old: int) -> None:
    drained(cli, broker, topic, count, old)
    purge(url, topic, old)
    before = verify(cli, topic, timeout=600)
    assert (before["result"], before["compared"], before["reasons"]) == ("pass", count - old, [])
    assert counts(before) == {"purged": old}
    with psycopg.connect(url, autocommit=True) as conn:
        damage = Damage(conn, topic)
        damage.delete(50)
        damage.alter(20)
        damage.add(10)
        damage.double(5)
        damage.swap(5)
    after = verify(cli, topic, status=1, timeout=600)
    assert after["result"] == "fail"
    assert named(after) == damage.named
    assert counts(after) == {
        "missing": 50,
        "altered": 20,
        "extra": 10,
        "duplicate": 5,
        "reordered": 10,
        "purged": old,
    }


def test_every_planted_difference_is_named_and_nothing_else(cli: Cli, broker: Broker, url: str, topic: str) -> None:
    show_every_difference(cli, broker, url, topic, 20_000, 5_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_planted_difference_is_named_among_a_million(cli: Cli, broker: Broker, url: str, topic: str) -> None:
    """Takes 5 minutes."""
    show_every_difference(cli, broker, url, topic, 1_000_000, 10_000)
