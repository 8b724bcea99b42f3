"""What becomes of claimed jobs: completed, released, failed, or held for longer. In batches, and fenced.

Every statement names the token of the claim. A job that has another one by now, or is no longer being processed, was
recovered when its lease had run out: nothing is changed then, and the job is not among those that are returned.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


class Release(NamedTuple):
    """A job that is to be delivered again.

    Attributes:
        id: the job's.
        error: what ``last_error`` shall say; None leaves it.
        pause_ms: how long from now on nobody gets it; None for what the topic says.
    """

    id: int
    error: str | None = None
    pause_ms: int | None = None


class Rejection(NamedTuple):
    """A job that has failed for good.

    Attributes:
        id: the job's.
        error: what ``last_error`` shall say.
    """

    id: int
    error: str | None = None


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "settlements.sql", schemas)


def complete(conn: Connection, texts: Texts, lease: int, ids: Sequence[int]) -> set[int]:
    """Completes jobs, in the caller's transaction if there is one; returns the ids of those that were still held."""
    return _changed(conn, texts["complete"], lease, ids)


def release(conn: Connection, texts: Texts, lease: int, releases: Sequence[Release]) -> dict[int, str]:
    """Gives jobs back to be delivered again, counting this delivery; behind a closed gate they are parked.

    Args:
        conn: a connection inside a transaction that holds the gate still (`topics.share_gate`).
        texts: from `load`.
        lease: the claim's token.
        releases: which jobs, and how.

    Returns:
        the status of those that were still held, by id: ``pending``, or ``failed`` for one that was at its limit.
    """
    arguments = {
        "lease": lease,
        "ids": [one.id for one in releases],
        "errors": [one.error for one in releases],
        "pauses_ms": [one.pause_ms for one in releases],
    }
    return dict(conn.execute(texts["release"], arguments).fetchall())


def reject(conn: Connection, texts: Texts, lease: int, rejections: Sequence[Rejection]) -> set[int]:
    """Fails jobs for good and returns the ids of those that were still held."""
    errors = [one.error for one in rejections]
    return _changed(conn, texts["reject"], lease, [one.id for one in rejections], errors=errors)


def return_unseen(conn: Connection, texts: Texts, lease: int, ids: Sequence[int]) -> set[int]:
    """Gives jobs back that nobody was handed, uncounted; returns the ids of those that were still held.

    As `release`, it is for a transaction that holds the gate still.
    """
    return _changed(conn, texts["return_unseen"], lease, ids)


def return_unknown(conn: Connection, texts: Texts, worker: str, known: Iterable[int], names: Sequence[str]) -> int:
    """Gives back what a worker claimed without learning it, and returns how many jobs that were.

    As `release`, it is for a transaction that holds the gate still.

    Args:
        conn: a connection.
        texts: from `load`.
        worker: what ``locked_by`` says.
        known: the tokens of the claims that the worker knows of.
        names: the topics.
    """
    return conn.execute(
        texts["return_unknown"], {"worker": worker, "known": list(known), "topics": list(names)}
    ).rowcount


def renew(conn: Connection, texts: Texts, claims: Mapping[int, Iterable[int]]) -> dict[int, set[int]]:
    """Lets claims last for another lease from now on, all in one statement.

    Args:
        conn: a connection.
        texts: from `load`.
        claims: the ids of the jobs of each, by its token.

    Returns:
        of each claim the ids of those jobs that were still held.
    """
    held: dict[int, set[int]] = {lease: set() for lease in claims}
    ids = sorted({id_ for claimed in claims.values() for id_ in claimed})
    for id_, lease in conn.execute(texts["renew"], {"ids": ids, "leases": list(claims)}):
        held[lease].add(id_)
    return held


def settled_by(conn: Connection, texts: Texts, lease: int, ids: Sequence[int]) -> dict[int, str]:
    """Returns the status, by id, of the jobs that this claim was the last to settle.

    That is how a lost reply is asked for: the token stays with the job until it is claimed again, or recovered.
    """
    return dict(conn.execute(texts["settled_by"], {"lease": lease, "ids": list(ids)}).fetchall())


def _changed(conn: Connection, statement: LiteralString, lease: int, ids: Sequence[int], **more: Any) -> set[int]:
    return {row[0] for row in conn.execute(statement, {"lease": lease, "ids": list(ids), **more})}
