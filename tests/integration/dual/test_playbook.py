"""The program and the queries of playbooks/dual-writes.md, run from the page."""

import re
from pathlib import Path

import pytest

from shim.dual import Outcomes
from tests.integration.dual.scene import Scene

pytestmark = pytest.mark.real_kafka

PAGE = (Path(__file__).parents[3] / "playbooks" / "dual-writes.md").read_text()
QUERIES = dict(re.findall(r"```sql\n-- (\w+)\n(.*?);\n```", PAGE, re.DOTALL))
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def rows(scene: Scene, name: str) -> list[tuple[object, ...]]:
    return scene.conn.execute(QUERIES[name].replace("'emails'", f"'{scene.topic}'")).fetchall()


def test_the_program_writes_on_both_sides_and_the_queries_tell(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = PROGRAM.replace('"emails"', f'"{scene.topic}"').replace("    print(", "    SEE()\n    print(")
    seen: list[list[tuple[object, ...]]] = []
    names = {"KAFKA": scene.servers, "DATABASE_URL": scene.url, "SEE": lambda: seen.append(rows(scene, "producers"))}
    exec(compile(lines, "dual-writes.md", "exec"), names)  # noqa: S102  the page's own program
    assert capsys.readouterr().out.strip().endswith(")")
    assert [row[3] for row in seen[0]] == [True]
    assert rows(scene, "inbox")[0][0] == len(rows(scene, "phantoms")) == 1
    scene.drain()
    assert rows(scene, "inbox") == [(0, None)]
    assert rows(scene, "phantoms") == rows(scene, "producers") == []
    assert [value for _, value in scene.jobs()] == [b'{"to": "ada"}']


def test_the_page_names_what_is_counted() -> None:
    assert all(name in PAGE for name in ("outcomes()", *Outcomes._fields[1:3]))
