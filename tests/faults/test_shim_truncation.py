"""A standby that had not everything takes over: what was acknowledged is gone, and the log ends earlier than before.

Kafka's word for it is truncation (an unclean leader election). Consumers that were further must find that out, or they
would pass over what is written next.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import wait_until
from shim import Consumer, KafkaError, Message, Producer, TopicPartition
from shim.store import pool, schema, topics
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy, TcpProxy
from tests.fixtures.replication import StandbyPostgres, StartStandby

SECONDS = 60.0
TOPIC, GROUP = "jobs", "workers"
KEPT, LOST = 100, 50


class Scene:
    """A primary whose standby falls behind, and the address at which clients find the one that counts.

    Attributes:
        url: the database by that address.
    """

    def __init__(self, primary: EmbeddedPostgres, standby: StandbyPostgres, link: TcpProxy, address: TcpProxy) -> None:
        self._primary = primary
        self._standby = standby
        self._link = link
        self._address = address
        self.url = address.url_of(primary.url)

    def produce(self, word: str, count: int, url: str = "") -> None:
        """Write so many messages, and wait for their reports."""
        errors: list[Any] = []
        with Producer({"shim.dsn": url or self.url, "linger.ms": 2}) as producer:
            for number in range(count):
                producer.produce(TOPIC, f"{word} {number}", on_delivery=lambda error, _: errors.append(error))
            assert producer.flush(SECONDS) == 0
        assert errors == [None] * count

    def wait_for_standby(self) -> None:
        """Wait until the standby has all that is there."""
        lag = "select pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) <= 0 from pg_stat_replication"
        with psycopg.connect(self._primary.url, autocommit=True) as conn:
            assert wait_until(lambda: conn.execute(lag).fetchone() == (True,), SECONDS)

    def cut_standby_off(self) -> None:
        """From now on the standby hears nothing."""
        self._link.refuse()
        assert self._link.cut_all() > 0

    def promote(self, meanwhile: int) -> None:
        """Lose the primary, promote the standby, and move the address once so many new messages are there."""
        self._primary.kill()
        self._standby.promote()
        self.produce("new", meanwhile, self._standby.url)
        self._address.upstream = ("127.0.0.1", self._standby.port)


@pytest.fixture
def scene(own_postgres: OwnPostgres, start_standby: StartStandby, open_proxy: OpenProxy) -> Iterator[Scene]:
    """Holds `KEPT` messages that both servers have."""
    primary = own_postgres(fsync=True)
    with closing(postgres.connect(primary.url, "test")) as conn:
        line = schema.store_line()
        schema.upgrade(conn, line)
        assert topics.create_topic(conn, topics.load(line.schemas), TOPIC, 1)
    link = open_proxy(primary.url)
    standby = start_standby(primary, through=link.url_of(primary.url), synchronous=False)
    made = Scene(primary, standby, link, open_proxy(primary.url))
    made.produce("kept", KEPT)
    yield made
    pool.close_all()


def configuration(url: str, policy: str) -> dict[str, object]:
    return {"shim.dsn": url, "group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": policy}


def take(consumer: Consumer, count: int) -> list[Message]:
    """Poll until so many messages have come, errors among them."""
    taken: list[Message] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        if message is not None:
            taken.append(message)
        return len(taken) >= count

    assert wait_until(enough, SECONDS, 0), values(taken)
    return taken


def values(messages: list[Message]) -> list[str]:
    return [(message.value() or b"").decode() for message in messages]


def words(word: str, count: int) -> list[str]:
    return [f"{word} {number}" for number in range(count)]


@pytest.fixture
def consumer(scene: Scene, request: pytest.FixtureRequest) -> Iterator[Consumer]:
    """One that has read and committed all that is there, and then more that the standby will never have."""
    made = Consumer(configuration(scene.url, request.param))
    made.assign([TopicPartition(TOPIC, 0, 0)])
    assert values(take(made, KEPT)) == words("kept", KEPT)
    made.commit(asynchronous=False)
    scene.wait_for_standby()
    scene.cut_standby_off()
    scene.produce("lost", LOST)
    assert values(take(made, LOST)) == words("lost", LOST)
    made.commit(asynchronous=False)
    yield made
    with suppress(RuntimeError):
        made.close()


# Where the log ends when the consumer comes back: before the place where it stood, or behind it.
NEW = pytest.mark.parametrize("new", [LOST - 40, LOST + 40], ids=["before", "behind"])


@NEW
@pytest.mark.parametrize("consumer", ["earliest"], indirect=True)
def test_earliest_begins_anew(scene: Scene, consumer: Consumer, new: int) -> None:
    scene.promote(meanwhile=new)
    assert values(take(consumer, KEPT + new)) == words("kept", KEPT) + words("new", new)


@NEW
@pytest.mark.parametrize("consumer", ["latest"], indirect=True)
def test_latest_goes_to_the_end(scene: Scene, consumer: Consumer, new: int) -> None:
    scene.promote(meanwhile=new)
    partition = TopicPartition(TOPIC, 0)

    def sees_the_end() -> bool:
        assert consumer.poll(0.2) is None
        return consumer.get_watermark_offsets(partition, cached=True) == (0, KEPT + new)

    assert wait_until(sees_the_end, SECONDS, 0)
    scene.produce("newest", 3)
    assert values(take(consumer, 3)) == words("newest", 3)


@NEW
@pytest.mark.parametrize("consumer", ["error"], indirect=True)
def test_error_is_told(scene: Scene, consumer: Consumer, new: int) -> None:
    scene.promote(meanwhile=new)
    (message,) = take(consumer, 1)
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001


@pytest.mark.parametrize("consumer", ["earliest"], indirect=True)
def test_a_group_that_comes_anew_stands_where_the_new_server_says(scene: Scene, consumer: Consumer) -> None:
    """Its commits were truncated with the log: nothing is passed over."""
    consumer.close()
    scene.promote(meanwhile=LOST + 40)
    with Consumer(configuration(scene.url, "error")) as heir:
        heir.subscribe([TOPIC])
        assert values(take(heir, LOST + 40)) == words("new", LOST + 40)


@pytest.mark.parametrize("consumer", ["earliest"], indirect=True)
def test_a_commit_beyond_the_end_is_no_place_to_start(scene: Scene, consumer: Consumer) -> None:
    """What was read of the old log is committed to the new one, as by a worker that was busy meanwhile."""
    scene.promote(meanwhile=LOST - 40)
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, KEPT + LOST)], asynchronous=False)
    consumer.close()
    with Consumer(configuration(scene.url, "earliest")) as heir:
        heir.subscribe([TOPIC])
        assert values(take(heir, KEPT + LOST - 40)) == words("kept", KEPT) + words("new", LOST - 40)
