"""What ``playbooks/verify.md`` says of the classes is complete, and true."""

import re
from pathlib import Path

from migrator.verify.classes import FATAL, Class

PAGE = (Path(__file__).parents[3] / "playbooks" / "verify.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \|.*\| (yes|no)? ?\|$", PAGE, re.MULTILINE)


def test_every_class_has_its_row() -> None:
    assert {kind for kind, _ in ROWS} == {kind.value for kind in Class}


def test_the_page_knows_which_classes_fail() -> None:
    assert {kind for kind, fails in ROWS if fails == "yes"} == {kind.value for kind in FATAL}
