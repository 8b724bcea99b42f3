"""Which jobs a command of ``migrator jobs`` is about, and where they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

import typer

from migrator import postgres
from migrator.cli.output import Output
from migrator.errors import UsageError
from migrator.postgres import Connection, Target
from migrator.settings import Settings
from shim.store import jobs, schema
from shim.store.jobs import STATUSES, Choice, JobStatus

Ids = Annotated[list[int] | None, typer.Option("--id", min=1, help="a job; repeatable")]
Error = Annotated[str | None, typer.Option("--error", metavar="TEXT", help="whose last_error holds this text")]
Older = Annotated[float | None, typer.Option("--older-than", metavar="HOURS", min=0, help="finished so long ago")]
Everything = Annotated[bool, typer.Option("--all", help="all of them, whatever their topic")]
Execute = Annotated[bool, typer.Option("--execute", help="do it; else it is only told")]


@contextmanager
def connected(out: Output, settings: Settings) -> Iterator[tuple[Connection, jobs.Texts]]:
    """Connects to the queue, and says where that is."""
    with postgres.connect(settings.dsn, "jobs") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            line = schema.store_line(settings.schema)
            schema.require(conn, line)
            yield conn, jobs.load(line.schemas)


def choose(
    topics: Sequence[str] | None,
    statuses: tuple[JobStatus, ...],
    ids: Sequence[int] | None,
    error: str | None,
    older_hours: float | None = None,
) -> Choice:
    """Returns the choice that options describe."""
    older_s = None if older_hours is None else timedelta(hours=older_hours).total_seconds()
    return Choice(tuple(topics or ()) or None, statuses, tuple(ids or ()) or None, error, older_s)


def statuses_of(given: Sequence[str] | None) -> tuple[JobStatus, ...]:
    """Returns the statuses that are named, all when none is.

    Raises:
        UsageError: there is no such status.
    """
    for name in given or ():
        if name not in STATUSES:
            raise UsageError(
                f"there is no status {name!r}", code="status-unknown", hint=f"one of {', '.join(STATUSES)}"
            )
    return tuple(status for status in STATUSES if not given or status in given)


def deliberate(choice: Choice, *, everything: bool) -> Choice:
    """Lets nothing be changed by a mere slip: somebody has to say which jobs.

    Raises:
        UsageError: nobody has.
    """
    if choice.topics is None and choice.ids is None and not everything:
        raise UsageError("which jobs?", code="choice-missing", hint="add --topic NAME, --id ID, or --all")
    return choice
