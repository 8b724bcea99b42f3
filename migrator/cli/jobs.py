"""``migrator jobs``: what stands in the queue, and what an operator does about it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from migrator.cli import jobs_view as view
from migrator.cli.jobs_choice import (
    Error,
    Everything,
    Execute,
    Ids,
    Older,
    choose,
    connected,
    deliberate,
    statuses_of,
)
from migrator.cli.options import Config, Dsn, Schema, Topics, postgres_settings, reporting
from migrator.cli.output import Output
from migrator.errors import CannotStartError, UsageError
from migrator.settings import Settings
from shim.store import jobs
from shim.store.jobs import Change, Choice

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="See the jobs in the queue; run failed ones again, end, or delete them.",
)


@app.command("list")
@reporting
def list_(
    out: Output,
    topic: Topics = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="pending, processing, completed, failed")] = None,
    job_id: Ids = None,
    error: Error = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="how many at most")] = 100,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """List jobs by id: where they stand and what befell them; never their bytes. With --json one a line.

    At any time. All topics and statuses unless some are named.

    Examples:
    - migrator jobs list --topic emails --status failed
    - migrator jobs list --error timeout --limit 100000 --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = choose(topic or settings.topics, statuses_of(status), job_id, error)
    with connected(out, settings) as (conn, texts):
        listed = jobs.listed(conn, texts, choice, limit)
        if out.as_json:
            for job in listed:
                out.text(json.dumps(asdict(job)))
        else:
            view.show_list(out, list(listed), jobs.count(conn, texts, choice))


@app.command()
@reporting
def show(
    out: Output,
    job_id: Annotated[int, typer.Option("--id", min=1, help="the job's id")],
    show_values: Annotated[bool, typer.Option("--show-values", help="what was produced too")] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Show one job: who had it, when, and what became of it; what was produced as size and digest.

    Keys and values are often personal data, so they are shown only on request.

    Examples:
    - migrator jobs show --id 4711
    - migrator jobs show --id 4711 --show-values --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    with connected(out, postgres_settings(dsn, schema_name, config)) as (conn, texts):
        found = jobs.shown(conn, texts, job_id)
    if found is None:
        raise CannotStartError(f"there is no job {job_id}", code="job-unknown", hint="migrator jobs list")
    view.show_one(out, found, values=show_values)


@app.command()
@reporting
def retry(
    out: Output,
    topic: Topics = None,
    job_id: Ids = None,
    error: Error = None,
    older: Older = None,
    everything: Everything = False,
    execute: Execute = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Let failed jobs run again from the start, with all their deliveries before them.

    When what made them fail is mended. A job whose deduplication key an unfinished job has stays failed. Without
    --execute nothing is changed.

    Examples:
    - migrator jobs retry --topic emails --error timeout
    - migrator jobs retry --id 4711 --execute

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = deliberate(choose(topic or settings.topics, ("failed",), job_id, error, older), everything=everything)
    _change(out, settings, choice, jobs.retry, "retried", execute=execute)


@app.command()
@reporting
def discard(
    out: Output,
    topic: Topics = None,
    job_id: Ids = None,
    error: Error = None,
    older: Older = None,
    everything: Everything = False,
    execute: Execute = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """End pending jobs without running them: they have failed as discarded; no row is deleted.

    When they must not run any more. Without --execute nothing is changed.

    Examples:
    - migrator jobs discard --topic emails --older-than 48
    - migrator jobs discard --id 4711 --execute

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = deliberate(choose(topic or settings.topics, ("pending",), job_id, error, older), everything=everything)
    _change(out, settings, choice, jobs.discard, "discarded", execute=execute)


@app.command()
@reporting
def purge(
    out: Output,
    topic: Topics = None,
    status: Annotated[list[str] | None, typer.Option("--status", help="completed, failed")] = None,
    job_id: Ids = None,
    error: Error = None,
    older: Older = None,
    everything: Everything = False,
    execute: Execute = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Delete jobs that are completed or have failed, in batches; consumer groups can read them no more.

    When they are to go before their topic's retention takes them. Without --execute nothing is changed.

    Examples:
    - migrator jobs purge --topic emails --older-than 24
    - migrator jobs purge --all --status failed --execute

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    ended = statuses_of(status or ["completed", "failed"])
    if not set(ended) <= {"completed", "failed"}:
        raise UsageError(
            "only completed and failed jobs are purged", code="status-refused", hint="migrator jobs discard"
        )
    choice = deliberate(choose(topic or settings.topics, ended, job_id, error, older), everything=everything)
    _change(out, settings, choice, jobs.purge, "purged", execute=execute)


def _change(out: Output, settings: Settings, choice: Choice, change: Change, verb: str, *, execute: bool) -> None:
    with connected(out, settings) as (conn, texts):
        matched = jobs.count(conn, texts, choice)
        changed = 0
        if execute:
            with out.progress(verb, matched) as on_progress:
                for batch in change(conn, texts, choice):
                    changed += batch
                    on_progress(changed)
    view.show_change(out, matched, changed, verb, dry_run=not execute)
