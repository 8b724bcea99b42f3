"""``migrator gate``: whether a topic's jobs may run here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import typer

from migrator import postgres
from migrator.cli.known import known_topics, named
from migrator.cli.options import Config, Dsn, Schema, Topics, postgres_settings, reporting
from migrator.cli.output import Output
from migrator.postgres import Connection, Target
from migrator.settings import Settings
from shim.store import gate, schema, topics
from shim.store.gate import GateStatus

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Let a topic's jobs run here, or keep them from it.",
)
Change = Callable[[Connection, topics.Texts, str, gate.OnProgress], int]
_LISTER = "migrator gate status"


@app.command("open")
@reporting
def open_(
    out: Output, topic: Topics = None, dsn: Dsn = None, schema_name: Schema = None, config: Config = None
) -> None:
    """Let a topic's jobs run here, oldest first; held jobs stay held.

    When nothing runs them in Kafka any more. About 20 s for a million jobs, and the first ones start at once.
    Stopped half-way, run it again.

    Examples:
    - migrator gate open --topic emails
    - migrator gate open --topic emails --topic reports --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    _change(out, postgres_settings(dsn, schema_name, config), topic, gate.open_gate, "un-parked")


@app.command()
@reporting
def close(
    out: Output, topic: Topics = None, dsn: Dsn = None, schema_name: Schema = None, config: Config = None
) -> None:
    """Keep a topic's jobs from running here; jobs that are being worked on run to their end.

    Before going back to Kafka, or to stop all workers of a topic at once. Delays are kept.

    Examples:
    - migrator gate close --topic emails
    - migrator gate close --topic emails --schema jobs

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    _change(out, postgres_settings(dsn, schema_name, config), topic, gate.close_gate, "parked")


@app.command()
@reporting
def status(
    out: Output, topic: Topics = None, dsn: Dsn = None, schema_name: Schema = None, config: Config = None
) -> None:
    """Show which gates are open, and how many jobs wait on either side; all topics unless some are named.

    At any time. It changes nothing.

    Examples:
    - migrator gate status
    - migrator gate status --topic emails --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    with _connected(out, settings) as (conn, statements):
        known = known_topics(conn, statements, topic or settings.topics, lister=_LISTER)
        found = [gate.gate_status(conn, statements, name) for name in topic or settings.topics or known]
    out.result({"topics": [asdict(one) for one in found]}, [])
    if not out.as_json:
        _show(out, found)


@contextmanager
def _connected(out: Output, settings: Settings) -> Iterator[tuple[Connection, topics.Texts]]:
    with postgres.connect(settings.dsn, "gate") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            line = schema.store_line(settings.schema)
            schema.require(conn, line)
            yield conn, gate.load(line.schemas)


def _change(out: Output, settings: Settings, topic: list[str] | None, change: Change, verb: str) -> None:
    chosen = named(topic or settings.topics, lister=_LISTER)
    with _connected(out, settings) as (conn, statements):
        known_topics(conn, statements, chosen, lister=_LISTER)
        changed = [_changed(out, conn, statements, name, change, verb) for name in chosen]
    out.result({"topics": changed}, [_sentence(one, verb) for one in changed])


def _changed(
    out: Output, conn: Connection, statements: topics.Texts, name: str, change: Change, verb: str
) -> dict[str, Any]:
    before = gate.gate_status(conn, statements, name)
    total = before.parked if verb == "un-parked" else before.claimable
    started = time.monotonic()
    with out.progress(f"{name}: {verb}", total) as on_progress:
        moved = change(conn, statements, name, on_progress)
    seconds = round(time.monotonic() - started, 1)
    after = asdict(gate.gate_status(conn, statements, name))
    return {**after, "already": before.gate == after["gate"] and not moved, "moved": moved, "seconds": seconds}


def _sentence(one: dict[str, Any], verb: str) -> str:
    if one["already"]:
        return f"{one['topic']}: already {one['gate']}"
    moved = f"{one['moved']:,} jobs {verb} in {one['seconds']} s"
    left = f", {one['claimable']:,} still claimable: run it again" if verb == "parked" and one["claimable"] else ""
    return f"{one['topic']}: {one['gate']}, {moved}; {one['held']:,} held, {one['processing']:,} being worked on{left}"


def _show(out: Output, found: list[GateStatus]) -> None:
    columns = ("topic", "gate", "numbered by", "claimable", "parked", "held", "processing")
    if found:
        out.table(columns, (asdict(one).values() for one in found))
    else:
        out.note("no topic is registered yet; migrator drain registers the first")
