"""A server that is there as far as TCP can tell, and answers nothing: what waits for it is done with it in time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from migrator.embedded.process import wait_until
from shim import Consumer, KafkaException, Producer, TopicPartition
from shim.store import schema
from shim.store.pool import pool_for
from shim.store.retention import sweeper_for
from shim.store.statements import Schemas
from tests.fixtures.postgres import Databases
from tests.fixtures.proxy import OpenProxy, TcpProxy

_TOPIC = "topic"
_TIMEOUT_MS = 1_000
_SECONDS = 60.0


def _migrate(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        schema.upgrade(connection, schema.store_line())


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    found = databases.create(_migrate)
    yield found
    databases.drop(found)


@pytest.fixture
def proxy(url: str, open_proxy: OpenProxy) -> TcpProxy:
    return open_proxy(url)


def _outcome_in_time(call: Callable[[], object]) -> Exception | None:
    """What a call raised, or None; it has to end, one way or the other."""
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except KafkaException as failure:
            raised.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    assert not thread.is_alive(), "it still waits"
    return raised[0] if raised else None


class Silence:
    """Once: whoever sends certain words is never answered again, and his connection stays open."""

    def __init__(self, proxy: TcpProxy, words: bytes) -> None:
        self._struck = threading.Event()
        proxy.cut_reply_after(lambda sent: words in sent, self._swallow)

    def _swallow(self, _reply: bytes) -> bool:
        self._struck.set()
        return False

    @property
    def struck(self) -> bool:
        """Whether an answer was kept back."""
        return self._struck.is_set()


def _settings(proxy: TcpProxy, url: str, **more: Any) -> dict[str, Any]:
    spelled = {name.replace("_", "."): value for name, value in more.items()}
    return {"bootstrap.servers": proxy.url_of(url), "socket.timeout.ms": _TIMEOUT_MS, **spelled}


def test_a_commit_does_not_wait_for_ever(proxy: TcpProxy, url: str) -> None:
    with Producer({"bootstrap.servers": url}) as producer:
        producer.produce(_TOPIC, "value")
    consumer = Consumer(_settings(proxy, url, group_id="group", auto_offset_reset="earliest", enable_auto_commit=False))
    consumer.assign([TopicPartition(_TOPIC, 0)])
    assert wait_until(lambda: consumer.poll(0.1) is not None, _SECONDS)
    wanted = [TopicPartition(_TOPIC, 0, 1)]
    silence = Silence(proxy, b"job_group_offset")
    failure = _outcome_in_time(lambda: consumer.commit(offsets=wanted, asynchronous=False))
    assert silence.struck
    assert failure is not None
    assert failure.args[0].name() == "_TRANSPORT"
    assert _outcome_in_time(lambda: consumer.commit(offsets=wanted, asynchronous=False)) is None
    assert consumer.committed(wanted)[0].offset == 1
    consumer.close()


@pytest.mark.parametrize("words", [b"pg_current_xact_id", b"PGCOPY\n", b"\x0bCOMMIT\0"])
def test_a_producer_that_is_not_answered_sends_again(proxy: TcpProxy, url: str, words: bytes) -> None:
    producer = Producer(_settings(proxy, url))
    reports: list[Any] = []
    producer.produce(_TOPIC, "first", on_delivery=lambda error, _message: reports.append(error))
    assert producer.flush(_SECONDS) == 0
    silence = Silence(proxy, words)
    producer.produce(_TOPIC, "second", on_delivery=lambda error, _message: reports.append(error))
    assert producer.flush(_SECONDS) == 0
    assert silence.struck
    assert reports == [None, None]
    with psycopg.connect(url) as connection:
        rows = connection.execute("select log_offset, payload from job_queue order by log_offset").fetchall()
    assert rows == [(0, "first"), (1, "second")]
    producer.close()


def test_a_producer_that_is_not_told_of_its_topic_asks_again(proxy: TcpProxy, url: str) -> None:
    silence = Silence(proxy, b"job_topic")
    producer = Producer(_settings(proxy, url))
    producer.produce(_TOPIC, "value")
    assert producer.flush(_SECONDS) == 0
    assert silence.struck
    producer.close()


def test_an_announcement_that_is_not_answered_keeps_nobody_from_sending(proxy: TcpProxy, url: str) -> None:
    silence = Silence(proxy, b"pg_notify")
    producer = Producer(_settings(proxy, url, shim_pool_size=1))
    for _ in range(2):
        producer.produce(_TOPIC, "value")
        assert producer.flush(_SECONDS) == 0
        assert wait_until(lambda: silence.struck, _SECONDS)
    producer.close()


@pytest.mark.slow  # its patience is half a minute
def test_a_sweep_that_is_not_answered_ends(proxy: TcpProxy, url: str) -> None:
    with Producer({"bootstrap.servers": url}) as producer:
        producer.produce(_TOPIC, "value")
    silence = Silence(proxy, b"job_partition")
    sweeper = sweeper_for(pool_for(proxy.url_of(url)), Schemas({"queue": "public"}))
    sweeper.start()
    assert wait_until(lambda: sweeper.error is not None, _SECONDS)
    assert silence.struck
