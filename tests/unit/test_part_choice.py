"""The order in which parts are tried, what is said of those passed over, and the question whether Docker answers."""

import time
from pathlib import Path
from typing import ClassVar, Literal, Self

import pytest

from migrator.embedded import containers
from migrator.embedded.parts import (
    Broker,
    Candidate,
    ExternalKafka,
    best_postgres,
    broker_candidates,
    likely,
    postgres_candidates,
    start_best,
)
from migrator.errors import CannotStartError


class ScriptedBroker:
    """A broker that starts, or does not, as it was told."""

    kind: ClassVar[Literal["external"]] = "external"
    bootstrap_servers = "127.0.0.1:1"

    def __init__(self, obstacle: str = "") -> None:
        self._obstacle = obstacle

    def start(self) -> Self:
        if self._obstacle:
            raise CannotStartError(self._obstacle, code="scripted")
        return self

    def close(self) -> None:
        """Nothing to end."""


def candidate(name: str, *, obstacle: str = "", fails: str = "") -> Candidate[Broker]:
    return Candidate(name, obstacle, lambda: ScriptedBroker(fails))


def executable(folder: Path, script: str) -> None:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_first_that_starts_is_used_and_the_better_ones_leave_their_reasons() -> None:
    tried = [
        candidate("container", obstacle="no engine"),
        candidate("jvm", fails="no jars"),
        candidate("mock"),
        candidate("never reached", fails="no"),
    ]
    started = start_best(tried)
    assert started.name == "mock"
    assert started.passed_over == ("container: no engine", "jvm: no jars")


def test_when_none_starts_every_reason_is_told() -> None:
    with pytest.raises(CannotStartError, match=r"one: no engine; two: no jars"):
        start_best([candidate("one", obstacle="no engine"), candidate("two", fails="no jars")])


def test_the_likely_one_is_the_first_without_an_obstacle() -> None:
    assert likely([candidate("container", obstacle="no engine"), candidate("jvm"), candidate("mock")]) == "jvm"


def test_the_order_of_brokers() -> None:
    names = [found.name.split()[0] for found in broker_candidates()]
    assert names == ["container", "Apache", "librdkafka's"]


def test_the_order_of_postgres_servers() -> None:
    assert [found.name.split()[0] for found in postgres_candidates()] == ["container", "embedded"]


def test_asking_for_programs_leaves_out_the_container(tmp_path: Path) -> None:
    assert [found.name for found in postgres_candidates(bin_dir=tmp_path)] == ["embedded Postgres"]


def test_a_cluster_that_was_named_is_never_replaced() -> None:
    assert [found.name for found in broker_candidates("127.0.0.1:1")] == ["Kafka at 127.0.0.1:1"]
    with pytest.raises(CannotStartError, match="no Kafka answers"):
        ExternalKafka("127.0.0.1:1", timeout=0.2).start()


def test_a_server_that_was_named_is_never_replaced() -> None:
    with pytest.raises(CannotStartError, match="no Postgres answers"):
        best_postgres("postgresql://127.0.0.1:1/postgres")


def test_without_the_docker_client_no_engine_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not containers.docker_answers()


@pytest.mark.parametrize(("script", "answers"), [("exit 0", True), ("exit 1", False)], ids=["engine", "none"])
def test_the_docker_client_tells_by_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, answers: bool
) -> None:
    executable(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert containers.docker_answers() is answers


def test_a_docker_client_that_hangs_is_left_after_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path, "exec /bin/sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path))
    started = time.monotonic()
    assert not containers.docker_answers()
    assert time.monotonic() - started < 2
