"""The table of differences: every line of it is shown by a test, and every test that differs names a line."""

import re
from pathlib import Path

from tests.conformance.differences import DIFFERENCES

_MARKER = re.compile(r"^@pytest\.mark\.differs\(\"([a-z-]+)\"\)$", re.MULTILINE)


def test_every_difference_is_shown_by_a_test() -> None:
    modules = Path(__file__).parent.glob("test_*.py")
    named = {name for module in modules for name in _MARKER.findall(module.read_text())}
    assert named == DIFFERENCES.keys()


def test_every_difference_is_said_in_full() -> None:
    for name, difference in DIFFERENCES.items():
        assert difference.reason, name
        assert difference.line, name
        assert not difference.line.endswith("."), name
