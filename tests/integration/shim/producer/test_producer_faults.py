"""Outages, lost replies, restarts, bad records: what was acknowledged is there once, in order, and nothing else is."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.producer import Producer
from shim.protocol.codes import Broker, Local
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy, TcpProxy, any_reply, commit_done
from tests.integration.shim.conftest import migrate
from tests.integration.shim.producer.scene import WAIT_SECONDS, MakeProducer, Reports, make_topic, stored

Fault = Callable[[TcpProxy], None]


def commits(sent: bytes) -> bool:
    """Whether this is the statement, not the name of a setting."""
    return b"\x0bCOMMIT\0" in sent


def cut_commit_reply(proxy: TcpProxy) -> None:
    """Once: lets the server commit, and the client never hear of it."""
    proxy.cut_reply_after(commits, commit_done)


def sends_rows(sent: bytes) -> bool:
    return b"PGCOPY\n" in sent


def produced(producer: Producer, reports: Reports, count: int, topic: str = "topic") -> list[bytes]:
    values = [b"%d" % number for number in range(count)]
    for value in values:
        producer.produce(topic, value, value, callback=reports)
    return values


def connect(producer: Producer) -> None:
    """Leaves the pool with a connection, which outlasts a proxy's refusal of new ones."""
    producer.produce("topic", b"0")
    assert producer.flush(WAIT_SECONDS) == 0


def check_exactly_once(conn: Connection, reports: Reports, values: list[bytes]) -> None:
    """All were acknowledged, each is there once, and where its report says."""
    assert reports.errors == [None] * len(values)
    told = {(m.partition(), m.offset()): m.value() for m in reports.messages}
    rows = stored(conn, "topic")
    assert {(row.partition, row.offset): row.value for row in rows} == told
    assert sorted(row.value or b"" for row in rows) == sorted(values)
    check_order(conn)


def check_order(conn: Connection) -> None:
    for partition in {row.partition for row in stored(conn, "topic")}:
        numbers = [int(row.value or b"") for row in stored(conn, "topic") if row.partition == partition]
        assert numbers == sorted(numbers)


FAULTS: dict[str, Fault] = {
    "the reply to COMMIT": cut_commit_reply,
    "the rows": lambda proxy: proxy.cut_reply_after(sends_rows, any_reply),
    "the reservation": lambda proxy: proxy.cut_reply_after(lambda sent: b"pg_current_xact_id" in sent, any_reply),
}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_lost_reply_loses_and_doubles_nothing(
    producer_of: MakeProducer,
    migrated: Connection,
    migrated_url: str,
    open_proxy: OpenProxy,
    reports: Reports,
    fault: str,
    times: int,
) -> None:
    make_topic(migrated, "topic", 3)
    proxy = open_proxy(migrated_url)
    producer = producer_of(proxy.url_of(migrated_url), linger_ms=50, batch_num_messages=100)
    for _ in range(times):
        FAULTS[fault](proxy)
    values = produced(producer, reports, 300)
    assert producer.flush(WAIT_SECONDS) == 0
    assert proxy.faults["reply-cut"] == times
    check_exactly_once(migrated, reports, values)


def test_a_lost_reply_before_a_long_outage(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, open_proxy: OpenProxy, reports: Reports
) -> None:
    make_topic(migrated, "topic", 3)
    proxy = open_proxy(migrated_url)
    producer = producer_of(proxy.url_of(migrated_url), linger_ms=50)
    connect(producer)
    migrated.execute("delete from job_queue")
    cut_commit_reply(proxy)
    proxy.refuse()
    values = produced(producer, reports, 100)
    assert producer.poll(1.0) == 0
    assert proxy.faults["reply-cut"] == 1
    assert proxy.faults["refused"] > 0
    proxy.heal()
    assert producer.flush(WAIT_SECONDS) == 0
    check_exactly_once(migrated, reports, values)


def test_a_lost_reply_is_no_delivery_once_the_message_has_timed_out(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, open_proxy: OpenProxy, reports: Reports
) -> None:
    """The application hears of it once, and what it produces next goes through."""
    make_topic(migrated, "topic")
    proxy = open_proxy(migrated_url)
    producer = producer_of(proxy.url_of(migrated_url), message_timeout_ms=1000)
    connect(producer)
    cut_commit_reply(proxy)
    proxy.refuse()
    producer.produce("topic", b"1", callback=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert proxy.faults["reply-cut"] == 1
    assert reports.codes == [Local.MSG_TIMED_OUT]
    proxy.heal()
    producer.produce("topic", b"2", callback=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.MSG_TIMED_OUT, None]
    assert [row.value for row in stored(migrated, "topic")] == [b"0", b"1", b"2"]


def test_a_server_that_is_not_there_yet(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, open_proxy: OpenProxy, reports: Reports
) -> None:
    proxy = open_proxy(migrated_url)
    proxy.refuse()
    producer = producer_of(proxy.url_of(migrated_url))
    values = produced(producer, reports, 20)
    assert producer.flush(0.5) == 20
    proxy.heal()
    assert producer.flush(WAIT_SECONDS) == 0
    check_exactly_once(migrated, reports, values)


class Stream:
    """An application that goes on producing, and restarts for nothing."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.reports = Reports()
        self.values: list[bytes] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ends.set()
        self._thread.join()
        assert self.producer.flush(60) == 0

    def _run(self) -> None:
        while not self._ends.is_set():
            value = b"%d" % len(self.values)
            self.producer.produce("topic", value, b"%d" % (len(self.values) % 17), callback=self.reports)
            self.values.append(value)
            self.producer.poll(0.0005)


@pytest.mark.parametrize("blow", ["fast", "immediate", "kill"])
def test_postgres_restarts_under_a_running_producer(
    producer_of: MakeProducer, own_postgres: OwnPostgres, blow: str
) -> None:
    server = own_postgres(fsync=True)
    migrate(server.url)
    with closing(postgres.connect(server.url, "test")) as conn:
        make_topic(conn, "topic", 4)
    stream = Stream(producer_of(server.url, linger_ms=1))
    stream.start()
    try:
        for _ in range(2):
            delivered = len(stream.reports.messages)
            assert wait_until(lambda known=delivered: len(stream.reports.messages) > known + 50, WAIT_SECONDS)  # type: ignore[misc]
            strike(server, blow)
    finally:
        stream.end()
    with closing(postgres.connect(server.url, "test")) as conn:
        check_exactly_once(conn, stream.reports, stream.values)


def strike(server: EmbeddedPostgres, blow: str) -> None:
    if blow == "kill":
        server.kill()
        server.start()
    else:
        server.restart(blow)  # type: ignore[arg-type]  # fast or immediate


def test_sessions_that_are_terminated(producer_of: MakeProducer, migrated: Connection, migrated_url: str) -> None:
    make_topic(migrated, "topic", 4)
    stream = Stream(producer_of(migrated_url, linger_ms=1))
    stream.start()
    terminate = (
        "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    ended = 0
    try:
        while ended < 5:
            row = migrated.execute(terminate).fetchone()
            ended += row[0] if row else 0
            known = len(stream.reports.messages)
            assert wait_until(lambda n=known: len(stream.reports.messages) > n, WAIT_SECONDS)  # type: ignore[misc]
    finally:
        stream.end()
    check_exactly_once(migrated, stream.reports, stream.values)


GUARDS = {
    "constraint": "alter table job_queue add constraint fine check (payload ->> 'bad' is null)",
    "trigger": """
        create function refuse() returns trigger language plpgsql as $$
        begin
          if new.payload ->> 'bad' is not null then
            raise exception 'refused %', new.payload;
          end if;
          return new;
        end $$;
        create trigger refuse before insert on job_queue for each row execute function refuse()
    """,
    "late trigger": """
        create function refuse() returns trigger language plpgsql as $$
        begin
          if new.payload ->> 'bad' is not null then
            raise exception 'refused %', new.payload using errcode = '22023';
          end if;
          return null;
        end $$;
        create constraint trigger refuse after insert on job_queue deferrable initially deferred
        for each row execute function refuse()
    """,
}


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("bad", [{3}, {0, 1, 250, 499}, set(range(100, 200))], ids=["one", "four", "many"])
def test_a_bad_record_fails_alone(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports, guard: str, bad: set[int]
) -> None:
    make_topic(migrated, "topic")
    migrated.execute(GUARDS[guard].encode())
    producer = producer_of(migrated_url, linger_ms=200)
    for number in range(500):
        text = '{"bad": "secret"}' if number in bad else f'{{"n": {number}}}'
        producer.produce("topic", text, str(number), callback=reports)
    assert producer.flush(60) == 0
    failed = {int(m.key()) for m, error in zip(reports.messages, reports.errors, strict=True) if error is not None}
    assert failed == bad
    for error in reports.errors:
        assert error is None or not error.retriable()
        assert error is None or "secret" not in error.str()
    rows = stored(migrated, "topic")
    assert [int(row.key or b"") for row in rows] == [number for number in range(500) if number not in bad]
    told = {int(m.key()): m.offset() for m in reports.messages if m.error() is None}
    assert [told[int(row.key or b"")] for row in rows] == [row.offset for row in rows]


def test_every_record_is_bad(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    make_topic(migrated, "topic")
    migrated.execute("alter table job_queue add constraint none check (topic <> 'topic')")
    producer = producer_of(migrated_url, linger_ms=100)
    produced(producer, reports, 1000)
    assert producer.flush(60) == 0
    assert reports.codes == [Broker.INVALID_RECORD] * 1000
    assert [m.value() for m in reports.messages] == [b"%d" % number for number in range(1000)]


@pytest.mark.direct("logs in as somebody else")
def test_no_right_to_write(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    make_topic(migrated, "topic")
    user = f"guest_{time.time_ns()}"
    migrated.execute(f"create role {user} login".encode())
    migrated.execute(f"grant select on all tables in schema public to {user}".encode())
    try:
        producer = producer_of(migrated_url.replace("postgres@", f"{user}@"))
        produced(producer, reports, 100)
        assert producer.flush(WAIT_SECONDS) == 0
        assert reports.codes == [Broker.TOPIC_AUTHORIZATION_FAILED] * 100
        reports.errors.clear()
        producer.produce("new", b"v", callback=reports)
        assert producer.flush(WAIT_SECONDS) == 0
        assert reports.codes == [Broker.TOPIC_AUTHORIZATION_FAILED]
    finally:
        migrated.execute(f"drop owned by {user}; drop role {user}".encode())


def test_tables_that_are_not_there(producer_of: MakeProducer, database_url: str, reports: Reports) -> None:
    producer = producer_of(database_url)
    produced(producer, reports, 10)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.NOT_CONFIGURED] * 10
    assert "job_topic" in reports.errors[0].str()


@pytest.mark.direct("changes the database's settings, which new sessions see")
def test_a_server_that_only_follows_is_waited_for(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    make_topic(migrated, "topic")
    database = migrated.info.dbname
    migrated.execute(f'alter database "{database}" set default_transaction_read_only = on'.encode())
    told: list[Any] = []
    producer = producer_of(migrated_url, error_cb=told.append)
    values = produced(producer, reports, 10)
    while not told:
        assert producer.poll(WAIT_SECONDS) > 0
    assert told[0].code() == Local.READ_ONLY
    assert reports.messages == []
    migrated.execute(f'alter database "{database}" reset default_transaction_read_only'.encode())
    assert producer.flush(WAIT_SECONDS) == 0
    check_exactly_once(migrated, reports, values)


def watch_commits(conn: Connection) -> None:
    """Notes what the commit of each append waits for."""
    conn.execute("create table noted (level text)")
    conn.execute("""
        create function note() returns trigger language plpgsql as $$
        begin
          insert into noted values (current_setting('synchronous_commit'));
          return null;
        end $$
    """)
    conn.execute("create trigger note after insert on job_queue execute function note()")


@pytest.mark.direct("changes the database's settings, which new sessions see")
@pytest.mark.parametrize(("acks", "level"), [(-1, "remote_write"), ("all", "remote_write"), (1, "local"), (0, "off")])
def test_acks_is_what_the_commit_waits_for(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports, acks: object, level: str
) -> None:
    watch_commits(migrated)
    migrated.execute(f'alter database "{migrated.info.dbname}" set synchronous_commit = remote_write'.encode())
    producer = producer_of(migrated_url, acks=acks)
    values = produced(producer, reports, 3)
    assert producer.flush(WAIT_SECONDS) == 0
    check_exactly_once(migrated, reports, values)
    assert {row[0] for row in migrated.execute("select level from noted")} == {level}


@pytest.mark.direct("changes the database's settings, which new sessions see")
@pytest.mark.parametrize(("acks", "code"), [("all", Local.INVALID_ARG), (1, None), (0, None)])
def test_a_commit_that_waits_for_nothing_is_no_acknowledgement_by_all(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports, acks: object, code: int | None
) -> None:
    migrated.execute(f'alter database "{migrated.info.dbname}" set synchronous_commit = off'.encode())
    producer = producer_of(migrated_url, acks=acks)
    values = produced(producer, reports, 5)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [code] * 5
    assert len(stored(migrated, "topic")) == (0 if code else len(values))
    assert code is None or "synchronous_commit" in reports.errors[0].str()


def fail_twice(conn: Connection) -> None:
    conn.execute("create sequence attempts")
    conn.execute("""
        create function fail() returns trigger language plpgsql as $$
        begin
          if nextval('attempts') <= 2 then
            raise exception 'not now' using errcode = '40001';
          end if;
          return null;
        end $$
    """)
    conn.execute("create trigger fail after insert on job_queue execute function fail()")


@pytest.mark.parametrize(("retries", "delivered"), [(0, False), (1, False), (2, True)])
def test_retries(
    producer_of: MakeProducer,
    migrated: Connection,
    migrated_url: str,
    reports: Reports,
    retries: int,
    delivered: bool,
) -> None:
    fail_twice(migrated)
    told: list[Any] = []
    producer = producer_of(migrated_url, retries=retries, error_cb=told.append)
    producer.produce("topic", b"1", callback=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [None if delivered else Local.RETRY]
    assert told == []
    assert len(stored(migrated, "topic")) == delivered


def test_nothing_of_a_refused_record_is_logged(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    migrated.execute(GUARDS["trigger"].encode())
    producer = producer_of(migrated_url)
    producer.produce("topic", '{"bad": "secret"}')
    assert producer.flush(WAIT_SECONDS) == 0
    assert "secret" not in caplog.text
    with pytest.raises(psycopg.errors.RaiseException, match="secret"):
        migrated.execute("""insert into job_queue (payload) values ('{"bad": "secret"}')""")
