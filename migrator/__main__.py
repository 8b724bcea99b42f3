"""``python -m migrator`` and the console script ``migrator``."""

import json
import sys
from importlib import import_module
from typing import cast

from migrator.errors import CannotStartError

_INSTALL = "pip install 'kafka-to-postgres[cli,kafka]'"


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    try:
        app = import_module("migrator.cli.app")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("typer", "rich"):
            raise
        sys.exit(_without_terminal(str(error.name)))
    sys.exit(cast("int", app.run(sys.argv[1:])))


def _without_terminal(missing: str) -> int:
    """Says how to get the command line, with nothing but the standard library."""
    error = CannotStartError(
        f"the command line is not installed: {missing} is missing", code="extra-missing", hint=_INSTALL
    )
    if "--json" in sys.argv[1:]:
        document = {"code": error.code, "message": error.message, "hint": error.hint, "exit": error.exit}
        sys.stdout.write(json.dumps({"schema_version": 1, "error": document}) + "\n")
    sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
    return int(error.exit)


if __name__ == "__main__":
    main()
