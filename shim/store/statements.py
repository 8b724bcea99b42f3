"""SQL lives in ``.sql`` files by subject; this reads them and puts the schema names in.

A file holds named statements, each introduced by its name and a comment of a line or two::

    -- name: lock_heads
    -- Locks the heads of the given partitions, in order.
    select ... from /*queue.*/job_partition ...;

``/*queue.*/`` in front of an object is a marker for its schema: the file stays valid SQL that runs in psql, and the
loader replaces the marker by the quoted name. A marker that nobody filled is an error, never a wrong schema.

``/*+ record.of_job */`` behind a column stands for more of them: those that the statement ``of_job`` of ``record.sql``
selects. So what several statements select is written once, and each of them is valid SQL as it stands.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import dropwhile
from typing import LiteralString

from shim.store.errors import StatementError

_MARKER = re.compile(r"/\*(\w+)\.\*/")
_COLUMNS = re.compile(r" /\*\+ (\w+)\.(\w+) \*/")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schema that each marker stands for, such as ``{"queue": "public"}``."""

    names: Mapping[str, str]

    def fill(self, sql: str) -> LiteralString:
        """Returns ``sql`` with every marker replaced by its quoted schema name.

        Raises:
            StatementError: a marker has no schema.
        """
        return _MARKER.sub(self._qualify, sql)

    def _qualify(self, marker: re.Match[str]) -> str:
        schema = self.names.get(marker[1])
        if schema is None:
            raise StatementError(f"no schema for marker {marker[0]!r}")
        return quoted(schema) + "."


class Statements(Mapping[str, LiteralString]):
    """The named statements of one ``.sql`` file, ready to execute.

    Args:
        package: the package that holds the file, such as ``shim.store.sql``.
        filename: such as ``topics.sql``.
        schemas: what the markers stand for.
    """

    def __init__(self, package: str, filename: str, schemas: Schemas) -> None:
        texts = _parsed(package, filename)
        self._filled = {name: schemas.fill(_with_columns(package, sql)) for name, sql in texts.items()}

    def __getitem__(self, name: str) -> LiteralString:
        return self._filled[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._filled)

    def __len__(self) -> int:
        return len(self._filled)


def quoted(identifier: str) -> str:
    """Returns ``identifier`` as Postgres quotes it."""
    return '"' + identifier.replace('"', '""') + '"'


def read_sql(package: str, filename: str) -> str:
    """Returns the text of a ``.sql`` file that ships with ``package``."""
    return files(package).joinpath(filename).read_text(encoding="utf-8")


def _with_columns(package: str, sql: str) -> str:
    """Returns ``sql`` with the columns that it shares with other statements."""
    return _COLUMNS.sub(lambda marker: ",\n" + _selected(package, f"{marker[1]}.sql", marker[2]), sql)


def _selected(package: str, filename: str, name: str) -> str:
    columns, found, _ = _parsed(package, filename)[name].removeprefix("select").rpartition("\nfrom ")
    if not found:
        raise StatementError(f"statement {name!r} selects nothing from anywhere")
    return columns.strip("\n")


@cache
def _parsed(package: str, filename: str) -> Mapping[str, str]:
    text = read_sql(package, filename)
    starts = list(_NAME.finditer(text))
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return {match[1]: _body(match[1], text[match.end() : end]) for match, end in zip(starts, ends, strict=True)}


def _body(name: str, block: str) -> str:
    lines = block.strip().splitlines()
    body = list(dropwhile(lambda line: line.startswith("-- "), lines))
    if not body or len(body) == len(lines):
        raise StatementError(f"statement {name!r} needs a comment and a body")
    return "\n".join(body).strip().rstrip(";")
