"""``migrator init``: the tables, made or adopted, and the roles."""

from typing import Annotated

import typer

from migrator import postgres
from migrator.cli.options import Config, Dsn, Schema, postgres_settings, reporting
from migrator.cli.output import Output
from migrator.postgres import Connection, Target
from shim.store import adopt, roles, schema
from shim.store.roles import RoleState
from shim.store.schema import Line

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
@reporting
def init(
    out: Output,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, do nothing")] = False,
) -> None:
    """Create the tables, or adopt the job_queue that is there.

    Run it once per database, before the first drain, and again after an upgrade. It never asks, and a second run
    changes nothing. A job_queue of the article's shape keeps its rows and is not rewritten.

    Examples:
    - migrator init --dsn postgresql://owner@db.example.com/app
    - migrator init --schema jobs --dry-run

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    with postgres.connect(settings.dsn, "init") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        lines = (schema.store_line(settings.schema), postgres.migrator_line(settings.schema))
        with postgres.explained(target):
            schema.require_server(conn)
            adopted = _adopt(out, conn, lines[0], dry_run=dry_run)
            applied = _upgrade(conn, lines, adopted=adopted, dry_run=dry_run)
            state = RoleState((), ()) if dry_run else roles.ensure(conn, lines[0], (postgres.SCHEMA,))
    _report(out, target, settings.schema, adopted, applied, state, dry_run=dry_run)


def _adopt(out: Output, conn: Connection, line: Line, *, dry_run: bool) -> list[str]:
    if not adopt.needed(conn, line):
        return []
    titles = [step.title for step in adopt.steps(conn, line)]
    if not dry_run:
        out.note("a job_queue of the article's shape is there; its rows stay as they are")
        adopt.adopt(conn, line, lambda title: out.note(f"  {title}"))
    return [*titles, "add the other tables"]


def _upgrade(conn: Connection, lines: tuple[Line, ...], *, adopted: list[str], dry_run: bool) -> list[str]:
    return [
        f"{line.name} {migration.version:04} {migration.name}"
        for line in lines
        for migration in _missing(conn, line, adopted=adopted, dry_run=dry_run)
    ]


def _missing(conn: Connection, line: Line, *, adopted: list[str], dry_run: bool) -> tuple[schema.Migration, ...]:
    if not dry_run:
        return schema.upgrade(conn, line)
    missing = schema.check(conn, line).missing
    return missing[1:] if adopted and line.name == "store" else missing


def _report(
    out: Output,
    target: Target,
    schema_name: str,
    adopted: list[str],
    applied: list[str],
    state: RoleState,
    *,
    dry_run: bool,
) -> None:
    document = {
        "database": target.dbname,
        "schema": schema_name,
        "dry_run": dry_run,
        "already": not (adopted or applied or state.created),
        "adopted": adopted,
        "applied": applied,
        "roles": {"created": state.created, "missing": state.missing, "refused": state.refused},
    }
    out.result(document, _lines(adopted, applied, state, dry_run=dry_run))
    if not (state.complete or dry_run):
        out.note("a role that may create roles, and grant on these tables, can run: ")
        out.note(f"migrator schema sql --roles-only --schema {schema_name} | psql")
    out.next_step("migrator init" if dry_run else "migrator doctor, then migrator drain --topic NAME")


def _lines(adopted: list[str], applied: list[str], state: RoleState, *, dry_run: bool) -> list[str]:
    adopt_, apply_ = ("would adopt", "would apply") if dry_run else ("adopted", "applied")
    done = [
        *(f"{adopt_}: {title}" for title in adopted),
        *(f"{apply_}: {name}" for name in applied),
        *(f"created role {role}" for role in state.created),
    ]
    return [
        *(done or ["everything was there already"]),
        *(f"role {role} is missing and cannot be created by this user" for role in state.missing),
        *([f"rights were not given: {state.refused}"] if state.refused else []),
    ]
