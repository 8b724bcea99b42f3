"""How topics change their owner: what is in the way, what follows, and then the change itself."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from migrator import postgres
from migrator.cli import owner_view as view
from migrator.cli.output import Output
from migrator.errors import UsageError
from migrator.postgres import Connection, Target
from migrator.settings import Settings
from shim.store import claims, group_facts, owners, schema, settle
from shim.store.owners import ObstacleError, Outlook, Owner, Ownership, Texts

LISTER = "migrator owner show"


@contextmanager
def connected(out: Output, settings: Settings) -> Iterator[tuple[Connection, Texts]]:
    """Yields a connection to the queue, and the statements for it."""
    with postgres.connect(settings.dsn, "owner") as conn:
        target = Target.connected(conn)
        out.note(f"connected to {target}, schema {settings.schema}")
        with postgres.explained(target):
            line = schema.store_line(settings.schema)
            schema.require(conn, line)
            yield conn, {**owners.load(line.schemas), **settle.load(line.schemas), **group_facts.load(line.schemas)}


def give(out: Output, conn: Connection, texts: Texts, names: Sequence[str], owner: Owner, *, execute: bool) -> None:
    """Gives topics to another owner, or tells what would follow.

    Raises:
        RefusedError: one of them cannot change hands as it stands.
        UsageError: there is no group without a name.
    """
    if owner.group_id == "":
        raise UsageError("a group has a name", code="group-missing", hint="add --group NAME")
    _look_for(out, conn, texts, owner)
    planned = [_planned(conn, texts, name, owner) for name in names]
    told = [_given(conn, texts, *plan, owner, execute=execute) for plan in planned]
    left = [one["topic"] for one in told if one["former_kind"] == "share" and owner.kind != "share"]
    if execute and left:
        # A share consumer may go by what it has read before; behind the closed gate it finds nothing.
        out.note(f"share consumers learn of it within {claims.TERMS_SECONDS:.0f} s: waiting for that")
        time.sleep(claims.TERMS_SECONDS)
    out.result({"topics": told, "dry_run": not execute}, [view.sentence(one, execute=execute) for one in told])
    if not execute and not all(one["already"] for one in told):
        out.next_step("the same command with --execute")
    elif left:
        out.next_step("migrator gate open " + " ".join(f"--topic {name}" for name in left))


def _look_for(out: Output, conn: Connection, texts: Texts, owner: Owner) -> None:
    groups = [row[0] for row in conn.execute(texts["list_groups"])]
    if owner.kind == "consumer" and owner.group_id not in groups:
        close = get_close_matches(str(owner.group_id), groups, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        out.note(f"consumer group {owner.group_id!r} was never seen here{meant}")


def _planned(conn: Connection, texts: Texts, name: str, owner: Owner) -> tuple[Ownership, Outlook]:
    before, jobs = owners.standing(conn, texts, name)
    if owner == (before.owner_group, before.owner_kind):
        return before, Outlook()
    found = owners.obstacle(before, jobs, owner)
    if found not in (None, "unsettled"):  # it is settled before the change
        raise view.refusal(before, jobs, found)
    return before, owners.foresee(conn, texts, name, owner)


def _given(
    conn: Connection, texts: Texts, before: Ownership, outlook: Outlook, owner: Owner, *, execute: bool
) -> dict[str, Any]:
    if not execute:
        return view.change(before, owner, outlook, settled=0)
    topic = before.topic
    if before.unsettled:
        settle.settle(conn, texts, only=topic)
    try:
        before = owners.change(conn, texts, topic, owner)
    except ObstacleError as error:
        raise view.refusal(error.before, error.jobs, error.obstacle) from error
    return view.change(before, owner, outlook, settle.settle(conn, texts, only=topic))
