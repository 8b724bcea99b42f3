"""The queries of playbooks/monitoring.md, run from the page by a role that may only read; its programs run too."""

import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import REGISTRY

from migrator.cli import app
from migrator.errors import Exit
from migrator.postgres import Connection
from shim.store import topics
from shim.store.schema import Line

PAGE = (Path(__file__).parents[3] / "playbooks" / "monitoring.md").read_text()
QUERIES = dict(re.findall(r"```sql\n-- ([\w ]+)\n(.*?);\n```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^migrator (.+)$", "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)
KEEPING, METRICS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = """
insert into job_queue (payload, topic, partition, log_offset, status, created_at, locked_at, finished_at, last_error,
  retry_count, locked_by)
values
  ('1', 'emails', 0, 0, 'completed', now() - interval '9 s', now() - interval '4 s', now(), null, 0, 'w'),
  ('1', 'emails', 0, 1, 'failed', now(), now(), now(), 'no such user', 1, 'w'),
  ('1', 'emails', 0, 2, 'pending', now() - interval '1 h', null, null, 'try later', 2, null),
  ('1', 'emails', 0, 3, 'processing', now(), now(), null, null, 0, 'w');
update job_partition set next_offset = 4;
insert into job_group_offset (group_id, topic, partition, committed_offset) values ('readers', 'emails', 0, 1);
update job_topic set owner_group = 'workers', owner_kind = 'share';
"""


@pytest.fixture
def reader(migrated: Connection, line: Line, roles: tuple[str, ...]) -> Connection:
    """A queue with a job in each status, as one sees it who may only read."""
    assert "job_queue_reader" in roles
    topics.create_topic(migrated, topics.load(line.schemas), "emails", 1)
    migrated.execute(ROWS)
    migrated.execute("set role job_queue_reader")
    return migrated


def rows(reader: Connection, name: str) -> list[tuple[object, ...]]:
    return reader.execute(QUERIES[name]).fetchall()


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_runs(reader: Connection, name: str) -> None:
    assert reader.execute(QUERIES[name]).description is not None


def test_depth_and_progress(reader: Connection) -> None:
    (depth,) = rows(reader, "depth")
    assert depth[:6] == ("emails", 1, 0, 0, 1, 1)
    assert rows(reader, "progress") == [("readers", "consumer", "emails", 3), ("workers", "share", "emails", 2)]


def test_failures_retries_workers_and_times(reader: Connection) -> None:
    assert [row[:2] for row in rows(reader, "failures")] == [("no such user", 1)]
    assert [row[1:4] for row in rows(reader, "retried")] == [("emails", 2, "try later")]
    assert [row[:3] for row in rows(reader, "workers")] == [("w", "emails", 1)]
    ((topic, jobs, worked, waited),) = rows(reader, "timing")
    assert (topic, jobs, worked, waited) == ("emails", 1, [4.0] * 3, [5.0] * 3)


def test_a_share_group_gives_way_to_a_consumer_group_as_the_page_says(
    migrated: Connection, migrated_url: str, line: Line
) -> None:
    topics.create_topic(migrated, topics.load(line.schemas), "emails", 1)
    migrated.execute(ROWS + "delete from job_queue where status = 'processing';")
    assert [app.run([*command.split(), "--dsn", migrated_url]) for command in COMMANDS] == [Exit.DONE] * 3
    assert migrated.execute(QUERIES["owners"]).fetchall() == [("emails", "mailers", "consumer", "open")]


def run(program: str, url: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(re.sub(r"postgresql://\w+@db.example.com/app", url, program), names)  # noqa: S102  the page's own
    return names


def test_keep_times_are_changed_as_the_page_says(migrated: Connection, migrated_url: str, line: Line) -> None:
    topics.create_topic(migrated, topics.load(line.schemas), "emails", 1)
    run(KEEPING, migrated_url)
    assert migrated.execute(QUERIES["keep times"]).fetchall() == [("emails", None, 604_800_000, None, 604_800_000)]


def test_metrics_are_served_as_the_page_says(migrated: Connection, migrated_url: str, line: Line) -> None:
    topics.create_topic(migrated, topics.load(line.schemas), "emails", 1)
    migrated.execute(ROWS)
    before = set(REGISTRY._collector_to_names)  # noqa: SLF001  the only way to take away what the page registers
    served = run(METRICS.replace("start_http_server(9000)", "server, _ = start_http_server(0)"), migrated_url)["server"]
    try:
        with urlopen(f"http://127.0.0.1:{served.server_port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        served.shutdown()
        served.server_close()
        for collector in set(REGISTRY._collector_to_names) - before:  # noqa: SLF001  the same
            REGISTRY.unregister(collector)
    assert 'shim_queue_jobs{state="due",topic="emails"} 1.0' in text
    told = set(re.findall(r"^# TYPE (shim_\w+)", text, re.MULTILINE))
    on_the_page = set(re.findall(r"`(shim_\w+)`", PAGE))
    assert told == on_the_page
