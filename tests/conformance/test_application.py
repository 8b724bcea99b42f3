"""A program written for ``confluent_kafka`` runs on Postgres after one line of it was changed, and says the same."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.application import CUSTOMERS, PARTITIONS
from tests.conformance.side import Family, Side

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
_DIFF_BLOCK = re.compile(r"^```diff\n(?P<diff>.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM_SECONDS = 300


def import_diff() -> str:
    """The diff that the README shows; the one beside this file as long as the README shows none."""
    shown = _DIFF_BLOCK.search(README.read_text())
    return shown["diff"] if shown else (HERE / "application.diff").read_text()


def output_of(program: Path, family: Family) -> list[str]:
    """What the application prints, on a new topic."""
    side = Side(family, None)
    topic = side.topic(PARTITIONS)
    command = [sys.executable, str(program), "run", family.servers, topic]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=False)
    side.close()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


@pytest.fixture
def patched(tmp_path: Path) -> Path:
    """The application after ``patch`` applied the diff."""
    if not shutil.which("patch"):
        pytest.skip("needs the program 'patch'")
    program = tmp_path / "application.py"
    program.write_text((HERE / "application.py").read_text())
    subprocess.run(["patch", "--no-backup-if-mismatch", str(program)], input=import_diff(), text=True, check=True)
    return program


def test_the_diff_changes_one_line(patched: Path) -> None:
    before, after = (HERE / "application.py").read_text().splitlines(), patched.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    ((old, new),) = changed
    assert old.replace("from confluent_kafka import", "from shim import") == new
    assert "confluent_kafka" not in patched.read_text().partition('"""\n\n')[2]


def test_the_application_says_the_same_on_postgres(patched: Path, kafka_family: Family, shim_family: Family) -> None:
    original = output_of(HERE / "application.py", kafka_family)
    assert sum(line.startswith("order") for line in original) == 3 * (len(CUSTOMERS) + len(CUSTOMERS) // 4)
    assert "failed deliveries [] settled twice 0" in original
    assert output_of(patched, shim_family) == original
