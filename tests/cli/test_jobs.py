"""``migrator jobs`` from the outside: what is listed, what is changed, and what is never shown unasked."""

import json
from contextlib import closing
from typing import Any

import pytest

from migrator import postgres
from tests.cli.conftest import Cli

FIELDS = {
    *("id", "topic", "partition", "log_offset", "status", "retry_count", "last_error"),
    *("created_at", "process_after", "locked_at"),
}
ROWS = """
insert into job_topic (topic, partitions, gate) values ('emails', 1, 'open'), ('reports', 1, 'closed');
insert into job_queue (payload, value, topic, status, last_error, retry_count, finished_at)
values
  ('"secret"', 'secret', 'emails', 'failed', 'timeout after 30 s', 5, now() - interval '2 days'),
  ('"secret"', 'secret', 'emails', 'failed', 'no such user', 1, now()),
  ('"secret"', 'secret', 'emails', 'completed', null, 0, now() - interval '2 days'),
  ('"secret"', 'secret', 'emails', 'completed', null, 0, now()),
  ('"secret"', 'secret', 'emails', 'pending', null, 0, null),
  ('"secret"', 'secret', 'emails', 'processing', null, 0, null),
  ('"secret"', 'secret', 'reports', 'failed', 'timeout', 5, now());
"""


@pytest.fixture
def url(migrated_url: str) -> str:
    with closing(postgres.connect(migrated_url, "test")) as conn:
        conn.execute(ROWS)
    return migrated_url


def rows(url: str, query: str) -> list[Any]:
    with closing(postgres.connect(url, "test")) as conn:
        return conn.execute(query).fetchall()


def ids(out: str) -> list[int]:
    return [json.loads(line)["id"] for line in out.splitlines()]


def test_list_is_one_job_a_line_for_scripts(cli: Cli, url: str) -> None:
    listed = cli("jobs", "list", "--dsn", url, "--json")
    assert listed.status == 0
    documents = [json.loads(line) for line in listed.out.splitlines()]
    assert [set(document) for document in documents] == [FIELDS] * 7
    assert "secret" not in listed.out + listed.err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--topic", "emails", "--status", "failed"], [1, 2]),
        (["--status", "pending", "--status", "processing"], [5, 6]),
        (["--error", "timeout"], [1, 7]),
        (["--id", "3", "--id", "5"], [3, 5]),
        (["--limit", "2"], [1, 2]),
        (["--topic", "nowhere"], []),
    ],
    ids=["topic and status", "two statuses", "error", "ids", "limit", "no topic"],
)
def test_filters(cli: Cli, url: str, options: list[str], wanted: list[int]) -> None:
    assert ids(cli("jobs", "list", "--dsn", url, "--json", *options).out) == wanted


def test_list_for_people_says_what_is_left_and_what_to_do(cli: Cli, url: str) -> None:
    listed = cli("jobs", "list", "--dsn", url, "--limit", "1")
    assert "timeout after 30 s" in listed.out
    assert "6 more: --limit 7" in listed.err
    assert "next: migrator jobs show --id 1, or migrator jobs retry --topic emails" in listed.err


def test_show_tells_all_but_what_was_produced(cli: Cli, url: str) -> None:
    shown = cli("jobs", "show", "--id", "1", "--dsn", url)
    assert "last_error: timeout after 30 s" in shown.out
    assert "value_size: 6" in shown.out
    assert "secret" not in shown.out + shown.err
    asked = cli("jobs", "show", "--id", "1", "--dsn", url, "--show-values", "--json").document
    assert (asked["value"], asked["payload"]) == ("c2VjcmV0", '"secret"')
    assert cli("jobs", "show", "--id", "99", "--dsn", url).status == 3


def test_retry_is_told_before_it_is_done(cli: Cli, url: str) -> None:
    command = ("jobs", "retry", "--topic", "emails", "--error", "timeout", "--dsn", url)
    planned = cli(*command)
    assert planned.out == "1 would be retried\n"
    assert "next: the same command with --execute" in planned.err
    assert rows(url, "select status::text from job_queue where id = 1") == [("failed",)]
    done = cli(*command, "--execute", "--json").document
    assert {name: done[name] for name in ("matched", "changed", "dry_run")} == {
        "matched": 1,
        "changed": 1,
        "dry_run": False,
    }
    now_due = "select status::text, retry_count, process_after <= now(), finished_at from job_queue where id = 1"
    assert rows(url, now_due) == [("pending", 0, True, None)]


def test_what_is_retried_behind_a_closed_gate_is_parked(cli: Cli, url: str) -> None:
    assert cli("jobs", "retry", "--id", "7", "--dsn", url, "--execute").out == "1 retried\n"
    assert rows(url, "select status::text, process_after = 'infinity' from job_queue where id = 7") == [
        ("pending", True)
    ]


def test_a_job_whose_deduplication_key_is_taken_stays_failed(cli: Cli, url: str) -> None:
    """Of two failed ones with a key that is free the older one runs again."""
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute(
            "insert into job_queue (payload, topic, status, deduplication_key) values"
            " ('1', 'emails', 'failed', 'taken'), ('1', 'emails', 'processing', 'taken'),"
            " ('1', 'emails', 'failed', 'free'), ('1', 'emails', 'failed', 'free'),"
            " ('1', 'reports', 'failed', 'taken')"
        )
    command = ("jobs", "retry", "--all", "--dsn", url, "--execute")
    retried = cli(*command)
    assert retried.out == "5 retried\n"
    assert "2 stayed as they were" in retried.err
    keyed = "select status::text from job_queue where deduplication_key is not null order by id"
    assert [status for (status,) in rows(url, keyed)] == ["failed", "processing", "pending", "failed", "pending"]
    again = cli(*command, "--json").document
    assert (again["matched"], again["changed"]) == (2, 0)


def test_discard_ends_what_is_pending(cli: Cli, url: str) -> None:
    assert cli("jobs", "discard", "--topic", "emails", "--dsn", url, "--execute").out == "1 discarded\n"
    assert rows(url, "select status::text, last_error from job_queue where id = 5") == [("failed", "discarded")]


def test_purge_deletes_what_is_done(cli: Cli, url: str) -> None:
    old = cli("jobs", "purge", "--topic", "emails", "--older-than", "24", "--dsn", url, "--execute")
    assert old.out == "2 purged\n"
    assert cli("jobs", "purge", "--all", "--status", "completed", "--dsn", url, "--execute").out == "1 purged\n"
    assert rows(url, "select id from job_queue order by id") == [(2,), (5,), (6,), (7,)]


@pytest.mark.parametrize(
    "options",
    [["retry"], ["discard"], ["purge"], ["purge", "--all", "--status", "pending"], ["list", "--status", "lost"]],
    ids=" ".join,
)
def test_a_slip_changes_nothing(cli: Cli, url: str, options: list[str]) -> None:
    assert cli("jobs", *options, "--dsn", url, "--execute" if options[0] != "list" else "--json").status == 2
    assert len(rows(url, "select id from job_queue")) == 7
