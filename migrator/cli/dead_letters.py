"""``migrator dead-letters``: the records that became no row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from migrator import postgres
from migrator.cli import dead_letters_view as view
from migrator.cli.options import Config, Dsn, Schema, Topics, postgres_settings, reporting
from migrator.cli.output import Output
from migrator.dead_letters import Choice, DeadLetters, LetterStage, Retrial, open_dead_letters
from migrator.errors import Exit, UsageError
from migrator.postgres import Target
from migrator.settings import Settings
from shim.store import schema
from shim.store.values import Format

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="See the records that became no row, and append them after all.",
)

Stage = Annotated[LetterStage | None, typer.Option("--stage", help="where they died")]
Partition = Annotated[int | None, typer.Option("--partition", min=0, help="only this one")]
Offset = Annotated[int | None, typer.Option("--offset", min=0, help="only this one")]


@app.command("list")
@reporting
def list_(
    out: Output,
    topic: Topics = None,
    stage: Stage = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="how many at most")] = 100,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """List dead letters: where they were, why they are dead, and what became of them; never their bytes.

    After a drain that counted some. All topics unless some are named.

    Examples:
    - migrator dead-letters list --topic emails
    - migrator dead-letters list --stage format --limit 1000 --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = Choice(tuple(topic or settings.topics) or None, stage, limit=limit)
    with _connected(out, settings) as letters:
        matched, retried = letters.count(choice)
        listed = letters.listed(choice)
    view.show_list(out, listed, matched, retried)


@app.command()
@reporting
def show(
    out: Output,
    topic: Annotated[str, typer.Option("--topic", metavar="NAME", help="its topic")],
    partition: Annotated[int, typer.Option("--partition", min=0, help="its partition")],
    offset: Annotated[int, typer.Option("--offset", min=0, help="its offset")],
    show_values: Annotated[bool, typer.Option("--show-values", help="its bytes too, escaped")] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Show one dead letter: sizes and digests of all its parts, and its bytes when you ask for them.

    Keys, values and headers are often personal data, so they are shown only on request.

    Examples:
    - migrator dead-letters show --topic emails --partition 3 --offset 1187
    - migrator dead-letters show --topic emails --partition 3 --offset 1187 --show-values --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    with _connected(out, postgres_settings(dsn, schema_name, config)) as letters:
        letter, contents = letters.found(topic, partition, offset)
    view.show_one(out, letter, contents, values=show_values)


@app.command()
@reporting
def retry(
    out: Output,
    topic: Topics = None,
    stage: Stage = None,
    partition: Partition = None,
    offset: Offset = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="how many per topic at most")] = None,
    value_format: Annotated[Format, typer.Option("--format", help="how values are read")] = Format.AUTO,
    without_headers: Annotated[
        bool, typer.Option("--without-headers", help="also records whose headers could not be read")
    ] = False,
    execute: Annotated[bool, typer.Option("--execute", help="do it; else it is tried and rolled back")] = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Append dead letters as rows, with their old coordinates in headers: exit 0 when all of them went, 1 when not.

    When what stood in the way is gone, or with another --format. Without --execute it is a rehearsal that changes
    nothing. What fails again stays dead with its new reason; what was retried is never retried twice.

    Examples:
    - migrator dead-letters retry --topic emails
    - migrator dead-letters retry --topic emails --stage format --format auto --execute

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    choice = Choice(tuple(topic or settings.topics) or None, stage, partition, offset, limit)
    if not choice.topics:
        raise UsageError("which topic?", code="topic-missing", hint="add --topic NAME; migrator dead-letters list")
    with _connected(out, settings) as letters:
        matched, retried = letters.count(choice)
        done = _told(out, letters.retry(choice, value_format, execute=execute, without_headers=without_headers))
    view.show_retry(out, done, matched, retried, execute=execute)
    if any(one.result == "dead" for one in done):
        raise typer.Exit(Exit.ANSWER_IS_NO)


def _told(out: Output, retrials: Iterator[Retrial]) -> list[Retrial]:
    done: list[Retrial] = []
    with out.progress("dead letters", None) as on_progress:
        for one in retrials:
            done.append(one)
            on_progress(len(done))
    return done


@contextmanager
def _connected(out: Output, settings: Settings) -> Iterator[DeadLetters]:
    with postgres.connect(settings.dsn, "dead-letters") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            schema.require(conn, schema.store_line(settings.schema))
            schema.require(conn, postgres.migrator_line(settings.schema))
            yield open_dead_letters(conn, postgres.schemas(settings.schema))
