"""``migrator schema``: the tables as SQL, as they are, and brought up to date."""

from typing import Annotated

import typer

from migrator import postgres
from migrator.cli.options import Config, Dsn, Schema, postgres_settings, reporting
from migrator.cli.output import Line as Shown
from migrator.cli.output import Output
from migrator.errors import Exit
from migrator.postgres import Connection, Target
from shim.store import roles
from shim.store import schema as store_schema
from shim.store.errors import SchemaMissingError
from shim.store.schema import Line, SchemaState

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Print, check or upgrade the tables.",
)


@app.command("sql")
@reporting
def print_sql(
    out: Output,
    schema_name: Schema = None,
    config: Config = None,
    with_roles: Annotated[bool, typer.Option("--roles", help="the group roles and their rights too")] = False,
    roles_only: Annotated[bool, typer.Option("--roles-only", help="nothing but the group roles")] = False,
) -> None:
    """Print the SQL that creates the tables; needs no connection.

    For a DBA, or for a migration tool of your own. `migrator schema check` agrees with what it made.

    Examples:
    - migrator schema sql --roles | psql --set ON_ERROR_STOP=1 "$DATABASE_URL"
    - migrator schema sql --schema jobs > migrations/0042_job_queue.sql

    Environment: MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    lines = _lines(postgres_settings(None, schema_name, config).schema)
    texts = [] if roles_only else [store_schema.script(line) for line in lines]
    if with_roles or roles_only:
        texts.append(roles.script(lines[0], (postgres.SCHEMA,)))
    sql = "\n".join(texts)
    out.result({"sql": sql}, [])
    if not out.as_json:
        out.text(sql)


@app.command()
@reporting
def check(out: Output, dsn: Dsn = None, schema_name: Schema = None, config: Config = None) -> None:
    """Say whether the tables are those of this release: exit 0 when they are, 1 when not.

    Before a deploy, in CI, and after a DBA has run the SQL. It changes nothing.

    Examples:
    - migrator schema check
    - migrator schema check --schema jobs --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    with postgres.connect(settings.dsn, "schema") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            states = [store_schema.check(conn, line) for line in _lines(settings.schema)]
    current = all(state.current for state in states)
    out.result(
        {"ok": current, "lines": [_document(state) for state in states]},
        [line for state in states for line in _told(out, state)],
    )
    if not current:
        out.next_step("migrator schema upgrade" if all(state.applied for state in states) else "migrator init")
        raise typer.Exit(Exit.ANSWER_IS_NO)


@app.command()
@reporting
def upgrade(
    out: Output,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="do it in a transaction, and roll it back")] = False,
) -> None:
    """Bring the tables to this release.

    After upgrading the package and before the first process that uses it. What is up to date is left alone.

    Examples:
    - migrator schema upgrade --dry-run
    - migrator schema upgrade --dsn postgresql://owner@db.example.com/app

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    lines = _lines(settings.schema)
    with postgres.connect(settings.dsn, "schema") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            if not store_schema.check(conn, lines[0]).applied:
                raise SchemaMissingError(settings.schema, lines[0].name)
            applied = [
                f"{line.name} {migration.version:04} {migration.name}"
                for line in lines
                for migration in store_schema.upgrade(conn, line, dry_run=dry_run)
            ]
            refused = _grant(conn, lines[0]) if applied and not dry_run else ""
    out.result(
        {"dry_run": dry_run, "already": not applied, "applied": applied},
        [f"{'would apply' if dry_run else 'applied'} {name}" for name in applied] or ["already up to date"],
    )
    if refused:
        out.note(f"rights were not given: {refused}")
        out.next_step(f"migrator schema sql --roles-only --schema {settings.schema} | psql")


def _grant(conn: Connection, queue: Line) -> str:
    """What is new to the tables is new to the roles."""
    return roles.ensure(conn, queue, (postgres.SCHEMA,), create=False).refused


def _lines(schema_name: str) -> tuple[Line, Line]:
    return store_schema.store_line(schema_name), postgres.migrator_line(schema_name)


def _document(state: SchemaState) -> dict[str, object]:
    return {
        "line": state.line.name,
        "schema": state.line.schema,
        "ok": state.current,
        "version": state.version,
        "known": state.line.migrations[-1].version,
        **{name: [f"{one.version:04}_{one.name}" for one in found] for name, found in _parts(state).items()},
    }


def _told(out: Output, state: SchemaState) -> list[Shown]:
    parts = [f"{name}: {one.version:04}_{one.name}" for name, found in _parts(state).items() for one in found]
    line = out.mark(ok=state.current)
    line.append(f" {state.line.name} in schema {state.line.schema}: version {state.version}", style="default")
    return [line, *(f"    {part}" for part in parts)]


def _parts(state: SchemaState) -> dict[str, tuple[store_schema.Migration | store_schema.Applied, ...]]:
    return {"missing": state.missing, "changed": state.changed, "newer": state.newer}
