"""``migrator doctor``: one line per check, and what to do about each that fails."""

from dataclasses import asdict

import typer
from rich.text import Text

from migrator.check import Check
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
from migrator.doctor import examine
from migrator.errors import Exit

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
@reporting
def doctor(
    out: Output,
    topic: Topics = None,
    dsn: Dsn = None,
    schema_name: Schema = None,
    bootstrap_servers: BootstrapServers = None,
    kafka_config: KafkaConfig = None,
    kafka_options: KafkaOptions = None,
    config: Config = None,
) -> None:
    """Check whether everything that a migration needs is there: exit 0 when it is, 1 when not.

    Before the first step, and whenever something does not work; once the queue runs, also whether VACUUM keeps up with
    it. It changes nothing; each ✗ comes with its fix.

    Examples:
    - migrator doctor
    - migrator doctor --topic emails --bootstrap-servers kafka.example.com:9092 --json

    Environment: DATABASE_URL or libpq's PG*, KAFKA_BOOTSTRAP_SERVERS, KAFKA_CONFIG, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = kafka_settings(dsn, schema_name, config, bootstrap_servers, kafka_config, kafka_options, topics=topic)
    checks: list[Check] = []
    for check in examine(settings):
        checks.append(check)
        if not out.as_json:
            out.result({}, _lines(out, check))
    ok = all(check.ok for check in checks)
    if out.as_json:
        out.result({"ok": ok, "checks": [asdict(check) for check in checks]}, ())
    if not ok:
        raise typer.Exit(Exit.ANSWER_IS_NO)
    out.next_step("migrator drain --topic NAME")


def _lines(out: Output, check: Check) -> list[Text]:
    line = Text.assemble(out.mark(ok=check.ok), f" {check.name}: {check.found}")
    return [line, *(Text(f"    fix: {fix}") for fix in check.fix.splitlines())]
