"""What ``migrator verify`` does once its options are known: connect both sides, compare, and say the answer."""

import gc

import typer

from migrator import postgres
from migrator.cli.output import Output
from migrator.cli.stopping import interruptible
from migrator.cli.verify_view import difference_rows, drill_lines, outcome_lines, verify_view
from migrator.errors import Exit, MigratorError
from migrator.kafka.facts import Cluster
from migrator.kafka.log import LogReader
from migrator.kafka.properties import kafka_properties
from migrator.settings import Settings
from migrator.verify.drill import Drilled, drill
from migrator.verify.options import VerifyOptions
from migrator.verify.outcome import Outcome, Result
from migrator.verify.run import Surroundings, verify
from shim.store import schema

_COLLECT_SELDOM = (100_000, 20, 100)
"""Thresholds of the garbage collector: a verification makes millions of tuples and no cycles."""

_SHOWN = 50


def perform(out: Output, settings: Settings, options: VerifyOptions, *, drilling: bool = False) -> None:
    """Runs a verification, or a drill.

    Raises:
        MigratorError: it was refused, could not start, or stopped part-way.
        typer.Exit: with the status of an answer that is not yes.
    """
    properties = kafka_properties(settings.bootstrap_servers, settings.kafka_config, settings.kafka_options)
    target = postgres.Target.of(settings.dsn)
    out.note(f"Kafka {properties.describe()}")
    out.note(f"Postgres {target}, schema {settings.schema}")
    _require_schema(settings, target)
    gc.freeze()
    gc.set_threshold(*_COLLECT_SELDOM)
    with interruptible() as interruption, Cluster(properties) as cluster, verify_view(out) as listener:
        around = Surroundings(
            connect=lambda: postgres.connect(settings.dsn, "verify"),
            schemas=postgres.schemas(settings.schema),
            cluster=cluster,
            open_log=lambda: LogReader(properties),
            listener=listener,
            stop=interruption.asked,
        )
        try:
            with postgres.explained(target):
                told = drill(around, options) if drilling else verify(around, options)
        except MigratorError as error:
            if not interruption.asked.is_set():
                raise
            out.note(error.message)
            raise typer.Exit(int(interruption.status)) from error
    if isinstance(told, Drilled):
        _report_drill(out, told)
    else:
        _report(out, told)


def _require_schema(settings: Settings, target: postgres.Target) -> None:
    with postgres.connect(settings.dsn, "verify") as conn, postgres.explained(target):
        schema.require(conn, schema.store_line(settings.schema))
        schema.require(conn, postgres.migrator_line(settings.schema))


def _report(out: Output, outcome: Outcome) -> None:
    out.result(outcome.document(), outcome_lines(out, outcome))
    if outcome.differences and not out.as_json:
        out.table(("class", "partition", "offset", "job", "of"), difference_rows(outcome.differences[:_SHOWN]))
        if len(outcome.differences) > _SHOWN:
            out.note(f"{len(outcome.differences) - _SHOWN:,} more; --json has them all")
    if outcome.result is not Result.PASS:
        raise typer.Exit(int(outcome.exit))


def _report_drill(out: Output, drilled: Drilled) -> None:
    out.result(drilled.document(), drill_lines(out, drilled))
    if not drilled.passed:
        raise typer.Exit(int(Exit.ANSWER_IS_NO))
