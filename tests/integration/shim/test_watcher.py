"""The watcher: sees what happens, soon and cheaply, through restarts, forks, poolers and silence; and the hint."""

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import append, notify, topics
from shim.store.connection import SilentServerError
from shim.store.fetch import Head
from shim.store.notify import announce, channel_of
from shim.store.pool import Pool, close_all, pool_for
from shim.store.schema import Line
from shim.store.topics import Texts
from shim.store.values import BYTES
from shim.store.watcher import Snapshot, Watcher, watcher_for
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy
from tests.integration.shim.conftest import migrate
from tests.integration.shim.test_pool import forked, forks

SECONDS = 30.0
EMAILS = "emails"


@dataclass
class Client:
    """Anything that takes interest; kept apart by identity."""

    name: str = ""

    __hash__ = object.__hash__


@pytest.fixture
def statements(line: Line) -> Texts:
    return {**topics.load(line.schemas), **append.load(line.schemas)}


@pytest.fixture
def log(migrated: Connection, statements: Texts) -> Connection:
    topics.create_topic(migrated, statements, EMAILS, 2)
    return migrated


@pytest.fixture
def pool(migrated_url: str) -> Pool:
    return pool_for(migrated_url)


@pytest.fixture
def watcher(pool: Pool, line: Line) -> Watcher:
    return watcher_for(pool, line.schemas)


@pytest.fixture
def client(log: Connection, watcher: Watcher) -> Client:
    """One that is interested in the emails, which are there."""
    assert not log.closed
    client = Client()
    watcher.watch([EMAILS], client)
    return client


@pytest.fixture
def server(own_postgres: OwnPostgres, statements: Texts) -> EmbeddedPostgres:
    server = own_postgres(fsync=False)
    migrate(server.url)
    with closing(postgres.connect(server.url, "test")) as conn:
        topics.create_topic(conn, statements, EMAILS, 2)
    return server


def produce(conn: Connection, statements: Texts, topic: str = EMAILS, partition: int = 0) -> None:
    append.append(conn, statements, [append.draft(topic, partition, None, b"\xff", None, None, BYTES)])


def until(watcher: Watcher, condition: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot that is as it should be; waited for as clients do."""
    deadline = time.monotonic() + SECONDS
    seen = watcher.snapshot()
    while not condition(seen):
        assert time.monotonic() < deadline, seen
        seen = watcher.wait(seen.version, 1.0)
    return seen


def looks_in(watcher: Watcher, seconds: float, monkeypatch: pytest.MonkeyPatch, wait: Callable[[], object]) -> int:
    """How often the watcher asks the server while ``wait`` is called again and again."""
    lent: list[float] = []
    pool = watcher._pool  # noqa: SLF001  # what it costs is not what it shows
    connection = pool.connection
    with monkeypatch.context() as patched:

        def counted(**given: Any) -> AbstractContextManager[object]:
            lent.append(time.monotonic())
            return connection(**given)

        patched.setattr(pool, "connection", counted)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            wait()
    return len(lent)


def at_rest(watcher: Watcher) -> Snapshot:
    """What is seen once nothing has happened for so long that looks are rare."""
    seen = watcher.snapshot()
    while (news := watcher.wait(seen.version, 1.5)).version != seen.version:
        seen = news
    return seen


@pytest.mark.usefixtures("client")
def test_heads_and_gates_are_seen(log: Connection, statements: Texts, watcher: Watcher) -> None:
    seen = until(watcher, lambda seen: EMAILS in seen.topics)
    assert seen.heads == {(EMAILS, 0): Head(0, 0), (EMAILS, 1): Head(0, 0)}
    assert (seen.gates, seen.unsequenced, seen.error, seen.error_since) == ({EMAILS: "open"}, frozenset(), None, None)
    produce(log, statements)
    after = watcher.wait(seen.version, SECONDS)
    assert after.version > seen.version
    assert after.heads == {(EMAILS, 0): Head(0, 1), (EMAILS, 1): Head(0, 0)}
    topics.set_gate(log, statements, EMAILS, "closed")
    assert until(watcher, lambda seen: seen.gates == {EMAILS: "closed"}).heads == after.heads
    topics.advance_start(log, statements, EMAILS, 0, 1)
    until(watcher, lambda seen: seen.heads[EMAILS, 0] == Head(1, 1))
    topics.grow_topic(log, statements, EMAILS, 3)
    until(watcher, lambda seen: (EMAILS, 2) in seen.heads)


def test_one_watcher_for_each_queue(pool: Pool, line: Line, watcher: Watcher) -> None:
    assert watcher_for(pool, line.schemas) is watcher


def test_a_topic_is_found_when_it_is_made(log: Connection, statements: Texts, watcher: Watcher) -> None:
    client = Client()
    watcher.watch(["reports"], client)
    seen = until(watcher, lambda seen: "reports" in seen.topics)
    assert (seen.gates, seen.heads) == ({}, {})
    topics.create_topic(log, statements, "reports", 1)
    until(watcher, lambda seen: seen.gates == {"reports": "open"})
    topics.delete_topic(log, statements, "reports")
    until(watcher, lambda seen: seen.gates == {} and seen.heads == {})


def test_interest_is_the_clients_and_goes_with_them(watcher: Watcher, client: Client) -> None:
    other, third = Client(), Client()
    watcher.watch(["reports"], other)
    watcher.watch(["letters"], third)
    until(watcher, lambda seen: seen.topics == {EMAILS, "reports", "letters"})
    watcher.watch(["pictures"], other)
    until(watcher, lambda seen: seen.topics == {EMAILS, "pictures", "letters"})
    watcher.forget(client)
    watcher.forget(client)
    until(watcher, lambda seen: seen.topics == {"pictures", "letters"})
    del third
    gc.collect()
    until(watcher, lambda seen: seen.topics == {"pictures"})


@pytest.mark.usefixtures("client")
def test_a_wait_that_sees_nothing_ends_when_it_should(watcher: Watcher) -> None:
    seen = at_rest(watcher)
    started = time.monotonic()
    assert watcher.wait(seen.version, 0.2) == seen
    assert 0.2 <= time.monotonic() - started < 5
    assert watcher.wait(seen.version - 1, SECONDS) == seen


@pytest.mark.usefixtures("client")
def test_signals_interrupt_a_wait(watcher: Watcher) -> None:
    seen = at_rest(watcher)
    main = threading.main_thread().ident or 0
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    started = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        watcher.wait(seen.version, SECONDS)
    assert time.monotonic() - started < 5
    timer.join()
    assert watcher.wait(seen.version, 0.01) == seen


@pytest.mark.usefixtures("client")
def test_rows_of_plain_sql_are_numbered(log: Connection, watcher: Watcher) -> None:
    log.execute(
        "insert into job_queue (payload, topic) select to_jsonb(n), %s from generate_series(1, 9) as n", [EMAILS]
    )
    log.execute(
        "insert into job_queue (payload, topic, process_after) values ('1', %s, now() + interval '1 day')", [EMAILS]
    )
    until(watcher, lambda seen: sum(head.next for head in seen.heads.values()) == 9)
    until(watcher, lambda seen: not seen.unsequenced)
    assert log.execute("select count(*) from job_queue where log_offset is null").fetchone() == (1,)


@pytest.mark.usefixtures("client")
def test_delayed_rows_are_numbered_when_they_are_due(log: Connection, watcher: Watcher) -> None:
    log.execute(
        "insert into job_queue (payload, topic, process_after) values ('1', %s, now() + interval '0.7 s')", [EMAILS]
    )
    until(watcher, lambda seen: sum(head.next for head in seen.heads.values()) == 1)
    due = log.execute("select process_after <= clock_timestamp() from job_queue").fetchone()
    assert due == (True,)


class ByHand(Watcher):
    """Has no thread: its rounds are called for."""

    def start(self) -> None:
        """Does nothing."""


def test_it_looks_again_as_soon_as_a_delayed_row_is_due(
    log: Connection, pool: Pool, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However rarely it would look otherwise; a parked row is nothing to wait for."""
    monkeypatch.setattr("shim.store.watcher._SHORTEST_PAUSE", 3600.0)
    monkeypatch.setattr("shim.store.watcher._LONGEST_PAUSE", 3600.0)
    insert = "insert into job_queue (payload, topic, process_after) values ('1', %s, now() + %s::interval)"
    log.execute(insert, [EMAILS, "876582000 hours"])
    due_in: list[float] = []
    for delay in (None, "1 hour", "5 minutes", "10 minutes"):
        if delay:
            log.execute(insert, [EMAILS, delay])
        watcher = ByHand(pool, line.schemas)
        monkeypatch.setattr(watcher, "_looked_at", -3600.0)
        client = Client()
        watcher.watch([EMAILS], client)
        due_in.append(watcher.round() or 0.0)
    log.execute("update job_topic set sequencer = 'kafka'")
    monkeypatch.setattr(watcher, "_looked_at", -3600.0)
    due_in.append(watcher.round() or 0.0)
    assert due_in[0] > 3000
    assert 3000 < due_in[1] <= 3601
    assert [200 < pause <= 301 for pause in due_in[2:4]] == [True, True]
    assert due_in[4] > 3000


def test_what_cannot_be_numbered_hides_nothing_else(
    log: Connection, statements: Texts, watcher: Watcher, client: Client
) -> None:
    topics.create_topic(log, statements, "reports", 1)
    watcher.watch([EMAILS, "reports"], client)
    log.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'not this one' using errcode = '42501'; end $$;"
        "create trigger refuse before update on job_queue for each row execute function refuse()"
    )
    log.execute("insert into job_queue (payload, topic) values ('1', %s)", [EMAILS])
    failed = until(watcher, lambda seen: seen.error is not None)
    assert isinstance(failed.error, psycopg.errors.InsufficientPrivilege)
    assert failed.unsequenced == {EMAILS}
    produce(log, statements, "reports")
    seen = until(watcher, lambda seen: seen.heads["reports", 0].next == 1)
    assert (seen.error, seen.error_since) == (failed.error, failed.error_since)
    log.execute("drop trigger refuse on job_queue")
    until(watcher, lambda seen: seen.error is None and not seen.unsequenced)


@pytest.mark.usefixtures("client")
def test_an_idle_watcher_looks_twice_a_second(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    version = at_rest(watcher).version
    assert 2 <= looks_in(watcher, 2.0, monkeypatch, lambda: watcher.wait(version, 0.1)) <= 6


@pytest.mark.usefixtures("client")
@pytest.mark.direct("hints are off behind a pooler")
def test_a_quiet_queue_is_looked_at_rarely_where_hints_arrive(
    log: Connection, statements: Texts, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.store.watcher._QUIET_SECONDS", 0.5)
    listener = watcher.listen()
    assert wait_until(lambda: listener.believed, SECONDS)
    version = at_rest(watcher).version
    assert wait_until(lambda: watcher._pause > 1.0, SECONDS)  # noqa: SLF001  # of half a second it grows to two
    assert looks_in(watcher, 4.0, monkeypatch, lambda: watcher.wait(version, 0.1)) <= 4
    produce(log, statements)
    log.execute('notify "job_queue.public"')
    assert watcher.wait(version, SECONDS).version > version


@pytest.mark.usefixtures("client")
def test_many_idle_clients_cost_no_more_than_one(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    version = at_rest(watcher).version
    threads = [threading.Thread(target=watcher.wait, args=(version, 2.5)) for _ in range(20)]
    for thread in threads:
        thread.start()
    looks = looks_in(watcher, 2.0, monkeypatch, lambda: watcher.wait(version, 0.1))
    for thread in threads:
        thread.join()
    assert 2 <= looks <= 6


def test_nobody_looks_for_nobody(watcher: Watcher, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    at_rest(watcher)
    watcher.forget(client)
    idle = threading.Event()
    looks_in(watcher, 1.0, monkeypatch, lambda: idle.wait(0.1))
    assert looks_in(watcher, 1.5, monkeypatch, lambda: idle.wait(0.1)) == 0


@pytest.mark.usefixtures("client")
def test_while_something_happens_only_those_who_wait_are_looked_for(
    log: Connection, statements: Texts, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = at_rest(watcher).version
    idle = threading.Event()

    def work() -> None:
        produce(log, statements)
        idle.wait(0.01)

    assert looks_in(watcher, 2.0, monkeypatch, work) <= 6
    row = log.execute("select next_offset from job_partition where topic = %s and partition = 0", [EMAILS]).fetchone()
    assert row
    seen = until(watcher, lambda seen: seen.heads[EMAILS, 0].next == row[0])
    assert seen.version > version
    monkeypatch.setattr("shim.store.watcher._LONGEST_PAUSE", 600.0)  # from here on only who asks is answered
    for _ in range(3):
        assert wait_until(lambda: watcher._dozing, SECONDS)  # noqa: SLF001  # a look is due, and nobody asks
        produce(log, statements)
        before, seen = seen, watcher.wait(seen.version, SECONDS / 2)
        assert seen.heads[EMAILS, 0].next == before.heads[EMAILS, 0].next + 1


@pytest.mark.usefixtures("client")
def test_a_nudge_does_not_wait_for_the_next_turn(
    log: Connection, statements: Texts, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(watcher, lambda seen: EMAILS in seen.gates)
    seen = fall_asleep(watcher, monkeypatch)
    produce(log, statements)
    watcher.nudge()
    assert watcher.wait(seen.version, SECONDS / 2).heads[EMAILS, 0].next == 1


def test_a_restart_is_survived(
    server: EmbeddedPostgres,
    line: Line,
    statements: Texts,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    watcher = watcher_for(pool_for(server.url), line.schemas)
    client = Client()
    watcher.watch([EMAILS], client)
    seen = until(watcher, lambda seen: EMAILS in seen.gates)
    server.stop("immediate")
    down = until(watcher, lambda seen: seen.error is not None)
    assert isinstance(down.error, psycopg.OperationalError)
    assert down.error_since is not None
    assert time.monotonic() - down.error_since < SECONDS
    assert (down.heads, down.gates) == (seen.heads, seen.gates)
    refused = until(watcher, lambda seen: "refused" in str(seen.error))
    assert refused.error_since == down.error_since
    assert watcher.wait(refused.version, 3.0) == refused  # further failures are no news
    server.start()
    until(watcher, lambda seen: seen.error is None)
    with closing(postgres.connect(server.url, "test")) as conn:
        produce(conn, statements)
    until(watcher, lambda seen: seen.heads[EMAILS, 0].next == 1)
    assert [record for record in caplog.records if record.name.startswith("psycopg")] == []
    assert capfd.readouterr().err == ""


def test_missing_tables_are_told_and_found_later(database_url: str, line: Line) -> None:
    watcher = watcher_for(pool_for(database_url), line.schemas)
    client = Client()
    watcher.watch([EMAILS], client)
    assert isinstance(until(watcher, lambda seen: seen.error is not None).error, psycopg.errors.UndefinedTable)
    migrate(database_url)
    until(watcher, lambda seen: seen.error is None and EMAILS in seen.topics)


def test_a_silent_server_is_noticed(
    log: Connection,
    migrated_url: str,
    line: Line,
    statements: Texts,
    open_proxy: OpenProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shim.store.watcher._LOOK_SECONDS", 0.3)
    proxy = open_proxy(migrated_url)
    watcher = watcher_for(pool_for(proxy.url_of(migrated_url) + "?connect_timeout=2"), line.schemas)
    client = Client()
    watcher.watch([EMAILS], client)
    until(watcher, lambda seen: EMAILS in seen.gates)
    proxy.delay(SECONDS)
    assert isinstance(until(watcher, lambda seen: seen.error is not None).error, SilentServerError)
    assert proxy.faults["delayed"] > 0
    proxy.heal()
    produce(log, statements)
    until(watcher, lambda seen: seen.error is None and seen.heads[EMAILS, 0].next == 1)


@pytest.mark.parametrize("reset", [False, True])
def test_cut_connections_are_replaced(
    log: Connection, migrated_url: str, line: Line, statements: Texts, open_proxy: OpenProxy, reset: bool
) -> None:
    proxy = open_proxy(migrated_url)
    watcher = watcher_for(pool_for(proxy.url_of(migrated_url)), line.schemas)
    client = Client()
    watcher.watch([EMAILS], client)
    until(watcher, lambda seen: EMAILS in seen.gates)
    for count in range(1, 6):
        assert proxy.cut_all(reset=reset)
        produce(log, statements)
        until(watcher, lambda seen, count=count: seen.heads[EMAILS, 0].next == count)  # type: ignore[misc]


@forks
@pytest.mark.usefixtures("client")
def test_a_forked_child_has_a_watcher_of_its_own(
    log: Connection, statements: Texts, pool: Pool, line: Line, watcher: Watcher
) -> None:
    until(watcher, lambda seen: EMAILS in seen.gates)
    produce(log, statements)
    until(watcher, lambda seen: seen.heads[EMAILS, 0].next == 1)

    def work() -> str:
        own = watcher_for(pool, line.schemas)
        mine = Client()
        own.watch([EMAILS], mine)
        first = until(own, lambda seen: seen.heads.get((EMAILS, 0)) == Head(0, 1))
        inherited = until(watcher, lambda seen: EMAILS in seen.gates)
        return f"{own is not watcher} {first.heads == inherited.heads}"

    with watcher._bell, watcher._news:  # noqa: SLF001  # as another thread would hold them
        assert forked(work) == "True True"
    produce(log, statements)
    until(watcher, lambda seen: seen.heads[EMAILS, 0].next == 2)


def test_behind_a_pooler(pooled_url: str, database_url: str, line: Line, statements: Texts) -> None:
    migrate(database_url)
    watcher = watcher_for(pool_for(pooled_url), line.schemas)
    client = Client()
    watcher.watch([EMAILS], client)
    until(watcher, lambda seen: EMAILS in seen.topics)
    with closing(postgres.connect(pooled_url, "test")) as conn:
        topics.create_topic(conn, statements, EMAILS, 1)
        conn.execute("insert into job_queue (payload, topic) values ('1', %s)", [EMAILS])
    until(watcher, lambda seen: seen.heads.get((EMAILS, 0)) == Head(0, 1))


@pytest.mark.usefixtures("client")
def test_a_closed_watcher_ends_its_waits(watcher: Watcher) -> None:
    seen = at_rest(watcher)
    threading.Timer(0.1, close_all).start()
    started = time.monotonic()
    watcher.wait(seen.version, SECONDS)
    assert time.monotonic() - started < 5
    assert wait_until(lambda: not [one for one in threading.enumerate() if one.name == "job-queue-watcher"], SECONDS)


def fall_asleep(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """What is seen last before a watcher sleeps so long that its own turn never comes: what it sees, it was told of."""
    monkeypatch.setattr("shim.store.watcher._LONGEST_PAUSE", 600.0)
    seen = watcher.snapshot()
    while watcher._pause < 600.0:  # noqa: SLF001  # it would take ten minutes
        watcher._pause = 300.0  # noqa: SLF001
        seen = watcher.wait(seen.version, 0.05)
    return seen


@pytest.fixture
def asleep(watcher: Watcher, client: Client, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """A sleeping watcher that listens."""
    watcher.watch([EMAILS], client)
    until(watcher, lambda seen: EMAILS in seen.gates)
    listener = watcher.listen()
    assert wait_until(lambda: listener.believed, SECONDS)
    fall_asleep(watcher, monkeypatch)
    return watcher


@pytest.mark.direct("hints are off behind a pooler")
def test_a_hint_wakes_another_process(
    log: Connection, statements: Texts, asleep: Watcher, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = pool_for(migrated_url + "?application_name=elsewhere")
    for count in range(1, 4):
        seen = fall_asleep(asleep, monkeypatch)
        produce(log, statements)
        announce(elsewhere, [EMAILS])
        assert asleep.wait(seen.version, SECONDS / 2).heads[EMAILS, 0].next == count


@pytest.mark.direct("hints are off behind a pooler")
def test_a_hint_by_hand_wakes_everybody(log: Connection, statements: Texts, asleep: Watcher) -> None:
    seen = asleep.snapshot()
    produce(log, statements)
    log.execute('notify "job_queue.public"')
    assert asleep.wait(seen.version, SECONDS / 2).heads[EMAILS, 0].next == 1


@pytest.mark.direct("hints are off behind a pooler")
def test_another_topics_hint_wakes_nobody(log: Connection, statements: Texts, asleep: Watcher, pool: Pool) -> None:
    seen = asleep.snapshot()
    produce(log, statements)
    announce(pool, ["reports"])
    assert asleep.wait(seen.version, 0.5) == seen
    announce(pool, [EMAILS])
    assert asleep.wait(seen.version, SECONDS / 2) != seen


def heard(conn: Connection, seconds: float, last: str) -> list[str]:
    """The payloads that arrive until the last of them does."""
    payloads: list[str] = []
    deadline = time.monotonic() + seconds
    while last not in payloads and time.monotonic() < deadline:
        payloads += [hint.payload for hint in conn.notifies(timeout=0.1)]
    return payloads


@pytest.mark.direct("hints are off behind a pooler")
def test_a_burst_is_announced_at_once_and_at_its_end(migrated: Connection, pool: Pool) -> None:
    migrated.execute('listen "job_queue.public"')
    announce(pool, ["first"])
    assert heard(migrated, SECONDS, "first") == ["first"]
    started = time.monotonic()
    pause = threading.Event()
    for _ in range(100):
        announce(pool, [EMAILS, "reports"])
        pause.wait(0.001)
    announce(pool, ["last"])
    announced = heard(migrated, SECONDS, "last")
    bursts = (time.monotonic() - started) / notify._DEBOUNCE_SECONDS + 2  # noqa: SLF001
    assert set(announced) == {EMAILS, "reports", "last"}
    assert announced.count(EMAILS) == announced.count("reports") <= bursts


def test_an_announcement_never_raises_and_never_waits(server: EmbeddedPostgres) -> None:
    pool = pool_for(server.url)
    announce(pool, [EMAILS])
    server.stop("immediate")
    started = time.monotonic()
    for _ in range(10):
        announce(pool, [EMAILS])
    assert time.monotonic() - started < 1
    server.start()
    with closing(postgres.connect(server.url, "test")) as conn:
        conn.execute('listen "job_queue.public"')
        assert wait_until(lambda: announced(pool, conn), SECONDS)


def announced(pool: Pool, conn: Connection) -> bool:
    announce(pool, ["again"])
    return "again" in heard(conn, 0.2, "again")


def test_names_that_are_too_long_for_a_channel() -> None:
    assert channel_of("public") == "job_queue.public"
    names = {channel_of("s" * length) for length in (53, 54, 63)}
    assert len(names) == 3
    assert all(len(name) <= 63 for name in names)


def listening(conn: Connection) -> set[int]:
    """The sessions of this database that have said LISTEN last."""
    rows = conn.execute(
        "select pid from pg_stat_activity where datname = current_database() and query ilike 'listen %'"
    )
    return {row[0] for row in rows}


def test_no_one_listens_through_a_pooler(pooled_url: str, database_url: str, line: Line) -> None:
    migrate(database_url)
    watcher = watcher_for(pool_for(pooled_url), line.schemas)
    listener = watcher.listen()
    with closing(postgres.connect(database_url, "test")) as conn:
        assert not wait_until(lambda: listener.believed or bool(listening(conn)), 1.0)


@pytest.mark.direct("hints are off behind a pooler")
def test_a_pooler_with_a_direct_way_for_hints(
    pooled_url: str, database_url: str, line: Line, statements: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database_url)
    pool = pool_for(pooled_url)
    watcher = watcher_for(pool, line.schemas)
    listener = watcher.listen(database_url)
    assert wait_until(lambda: listener.believed, SECONDS)
    client = Client()
    with closing(postgres.connect(pooled_url, "test")) as conn:
        topics.create_topic(conn, statements, EMAILS, 1)
        watcher.watch([EMAILS], client)
        until(watcher, lambda seen: EMAILS in seen.gates)
        seen = fall_asleep(watcher, monkeypatch)
        produce(conn, statements)
        announce(pool, [EMAILS])
    assert watcher.wait(seen.version, SECONDS / 2).heads[EMAILS, 0].next == 1


def test_a_listener_at_another_database_is_not_believed(
    watcher: Watcher, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.store.notify._ECHO_TIMEOUT_SECONDS", 0.3)
    listener = watcher.listen(database_url)
    assert not wait_until(lambda: listener.believed, 1.0)


@pytest.mark.direct("hints are off behind a pooler")
@pytest.mark.usefixtures("client")
def test_a_listener_that_was_killed_comes_back(
    log: Connection,
    statements: Texts,
    watcher: Watcher,
) -> None:
    listener = watcher.listen()
    assert wait_until(lambda: listener.believed, SECONDS)
    (killed,) = listening(log)
    log.execute("select pg_terminate_backend(%s)", [killed])
    produce(log, statements)
    until(watcher, lambda seen: seen.heads.get((EMAILS, 0)) == Head(0, 1))
    assert wait_until(lambda: listening(log) - {killed} != set() and listener.believed, SECONDS)


@pytest.mark.direct("hints are off behind a pooler")
@pytest.mark.usefixtures("client")
def test_a_half_open_listener_is_not_believed_for_long(
    log: Connection,
    migrated_url: str,
    statements: Texts,
    watcher: Watcher,
    open_proxy: OpenProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shim.store.notify._ECHO_SECONDS", 0.2)
    monkeypatch.setattr("shim.store.notify._ECHO_TIMEOUT_SECONDS", 0.5)
    proxy = open_proxy(migrated_url)
    listener = watcher.listen(proxy.url_of(migrated_url) + "?connect_timeout=2")
    assert wait_until(lambda: listener.believed, SECONDS)
    proxy.delay(SECONDS)
    assert wait_until(lambda: not listener.believed, SECONDS)
    assert proxy.faults["delayed"] > 0
    produce(log, statements)
    until(watcher, lambda seen: seen.heads.get((EMAILS, 0)) == Head(0, 1))
    proxy.heal()
    assert wait_until(lambda: listener.believed, SECONDS)


@pytest.mark.usefixtures("log")
def test_a_dead_process_leaves_no_thread(pool: Pool, watcher: Watcher) -> None:
    assert pool.pid == os.getpid()
    others = set(threading.enumerate())
    client = Client()
    watcher.watch([EMAILS], client)
    started = set(threading.enumerate()) - others
    assert [thread.name for thread in started] == ["job-queue-watcher"]
    close_all()
    assert wait_until(lambda: not started & set(threading.enumerate()), SECONDS)
