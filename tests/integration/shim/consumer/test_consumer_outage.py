"""A database that goes away: the application is told, nothing is lost, and everything goes on by itself."""

import time
from typing import Any

import psycopg
import pytest

from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaError, KafkaException
from shim.topic_partition import TopicPartition
from tests.fixtures.proxy import OpenProxy, TcpProxy
from tests.integration.shim.consumer.scene import (
    WAIT_SECONDS,
    Callbacks,
    MakeConsumer,
    code,
    committed,
    fill,
    make_topic,
    take,
    take_event,
    until,
    values,
)

NOBODY = "postgresql://nobody@127.0.0.1:9/none"
TRANSPORT, ALL_DOWN = KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001


@pytest.fixture
def proxy(open_proxy: OpenProxy, migrated_url: str) -> TcpProxy:
    return open_proxy(migrated_url)


@pytest.fixture
def url(proxy: TcpProxy, migrated_url: str) -> str:
    """The database through a proxy that breaks."""
    return proxy.url_of(migrated_url)


def down(proxy: TcpProxy) -> None:
    proxy.refuse()
    proxy.cut_all()


def test_poll_survives_an_outage(
    consumer_of: MakeConsumer, proxy: TcpProxy, url: str, migrated: Connection, group: str
) -> None:
    errors: list[KafkaError] = []
    topic = make_topic(migrated)
    fill(migrated, topic, 2)
    consumer = consumer_of(url, group, error_cb=errors.append)
    consumer.subscribe([topic])
    assert values(take(consumer, 2)) == [b"0", b"1"]
    down(proxy)
    fill(migrated, topic, [b"meanwhile"])
    until(consumer, lambda: len(errors) >= 2)
    assert [error.code() for error in errors[:2]] == [TRANSPORT, ALL_DOWN]
    began = time.monotonic()
    assert consumer.poll(0.5) is None
    assert time.monotonic() - began < 5
    assert len(errors) == 2  # once for each outage
    proxy.heal()
    assert values(take(consumer, 1)) == [b"meanwhile"]
    assert proxy.faults["refused"] > 0
    assert [error.code() for error in errors] == [TRANSPORT, ALL_DOWN]


def test_what_is_there_is_handed_out_during_an_outage(
    consumer_of: MakeConsumer, proxy: TcpProxy, url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 100)
    consumer = consumer_of(url, group)
    consumer.subscribe([topic])
    take(consumer, 1)
    down(proxy)
    assert values(take(consumer, 99))[-1] == b"99"


def test_a_lease_that_must_be_over_is_lost(
    consumer_of: MakeConsumer, proxy: TcpProxy, url: str, migrated: Connection, group: str, callbacks: Callbacks
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 1)
    consumer = consumer_of(url, group, session_timeout_ms=1000)
    consumer.subscribe([topic], **callbacks.all)
    take(consumer, 1)
    down(proxy)
    until(consumer, lambda: "lost" in callbacks.names)
    assert consumer.assignment() == []
    proxy.heal()
    until(consumer, consumer.assignment)
    assert callbacks.names == ["assign", "lost", "assign"]


def test_commits_wait_for_the_database(
    consumer_of: MakeConsumer, proxy: TcpProxy, url: str, migrated: Connection, group: str
) -> None:
    told: list[Any] = []
    topic = make_topic(migrated)
    fill(migrated, topic, 3)
    consumer = consumer_of(url, group, enable_auto_commit=False, on_commit=lambda *call: told.append(call))
    consumer.assign([TopicPartition(topic, 0)])
    first, second, third = take(consumer, 3)
    down(proxy)
    consumer.commit(first)
    consumer.commit(second)
    proxy.heal()
    consumer.commit(third, asynchronous=False)
    assert committed(migrated, group) == {0: 3}
    until(consumer, lambda: len(told) == 2)
    assert [error for error, _ in told] == [None, None]
    assert proxy.faults["cut"] > 0


def test_a_commit_whose_reply_was_lost_is_made_again(
    consumer_of: MakeConsumer, proxy: TcpProxy, url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 1)
    consumer = consumer_of(url, group, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, 0)])
    message = take(consumer, 1)[0]
    proxy.cut_reply_after(lambda sent: b"job_group_offset" in sent and b"insert" in sent)
    assert [one.offset for one in consumer.commit(message, asynchronous=False)] == [1]
    assert proxy.faults["reply-cut"] == 1
    assert committed(migrated, group) == {0: 1}


def test_a_commit_that_nobody_answers_fails_in_time(consumer_of: MakeConsumer, group: str) -> None:
    consumer = consumer_of(NOBODY, group, socket_timeout_ms=500)
    began = time.monotonic()
    with pytest.raises(KafkaException) as late:
        consumer.commit(offsets=[TopicPartition("topic", 0, 1)], asynchronous=False)
    assert late.value.args[0].code() == TRANSPORT
    assert time.monotonic() - began < WAIT_SECONDS
    told: list[Any] = []
    quiet = consumer_of(NOBODY, group, socket_timeout_ms=500, on_commit=lambda *call: told.append(call))
    quiet.commit(offsets=[TopicPartition("topic", 0, 1)])
    until(quiet, lambda: told)
    assert told[0][0].code() == TRANSPORT


def test_without_a_server_nothing_is_raised(consumer_of: MakeConsumer, group: str) -> None:
    errors: list[KafkaError] = []
    consumer = consumer_of(NOBODY, group, error_cb=errors.append)
    consumer.subscribe(["topic"])
    assert consumer.poll(0) is None
    until(consumer, lambda: len(errors) >= 2)
    assert [error.code() for error in errors[:2]] == [TRANSPORT, ALL_DOWN]
    with pytest.raises(KafkaException):
        consumer.committed([TopicPartition("topic", 0)], timeout=0.2)
    with pytest.raises(KafkaException):
        consumer.get_watermark_offsets(TopicPartition("topic", 0), timeout=0.2)
    consumer.close()


@pytest.mark.parametrize("subscribed", [True, False])
def test_closing_is_bounded(
    consumer_of: MakeConsumer, proxy: TcpProxy, url: str, migrated: Connection, group: str, subscribed: bool
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 2)
    callbacks = Callbacks()
    consumer = consumer_of(url, group)
    if subscribed:
        consumer.subscribe([topic], **callbacks.all)
    else:
        consumer.assign([TopicPartition(topic, 0)])
    consumer.commit(take(consumer, 2)[0])
    down(proxy)
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)])
    began = time.monotonic()
    consumer.close()
    assert time.monotonic() - began < 9
    assert callbacks.names == (["assign", "revoke"] if subscribed else [])
    with pytest.raises(RuntimeError):
        consumer.poll(0)


def test_a_database_without_the_tables_is_an_event(consumer_of: MakeConsumer, database_url: str, group: str) -> None:
    consumer = consumer_of(database_url, group)
    consumer.subscribe(["topic"])
    event = take_event(consumer)
    assert code(event) == KafkaError._NOT_CONFIGURED  # noqa: SLF001
    assert b"job_topic" in (event.value() or b"")
    assert consumer.poll(1) is None  # told once
    consumer.close()


def test_what_an_applications_own_sql_raises_in_a_callback_is_its_own(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)

    def on_assign(_: Consumer, __: list[TopicPartition]) -> None:
        raise psycopg.OperationalError("of the application")

    consumer.subscribe([topic], on_assign=on_assign)
    with pytest.raises(psycopg.OperationalError, match="of the application"):
        until(consumer, lambda: False)
    assert len(consumer.assignment()) == 1
