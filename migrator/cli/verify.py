"""``migrator verify``: parity of a topic and its rows, down to the single message."""

from pathlib import Path
from typing import Annotated

import typer

from migrator.choices import parse_partitions
from migrator.cli.options import (
    BootstrapServers,
    Config,
    Dsn,
    KafkaConfig,
    KafkaOptions,
    Schema,
    kafka_settings,
    reporting,
)
from migrator.cli.output import Output
from migrator.cli.verify_choice import only_topic, parse_classes, parse_sample
from migrator.cli.verify_run import perform
from migrator.verify.options import Level, VerifyOptions

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_WHAT = "What is compared"
_ANSWER = "The answer"


@app.command()
@reporting
def verify(
    out: Output,
    topic: Annotated[list[str] | None, typer.Option("--topic", metavar="NAME", help="the topic")] = None,
    level: Annotated[
        Level,
        typer.Option("--level", help="count, digests of ranges, or every single message", rich_help_panel=_WHAT),
    ] = Level.FULL,
    partitions: Annotated[
        str | None, typer.Option("--partitions", metavar="0-3,7", help="only these", rich_help_panel=_WHAT)
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            metavar="OFFSET",
            min=0,
            help="only from the batch that holds it on",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    stop: Annotated[
        int | None,
        typer.Option("--to", metavar="OFFSET", min=1, help="only up to it, and its batch's end", rich_help_panel=_WHAT),
    ] = None,
    sample: Annotated[
        str, typer.Option("--sample", metavar="1/N", help="one message in N, by its offset", rich_help_panel=_WHAT)
    ] = "1/1",
    without_values: Annotated[
        bool,
        typer.Option("--without-values", help="all but the values, where the table keeps none", rich_help_panel=_WHAT),
    ] = False,
    grace: Annotated[
        float,
        typer.Option("--grace", min=0, help="seconds for the drain to come to the end", rich_help_panel=_ANSWER),
    ] = 30.0,
    max_diffs: Annotated[
        int, typer.Option("--max-diffs", min=1, help="how many messages are named", rich_help_panel=_ANSWER)
    ] = 1_000,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="CLASS,...", help="what makes the answer no", rich_help_panel=_ANSWER),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="FILE", help="keep there how far it came, and go on from there"),
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="plant one fault of each class in a scratch copy, and find them all")
    ] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    bootstrap_servers: BootstrapServers = None,
    kafka_config: KafkaConfig = None,
    kafka_options: KafkaOptions = None,
    config: Config = None,
) -> None:
    """Compare a topic with its rows, down to the single message; changes nothing.

    The answer is pass (0), fail (1: differences, each with class and offset) or inconclusive (6: not everything could
    be compared, or nothing was). Rows that retention removed are proven by the drain's ledger.

    Examples:
    - migrator verify --topic emails
    - migrator verify --topic emails --level leaf --sample 1/64 --json

    Environment: DATABASE_URL or libpq's PG*, KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONFIG, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = kafka_settings(dsn, schema_name, config, bootstrap_servers, kafka_config, kafka_options, topics=topic)
    options = VerifyOptions(
        topic=only_topic(settings.topics),
        level=level,
        partitions=None if partitions is None else parse_partitions(partitions),
        start=start,
        stop=stop,
        modulus=parse_sample(sample),
        max_diffs=max_diffs,
        grace=grace,
        fail_on=parse_classes(fail_on),
        without_values=without_values,
        resume=resume,
    )
    perform(out, settings, options, drilling=drill)
