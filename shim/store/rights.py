"""What the connection's role may do with the queue's tables."""

from collections.abc import Mapping
from typing import LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]


class Rights(NamedTuple):
    """What the role may do.

    Attributes:
        read: read rows.
        write: add rows.
        delete: delete rows.
        create_topics: make topics.
        alter_topics: change topics.
        delete_topics: delete topics with their rows.
        describe: see topics and groups.
        commit: move a group's offsets.
        delete_groups: delete groups.
    """

    read: bool
    write: bool
    delete: bool
    create_topics: bool
    alter_topics: bool
    delete_topics: bool
    describe: bool
    commit: bool
    delete_groups: bool


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return Statements("shim.store.sql", "rights.sql", schemas)


def read_rights(conn: Connection, statements: Texts) -> Rights:
    """Returns what the connection's role may do."""
    row = conn.execute(statements["read_rights"]).fetchone()
    return Rights(*row or ())
