"""A rebalance that begins while a batch is gathered waits until the batch was handed out."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from migrator.embedded.process import wait_until
from shim import Consumer, Producer
from shim.admin import AdminClient, NewTopic
from shim.store import schema
from tests.fixtures.postgres import Databases

_TOPIC = "topic"
_PARTITIONS = 2
_SECONDS = 60.0


def _migrate(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        schema.upgrade(connection, schema.store_line())


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    found = databases.create(_migrate)
    AdminClient({"bootstrap.servers": found}).create_topics([NewTopic(_TOPIC, _PARTITIONS)])[_TOPIC].result()
    with Producer({"bootstrap.servers": found}) as producer:
        for number in range(10):
            producer.produce(_TOPIC, str(number), partition=number % _PARTITIONS)
    yield found
    databases.drop(found)


def _member(url: str, strategy: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": url,
            "group.id": "group",
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": strategy,
        }
    )


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_nothing_is_revoked_between_a_message_and_its_handing_out(
    url: str, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    first, second = _member(url, strategy), _member(url, strategy)
    revoked: list[Any] = []
    first.subscribe([_TOPIC], on_revoke=lambda _consumer, partitions: revoked.extend(partitions))
    polling = first._polling  # noqa: SLF001 - the moment between two looks at the group is nowhere else to be had
    assert wait_until(lambda: not first.consume(0, 0.1) and len(first.assignment()) == _PARTITIONS, _SECONDS)
    second.subscribe([_TOPIC])
    tend = polling._tend  # noqa: SLF001 - the same
    came: list[bool] = []

    def tend_after_another_one_came(consumer: object, *, in_hand: bool) -> None:
        if in_hand and not came:  # the look before found messages, and a quiet group
            came.append(wait_until(lambda: second.poll(0.1) is None and polling.group.restless, _SECONDS))
        tend(consumer, in_hand=in_hand)

    monkeypatch.setattr(polling, "_tend", tend_after_another_one_came)
    monkeypatch.setattr(polling, "_wait", lambda _left: polling._bell.ring())  # noqa: SLF001 - so that it looks again
    batch = first.consume(1000, _SECONDS)
    assert came == [True]
    assert batch
    assert revoked == []
    monkeypatch.undo()
    assert wait_until(lambda: first.consume(1000, 0.1) is None or bool(revoked), _SECONDS)
    first.close()
    second.close()
