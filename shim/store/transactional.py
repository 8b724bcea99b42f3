"""Work in one transaction: the job's completion, and whatever else the worker changes, come true together or never.

The five steps of the article: begin, lock, work, complete, commit. While the work goes on nobody sees it, its
connection is taken, and VACUUM waits; so there is a limit on its time. A delivery whose transaction was rolled back is
counted afterwards, in a transaction of its own; one whose worker crashed is not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow, tuple_row

from shim.store import bounds, topics
from shim.store.claims import Claimed, Terms, record_of
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

_WHOLE_TRANSACTIONS = 170000


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    own = Statements("shim.store.sql", "transactional.sql", schemas)
    return {**bounds.load(schemas), **topics.load(schemas), **own}


def limit(conn: psycopg.Connection[Any], texts: Texts, timeout_s: float) -> None:
    """Has Postgres end the caller's transaction when it takes longer; before Postgres 17, each of its steps."""
    arguments = {"timeout": f"{max(1, round(timeout_s * 1000))}ms"}
    conn.execute(texts["limit_transaction"], arguments)
    if conn.info.server_version >= _WHOLE_TRANSACTIONS:
        conn.execute(texts["limit_whole_transaction"], arguments)


def take_in(conn: psycopg.Connection[Any], texts: Texts, terms: Terms, worker: str, most: int) -> list[Claimed]:
    """Takes the oldest jobs of a topic that are due and free, completed as soon as the caller's transaction commits.

    Args:
        conn: a connection inside a transaction.
        texts: from `load`.
        terms: the topic's.
        worker: what ``locked_by`` says.
        most: how many jobs at most.
    """
    arguments = {"topic": terms.topic, "worker": worker, "limit": most}
    with conn.cursor(binary=True, row_factory=tuple_row) as cursor:
        rows = cursor.execute(texts["take_in"], arguments).fetchall()
    return [Claimed(id_, deliveries, record_of(fields, viewed=viewed)) for id_, deliveries, *fields, viewed in rows]


def count_failure(conn: Connection, texts: Texts, ids: Sequence[int], names: Sequence[str], error: str) -> int:
    """Counts deliveries whose transaction was rolled back, unless somebody else has the jobs by now.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        texts: from `load`.
        ids: the jobs'.
        names: of their topics.
        error: what ``last_error`` shall say.

    Returns:
        how many were counted.
    """
    with conn.transaction():
        bounds.bound(conn, texts)
        topics.share_gate(conn, texts, sorted(names))
        return conn.execute(texts["count_failure"], {"ids": list(ids), "error": error}).rowcount
