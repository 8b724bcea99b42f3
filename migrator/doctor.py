"""What a migration needs, checked one by one; every check that fails says what to do. Nothing is changed."""

import platform
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import psycopg
from psycopg import pq

from migrator import postgres, vacuum
from migrator.check import Check
from migrator.errors import MigratorError
from migrator.postgres import Connection, Target
from migrator.settings import Settings
from shim.store import adopt, schema
from shim.store.errors import ForeignTableError
from shim.store.schema import Line
from shim.store.statements import Statements

OLDEST_POSTGRES, NEWEST_POSTGRES = 14, 18
OLDEST_PYTHON = (3, 11)


def examine(settings: Settings) -> Iterator[Check]:
    """Yields every check, as soon as its answer is known."""
    yield _python()
    yield _psycopg()
    yield from _guarded("postgres", lambda: _postgres(settings))
    yield from _guarded("kafka", lambda: _kafka(settings))


def _guarded(name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except MigratorError as error:
        yield Check(name, ok=False, found=error.message, fix=error.hint)


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    return Check("python", ok, platform.python_version(), "" if ok else "use Python 3.11 or later")


def _psycopg() -> Check:
    ok = pq.__impl__ != "python"
    fix = "" if ok else "pip install 'psycopg[binary]': copying is several times slower without it"
    return Check("psycopg", ok, f"{psycopg.__version__}, implementation {pq.__impl__}", fix)


def _postgres(settings: Settings) -> Iterator[Check]:
    with postgres.connect(settings.dsn, "doctor") as conn:
        target = Target.connected(conn)
        yield Check("postgres", ok=True, found=str(target))
        statements = Statements("migrator.sql", "doctor.sql", postgres.schemas(settings.schema))
        yield from _server(conn, statements)
        lines = (schema.store_line(settings.schema), postgres.migrator_line(settings.schema))
        yield from _guarded("tables", lambda: _tables(conn, statements, lines, target))


def _server(conn: Connection, statements: Statements) -> Iterator[Check]:
    version, number, encoding, read_only = _row(conn, statements, "read_server") or ("", 0, "", False)
    newer = f", tested up to {NEWEST_POSTGRES}" if number // 10000 > NEWEST_POSTGRES else ""
    old = number // 10000 < OLDEST_POSTGRES
    yield Check(
        "postgres version", not old, f"{version}{newer}", f"use Postgres {OLDEST_POSTGRES} or later" if old else ""
    )
    yield Check(
        "encoding",
        encoding == "UTF8",
        encoding,
        "" if encoding == "UTF8" else "createdb --encoding=UTF8 --template=template0 NAME: no other holds every text",
    )
    yield Check(
        "writable",
        not read_only,
        "read-only" if read_only else "yes",
        "connect to the primary: this is a replica, or default_transaction_read_only is on" if read_only else "",
    )


def _tables(conn: Connection, statements: Statements, lines: tuple[Line, Line], target: Target) -> Iterator[Check]:
    with postgres.explained(target):
        if adopt.needed(conn, lines[0]):
            yield _adoptable(conn, lines[0])
        compared = [_line(conn, line) for line in lines]
        yield from compared
        yield from _crash_safety(conn, statements, lines[0])
        if compared[0].ok:
            texts = Statements("migrator.sql", "vacuum.sql", lines[0].schemas)
            yield from vacuum.examine(conn, texts, lines[0].schema)
        if all(check.ok for check in compared):
            yield _rights(conn, statements, lines[0], target)


def _adoptable(conn: Connection, line: Line) -> Check:
    try:
        steps = adopt.steps(conn, line)
    except ForeignTableError as error:
        return Check("job_queue", ok=False, found=str(error), fix="migrator init --schema jobs")
    found = f"the article's own is there; migrator init adopts it in {len(steps) + 1} steps, rows kept"
    return Check("job_queue", ok=True, found=found)


def _line(conn: Connection, line: Line) -> Check:
    state = schema.check(conn, line)
    name = f"tables of {line.name}"
    if state.current:
        return Check(name, ok=True, found=f"version {state.version} in schema {line.schema}")
    if not state.applied:
        return Check(name, ok=False, found=f"none in schema {line.schema}", fix="migrator init")
    if state.missing and not (state.changed or state.newer):
        found = f"version {state.version}, this release has {line.migrations[-1].version}"
        return Check(name, ok=False, found=found, fix="migrator schema upgrade")
    found = f"version {state.version}, made by another release"
    return Check(name, ok=False, found=found, fix="pip install --upgrade kafka-to-postgres; migrator schema check")


def _crash_safety(conn: Connection, statements: Statements, line: Line) -> Iterator[Check]:
    found = _row(conn, statements, "read_persistence", schema=line.schema)
    if found:
        ok = found[0] == "p"
        fix = "" if ok else "alter table job_queue set logged;  -- a crash of the server empties an UNLOGGED table"
        yield Check("crash safety", ok, "logged" if ok else "job_queue is UNLOGGED", fix)


def _rights(conn: Connection, statements: Statements, line: Line, target: Target) -> Check:
    arguments = {"schema": line.schema, "own_schema": postgres.SCHEMA}
    lacking = conn.execute(statements["missing_rights"], arguments).fetchall()
    if not lacking:
        return Check("rights", ok=True, found=f"{target.user} may do what a drain needs")
    found = "; ".join(f"no {', '.join(privileges)} on {relation}" for relation, privileges in lacking)
    return Check("rights", ok=False, found=found, fix=f"grant job_queue_migrator to {target.user};")


def _kafka(settings: Settings) -> Iterator[Check]:
    configured = bool(settings.bootstrap_servers or settings.kafka_config or settings.kafka_options)
    if find_spec("confluent_kafka") is None:
        fix = "pip install 'kafka-to-postgres[cli,kafka]'" if configured else ""
        yield Check("kafka", not configured, "confluent-kafka is not installed, so Kafka cannot be asked", fix)
    elif not configured:
        yield Check("kafka", ok=True, found="not asked: no --bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS")
    else:
        yield from _cluster(settings)


def _cluster(settings: Settings) -> Iterator[Check]:
    # Imported late: without Kafka configured, its client need not be installed.
    properties = import_module("migrator.kafka.properties").kafka_properties(
        settings.bootstrap_servers, settings.kafka_config, settings.kafka_options
    )
    with import_module("migrator.kafka.facts").Cluster(properties) as cluster:
        topics = len(cluster.topics())
        found = f"cluster {cluster.cluster_id()} at {properties.describe()}, {topics} topics visible"
        yield Check("kafka", ok=True, found=found)
        for topic in settings.topics:
            yield from _guarded(f"topic {topic}", partial(_topic, cluster, topic))


def _topic(cluster: Any, topic: str) -> Iterator[Check]:
    facts = cluster.topic_facts(topic)
    messages = sum(partition.high - partition.low for partition in facts.partitions)
    found = f"{len(facts.partitions)} partitions, {messages:,} offsets, cleanup.policy {facts.cleanup_policy}"
    yield Check(f"topic {topic}", ok=True, found=found)


def _row(conn: Connection, statements: Statements, name: str, **arguments: str) -> tuple[Any, ...] | None:
    return conn.execute(statements[name], arguments).fetchone()
