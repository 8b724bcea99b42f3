"""Jobs as an operator sees them: listed, tried again, ended, deleted; in bounded batches, and never their contents."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.rows import TupleRow, class_row, dict_row

from shim.store import bounds, topics
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
JobStatus = Literal["pending", "processing", "completed", "failed"]
Change = Callable[[Connection, Texts, "Choice"], Iterator[int]]

STATUSES: tuple[JobStatus, ...] = ("pending", "processing", "completed", "failed")

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs.

    Attributes:
        topics: of these topics; None for all.
        statuses: with one of these statuses.
        ids: of these ids; None for all.
        error: whose ``last_error`` holds this text; None for any.
        older_s: finished, or else created, at least so many seconds ago; None for any.
    """

    topics: tuple[str, ...] | None = None
    statuses: tuple[JobStatus, ...] = STATUSES
    ids: tuple[int, ...] | None = None
    error: str | None = None
    older_s: float | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What the statements ask for."""
        return {
            "topics": None if self.topics is None else list(self.topics),
            "statuses": list(self.statuses),
            "ids": None if self.ids is None else list(self.ids),
            "error": self.error,
            "older_s": self.older_s,
        }


@dataclass(frozen=True, slots=True)
class Job:
    """One job without anything that was produced; times as Postgres writes them."""

    id: int
    topic: str
    partition: int | None
    log_offset: int | None
    status: JobStatus
    retry_count: int
    last_error: str | None
    created_at: str
    process_after: str
    locked_at: str | None


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**bounds.load(schemas), **topics.load(schemas), **Statements("shim.store.sql", "jobs.sql", schemas)}


def count(conn: Connection, texts: Texts, choice: Choice) -> int:
    """Returns how many jobs a choice holds."""
    row = conn.execute(texts["count_jobs"], choice.arguments).fetchone()
    return row[0] if row else 0


def listed(conn: Connection, texts: Texts, choice: Choice, limit: int | None = None) -> Iterator[Job]:
    """Yields jobs by their ids, page by page: never more than a page of them is in memory.

    Args:
        conn: a connection outside of any transaction.
        texts: from `load`.
        choice: which.
        limit: how many at most; None for all.
    """
    after, left = 0, limit
    while left is None or left > 0:
        page = _page(conn, texts, choice, after, _BATCH if left is None else min(left, _BATCH))
        yield from page
        if len(page) < _BATCH:
            return
        after = page[-1].id
        left = None if left is None else left - len(page)


def shown(conn: Connection, texts: Texts, job_id: int) -> dict[str, Any] | None:
    """Returns one job with everything about it, by the names of its columns; None when there is none.

    ``key``, ``value`` and ``payload`` are what was produced: often personal data.
    """
    with conn.cursor(row_factory=dict_row, binary=True) as cursor:
        return cursor.execute(texts["show_job"], {"id": job_id}).fetchone()


def retry(conn: Connection, texts: Texts, choice: Choice) -> Iterator[int]:
    """Lets failed jobs run again from the start; yields how many after each batch, which is committed by then.

    A job whose deduplication key an unfinished one has stays failed: two of a key are never unfinished.
    """
    return _change(conn, texts, "retry_jobs", choice)


def discard(conn: Connection, texts: Texts, choice: Choice) -> Iterator[int]:
    """Ends pending jobs without running them; yields how many after each batch."""
    return _change(conn, texts, "discard_jobs", choice)


def purge(conn: Connection, texts: Texts, choice: Choice) -> Iterator[int]:
    """Deletes completed and failed jobs; yields how many after each batch."""
    return _change(conn, texts, "purge_jobs", choice)


def _change(conn: Connection, texts: Texts, statement: str, choice: Choice) -> Iterator[int]:
    after = 0
    while page := _page(conn, texts, choice, after, _BATCH):
        after = page[-1].id
        yield _change_batch(conn, texts, statement, page)


def _change_batch(conn: Connection, texts: Texts, statement: str, page: list[Job]) -> int:
    while True:
        try:
            with conn.transaction():
                bounds.bound(conn, texts)
                topics.share_gate(conn, texts, sorted({job.topic for job in page}))
                return conn.execute(texts[statement], {"ids": [job.id for job in page]}).rowcount
        except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
            # Somebody was adding jobs with the same keys: the next look sees them.
            continue


def _page(conn: Connection, texts: Texts, choice: Choice, after: int, limit: int) -> list[Job]:
    arguments = {**choice.arguments, "after": after, "limit": limit}
    with conn.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(texts["list_jobs"], arguments).fetchall()
