"""The real commands, run as users run them: each in a process of its own, told where the servers are."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrator.embedded.process import guard

_FOREIGN = ("PG", "DATABASE_URL", "KAFKA_", "MIGRATOR_")
_SECONDS = 120.0


class CommandFailedError(Exception):
    """A command ended with another status than it should have; the text is its own."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs ``migrator`` with an environment that names the demo's servers and nothing of the user's own.

    Attributes:
        environment: what the processes see.
    """

    environment: Mapping[str, str]

    def run(self, *words: str) -> dict[str, Any]:
        """Runs one command with ``--json`` and returns its document.

        Raises:
            CommandFailedError: it did not end with status 0.
        """
        status, told, said = _finished([sys.executable, "-m", "migrator", *words, "--json"], self.environment)
        if status:
            raise CommandFailedError(f"`{spelled(words)}` ended with status {status}: {said.strip()[-1000:]}")
        document: dict[str, Any] = json.loads(told)
        return document


def spelled(words: Sequence[str]) -> str:
    """Returns a command as one types it."""
    return shlex.join(["migrator", *words, "--json"])


def environment(dsn: str, bootstrap_servers: str, folder: Path) -> dict[str, str]:
    """Returns the environment of the demo's commands: the user's own servers and settings are taken out of it.

    Args:
        dsn: the demo's Postgres.
        bootstrap_servers: the demo's Kafka.
        folder: where an empty settings file is put, so that none of the user's is read.
    """
    settings = folder / "migrator.toml"
    settings.touch()
    # The one exception to the rule that only the settings read the environment: a child inherits all of it.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {
        **inherited,
        "DATABASE_URL": dsn,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "MIGRATOR_CONFIG": str(settings),
    }


def _finished(argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
    process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    guard("watch", process.pid, int(signal.SIGTERM))
    try:
        told, said = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise CommandFailedError(f"`{shlex.join(argv[1:])}` did not end within {_SECONDS:.0f} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        guard("forget", process.pid)
    return process.returncode, told, said
