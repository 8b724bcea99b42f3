"""``migrator owner``: the group whose progress the status of a topic's jobs tells."""

from dataclasses import asdict
from typing import Annotated

import typer

from migrator.cli import owner_change
from migrator.cli.known import known_topics, named
from migrator.cli.options import Config, Dsn, Schema, Topics, postgres_settings, reporting
from migrator.cli.output import Output
from migrator.settings import Settings
from shim.store import owners
from shim.store.claims import OwnerKind
from shim.store.owners import NOBODY, Owner

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="See and change whose progress the status of a topic's jobs tells.",
)

Execute = Annotated[bool, typer.Option("--execute", help="do it; else it is only told")]


@app.command()
@reporting
def show(out: Output, topic: Topics = None, dsn: Dsn = None, schema_name: Schema = None, config: Config = None) -> None:
    """Show who owns each topic, and how far status is behind; all topics unless some are named.

    At any time. It changes nothing. Members and unsettled offsets are those of consumer groups.

    Examples:
    - migrator owner show
    - migrator owner show --topic emails --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    wanted = topic or settings.topics
    with owner_change.connected(out, settings) as (conn, texts):
        known = known_topics(conn, texts, wanted, lister=owner_change.LISTER)
        found = [asdict(one) for one in owners.ownerships(conn, texts, wanted or known)]
    out.result({"topics": found}, [])
    if not out.as_json and found:
        columns = ("topic", "owner", "kind", "gate", "members", "unsettled")
        out.table(columns, (["-" if fact is None else fact for fact in one.values()] for one in found))
    elif not found:
        out.note("no topic is registered yet; migrator drain or a producer makes the first")


@app.command("set")
@reporting
def set_(
    out: Output,
    group: Annotated[str, typer.Option("--group", metavar="NAME", help="the group")],
    topic: Topics = None,
    kind: Annotated[OwnerKind, typer.Option("--kind", help="what kind of group that is")] = "consumer",
    execute: Execute = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Name the group whose progress status tells; pending jobs below a consumer group's offsets count as done then.

    When the workers of a topic are replaced by others. Without --execute nothing is changed, and it is told what would
    be. From a share group to a consumer group the gate has to be closed.

    Examples:
    - migrator owner set --topic emails --group mailers
    - migrator owner set --topic emails --group workers --kind share --execute

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    settings = postgres_settings(dsn, schema_name, config)
    _give(out, settings, topic, Owner(group, kind), execute=execute)


@app.command()
@reporting
def clear(
    out: Output,
    topic: Topics = None,
    execute: Execute = False,
    dsn: Dsn = None,
    schema_name: Schema = None,
    config: Config = None,
) -> None:
    """Leave a topic without an owner: the next share group that subscribes comes to own it.

    When a group has gone for good, and another is to follow. Without --execute nothing is changed.

    Examples:
    - migrator owner clear --topic emails
    - migrator owner clear --topic emails --execute --json

    Environment: DATABASE_URL or libpq's PG*, MIGRATOR_SCHEMA, MIGRATOR_CONFIG.
    """
    _give(out, postgres_settings(dsn, schema_name, config), topic, NOBODY, execute=execute)


def _give(out: Output, settings: Settings, topic: list[str] | None, owner: Owner, *, execute: bool) -> None:
    chosen = named(topic or settings.topics, lister=owner_change.LISTER)
    with owner_change.connected(out, settings) as (conn, texts):
        known_topics(conn, texts, chosen, lister=owner_change.LISTER)
        owner_change.give(out, conn, texts, chosen, owner, execute=execute)
