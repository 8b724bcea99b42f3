"""What goes wrong before or during a drain is told once, with the next command, and without secrets or payloads."""

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from confluent_kafka import admin as kafka_admin

from migrator.embedded.parts import Broker
from migrator.embedded.process import free_port
from tests.fixtures.cli import Cli, Done, create_tables
from tests.fixtures.kafka import OwnKafka, create_topic_on, topic_name
from tests.fixtures.oracle import Produced, Recorder, check, count_rows, dead_letters_of, expected
from tests.fixtures.postgres import Databases, OwnPostgres

pytestmark = pytest.mark.real_kafka

_PATIENCE = 15.0
_ADMIN: Any = kafka_admin  # it re-exports its names without saying so
_SECRET = "hunter2-correct-horse"


@pytest.fixture
def servers(broker: Broker) -> str:
    return broker.bootstrap_servers


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


@pytest.fixture
def topic(servers: str) -> str:
    name = topic_name("emails")
    create_topic_on(servers, name)
    recorder = Recorder(servers)
    recorder.send(name, b"{}")
    recorder.flush()
    return name


def expect_told(done: Done, code: str, status: int = 3) -> str:
    """Asserts that one error is told, in time, to people and to scripts; returns its hint."""
    done.expect(status)
    assert done.seconds < _PATIENCE
    assert done.error["code"] == code
    assert done.error["message"]
    assert done.error["hint"]
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said == [f"error: {done.error['message']}"]
    assert f"hint: {done.error['hint'].splitlines()[0]}" in done.stderr
    assert ("Traceback" in done.output) is ("-v" in done.arguments)
    assert _SECRET not in done.output
    return str(done.error["hint"])


def with_user(url: str, user: str, password: str = "") -> str:
    parts = urlsplit(url)
    login = f"{user}:{password}" if password else user
    return parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}").geturl()


# --- connections ----------------------------------------------------------------------------------------------------


def test_a_broker_that_does_not_answer(url: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    hint = expect_told(Cli.on(url, nobody).drain("emails"), "broker-unreachable")
    assert nobody.replace(":", " ") in hint


def test_a_broker_whose_name_nobody_knows(url: str) -> None:
    expect_told(Cli.on(url, "kafka.invalid:9092").drain("emails"), "broker-unreachable")


def test_no_broker_at_all(url: str) -> None:
    assert "KAFKA_BOOTSTRAP_SERVERS" in expect_told(Cli.on(url).drain("emails"), "bootstrap-missing", 2)


def test_a_topic_that_is_not_there(servers: str, url: str, topic: str) -> None:
    hint = expect_told(Cli.on(url, servers).drain(topic[:-1]), "topic-missing")
    assert f"--topic {topic}" in hint


def test_a_server_that_does_not_answer(servers: str) -> None:
    url = f"postgresql://app:{_SECRET}@127.0.0.1:{free_port()}/app"
    hint = expect_told(Cli.on(url, servers).drain("emails"), "postgres-unreachable")
    assert "pg_isready" in hint


def test_a_wrong_password_of_postgres(servers: str, own_postgres: OwnPostgres) -> None:
    server = own_postgres(fsync=False)
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute("create role app login password 'right'")
        (path,) = conn.execute("show hba_file").fetchone() or ("",)
        Path(str(path)).write_text("host all app all scram-sha-256\nhost all all all trust\nlocal all all trust\n")
        conn.execute("select pg_reload_conf()")
    wrong = with_user(server.url, "app", _SECRET)
    hint = expect_told(Cli.on(wrong, servers).drain("emails"), "postgres-password")
    assert "'app'" in hint


def test_a_wrong_password_of_kafka_and_a_right_that_is_missing_there(own_kafka: OwnKafka, url: str) -> None:
    kafka = own_kafka(sasl_users={"app": "right"})
    create_topic_on(kafka.bootstrap_servers, "emails")
    recorder = Recorder(kafka.bootstrap_servers)
    recorder.send("emails", b"{}")
    recorder.flush()
    login = ("-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=PLAIN", "-X", "sasl.username=app", "-X")
    cli = Cli.on(url, kafka.sasl_bootstrap_servers)
    wrong = cli.drain("emails", options=[*login, f"sasl.password={_SECRET}", "-v"])
    assert "sasl.password" in expect_told(wrong, "authentication-failed")
    with refused_to_read(kafka.bootstrap_servers, "emails"):
        refused = cli.drain("emails", options=[*login, "sasl.password=right"])
    hint = expect_told(refused, "not-authorized")
    assert "kafka-acls.sh" in hint
    assert "--allow-principal 'User:app' --operation Read --topic 'emails'" in hint
    cli.drain("emails", options=[*login, "sasl.password=right"]).expect(0)
    assert count_rows(url, "emails") == 1


@contextmanager
def refused_to_read(servers: str, topic: str) -> Iterator[None]:
    """Nobody who logs in may read the topic; they may look at it."""
    client = _ADMIN.AdminClient({"bootstrap.servers": servers})
    kind, pattern = _ADMIN.ResourceType.TOPIC, _ADMIN.ResourcePatternType.LITERAL
    acls = [
        _ADMIN.AclBinding(kind, topic, pattern, "User:app", "*", operation, permission)
        for operation, permission in (
            (_ADMIN.AclOperation.DESCRIBE, _ADMIN.AclPermissionType.ALLOW),
            (_ADMIN.AclOperation.READ, _ADMIN.AclPermissionType.DENY),
        )
    ]
    for created in client.create_acls(acls).values():
        created.result()
    yield
    anything = _ADMIN.AclOperation.ANY, _ADMIN.AclPermissionType.ANY
    mine = _ADMIN.AclBindingFilter(kind, topic, pattern, None, None, *anything)
    for deleted in client.delete_acls([mine]).values():
        assert len(deleted.result()) == len(acls)


def test_tables_that_are_not_there(servers: str, database_url: str, topic: str) -> None:
    hint = expect_told(Cli.on(database_url, servers).drain(topic), "schema-missing")
    assert hint == "migrator init"
    cli = Cli.on(database_url, servers)
    cli.run("init").expect(0)
    cli.drain(topic).expect(0)


def test_rights_that_are_missing_are_given_by_the_printed_grant(
    servers: str, database_url: str, topic: str, own_role: str
) -> None:
    Cli.on(database_url, servers).run("init").expect(0)
    cli = Cli.on(with_user(database_url, own_role), servers)
    grants = []
    done = cli.drain(topic)
    while done.exit != 0:
        hint = expect_told(done, "permission")
        grant = hint.partition("--")[0].strip()
        assert grant.startswith("grant ")
        assert grant not in grants, "the printed grant was given, and was not enough"
        grants.append(grant)
        with psycopg.connect(database_url) as conn:
            conn.execute(grant.encode())
        done = cli.drain(topic)
    assert grants
    assert count_rows(database_url, topic) == 1


@pytest.fixture
def own_role(database_url: str) -> Iterator[str]:
    """A role without any right; it is dropped afterwards."""
    name = f"app_{random.randrange(10**9)}"  # noqa: S311  # a name, not a secret
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"create role {name} login".encode())
    yield name
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"drop owned by {name}".encode())
        conn.execute(f"drop role {name}".encode())


def test_a_read_only_database(servers: str, url: str, topic: str) -> None:
    read_only = f"{url}?options=-c%20default_transaction_read_only%3Don"
    hint = expect_told(Cli.on(read_only, servers).drain(topic), "read-only")
    assert "primary" in hint


# --- personal data --------------------------------------------------------------------------------------------------

CANARY = "canary-vole@example.org"
_MESSAGES = 1_000
_CHECK = "alter table job_queue add constraint no_poison check (payload ->> 'state' <> 'poison')"
_QUOTING_TRIGGER = """
create function quote_it() returns trigger language plpgsql as $$
begin
  if new.payload ->> 'state' = 'poison' then
    raise exception 'I do not like %', new.payload using errcode = '{}', detail = new.payload::text;
  end if;
  return new;
end $$;
create trigger quote_it before insert on job_queue for each row execute function quote_it()
"""


def fill_with_canaries(servers: str) -> tuple[str, list[Produced]]:
    """A topic whose keys, values and header values all hold the canary; some are poison, some are no JSON."""
    topic = topic_name("personal")
    create_topic_on(servers, topic, 2)
    recorder = Recorder(servers)
    for n in range(_MESSAGES):
        state = "poison" if n % 100 == 50 else "fine"
        value = json.dumps({"to": CANARY, "n": n, "state": state}).encode()
        if n % 100 == 70:
            value = f"to {CANARY}, as text".encode()
        if n % 100 == 80:
            value = f'{{"to": "{CANARY}", "x": "\\u0000"}}'.encode()
        if n % 100 == 90:
            value = CANARY.encode() + b"\xff\x00"
        recorder.send(topic, value, CANARY.encode(), headers=((b"to", CANARY.encode()),), partition=n % 2)
    return topic, recorder.flush()


def expect_no_canary(*outputs: Done) -> None:
    wanted = re.compile("canary|vole|example.org", re.IGNORECASE)
    hexadecimal = CANARY.encode().hex()
    for done in outputs:
        found = wanted.search(done.output)
        assert found is None, (done.arguments, done.output[max(0, found.start() - 200) : found.end() + 50])
        assert hexadecimal not in done.output.replace(" ", "")


def test_no_output_quotes_a_payload_a_key_or_a_header(servers: str, url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(_CHECK.encode())
    topic, records = fill_with_canaries(servers)
    cli = Cli.on(url, servers)
    stopped = cli.drain(topic, options=["--format", "json", "-v", "--dead-letter-budget", "2"]).expect(5)
    done = cli.drain(topic, options=["--format", "json", "-v"]).expect(0)
    counts = check(url, expected(topic, records, at_least=_MESSAGES), done)
    assert counts.dead == 30  # the poison, the text, the bytes; JSON that jsonb cannot hold is JSON
    assert {row["stage"] for row in dead_letters_of(url, topic).values()} == {"format", "write"}
    expect_no_canary(
        stopped,
        done,
        cli.run("drain", "--topic", topic, "-v"),
        cli.run("gate", "status", "-v"),
        cli.run("doctor", "-v"),
    )
    with psycopg.connect(url) as conn:
        reasons = conn.execute("select string_agg(reason, ' ') from kafka_migrator.drain_dead_letter").fetchone()
    assert reasons is not None
    assert "canary" not in str(reasons[0])


@pytest.mark.parametrize("arguments", [("dead-letters", "list"), ("dead-letters", "list", "--json")], ids=" ".join)
def test_the_list_of_dead_letters_shows_no_payload(servers: str, url: str, arguments: tuple[str, ...]) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(_CHECK.encode())
    topic, _ = fill_with_canaries(servers)
    cli = Cli.on(url, servers)
    done = cli.drain(topic).expect(0)
    assert done.document["dead"] == 10
    assert f"migrator dead-letters list --topic {topic}" in done.stderr
    listed = cli.run(*arguments, "--topic", topic).expect(0)
    assert "no_poison" in listed.output
    expect_no_canary(done, listed)


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        pytest.param("P0001", 3, id="setup"),
        pytest.param("23514", 0, id="record"),
        pytest.param("XX001", 5, id="outage"),
    ],
)
def test_a_trigger_of_the_users_own_that_quotes_the_row_is_not_repeated(
    servers: str, url: str, sqlstate: str, status: int
) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(_QUOTING_TRIGGER.format(sqlstate).encode())
    topic, _ = fill_with_canaries(servers)
    done = Cli.on(url, servers).drain(topic, options=["-v", "--max-wait", "2"])
    expect_no_canary(done)
    assert done.exit == status


def test_a_row_that_stands_in_the_way_is_not_quoted(servers: str, url: str) -> None:
    topic, _ = fill_with_canaries(servers)
    with psycopg.connect(url) as conn:
        conn.execute("create unique index one_receiver on job_queue ((payload ->> 'to')) where partition = 1")
    done = Cli.on(url, servers).drain(topic, options=["-v", "--dead-letter-budget", "1000"])
    expect_no_canary(done)
    assert done.exit == 0
    assert done.document["dead"] > 400
