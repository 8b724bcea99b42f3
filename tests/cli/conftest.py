import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from migrator.cli import app
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

OURS = ("DATABASE_URL", "MIGRATOR_SCHEMA", "MIGRATOR_CONFIG", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_CONFIG")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        (line,) = self.out.splitlines()
        document = json.loads(line)
        assert document["schema_version"] == 1
        return document


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs one command, with nothing of the developer's own environment."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = app.run(arguments)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


@pytest.fixture
def migrated_url(databases: Databases) -> Iterator[str]:
    url = databases.create(migrate)
    yield url
    databases.drop(url)
