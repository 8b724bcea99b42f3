"""Where Postgres is, by rank: the configuration, ``DATABASE_URL``, libpq."""

import os
from typing import NamedTuple

import pytest

from shim import environment


class Told(NamedTuple):
    """What stands in a configuration."""

    dsn: str | None


@pytest.mark.parametrize(
    ("told", "environ", "dsn"),
    [
        ("host=told", {"DATABASE_URL": "postgresql://env/db"}, "host=told"),
        (None, {"DATABASE_URL": "postgresql://env/db"}, "postgresql://env/db"),
        (None, {"DATABASE_URL": "postgresql+psycopg://env/db"}, "postgresql://env/db"),
        (None, {"DATABASE_URL": "postgres+psycopg2://u:p@env/db"}, "postgresql://u:p@env/db"),
        (None, {"DATABASE_URL": ""}, ""),
        (None, {"PGHOST": "libpq"}, ""),
        (None, {}, ""),
    ],
)
def test_the_first_to_say_decides(told: str | None, environ: dict[str, str], dsn: str) -> None:
    assert environment.dsn(Told(told), environ) == dsn


def test_the_process_has_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://process/db")
    before = dict(os.environ)
    assert environment.dsn(Told(None)) == "postgresql://process/db"
    assert dict(os.environ) == before
