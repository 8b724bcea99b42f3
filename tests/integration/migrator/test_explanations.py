"""What people read when Postgres says no, from Postgres' own mouth."""

from contextlib import closing

import psycopg
import pytest

from migrator import postgres
from migrator.errors import CannotStartError, Exit, MigratorError, RefusedError, StoppedError
from migrator.postgres import Connection, Target
from tests.fixtures.postgres import OwnPostgres

PAYLOAD = "someone@example.org"


def explained(conn: Connection, statement: str) -> MigratorError:
    with pytest.raises(MigratorError) as caught, postgres.explained(Target.connected(conn)):
        conn.execute(statement)
    return caught.value


@pytest.fixture
def conn(database_url: str) -> Connection:
    return postgres.connect(database_url, "test")


def test_connection_is_fit_for_a_pooler(pooled_url: str) -> None:
    with closing(postgres.connect(pooled_url, "test")) as conn:
        assert conn.autocommit
        assert conn.prepare_threshold is None
        assert conn.execute("select current_setting('application_name')").fetchone() == ("migrator-test",)


def test_users_own_timeout_stays(database_url: str) -> None:
    with closing(postgres.connect(f"{database_url}?connect_timeout=3", "test")) as conn:
        assert conn.info.get_parameters()["connect_timeout"] == "3"
    with closing(postgres.connect(database_url, "test")) as conn:
        assert conn.info.get_parameters()["connect_timeout"] == "10"


@pytest.mark.parametrize(
    ("statement", "code", "hint"),
    [
        ("select * from job_queue", "schema-missing", "migrator init"),
        ("select * from nowhere.job_queue", "schema-missing", "migrator init"),
        ("select no_such_column from pg_class", "schema-old", "migrator schema upgrade"),
        ("create table pg_temp.a (); create table pg_temp.a ()", "object-exists", "--schema jobs"),
        ("set transaction_read_only = on; create table a ()", "read-only", "primary"),
        ("set role pg_monitor; create schema a", "permission", "grant create, temporary on database"),
        ("set role pg_monitor; select * from pg_authid", "permission", "grant job_queue_migrator to"),
    ],
)
def test_setup_errors_come_with_the_next_command(conn: Connection, statement: str, code: str, hint: str) -> None:
    with closing(conn):
        error = explained(conn, statement)
    assert isinstance(error, CannotStartError)
    assert error.code == code
    assert hint in error.hint


def test_only_the_owner_may_change_a_table(conn: Connection) -> None:
    with closing(conn):
        conn.execute("create table job_queue ()")
        error = explained(conn, "set role pg_monitor; alter table public.job_queue add column a integer")
    assert "schema sql" in error.hint or "grant usage" in error.hint


def test_lost_connection_is_resumable(conn: Connection) -> None:
    error = explained(conn, "select pg_terminate_backend(pg_backend_pid())")
    assert isinstance(error, StoppedError)
    assert error.exit == Exit.STOPPED


@pytest.mark.parametrize(
    "statement",
    [
        f"select '{PAYLOAD}'::integer",
        f"insert into job values ('{PAYLOAD}')",
        f"insert into job values (null, '{PAYLOAD}')",
        f"select '{PAYLOAD}'::jsonb",
    ],
)
def test_no_payload_in_any_text(conn: Connection, statement: str) -> None:
    with closing(conn):
        conn.execute(f"create table job (a text primary key, b text); insert into job values ('{PAYLOAD}')")
        error = explained(conn, statement)
    assert isinstance(error, RefusedError)
    assert PAYLOAD not in error.message + error.hint
    assert error.__cause__ is None
    assert "SQLSTATE 2" in error.message


def test_refused_connections_name_what_was_refused(own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    with closing(postgres.connect(server.url, "test")) as admin:
        admin.execute("create role ann login password 'hunter2'")
    (server.data_dir / "pg_hba.conf").write_text("host all ann all scram-sha-256\nhost all postgres all trust\n")
    with closing(postgres.connect(server.url, "test")) as admin:
        admin.execute("select pg_reload_conf()")
    base = server.url.rsplit("/", 1)[0]
    refusals = {
        f"{base}/nowhere": ("postgres-database", "createdb nowhere"),
        f"{base.replace('postgres@', 'ann:wrong@')}/postgres": ("postgres-password", "'ann'"),
        f"{base.replace('postgres@', 'bob@')}/postgres": ("postgres-access", "pg_hba.conf"),
    }
    for url, (code, hint) in refusals.items():
        with pytest.raises(CannotStartError) as caught:
            postgres.connect(url, "test")
        assert (caught.value.code, hint in caught.value.hint) == (code, True), caught.value.message
        assert "wrong" not in caught.value.message


def test_a_role_that_is_not_there(database_url: str) -> None:
    with pytest.raises(CannotStartError) as caught:
        postgres.connect(database_url.replace("postgres@", "nobody_here@"), "test")
    assert caught.value.code == "postgres-user"
    assert isinstance(caught.value.__context__, psycopg.OperationalError)
