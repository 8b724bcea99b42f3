"""Held rows wait for a person, who lets them run or ends them; none is deleted."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from migrator import held as held_rows
from migrator import postgres
from migrator.cli.app import run
from migrator.held import Choice, Held, open_held
from migrator.postgres import Connection
from shim.store import gate, topics
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

TOPIC = "emails"
EMAILS = Choice((TOPIC,))
SCHEMAS = postgres.schemas("public")


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(migrate)
    yield made
    databases.drop(made)


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    """Ten held rows in each of two partitions, and ten that are merely parked, behind a closed gate."""
    with closing(postgres.connect(url, "test")) as conn:
        topics.register_topic(conn, topics.load(SCHEMAS), TOPIC, 2)
        conn.execute(
            "insert into job_queue (topic, partition, log_offset, payload, value, process_after, created_at, "
            "last_error) "
            "select %s, p, n, '{}', '{\"secret\": 1}', 'infinity', now() - interval '1 hour', "
            "case when n < 10 then 'held: maybe done' end from generate_series(0, 1) as p, generate_series(0, 14) as n",
            [TOPIC],
        )
        yield conn


@pytest.fixture
def held(conn: Connection) -> Held:
    return open_held(conn, SCHEMAS)


def states(conn: Connection) -> dict[str, int]:
    """How many rows are in which state."""
    found = conn.execute(
        "select case when status = 'failed' then last_error "
        "when process_after < 'infinity' then 'claimable' when last_error is null then 'parked' else last_error end, "
        "count(*) from job_queue group by 1"
    )
    return dict(found.fetchall())


def test_released_behind_a_closed_gate_they_are_parked_like_all_others(conn: Connection, held: Held) -> None:
    assert held.release(EMAILS) == 20
    assert states(conn) == {"parked": 30}
    gate.open_gate(conn, gate.load(SCHEMAS), TOPIC)
    assert states(conn) == {"claimable": 30}


def test_released_behind_an_open_gate_they_run_at_their_age(conn: Connection, held: Held) -> None:
    gate.open_gate(conn, gate.load(SCHEMAS), TOPIC)
    assert states(conn) == {"claimable": 10, "held: maybe done": 20}
    assert held.release(EMAILS) == 20
    assert states(conn) == {"claimable": 30}
    assert conn.execute("select count(*) from job_queue where process_after <> created_at").fetchone() == (0,)


def test_a_topic_that_is_not_registered_has_no_gate_to_wait_behind(conn: Connection, held: Held) -> None:
    conn.execute("update job_queue set topic = 'default', partition = null, log_offset = null")
    assert held.release(Choice(("default",))) == 20
    assert states(conn)["claimable"] == 20


def test_discarded_rows_stay_as_failed_with_the_reason(conn: Connection, held: Held) -> None:
    assert held.discard(Choice((TOPIC,), partition=0)) == 10
    assert states(conn) == {"parked": 10, "held: maybe done": 10, "discarded: maybe done": 10}
    assert held.count(EMAILS) == 10


def test_one_row_is_chosen_by_its_place(conn: Connection, held: Held) -> None:
    assert held.release(Choice((TOPIC,), partition=1, offset=3)) == 1
    assert states(conn) == {"parked": 11, "held: maybe done": 19}


def test_a_second_run_finds_none(conn: Connection, held: Held) -> None:
    assert held.release(EMAILS) == 20
    assert held.release(EMAILS) == 0
    assert held.discard(EMAILS) == 0
    assert states(conn) == {"parked": 30}


@pytest.mark.parametrize("act", [Held.release, Held.discard])
def test_batches_are_bounded_and_leave_none_behind(
    monkeypatch: pytest.MonkeyPatch, conn: Connection, held: Held, act: Any
) -> None:
    monkeypatch.setattr(held_rows, "_PAGE", 3)
    assert act(held, EMAILS) == 20
    assert "held: maybe done" not in states(conn)


# --- the command ----------------------------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], url: str, *words: str) -> tuple[int, dict[str, Any], str]:
    status = run(["held", *words, "--dsn", url, "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out), said.out + said.err


def test_listing_shows_digests_and_never_bytes(conn: Connection, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not conn.closed
    status, document, said = command(capsys, url, "list", "--limit", "2")
    assert (status, document["matched"], len(document["held"])) == (0, 20, 2)
    one = document["held"][0]
    assert (one["topic"], one["partition"], one["offset"], one["reason"]) == (TOPIC, 0, 0, "maybe done")
    assert (one["size"], len(one["digest"])) == (13, 16)
    assert "secret" not in said
    assert run(["held", "list", "--dsn", url]) == 0
    assert "maybe done" in capsys.readouterr().out


def test_discarding_is_told_first_and_done_on_request(
    conn: Connection, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("discard", "--topic", TOPIC, "--all")
    assert command(capsys, url, *words)[1].items() >= {"matched": 20, "changed": 0, "dry_run": True}.items()
    assert states(conn)["held: maybe done"] == 20
    done = command(capsys, url, *words, "--execute")
    assert done[0] == 0
    assert done[1].items() >= {"matched": 20, "changed": 20, "dry_run": False}.items()


def test_releasing_one_by_its_place(conn: Connection, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("release", "--topic", TOPIC, "--partition", "1", "--offset", "3")
    assert command(capsys, url, *place, "--dry-run")[1].items() >= {"matched": 1, "changed": 0}.items()
    assert command(capsys, url, *place)[1].items() >= {"matched": 1, "changed": 1, "dry_run": False}.items()
    assert states(conn)["parked"] == 11


@pytest.mark.parametrize(
    "words",
    [
        ("release", "--all"),
        ("release", "--topic", TOPIC),
        ("release", "--topic", TOPIC, "--partition", "1"),
        ("discard", "--topic", TOPIC, "--offset", "1", "--all"),
        ("discard", "--topic", TOPIC, "--partition", "1", "--offset", "1", "--all"),
    ],
)
def test_which_rows_are_meant_must_be_said(
    url: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    status, document, _ = command(capsys, url, *words)
    assert status == 2
    assert document["error"]["hint"]
