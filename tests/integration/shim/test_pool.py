"""The pool: few connections, in turn; errors that say why; a server that restarts; a process that forks."""

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from queue import SimpleQueue

import psycopg
import pytest

from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import free_port, wait_until
from shim.store import connection
from shim.store.connection import SilentServerError
from shim.store.pool import Connection, Pool, PoolClosed, PoolTimeout, close_all, pool_for
from tests.fixtures.postgres import OwnPostgres
from tests.fixtures.proxy import OpenProxy

SECONDS = 30.0

forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def pool(database_url: str) -> Pool:
    return pool_for(database_url)


@pytest.fixture
def server(own_postgres: OwnPostgres) -> EmbeddedPostgres:
    return own_postgres(fsync=False)


class Bell:
    """A running part that only tells whether it was ended."""

    closed = False

    def close(self) -> None:
        self.closed = True


def backend(conn: Connection) -> int:
    return conn.pgconn.backend_pid


def answer(conn: Connection, query: str) -> object:
    row = conn.execute(query.encode()).fetchone()
    assert row
    return row[0]


def forked(work: Callable[[], str]) -> str:
    """What ``work`` returns in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        gc.freeze()  # librdkafka's clients of other tests must not be destroyed here: their threads are the parent's
        try:
            os.write(writing, work().encode())
        except BaseException as error:  # noqa: BLE001  # nothing of the child may go on as the test
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(child, 0)
    return told


def test_one_pool_for_each_dsn(pool: Pool, database_url: str) -> None:
    assert pool_for(database_url) is pool
    assert pool_for(database_url + "?connect_timeout=5") is not pool
    assert (pool.dsn, pool.pid, pool.size) == (database_url, os.getpid(), 2)
    assert pool_for(database_url, size=5).size == 5
    assert pool_for(database_url, size=1).size == 5


def test_a_connection_is_in_autocommit_and_is_lent_again(pool: Pool) -> None:
    with pool.connection() as conn:
        first = backend(conn)
        assert conn.autocommit
        assert conn.prepare_threshold is None
        assert answer(conn, "show client_encoding") == "UTF8"
        assert answer(conn, "show application_name") == "kafka-to-postgres"
    with pool.connection() as conn:
        assert backend(conn) == first


def test_the_dsn_decides_what_it_names(database_url: str) -> None:
    with pool_for(database_url + "?application_name=billing", application_name="shim").connection() as conn:
        assert answer(conn, "show application_name") == "billing"


def test_places_are_given_in_the_order_in_which_they_were_asked_for(database_url: str) -> None:
    pool = pool_for(database_url, size=1)
    order: SimpleQueue[int] = SimpleQueue()

    def use(number: int) -> None:
        with pool.connection():
            order.put(number)

    def start(number: int) -> threading.Thread:
        thread = threading.Thread(target=use, args=(number,))
        thread.start()
        assert wait_until(lambda: pool.waiting == number + 1, SECONDS)
        return thread

    with pool.connection():
        threads = [start(number) for number in range(5)]
        with pytest.raises(PoolTimeout, match=r"all 1 connections stayed in use for 0\.01 s"), pool.connection(0.01):
            pass
    for thread in threads:
        thread.join()
    assert [order.get() for _ in threads] == [0, 1, 2, 3, 4]


def test_what_must_not_be_late_goes_first(database_url: str) -> None:
    pool = pool_for(database_url, size=1)
    order: SimpleQueue[int] = SimpleQueue()

    def work(number: int, *, first: bool) -> None:
        with pool.connection(first=first):
            order.put(number)

    def start(number: int) -> threading.Thread:
        thread = threading.Thread(target=work, args=(number,), kwargs={"first": number == 2})
        thread.start()
        assert wait_until(lambda: pool.waiting == number + 1, SECONDS)
        return thread

    with pool.connection():
        threads = [start(number) for number in range(3)]
    for thread in threads:
        thread.join()
    assert [order.get() for _ in threads] == [2, 0, 1]


def test_a_larger_pool_serves_who_waits(database_url: str) -> None:
    pool = pool_for(database_url, size=1)
    with pool.connection() as first:
        held: SimpleQueue[int] = SimpleQueue()
        thread = threading.Thread(target=lambda: held.put(hold(pool)))
        thread.start()
        assert wait_until(lambda: pool.waiting == 1, SECONDS)
        pool_for(database_url, size=2)
        assert held.get(timeout=SECONDS) != backend(first)
        thread.join()


def hold(pool: Pool) -> int:
    with pool.connection() as conn:
        return backend(conn)


def test_ctrl_c_ends_the_wait_and_loses_no_place(database_url: str) -> None:
    pool = pool_for(database_url, size=1)

    def interrupt() -> None:
        assert wait_until(lambda: pool.waiting == 1, SECONDS)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pool.connection():
        stop = threading.Thread(target=interrupt)
        stop.start()
        with pytest.raises(KeyboardInterrupt), pool.connection(SECONDS):
            pass
        stop.join()
    with pool.connection(0.5):
        pass


@pytest.mark.parametrize("state", ["begin", "begin; select 1/0"])
def test_what_comes_back_inside_a_transaction_is_closed(pool: Pool, state: str) -> None:
    with pool.connection() as conn:
        first = backend(conn)
        with suppress(psycopg.errors.DivisionByZero):
            conn.execute(state.encode())
    with pool.connection() as conn:
        assert backend(conn) != first


def test_an_error_of_a_statement_costs_no_connection(pool: Pool) -> None:
    first = hold(pool)
    with pytest.raises(psycopg.errors.DivisionByZero), pool.connection() as conn:
        conn.execute("select 1/0")
    with pool.connection() as conn:
        assert backend(conn) == first


def test_a_server_that_became_a_standby_is_left(pool: Pool) -> None:
    first = hold(pool)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), pool.connection() as conn:
        conn.execute("begin transaction read only; create table anything ()")
    with pool.connection() as conn:
        assert backend(conn) != first


def test_connections_retire_and_idle_ones_go(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.store.pool._LIFE_SECONDS", 0.0)
    first = hold(pool)
    assert hold(pool) != first
    monkeypatch.undo()
    with pool.connection(), pool.connection():
        pass
    assert pool.idle == 2
    monkeypatch.setattr("shim.store.pool._IDLE_SECONDS", 0.0)
    assert wait_until(lambda: bool(hold(pool)) and pool.idle < 2, SECONDS)


def test_the_reason_of_a_failure_comes_out_at_once_and_nothing_is_said(
    server: EmbeddedPostgres, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    pool = pool_for(server.url)
    with pool.connection() as conn:
        server.stop("immediate")
        with pytest.raises(psycopg.OperationalError):
            conn.execute("select 1")
    threads = set(threading.enumerate())
    for _ in range(20):
        started = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="refused"), pool.connection(timeout=SECONDS):
            pass
        assert time.monotonic() - started < 5
    assert set(threading.enumerate()) <= threads  # another test's may end meanwhile, none begins
    server.start()
    with pool.connection() as conn:
        assert answer(conn, "select 1") == 1
    assert [record for record in caplog.records if record.name.startswith("psycopg")] == []
    assert capfd.readouterr().err == ""


def test_nobody_is_lent_what_a_restart_has_ended(server: EmbeddedPostgres) -> None:
    pool = pool_for(server.url)
    with pool.connection(), pool.connection():
        pass
    server.restart()
    for _ in range(3):
        with pool.connection() as conn:
            assert answer(conn, "select 1") == 1


def test_an_address_where_nobody_is() -> None:
    nowhere = pool_for(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    with pytest.raises(psycopg.OperationalError, match="refused"), nowhere.connection():
        pass
    with pytest.raises(psycopg.ProgrammingError), pool_for("no connection string").connection():
        pass


def test_a_silent_server_is_not_waited_for_longer_than_asked(
    database_url: str, open_proxy: OpenProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = open_proxy(database_url)
    pool = pool_for(proxy.url_of(database_url))
    first = hold(pool)
    proxy.delay(SECONDS)
    started = time.monotonic()
    with (
        pytest.raises(SilentServerError, match=r"silent for 0\.3 s"),
        pool.connection(patience=0.3) as conn,
        conn.transaction(),
    ):
        conn.execute("select 1")
    assert 0.3 <= time.monotonic() - started < 5
    assert proxy.faults["delayed"] > 0
    proxy.heal()
    with pool.connection() as conn:
        assert backend(conn) != first
        assert conn.patience is None
    assert caplog.records == []


def test_a_server_that_works_is_not_silent_while_it_answers(pool: Pool) -> None:
    with pool.connection(patience=0.4) as conn:
        rows = conn.execute("select repeat('x', 100000), pg_sleep(0.02) from generate_series(1, 50)").fetchall()
    assert len(rows) == 50


def test_a_pool_is_closed_once_and_for_all(database_url: str) -> None:
    pool = pool_for(database_url, size=1)
    with pool.connection() as conn:
        waiting: SimpleQueue[Exception] = SimpleQueue()

        def wait() -> None:
            try:
                hold(pool)
            except PoolClosed as error:
                waiting.put(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert wait_until(lambda: pool.waiting == 1, SECONDS)
        close_all()
        assert answer(conn, "select 1") == 1  # whoever has one may finish
    assert conn.closed
    thread.join()
    assert str(waiting.get()) == "the pool is closed"
    assert pool_for(database_url) is not pool
    hold(pool_for(database_url))


def test_parts_are_made_once_and_ended_with_the_pool(pool: Pool) -> None:
    bell = pool.part(Bell, Bell)
    assert pool.part(Bell, Bell) is bell
    other = pool.part(Bell, Bell, "other")
    assert other is not bell
    close_all()
    assert bell.closed
    assert other.closed
    with pytest.raises(PoolClosed):
        pool.part(Bell, Bell)


def test_behind_a_pooler(pooled_url: str) -> None:
    pool = pool_for(pooled_url)
    for _ in range(3):
        with pool.connection() as conn, conn.transaction():
            assert answer(conn, "select 1") == 1


PREPARED = b"select count(*)::int from pg_prepared_statements"


@pytest.mark.direct("the pooler gives each statement another session")
def test_what_is_run_over_and_over_is_planned_once(pool: Pool) -> None:
    with pool.connection() as conn:
        assert conn.direct
        for number in range(3):
            assert connection.repeat(conn, "select %(number)s::int + 1", {"number": number}).fetchone() == (number + 1,)
            conn.execute("select 1 as not_prepared")
        assert conn.execute(PREPARED).fetchone() == (1,)


@pytest.mark.direct("the pooler gives each statement another session")
def test_what_took_long_is_planned_anew(pool: Pool) -> None:
    with pool.connection() as conn:
        for seconds, prepared in ((0.0, 1), (0.3, 0), (0.0, 1)):
            connection.repeat(conn, "select pg_sleep(%(seconds)s::float8)", {"seconds": seconds})
            assert conn.execute(PREPARED).fetchone() == (prepared,)


@pytest.mark.direct("the pooler gives each statement another session")
def test_what_returns_something_else_by_now_is_prepared_anew(pool: Pool) -> None:
    def things(conn: Connection) -> int:
        return len(connection.repeat(conn, "select * from things where %(wanted)s", {"wanted": True}).description or ())

    with pool.connection() as conn, pool.connection() as other:
        other.execute("create table things (n integer)")
        assert things(conn) == 1
        other.execute("alter table things add column m integer")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            things(conn)
        assert conn.closed
        assert things(other) == 2


def test_behind_a_pooler_nothing_is_prepared(pooled_url: str) -> None:
    with pool_for(pooled_url).connection() as conn:
        assert not conn.direct
        for number in range(3):
            assert connection.repeat(conn, "select %(number)s::int + 1", {"number": number}).fetchone() == (number + 1,)
        assert conn.execute(PREPARED).fetchone() == (0,)


@forks
def test_a_forked_child_has_connections_and_parts_of_its_own(pool: Pool, database_url: str) -> None:
    parent = hold(pool)
    bell = pool.part(Bell, Bell)

    def work() -> str:
        fresh = pool.part(Bell, Bell) is not bell
        return f"{pool_for(database_url).pid == os.getpid()} {hold(pool) != parent} {fresh}"

    with pool.connection() as busy:
        assert forked(work) == "True True True"
        assert answer(busy, "select 1") == 1
    assert hold(pool) == parent
    assert pool.part(Bell, Bell) is bell


@forks
def test_a_child_forked_under_every_lock_is_not_stuck(pool: Pool) -> None:
    with pool._stock._lock, pool._parts_lock:  # noqa: SLF001  # as another thread would hold them
        assert forked(lambda: str(hold(pool) != 0)) == "True"  # PgBouncer makes the pid up: it may be negative


@forks
def test_a_child_cannot_use_what_its_parent_holds(pool: Pool) -> None:
    def work() -> str:
        try:
            conn.execute("select 1")
        except psycopg.OperationalError:
            return "refused"
        return "done"

    with pool.connection() as conn:
        assert forked(work) == "refused"
        assert answer(conn, "select 2") == 2


@forks
def test_a_dead_parents_transaction_ends_though_its_child_lives(pool: Pool, database_url: str) -> None:
    telling, told = os.pipe()
    dying, death = os.pipe()
    parent = os.fork()
    if parent == 0:
        gc.freeze()  # librdkafka's clients of other tests may not be destroyed here
        with pool.connection() as conn:
            conn.execute("begin; select pg_advisory_xact_lock(1)")
            if os.fork() == 0:  # the grandchild lives until the test lets go of the pipe
                os.close(death)
                os.write(told, b"forked")
                os.read(dying, 1)
                os._exit(0)
            signal.pause()
        os._exit(0)
    assert os.read(telling, 6) == b"forked"
    with closing(psycopg.connect(database_url, autocommit=True)) as conn:
        attempt = "select pg_try_advisory_lock(1)"
        assert conn.execute(attempt).fetchone() == (False,)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert wait_until(lambda: conn.execute(attempt).fetchone() == (True,), SECONDS)
    for descriptor in (telling, told, dying, death):
        os.close(descriptor)


def test_a_connection_beside_the_pool(database_url: str) -> None:
    with closing(connection.connect(database_url, "probe", 1.0)) as conn:
        assert answer(conn, "show application_name") == "probe"
        assert conn.info.get_parameters()["connect_timeout"] == "2"
        assert conn.info.get_parameters()["keepalives_idle"] == "10"
    patient = database_url + "?connect_timeout=7&keepalives_idle=60"
    with closing(connection.connect(patient)) as conn:
        assert conn.info.get_parameters()["connect_timeout"] == "7"
        assert conn.info.get_parameters()["keepalives_idle"] == "60"
