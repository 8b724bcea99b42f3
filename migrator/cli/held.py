"""``migrator held``: the rows that wait for a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from migrator import postgres
from migrator.cli.options import Config, Dsn, Schema, Topics, postgres_settings, reporting
from migrator.cli.output import Output
from migrator.held import Choice, Held, choose, open_held
from migrator.postgres import Target
from migrator.settings import Settings
from shim.store import schema

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Decide about the jobs that may have been done already.",
)

Partition = Annotated[int | None, typer.Option("--partition", min=0, help="only this one")]
Offset = Annotated[int | None, typer.Option("--offset", min=0, help="only this one; needs --partition")]
Everything = Annotated[bool, typer.Option("--all", help="all held jobs of the topic, or of --partition")]


@app.command("list")
@reporting
def list_(
    out: Output,
    topic: Topics = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="how many at most")] = 100,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """List held jobs: where they are and why they wait; never their bytes.

    After a drain with `--uncertain hold`, or when `init` has adopted a table. All topics unless some are named.

    Examples:
    - migrator held list --topic emails
    - migrator held list --limit 1000 --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = Choice(tuple(topic or settings.topics) or None)
    with _connected(out, settings) as held:
        matched, rows = held.count(choice), held.listed(choice, limit)
    out.result({"matched": matched, "held": [asdict(row) for row in rows]}, [])
    if not out.as_json and rows:
        out.table(tuple(asdict(rows[0])), ([_shown(fact) for fact in asdict(row).values()] for row in rows))
    out.note(f"{matched:,} held" + (f", {matched - len(rows):,} more: --limit {matched}" if matched > limit else ""))
    if rows:
        out.next_step(f"migrator held release --topic {rows[0].topic} --all, or migrator held discard")


@app.command()
@reporting
def release(
    out: Output,
    topic: Topics = None,
    partition: Partition = None,
    offset: Offset = None,
    everything: Everything = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, do nothing")] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Let held jobs run: at once when their topic's gate is open, with all others when it opens.

    When you know that they were not done in Kafka, or that doing them twice does no harm. A second run finds none.

    Examples:
    - migrator held release --topic emails --partition 3 --offset 1187
    - migrator held release --topic emails --all

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = choose(topic or settings.topics, partition, offset, everything=everything)
    with _connected(out, settings) as held:
        matched = held.count(choice)
        changed = 0 if dry_run else held.release(choice)
    _report(out, matched, changed, "released", dry_run=dry_run)


@app.command()
@reporting
def discard(
    out: Output,
    topic: Topics = None,
    partition: Partition = None,
    offset: Offset = None,
    everything: Everything = False,
    execute: Annotated[bool, typer.Option("--execute", help="do it; else it is only told")] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """End held jobs without running them: they become failed, with the reason; no row is deleted.

    When you know that they were done in Kafka. Without --execute nothing is changed.

    Examples:
    - migrator held discard --topic emails --all
    - migrator held discard --topic emails --partition 3 --offset 1187 --execute

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = choose(topic or settings.topics, partition, offset, everything=everything)
    with _connected(out, settings) as held:
        matched = held.count(choice)
        changed = held.discard(choice) if execute else 0
    _report(out, matched, changed, "discarded", dry_run=not execute)


@contextmanager
def _connected(out: Output, settings: Settings) -> Iterator[Held]:
    with postgres.connect(settings.dsn, "held") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            schema.require(conn, schema.store_line(settings.schema))
            yield open_held(conn, postgres.schemas(settings.schema))


def _report(out: Output, matched: int, changed: int, verb: str, *, dry_run: bool) -> None:
    said = f"{matched:,} would be {verb}" if dry_run else f"{changed:,} {verb}"
    out.result({"matched": matched, "changed": changed, "dry_run": dry_run}, [said if matched else "none are held"])
    if dry_run and matched and verb == "discarded":
        out.next_step("the same command with --execute")


def _shown(fact: object) -> object:
    return "-" if fact is None else fact
