"""``python -m tests.histories [--minutes N] [--client shim|kafka]``: runs, checks, and tells.

One JSON document goes to standard output. The exit status is 0 when nothing fatal was found and every fault struck, 1
otherwise; the histories are kept then. ``--check DIR`` judges histories that were kept.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.histories import journal
from tests.histories.arena import ARENAS
from tests.histories.checker.verdict import check
from tests.histories.run import run


def main() -> int:
    """Does as the arguments say; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description="Clients under faults, and a check.")
    parser.add_argument("--minutes", type=float, default=30.0, help="for how long faults strike")
    parser.add_argument("--client", choices=sorted(ARENAS), default="shim", help="whose; Kafka's server meets no fault")
    parser.add_argument("--seed", type=int, help="of the dice; the moments at which faults strike stay the machine's")
    parser.add_argument("--folder", type=Path, help="where histories go, and are kept")
    parser.add_argument("--check", type=Path, metavar="DIR", help="run nothing; judge the histories of this folder")
    arguments = parser.parse_args()
    if arguments.check:
        verdict = check(journal.read(arguments.check))
        _print(verdict.document())
        return 1 if verdict.fatal else 0
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="histories-"))
    folder.mkdir(parents=True, exist_ok=True)
    seed = random.getrandbits(32) if arguments.seed is None else arguments.seed
    result = run(folder, arguments.minutes * 60, seed, arguments.client)
    _print(result.document())
    if result.good and arguments.folder is None:
        shutil.rmtree(folder)
    else:
        sys.stderr.write(f"histories: {folder}\n")
    return 0 if result.good else 1


def _print(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
