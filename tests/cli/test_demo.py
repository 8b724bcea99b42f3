"""The demo proves itself, and leaves nothing behind however it ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.embedded.process import children_of, wait_until
from migrator.kafka.ready import metadata_answers

SECONDS = 200.0
PREFIX = "kafka-to-postgres-"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files that a server's own user can reach, which pytest's is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def running(scratch: Path, *words: str, mock: bool = True) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process of its own; without ``java`` in sight it takes librdkafka's mock cluster."""
    environ = {**os.environ, "TMPDIR": str(scratch), "PGDATABASE": "nobodys", "KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"}
    if mock:
        environ["PATH"] = str(Path(sys.executable).parent)
    argv = [sys.executable, "-m", "migrator", "demo", "--records", "400", *words]
    process = subprocess.Popen(
        argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], text: str) -> None:
    """Reads the demo's lines until one holds ``text``."""
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), f"it never said {text!r}"


def nothing_is_left(scratch: Path, children: list[int]) -> bool:
    return not list(scratch.glob(PREFIX + "*")) and not any(map(runs, children))


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def document_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    document: dict[str, Any] = json.loads(process.stdout.readline())
    return document


def test_it_holds_and_keeps_its_servers_until_it_is_told_to_stop(scratch: Path) -> None:
    with running(scratch, "--keep", "--json") as process:
        document = document_of(process)
        assert (document["ok"], document["schema_version"]) == (True, 1)
        checks = [check for step in document["steps"] for check in step.get("checks", ())]
        assert len(checks) == 16
        assert all(check["ok"] for check in checks)
        servers = document["servers"]
        with psycopg.connect(servers["DATABASE_URL"]) as conn:
            assert conn.execute("select count(*) from job_queue where topic = 'emails'").fetchone() == (400,)
        assert metadata_answers(servers["bootstrap.servers"])
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert children
    assert nothing_is_left(scratch, children)


@pytest.mark.parametrize(
    ("number", "status", "moment"),
    [
        (signal.SIGINT, 130, "2. A Kafka broker"),
        (signal.SIGTERM, 143, "5. The drain"),
        (signal.SIGINT, 130, "$ migrator drain --topic emails --json"),
        (signal.SIGKILL, -9, "5. The drain"),
    ],
)
def test_stopped_half_way_it_leaves_nothing_behind(
    scratch: Path, number: signal.Signals, status: int, moment: str
) -> None:
    with running(scratch) as process:
        said(process, moment)
        children = children_of(process.pid)
        process.send_signal(number)
        assert process.wait(SECONDS) == status
    assert children
    assert wait_until(lambda: nothing_is_left(scratch, children), SECONDS)


def test_told_to_people_it_shows_commands_and_statements(scratch: Path) -> None:
    with running(scratch) as process:
        told, noted = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told + noted
    for line in ("$ migrator init", "$ migrator drain --topic emails", "$ migrator gate open --topic emails"):
        assert line in told
    assert "for update skip locked" in told
    assert "all of it held" in told


@pytest.mark.slow
@pytest.mark.real_kafka
def test_it_holds_on_the_best_broker_of_this_machine(scratch: Path) -> None:
    with running(scratch, "--json", mock=False) as process:
        told, noted = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, noted
    document = json.loads(told)
    assert document["ok"]
    assert sum(step["seconds"] for step in document["steps"]) < 180  # a minute, on a machine with nothing else to do
