"""``python -m tests.compatibility [--check]``."""

import argparse
import sys

from tests.compatibility.document import FILE, written
from tests.compatibility.judgements import problems
from tests.compatibility.original import surface


def main() -> int:
    """Writes the document, or looks whether it is up to date; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility", description="Writes what the shim is like.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something is out of date")
    only_check = parser.parse_args().check
    found = problems(surface())
    before = FILE.read_text(encoding="utf-8")
    after = written(before)
    if only_check and after != before:
        found.append(f"{FILE.name} is out of date: python -m tests.compatibility")
    if not only_check:
        FILE.write_text(after, encoding="utf-8")
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
