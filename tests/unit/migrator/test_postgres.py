import psycopg
import pytest

from migrator import postgres
from migrator.errors import CannotStartError, Exit, MigratorError, UsageError
from migrator.postgres import Fault, Target, fault_of
from shim.store.errors import ForeignTableError, SchemaMissingError, SchemaVersionError
from shim.store.schema import UnsupportedServerError
from shim.store.topics import UnknownTopicError

TARGET = Target("db.example.com", "5432", "app", "ann")
SECRET = "hunter2"

FAULTS: dict[Fault, list[str]] = {
    "record": ["22P05", "22021", "22P02", "22001", "23502", "23514", "23505", "54000", "54011"],
    "environment": [
        *("08006", "08P01", "25006", "25P03", "40001", "40P01", "53100", "53200", "53300"),
        *("55P03", "57014", "57P01", "57P03", "58030", "XX000", "XX001"),
    ],
    "setup": ["28P01", "3D000", "3F000", "42501", "42P01", "42703", "0A000", "P0001", "F0000", "26000"],
}


@pytest.mark.parametrize(
    ("fault", "sqlstate"), [(fault, state) for fault, states in FAULTS.items() for state in states]
)
def test_sqlstate_tells_whose_fault_it_is(fault: Fault, sqlstate: str) -> None:
    assert fault_of(sqlstate) == fault


def test_row_that_only_a_second_writer_could_have_put_there_is_no_dead_letter() -> None:
    assert fault_of("23505", "job_queue_log_key", "job_queue") == "protocol"
    assert fault_of("23514", "drain_offset_check", "drain_offset") == "protocol"
    assert fault_of("23505", "drain_batch_pkey", "drain_batch") == "protocol"
    assert fault_of("23505", "job_queue_pkey", "job_queue") == "setup"
    assert fault_of("23505", "users_own_unique", "job_queue") == "record"


def test_errors_without_sqlstate() -> None:
    assert postgres.classify(psycopg.OperationalError("server closed the connection")) == "environment"
    assert postgres.classify(psycopg.InterfaceError("the connection is closed")) == "environment"
    assert postgres.classify(psycopg.DataError("text fields cannot contain NUL")) == "record"
    assert postgres.classify(psycopg.ProgrammingError("can't adapt")) == "setup"
    assert postgres.classify(psycopg.errors.lookup("57P01")("shutting down")) == "environment"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql+psycopg://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@[::1/db",
        f"postgresql://u:{SECRET}@h/db?schema=public",
        f"host=h {SECRET}",
        f"postgresql://u:{SECRET}%zz@h/db",
    ],
)
def test_unreadable_connection_string_is_never_repeated(dsn: str) -> None:
    with pytest.raises(UsageError) as caught:
        postgres.connect(dsn, "test")
    assert SECRET not in caught.value.message + caught.value.hint
    assert caught.value.__cause__ is None


def test_target_shows_everything_but_the_password() -> None:
    target = Target.of(f"postgresql://ann:{SECRET}@db.example.com:6432/app?sslpassword={SECRET}")
    assert str(target) == "db.example.com:6432/app as ann"


def test_target_is_what_libpq_would_take_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "env.example.com")
    monkeypatch.setenv("PGUSER", "bob")
    monkeypatch.delenv("PGDATABASE", raising=False)
    assert str(Target.of("")) == "env.example.com:5432/bob as bob"
    assert Target.of("host=other").host == "other"


def test_nobody_answers() -> None:
    with pytest.raises(CannotStartError) as caught:
        postgres.connect(f"postgresql://ann:{SECRET}@127.0.0.1:1/app", "test")
    assert caught.value.code == "postgres-unreachable"
    assert "127.0.0.1:1/app as ann" in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("error", "exit_status", "hint"),
    [
        (SchemaMissingError("public", "store"), Exit.CANNOT_START, "migrator init"),
        (SchemaVersionError("store", 1, 2), Exit.CANNOT_START, "migrator schema upgrade"),
        (SchemaVersionError("store", 2, 1), Exit.CANNOT_START, "pip install --upgrade"),
        (ForeignTableError("public", ("it is a view",)), Exit.REFUSED, "--schema jobs"),
        (UnsupportedServerError(130000, "UTF8"), Exit.CANNOT_START, "Postgres 14"),
        (UnknownTopicError("emails"), Exit.CANNOT_START, "gate status"),
    ],
)
def test_failures_of_the_store_come_with_a_way_on(error: Exception, exit_status: Exit, hint: str) -> None:
    with pytest.raises(Exception, match=r"db\.example\.com") as caught, postgres.explained(TARGET):
        raise error
    explained = caught.value
    assert isinstance(explained, MigratorError)
    assert explained.exit == exit_status
    assert hint in explained.hint
