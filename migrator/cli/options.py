"""Options that several commands share: the same word for the same thing everywhere.

None of them reads the environment; the names in the help are those that ``migrator.settings`` looks at.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from migrator import settings
from migrator.cli.output import Output
from migrator.settings import Layer, Settings

Given = ParamSpec("Given")

_CONNECTION = "Connection"
_OUTPUT = "Output"

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        metavar="URL",
        help="Postgres, as URL or conninfo (env: DATABASE_URL, else libpq's own PG*)",
        rich_help_panel=_CONNECTION,
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="NAME",
        help="the queue's schema, public unless said (env: MIGRATOR_SCHEMA)",
        rich_help_panel=_CONNECTION,
    ),
]
BootstrapServers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        metavar="HOST:PORT,...",
        help="Kafka (env: KAFKA_BOOTSTRAP_SERVERS)",
        rich_help_panel=_CONNECTION,
    ),
]
KafkaConfig = Annotated[
    Path | None,
    typer.Option(
        "--kafka-config",
        metavar="FILE",
        help="a client.properties (env: KAFKA_CONFIG)",
        rich_help_panel=_CONNECTION,
    ),
]
KafkaOptions = Annotated[
    list[str] | None,
    typer.Option(
        "-X",
        metavar="KEY=VALUE",
        help="any librdkafka key, repeatable; beats --kafka-config",
        rich_help_panel=_CONNECTION,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="settings, migrator.toml unless said (env: MIGRATOR_CONFIG)",
        rich_help_panel=_CONNECTION,
    ),
]
Topics = Annotated[list[str] | None, typer.Option("--topic", metavar="NAME", help="a topic; repeatable")]

_Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout", rich_help_panel=_OUTPUT)]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="tracebacks with errors", rich_help_panel=_OUTPUT)]
_Quiet = Annotated[bool, typer.Option("--quiet", help="only the result and errors", rich_help_panel=_OUTPUT)]
_NoColor = Annotated[bool, typer.Option("--no-color", help="no colour (env: NO_COLOR)", rich_help_panel=_OUTPUT)]


def reporting(command: Callable[Concatenate[Output, Given], None]) -> Callable[..., None]:
    """Gives a command the options of its output, and an `Output` made of them as its first argument."""

    @wraps(command)
    def run(**given: Any) -> None:
        shown = {name: given.pop(name) for name in ("as_json", "quiet", "no_color")}
        # The error boundary looks at this one.
        given.pop("verbose")
        command(Output(**shown), **given)  # type: ignore[call-arg]

    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=own + _output_parameters())  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run


def postgres_settings(dsn: str | None, schema: str | None, config: Path | None) -> Settings:
    """Returns the settings of a command that talks to Postgres alone.

    Raises:
        UsageError: the settings file cannot be used.
    """
    return settings.load(Layer(dsn=dsn, schema=schema), config)


def kafka_settings(
    dsn: str | None,
    schema: str | None,
    config: Path | None,
    bootstrap_servers: str | None,
    kafka_config: Path | None,
    kafka_options: Sequence[str] | None,
    *,
    topics: Sequence[str] | None = None,
) -> Settings:
    """Returns the settings of a command that talks to both sides.

    Raises:
        UsageError: the settings file cannot be used, or a ``-X`` has no ``=``.
    """
    flags = Layer(
        dsn=dsn,
        schema=schema,
        topics=tuple(dict.fromkeys(topics)) if topics else None,
        bootstrap_servers=bootstrap_servers,
        kafka_config=kafka_config,
        kafka_options=settings.parse_options(kafka_options or ()),
    )
    return settings.load(flags, config)


def _output_parameters() -> list[inspect.Parameter]:
    kinds = {"as_json": _Json, "verbose": _Verbose, "quiet": _Quiet, "no_color": _NoColor}
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in kinds.items()
    ]
