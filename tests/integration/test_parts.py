"""The servers that the suite and the demo run on: they start, survive what a test does to them, and leave nothing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from migrator.embedded.guardian import is_running
from migrator.embedded.parts import Broker
from migrator.embedded.process import children_of, wait_until
from migrator.kafka.mock import MockCluster
from tests.fixtures.kafka import CreateTopic, OwnKafka, create_topic_on
from tests.fixtures.pgbouncer import PgBouncer
from tests.fixtures.postgres import Databases, OwnPostgres
from tests.fixtures.proxy import OpenProxy, commit_done, sends_commit

_ROOT = Path(__file__).parents[2]
_SECONDS = 60.0

# --- started by hand ------------------------------------------------------------------------------------------------


class ByHand:
    """A module of the fixtures, run as a program with a folder for temporary files of its own."""

    def __init__(self, module: str, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def by_hand() -> Iterator[Callable[[str], ByHand]]:
    started: list[ByHand] = []

    def start(module: str) -> ByHand:
        folder = Path(tempfile.mkdtemp())  # pytest's own is closed to the user that Postgres runs as
        folder.chmod(0o755)
        started.append(ByHand(module, folder))
        return started[-1]

    yield start
    for program in started:
        program.close()
        shutil.rmtree(program.folder, ignore_errors=True)


def descendants(pid: int) -> set[int]:
    return {pid}.union(*(descendants(child) for child in children_of(pid)))


def end_with_sigterm(program: ByHand) -> None:
    program.process.terminate()


def end_with_closed_input(program: ByHand) -> None:
    program.close_input()


def end_with_sigkill(program: ByHand) -> None:
    program.process.kill()


def expect_nothing_left(program: ByHand, processes: set[int]) -> None:
    assert wait_until(lambda: not any(map(is_running, processes)), _SECONDS)
    assert wait_until(lambda: not list(program.folder.iterdir()), _SECONDS), list(program.folder.iterdir())


ENDINGS = pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param(end_with_sigterm, 0, id="sigterm"),
        pytest.param(end_with_closed_input, 0, id="closed-input"),
        pytest.param(end_with_sigkill, -signal.SIGKILL, id="sigkill"),
    ],
)


@ENDINGS
def test_postgres_by_hand(by_hand: Callable[[str], ByHand], end: Callable[[ByHand], None], status: int) -> None:
    program = by_hand("tests.fixtures.postgres")
    name, _, url = program.line().partition("=")
    assert name == "DATABASE_URL"
    with psycopg.connect(url) as connection:
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)
    processes = descendants(program.process.pid)
    end(program)
    assert program.process.wait(_SECONDS) == status
    expect_nothing_left(program, processes)


@ENDINGS
def test_kafka_by_hand(by_hand: Callable[[str], ByHand], end: Callable[[ByHand], None], status: int) -> None:
    program = by_hand("tests.fixtures.kafka")
    name, _, servers = program.line().partition("=")
    assert name == "bootstrap.servers"
    assert program.line() in {"broker=apache-kafka", "broker=container", "broker=mock", "broker=external"}
    assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=_SECONDS).brokers
    processes = descendants(program.process.pid)
    end(program)
    assert program.process.wait(_SECONDS) == status
    expect_nothing_left(program, processes)


def test_input_that_has_ended_ends_the_server_at_once() -> None:
    argv = [sys.executable, "-m", "tests.fixtures.postgres"]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=_ROOT, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("DATABASE_URL=postgresql://")


# --- Postgres -------------------------------------------------------------------------------------------------------


def setup_numbers(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table numbers as select generate_series(1, 10) as n")


def rows_of(url: str, table: str = "numbers") -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("version", ["15", "18"])
def test_a_killed_postgres_comes_back_with_what_was_committed(own_postgres: OwnPostgres, version: str) -> None:
    server = own_postgres(version)
    assert server.version == int(version)
    setup_numbers(server.url)
    with psycopg.connect(server.url) as open_transaction:
        open_transaction.execute("insert into numbers values (11)")
        server.kill()
        url = server.url
        assert server.start().url == url
        assert rows_of(url) == 10
        with pytest.raises(psycopg.OperationalError):
            open_transaction.commit()


def test_postgres_restarts_on_its_data_and_port(own_postgres: OwnPostgres) -> None:
    server = own_postgres(fsync=False, settings={"work_mem": "7MB"})
    setup_numbers(server.url)
    url, first = server.url, server.pid
    server.restart()
    assert server.url == url
    assert server.pid != first
    assert rows_of(url) == 10
    with psycopg.connect(url) as connection:
        assert connection.execute("show work_mem").fetchone() == ("7MB",)


def test_a_killed_postgres_leaves_no_process_and_no_folder(own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    processes, folder = descendants(server.pid), server.folder
    assert len(processes) > 1
    server.kill()
    assert not any(map(is_running, processes))
    server.close()
    assert not folder.exists()


def test_databases_are_clones_of_a_template_that_is_prepared_once(databases: Databases) -> None:
    first, second, empty = databases.create(setup_numbers), databases.create(setup_numbers), databases.create()
    assert first != second
    assert rows_of(first) == rows_of(second) == 10
    assert rows_of(empty, "pg_tables where tablename = 'numbers'") == 0
    for url in (first, second, empty):
        databases.drop(url)


def test_the_pooler_lends_a_connection_for_one_transaction(pgbouncer: PgBouncer, database_url: str) -> None:
    url = pgbouncer.url_of(database_url)
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as two:
        backends = {c.execute("select pg_backend_pid()").fetchone() for c in (one, two, one, two)}
    assert len(backends) == 1


# --- the proxy ------------------------------------------------------------------------------------------------------


def test_a_commit_whose_reply_is_lost_is_committed(database_url: str, open_proxy: OpenProxy) -> None:
    setup_numbers(database_url)
    proxy = open_proxy(database_url)
    with psycopg.connect(proxy.url_of(database_url)) as connection:
        connection.execute("insert into numbers values (11)")
        proxy.cut_commit_reply()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert rows_of(database_url) == 11
    assert proxy.faults == {"reply-cut": 1}


def test_a_reply_is_lost_once_and_only_once(database_url: str, open_proxy: OpenProxy) -> None:
    proxy = open_proxy(database_url)
    url = proxy.url_of(database_url)
    proxy.cut_reply_after(lambda sent: b"pg_sleep" in sent)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.OperationalError):
        connection.execute("select pg_sleep(0)")
    with psycopg.connect(url) as connection:
        connection.execute("select pg_sleep(0)")
    assert proxy.faults == {"reply-cut": 1}


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_connections_are_cut(database_url: str, open_proxy: OpenProxy, reset: bool) -> None:
    proxy = open_proxy(database_url)
    with psycopg.connect(proxy.url_of(database_url)) as connection:
        connection.execute("select 1")
        assert proxy.cut_all(reset=reset) == 1
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert proxy.faults == {"cut": 1}


def test_new_connections_are_refused_until_it_heals(database_url: str, open_proxy: OpenProxy) -> None:
    proxy = open_proxy(database_url)
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.url_of(database_url), sslmode="disable", gssencmode="disable")
    assert proxy.faults == {"refused": 1}
    proxy.heal()
    psycopg.connect(proxy.url_of(database_url)).close()


def test_replies_are_held_back(database_url: str, open_proxy: OpenProxy) -> None:
    proxy = open_proxy(database_url)
    with psycopg.connect(proxy.url_of(database_url), autocommit=True) as connection:
        proxy.delay(0.2)
        found = connection.execute("select clock_timestamp()").fetchone()
        later = connection.execute("select clock_timestamp()").fetchone()
    assert found
    assert later
    assert (later[0] - found[0]).total_seconds() >= 0.2
    assert proxy.faults["delayed"] >= 2


def test_what_a_commit_and_its_reply_look_like() -> None:
    assert sends_commit(b"Q\x00\x00\x00\x0bcommit\x00")
    assert not sends_commit(b"Q\x00\x00\x00\x0dROLLBACK\x00")
    assert commit_done(b"C\x00\x00\x00\x0bCOMMIT\x00Z\x00\x00\x00\x05I")
    assert not commit_done(b"C\x00\x00\x00\x0dROLLBACK\x00Z\x00\x00\x00\x05I")


# --- Kafka ----------------------------------------------------------------------------------------------------------


def produce(servers: str, topic: str, values: list[bytes]) -> None:
    with Producer({"bootstrap.servers": servers}) as producer:
        for value in values:
            producer.produce(topic, value, partition=0)
        assert producer.flush(_SECONDS) == 0


def read(servers: str, topic: str, count: int) -> list[bytes | None]:
    with Consumer({"bootstrap.servers": servers, "group.id": "reader", "enable.auto.commit": False}) as consumer:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        messages: list[Message] = []

        def complete() -> bool:
            messages.extend(consumer.consume(count, timeout=1))
            return len(messages) >= count

        assert wait_until(complete, _SECONDS)
    return [message.value() for message in messages]


def test_the_sessions_kafka_keeps_what_is_produced(broker: Broker, create_topic: CreateTopic) -> None:
    topic = create_topic()
    produce(broker.bootstrap_servers, topic, [b"one", b"two"])
    assert read(broker.bootstrap_servers, topic, 2) == [b"one", b"two"]


def test_the_mock_cluster_keeps_what_is_produced() -> None:
    with MockCluster() as cluster:
        produce(cluster.bootstrap_servers, "mocked", [b"one"])
        assert read(cluster.bootstrap_servers, "mocked", 1) == [b"one"]


@pytest.mark.real_kafka
def test_a_broker_keeps_its_records_and_its_port_when_it_is_stopped_and_when_it_is_killed(own_kafka: OwnKafka) -> None:
    kafka = own_kafka()
    servers = kafka.bootstrap_servers
    create_topic_on(servers, "kept")
    produce(servers, "kept", [b"one", b"two"])
    kafka.restart()
    assert kafka.bootstrap_servers == servers
    assert read(servers, "kept", 2) == [b"one", b"two"]
    first = kafka.pid
    kafka.kill()
    assert not is_running(first)
    kafka.start()
    assert read(servers, "kept", 2) == [b"one", b"two"]
    folder = kafka.folder
    kafka.close()
    assert not folder.exists()


@pytest.mark.real_kafka
def test_the_log_dump_shows_the_markers_of_transactions(own_kafka: OwnKafka) -> None:
    kafka = own_kafka()
    create_topic_on(kafka.bootstrap_servers, "transactional")
    with Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "t"}) as producer:
        producer.init_transactions(_SECONDS)
        for finish in (producer.commit_transaction, producer.abort_transaction):
            producer.begin_transaction()
            producer.produce("transactional", b"value")
            producer.flush(_SECONDS)
            finish(_SECONDS)
    dump = kafka.dump_log("transactional", 0)
    markers = [line.split("endTxnMarker: ")[1].split()[0] for line in dump.splitlines() if "endTxnMarker" in line]
    assert markers == ["COMMIT", "ABORT"]
    assert dump.count("payload: value") == 2


@pytest.mark.real_kafka
def test_the_second_listener_knows_its_users(own_kafka: OwnKafka) -> None:
    kafka = own_kafka(sasl_users={"app": "right"})
    create_topic_on(kafka.bootstrap_servers, "guarded")

    def topics(password: str) -> set[str]:
        heard: list[KafkaError] = []
        config: dict[str, Any] = {
            "bootstrap.servers": kafka.sasl_bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "app",
            "sasl.password": password,
            "error_cb": heard.append,
            "log_level": 0,
        }
        client = AdminClient(config)
        try:
            return set(client.list_topics(timeout=3).topics)
        except KafkaException:
            client.poll(0)
            raise KafkaException(heard[0]) from None

    assert "guarded" in topics("right")
    with pytest.raises(KafkaException) as refused:
        topics("wrong")
    assert refused.value.args[0].code() == KafkaError._AUTHENTICATION  # noqa: SLF001  # its public name


@pytest.mark.real_kafka
def test_compaction_comes_within_seconds(broker: Broker, create_topic: CreateTopic) -> None:
    quick = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001"}
    topic = create_topic(config=quick)
    servers = broker.bootstrap_servers
    with Producer({"bootstrap.servers": servers}) as producer:

        def compacted() -> bool:
            producer.produce(topic, b"again", b"key", partition=0)  # each one may roll the segment before it
            producer.flush(_SECONDS)
            with Consumer({"bootstrap.servers": servers, "group.id": "reader"}) as consumer:
                partition = TopicPartition(topic, 0, OFFSET_BEGINNING)
                _, high = consumer.get_watermark_offsets(partition, _SECONDS)
                consumer.assign([partition])
                first = consumer.poll(_SECONDS)
            return first is not None and high > 2 and (first.offset() or 0) > 0

        assert wait_until(compacted, _SECONDS, interval=0.2)
