"""``migrator drain``: a topic's records land in ``job_queue``, exactly once."""

from typing import Annotated

import typer

from migrator.choices import NoCommit, Policy, Uncertain, parse_partitions, parse_start
from migrator.cli.drain_run import parse_until, perform
from migrator.cli.options import (
    BootstrapServers,
    Config,
    Dsn,
    KafkaConfig,
    KafkaOptions,
    Schema,
    Topics,
    kafka_settings,
    reporting,
)
from migrator.cli.output import Output
from migrator.drain.options import DEFAULT_BATCH_BYTES, DEFAULT_BATCH_ROWS, DrainOptions
from shim.store.values import Format

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_START = "Where to start"
_END = "Where to end"
_PACE = "Pace"
_DOUBT = "Records in doubt"


@app.command()
@reporting
def drain(
    out: Output,
    topic: Topics = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="START",
            help="earliest, latest, group:NAME (repeatable), groups, timestamp:ISO, offsets:FILE.json",
            rich_help_panel=_START,
        ),
    ] = None,
    no_commit: Annotated[
        NoCommit | None,
        typer.Option("--no-commit", help="where to start without a committed offset", rich_help_panel=_START),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="END", help="end, timestamp:ISO", rich_help_panel=_END)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="go on until stopped, behind the closed gate", rich_help_panel=_END)
    ] = False,
    max_messages: Annotated[
        int | None, typer.Option("--max-messages", min=1, help="stop after so many", rich_help_panel=_END)
    ] = None,
    open_gate: Annotated[
        bool, typer.Option("--open", help="let jobs run here at once, and Postgres number them at the end")
    ] = False,
    uncertain: Annotated[
        Uncertain | None,
        typer.Option("--uncertain", help="what to do with the uncertain window", rich_help_panel=_DOUBT),
    ] = None,
    window: Annotated[
        int,
        typer.Option(
            "--uncertain-window",
            min=0,
            help="records per partition behind the commit that may be done already",
            rich_help_panel=_DOUBT,
        ),
    ] = 0,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="go on without records that Kafka has dropped", rich_help_panel=_DOUBT),
    ] = False,
    budget: Annotated[
        int,
        typer.Option("--dead-letter-budget", min=0, help="dead letters that are tolerated", rich_help_panel=_DOUBT),
    ] = 100,
    value_format: Annotated[
        Format | None,
        typer.Option("--format", help="force a format instead of deciding for each message", rich_help_panel=_DOUBT),
    ] = None,
    partitions: Annotated[
        str | None, typer.Option("--partitions", metavar="0-3,7", help="only these", rich_help_panel=_PACE)
    ] = None,
    writers: Annotated[
        int, typer.Option("--writers", min=1, max=16, help="transactions side by side", rich_help_panel=_PACE)
    ] = 1,
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", min=1, help="records in a transaction", rich_help_panel=_PACE)
    ] = DEFAULT_BATCH_ROWS,
    batch_bytes: Annotated[
        int, typer.Option("--batch-bytes", min=1, help="bytes in a transaction", rich_help_panel=_PACE)
    ] = DEFAULT_BATCH_BYTES,
    max_rate: Annotated[
        float | None, typer.Option("--max-rate", min=0.1, help="records a second", rich_help_panel=_PACE)
    ] = None,
    max_wait: Annotated[
        float, typer.Option("--max-wait", min=0, help="seconds to wait out an outage", rich_help_panel=_PACE)
    ] = 600.0,
    transaction_wait: Annotated[
        float,
        typer.Option("--transaction-wait", min=0, help="seconds to wait for an open one", rich_help_panel=_PACE),
    ] = 90.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, write nothing")] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    bootstrap_servers: BootstrapServers = None,
    kafka_config: KafkaConfig = None,
    kafka_options: KafkaOptions = None,
    config: Config = None,
) -> None:
    """Copy a topic's records into job_queue, exactly once; resume with the same command.

    When the tables are there (`migrator init`). Rows land behind a closed gate: no job runs here before
    `migrator gate open`, unless you say --open. Ctrl-C finishes the batch in hand; a second one stops at once.

    Examples:
    - migrator drain --topic emails
    - migrator drain --topic emails --from group:mailers --follow

    Environment: DATABASE_URL or libpq's PG*, KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONFIG, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = kafka_settings(dsn, schema_name, config, bootstrap_servers, kafka_config, kafka_options, topics=topic)
    options = DrainOptions(
        topics=settings.topics,
        start=parse_start(start or []),
        policy=Policy(no_commit, uncertain, window, bounded=not follow, accept_loss=accept_loss),
        until=parse_until(until, follow=follow),
        partitions=None if partitions is None else parse_partitions(partitions),
        max_messages=max_messages,
        writers=writers,
        batch_rows=batch_rows,
        batch_bytes=batch_bytes,
        max_rate=max_rate,
        dead_letter_budget=budget,
        format=value_format,
        open_gate=open_gate,
        max_wait=max_wait,
        transaction_wait=transaction_wait,
    )
    perform(out, settings, options, dry_run=dry_run)
