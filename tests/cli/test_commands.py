"""init, schema, gate and doctor from the outside: exit statuses, JSON shapes, and words."""

from contextlib import closing

import pytest

from migrator import postgres
from shim.store import roles, schema
from tests.cli.conftest import Cli
from tests.integration.shim import article

STORE = [f"store {one.version:04} {one.name}" for one in schema.store_line().migrations]


def execute(url: str, statement: str) -> None:
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute(statement)


def test_init_creates_then_finds_everything_there(cli: Cli, database_url: str) -> None:
    planned = cli("init", "--dsn", database_url, "--dry-run", "--json")
    assert planned.document["applied"] == [*STORE, "migrator 0001 drain"]
    assert STORE[0] == "store 0001 job_queue"
    assert cli("schema", "check", "--dsn", database_url).status == 1
    first = cli("init", "--dsn", database_url)
    assert first.status == 0
    assert "applied: store 0001 job_queue" in first.out
    assert "connected to " in first.err
    assert "next: migrator doctor" in first.err
    again = cli("init", "--dsn", database_url)
    assert (again.status, again.out) == (0, "everything was there already\n")
    document = cli("init", "--dsn", database_url, "--json").document
    assert document["already"] is True
    assert set(document) == {
        *("schema_version", "database", "schema", "dry_run", "already", "adopted", "applied", "roles"),
    }


def test_init_adopts_the_articles_table(cli: Cli, database_url: str) -> None:
    execute(database_url, article.TABLE)
    execute(database_url, article.INSERT)
    planned = cli("init", "--dsn", database_url, "--dry-run", "--json").document
    assert planned["adopted"]
    assert planned["applied"] == [*STORE[1:], "migrator 0001 drain"]
    assert "rows kept" in cli("doctor", "--dsn", database_url).out
    ran = cli("init", "--dsn", database_url)
    assert ran.status == 0
    assert "adopted: build job_queue_claim_idx" in ran.out
    assert cli("schema", "check", "--dsn", database_url).status == 0


def test_init_refuses_a_foreign_table_with_the_difference(cli: Cli, database_url: str) -> None:
    execute(database_url, "create table job_queue (id integer)")
    ran = cli("init", "--dsn", database_url, "--json")
    assert ran.status == 4
    assert "column 'payload' is missing" in ran.document["error"]["message"]
    assert cli("doctor", "--dsn", database_url).status == 1
    assert cli("init", "--dsn", database_url, "--schema", "jobs").status == 0


def test_init_without_the_right_to_create(cli: Cli, migrated_url: str, database_url: str) -> None:
    del migrated_url
    execute(database_url, "create schema jobs; revoke create on schema public from public")
    execute(database_url, "do $$ begin create role plain login; exception when duplicate_object then null; end $$")
    ran = cli("init", "--dsn", database_url.replace("postgres@", "plain@"), "--schema", "jobs")
    assert ran.status == 3
    assert "grant usage, create on schema jobs to plain;" in ran.err


def test_schema_sql_needs_no_server_and_check_agrees(cli: Cli, database_url: str) -> None:
    ran = cli("schema", "sql", "--roles", "--schema", "jobs")
    assert ran.status == 0
    assert ran.err == ""
    execute(database_url, ran.out)
    assert cli("schema", "check", "--dsn", database_url, "--schema", "jobs").status == 0
    assert "create table" not in cli("schema", "sql", "--roles-only").out
    assert cli("schema", "sql", "--json").document["sql"].startswith("begin;")


def test_schema_check_and_upgrade(cli: Cli, database_url: str) -> None:
    missing = cli("schema", "upgrade", "--dsn", database_url)
    assert missing.status == 3
    assert "hint: migrator init" in missing.err
    cli("init", "--dsn", database_url)
    document = cli("schema", "check", "--dsn", database_url, "--json").document
    assert document["ok"] is True
    assert [line["line"] for line in document["lines"]] == ["store", "migrator"]
    assert set(document["lines"][0]) == {
        *("line", "schema", "ok", "version", "known", "missing", "changed", "newer"),
    }
    assert cli("schema", "upgrade", "--dsn", database_url).out == "already up to date\n"
    execute(database_url, "update job_schema_migration set checksum = 'x'")
    changed = cli("schema", "check", "--dsn", database_url)
    assert changed.status == 1
    assert "changed: 0001_job_queue" in changed.out
    assert cli("schema", "upgrade", "--dsn", database_url).status == 3


def test_schema_upgrade_gives_the_roles_that_are_there_what_is_new(cli: Cli, database_url: str) -> None:
    old = schema.store_line()
    old.__dict__["migrations"] = old.migrations[:1]
    with closing(postgres.connect(database_url, "test")) as conn:
        schema.upgrade(conn, old)
        schema.upgrade(conn, postgres.migrator_line())
        conn.execute(
            "do $$ begin create role job_queue_worker nologin; exception when duplicate_object then null; end $$"
        )
    assert cli("doctor", "--dsn", database_url).status == 1
    upgraded = cli("schema", "upgrade", "--dsn", database_url)
    assert upgraded.out.splitlines() == [f"applied {name}" for name in STORE[1:]]
    execute(database_url, "set role job_queue_worker; delete from job_group")
    assert cli("schema", "check", "--dsn", database_url).status == 0


@pytest.fixture
def url(migrated_url: str) -> str:
    execute(
        migrated_url,
        """
        insert into job_topic (topic, partitions, sequencer, gate) values ('emails', 1, 'kafka', 'closed');
        insert into job_queue (payload, topic, process_after, last_error)
        select '1', 'emails', 'infinity', case when n = 1 then 'held: uncertain' end from generate_series(1, 1500) n
        """,
    )
    return migrated_url


def test_gate(cli: Cli, url: str) -> None:
    shown = cli("gate", "status", "--dsn", url)
    assert shown.status == 0
    assert "1,499" in shown.out
    opened = cli("gate", "open", "--topic", "emails", "--dsn", url)
    assert opened.status == 0
    assert opened.out.startswith("emails: open, 1,499 jobs un-parked in ")
    assert cli("gate", "open", "--topic", "emails", "--dsn", url).out == "emails: already open\n"
    (closed,) = cli("gate", "close", "--topic", "emails", "--dsn", url, "--json").document["topics"]
    assert (closed["gate"], closed["moved"], closed["parked"], closed["held"]) == ("closed", 1499, 1499, 1)
    (status,) = cli("gate", "status", "--dsn", url, "--json").document["topics"]
    assert status == {
        "topic": "emails",
        "gate": "closed",
        "sequencer": "kafka",
        "claimable": 0,
        "parked": 1499,
        "held": 1,
        "processing": 0,
    }


def test_gate_of_a_topic_that_is_not_there(cli: Cli, url: str, database_url: str) -> None:
    ran = cli("gate", "open", "--topic", "emial", "--dsn", url)
    assert ran.status == 3
    assert "did you mean 'emails'?" in ran.err
    assert cli("gate", "open", "--dsn", url).status == 2
    empty = cli("gate", "status", "--dsn", database_url)
    assert empty.status == 3
    assert "hint: migrator init" in empty.err


def test_gate_through_a_pooler(cli: Cli, pooled_url: str) -> None:
    assert cli("init", "--dsn", pooled_url).status == 0
    execute(pooled_url, "insert into job_topic (topic, partitions, gate) values ('emails', 1, 'closed')")
    assert cli("gate", "open", "--topic", "emails", "--dsn", pooled_url).status == 0
    assert cli("doctor", "--dsn", pooled_url).status == 0


def test_doctor_of_a_database_that_is_ready(cli: Cli, migrated_url: str) -> None:
    ran = cli("doctor", "--dsn", migrated_url, "--json")
    assert ran.status == 0
    assert ran.document["ok"] is True
    checks = {check["name"]: check for check in ran.document["checks"]}
    assert {*checks} >= {"python", "psycopg", "postgres", "postgres version", "encoding", "rights", "kafka"}
    assert all(set(check) == {"name", "ok", "found", "fix"} for check in checks.values())


@pytest.mark.parametrize(
    ("spoiling", "name", "fix"),
    [
        ("drop schema kafka_migrator cascade", "tables of migrator", "migrator init"),
        ("alter table job_queue set unlogged", "crash safety", "set logged"),
        ("revoke insert on job_queue from job_queue_migrator", "rights", "grant job_queue_migrator"),
    ],
)
def test_doctor_names_what_is_wrong_and_its_fix(
    cli: Cli, migrated_url: str, spoiling: str, name: str, fix: str
) -> None:
    with closing(postgres.connect(migrated_url, "test")) as conn:
        roles.ensure(conn, schema.store_line(), (postgres.SCHEMA,))
        conn.execute("do $$ begin create role drainer login; exception when duplicate_object then null; end $$")
        conn.execute("grant job_queue_migrator to drainer")
        conn.execute(spoiling)
    ran = cli("doctor", "--json", "--dsn", migrated_url.replace("postgres@", "drainer@"))
    assert ran.status == 1
    failed = {check["name"]: check["fix"] for check in ran.document["checks"] if not check["ok"]}
    assert list(failed) == [name]
    assert fix in failed[name]


def test_doctor_says_that_nobody_answers(cli: Cli) -> None:
    ran = cli("doctor", "--dsn", "postgresql://ann@127.0.0.1:1/app", "--bootstrap-servers", "127.0.0.1:1")
    assert ran.status == 1
    assert "✗ postgres: cannot connect" in ran.out
    assert "✗ kafka: " in ran.out
    assert ran.out.count("fix: ") >= 2
