"""Rows into ``job_queue``: by COPY, in the binary format that ``rows`` encodes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from shim.store.errors import StoreError
from shim.store.rows import COPY_HEADER, COPY_TRAILER
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]

_CHUNK_BYTES = 128 * 1024


class ShortCopyError(StoreError):
    """Postgres stored another number of rows than were sent: the stream was cut and taken for whole.

    A binary COPY without its trailer is accepted; only the count tells.
    """

    def __init__(self, sent: int, stored: int) -> None:
        super().__init__(f"COPY stored {stored} rows of {sent}")
        self.sent = sent
        self.stored = stored


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "append.sql", schemas)


def copy_rows(conn: Connection, statements: Texts, rows: Iterable[bytes]) -> int:
    """Copies encoded rows in the caller's transaction, and returns how many.

    ``rows`` is drawn from while COPY runs, so that encoding and storing overlap.

    Raises:
        ShortCopyError: the stored count is not the sent count; the caller must roll back.
        psycopg.Error: Postgres refused a row (its context names the line) or is gone.
    """
    sent = 0
    pending, size = [COPY_HEADER], 0
    with conn.cursor() as cursor:
        with cursor.copy(statements["copy_rows"]) as stream:
            for row in rows:
                sent += 1
                pending.append(row)
                size += len(row)
                if size > _CHUNK_BYTES:
                    stream.write(b"".join(pending))
                    pending, size = [], 0
            pending.append(COPY_TRAILER)
            stream.write(b"".join(pending))
        if cursor.rowcount != sent:
            raise ShortCopyError(sent, cursor.rowcount)
    return sent


def judge_json(conn: Connection, statements: Texts, values: Sequence[str]) -> list[str | None]:
    """Asks Postgres which texts jsonb takes: for each None where it does, else the SQLSTATE."""
    return [row[0] for row in conn.execute(statements["judge_json"], {"values": list(values)})]
