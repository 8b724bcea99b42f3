"""What real failures of Postgres are called in Kafka's words."""

from urllib.parse import urlsplit

import psycopg
import pytest

from migrator.postgres import Connection
from shim.errors import KafkaError, from_postgres
from shim.protocol.codes import Broker, Local
from shim.store import schema
from shim.store.errors import SchemaMissingError
from shim.store.schema import Line
from tests.fixtures.postgres import with_database

INSERT = "insert into job_queue (payload) values ('4711')"


def failure(conn: Connection, *statements: str) -> KafkaError:
    """What the last of some statements in one transaction fails with."""
    *before, last = (statement.encode() for statement in statements)
    with conn.transaction(force_rollback=True):
        for statement in before:
            conn.execute(statement)
        with pytest.raises(psycopg.Error) as caught:
            conn.execute(last)
    return from_postgres(caught.value)


def test_a_statement_that_takes_too_long(migrated: Connection) -> None:
    error = failure(migrated, "set local statement_timeout = '5ms'", "select pg_sleep(5)")
    assert error == Local.TIMED_OUT
    assert error.retriable()
    assert error.str() == "Local: Timed out: canceling statement due to statement timeout (SQLSTATE 57014)"


def test_a_server_that_takes_no_writes(migrated: Connection) -> None:
    assert failure(migrated, "set transaction read only", INSERT) == Local.READ_ONLY


@pytest.mark.usefixtures("roles")
def test_a_table_that_is_forbidden(migrated: Connection) -> None:
    error = failure(migrated, "set local role job_queue_reader", INSERT)
    assert error == Broker.TOPIC_AUTHORIZATION_FAILED
    assert "permission denied" in error.str()
    assert (
        failure(migrated, "set local role job_queue_reader", "delete from job_group_offset")
        == Broker.GROUP_AUTHORIZATION_FAILED
    )


def test_tables_that_are_not_there(empty: Connection, line: Line) -> None:
    error = failure(empty, INSERT)
    assert error == Local.NOT_CONFIGURED
    assert error.str().endswith("(SQLSTATE 42P01); migrator init creates it")
    with pytest.raises(SchemaMissingError) as caught:
        schema.require(empty, line)
    assert from_postgres(caught.value) == Local.NOT_CONFIGURED


@pytest.mark.parametrize("sqlstate", ["P0001", "57014", "42501"])
def test_what_a_users_trigger_says_is_not_repeated(migrated: Connection, sqlstate: str) -> None:
    migrated.execute(
        f"""
        create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'no % here', new.payload using errcode = '{sqlstate}'; end $$;
        create trigger refuse before insert on job_queue for each row execute function refuse();
        """.encode()
    )
    error = failure(migrated, INSERT)
    assert f"SQLSTATE {sqlstate}" in error.str()
    assert "4711" not in error.str()


def test_what_a_row_violates_is_not_repeated(migrated: Connection) -> None:
    error = failure(migrated, "insert into job_queue (payload) values ('{\"a\": 4711')")
    assert error == Broker.INVALID_RECORD
    assert "4711" not in error.str()


def test_a_database_that_is_not_there(database_url: str) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(with_database(database_url, "nowhere"))
    error = from_postgres(caught.value)
    assert error == Local.NOT_CONFIGURED
    assert error.str().endswith('database "nowhere" does not exist')


@pytest.mark.direct("logs in as somebody else")
def test_a_user_that_is_not_there(database_url: str) -> None:
    parts = urlsplit(database_url)
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(parts._replace(netloc=f"nobody:secret@{parts.netloc.rpartition('@')[2]}").geturl())
    error = from_postgres(caught.value)
    assert error == Local.AUTHENTICATION
    assert "secret" not in error.str()


@pytest.mark.direct("ends its own session")
def test_a_connection_that_was_ended(migrated: Connection, migrated_url: str) -> None:
    with psycopg.connect(migrated_url, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", [migrated.info.backend_pid])
    for _ in range(2):  # the second time it is known to be closed
        with pytest.raises(psycopg.OperationalError) as caught:
            migrated.execute("select 1")
        error = from_postgres(caught.value)
        assert error == Local.TRANSPORT
        assert error.retriable()
