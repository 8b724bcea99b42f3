"""The error boundary: what people read, what scripts read, and what neither ever reads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from migrator.cli import doctor as doctor_command
from tests.cli.conftest import Cli

SECRET = "hunter2"
NOBODY = f"postgresql://ann:{SECRET}@127.0.0.1:1/app"


def test_usage_error(cli: Cli) -> None:
    ran = cli("init", "--no-such-option")
    assert (ran.status, ran.out) == (2, "")
    assert "error: no such option: --no-such-option" in ran.err
    assert "hint: migrator init --help" in ran.err


def test_typo_is_answered(cli: Cli) -> None:
    ran = cli("doctr")
    assert ran.status == 2
    assert "did you mean 'doctor'" in ran.err.lower()


def test_json_error_is_one_document_on_stdout_and_words_on_stderr(cli: Cli) -> None:
    for arguments in (["init", "--bad"], ["schema", "check", "--dsn", NOBODY], ["gate", "open"]):
        ran = cli(*arguments, "--json")
        assert ran.status in (2, 3)
        assert ran.document["error"]["exit"] == ran.status
        assert set(ran.document["error"]) == {"code", "message", "hint", "exit"}
        assert ran.err.startswith("error: ")


def test_password_is_never_shown(cli: Cli) -> None:
    for flags in ([], ["-v"], ["--json"]):
        ran = cli("init", "--dsn", NOBODY, *flags)
        assert ran.status == 3
        assert "127.0.0.1:1/app as ann" in ran.err
        assert SECRET not in ran.out + ran.err


def test_bug_is_told_as_one_without_what_it_was_about(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_settings: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(doctor_command, "examine", broken)
    ran = cli("doctor", "--json")
    assert ran.status == 70
    assert ran.document["error"]["code"] == "bug"
    assert "ValueError at test_errors.py:" in ran.err
    assert SECRET not in ran.out + ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in cli("doctor", "-v").err


def test_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor_command, "examine", interrupted)
    ran = cli("doctor")
    assert ran.status == 130
    assert "interrupted" in ran.err


def test_settings_file_with_a_typo(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "migrator.toml").write_text("[postgres]\nschma = 'x'")
    ran = cli("schema", "sql")
    assert ran.status == 2
    assert "did you mean 'postgres.schema'" in ran.err


def without(*modules: str, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Runs the command in an interpreter in which ``modules`` are not installed."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r})); sys.argv[1:] = {list(arguments)!r}; "
        "from migrator.__main__ import main; main()"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_terminal_extra(module: str) -> None:
    ran = without(module, arguments=("doctor", "--json"))
    assert ran.returncode == 3
    assert "pip install 'kafka-to-postgres[cli,kafka]'" in ran.stderr
    assert json.loads(ran.stdout)["error"]["code"] == "extra-missing"
    assert "Traceback" not in ran.stderr


KAFKA = ("confluent_kafka", "javaproperties", "orjson", "stamina")


def test_commands_that_need_no_kafka_run_without_its_client(migrated_url: str) -> None:
    assert without(*KAFKA, arguments=("--help",)).returncode == 0
    assert without(*KAFKA, arguments=("schema", "sql")).returncode == 0
    assert without(*KAFKA, arguments=("init", "--dsn", migrated_url)).returncode == 0
    assert without(*KAFKA, arguments=("gate", "status", "--dsn", migrated_url)).returncode == 0
    assert without(*KAFKA, arguments=("owner", "show", "--dsn", migrated_url)).returncode == 0
    assert without(*KAFKA, arguments=("schema", "check", "--dsn", migrated_url)).returncode == 0
    for action in ("list", "retry", "discard", "purge"):
        ran = without(*KAFKA, arguments=("jobs", action, "--topic", "emails", "--dsn", migrated_url))
        assert ran.returncode == 0, ran.stderr
    assert without(*KAFKA, arguments=("jobs", "show", "--id", "1", "--dsn", migrated_url)).returncode == 3
    ran = without(*KAFKA, "prometheus_client", arguments=("doctor", "--dsn", migrated_url))
    assert ran.returncode == 0, ran.stdout
    assert "not installed" in ran.stdout
    assert "oldest transaction" in ran.stdout


def test_doctor_says_what_to_install_when_kafka_is_configured(migrated_url: str) -> None:
    ran = without(*KAFKA, arguments=("doctor", "--dsn", migrated_url, "--bootstrap-servers", "localhost:1"))
    assert ran.returncode == 1
    assert "pip install 'kafka-to-postgres[cli,kafka]'" in ran.stdout


def test_root_help_imports_no_driver() -> None:
    program = (
        "import sys; from migrator.cli import app; app.run(['--help']); "
        "sys.exit(sorted({'psycopg', 'confluent_kafka'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_no_home_no_terminal_no_colour(migrated_url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "migrator", "gate", "status", "--dsn", migrated_url],
        capture_output=True,
        check=False,
        env={"LANG": "C"},
    )
    assert ran.returncode == 0, ran.stderr
    assert b"\x1b" not in ran.stdout + ran.stderr
