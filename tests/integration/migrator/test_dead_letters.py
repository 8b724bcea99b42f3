"""Dead letters are appended once, whole, behind the gate, and with no offset that is not theirs to take."""

import json
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.cli.app import run
from migrator.dead_letters import Choice, DeadLetters, open_dead_letters
from migrator.errors import CannotStartError
from migrator.postgres import Connection
from shim.store import topics
from shim.store.values import Format
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

TOPIC = "emails"
NEXT_OFFSET = 100
EMAILS = Choice((TOPIC,))
ROWS = """
select partition, log_offset, key, value, headers, timestamp_ms, timestamp_type, encoding, payload::text,
  process_after = 'infinity' as parked, status::text, last_error
from job_queue where topic = %s order by id
"""


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(migrate)
    yield made
    databases.drop(made)


@pytest.fixture
def conn(url: str) -> Iterator[Connection]:
    with closing(postgres.connect(url, "test")) as conn:
        yield conn


@pytest.fixture
def letters(conn: Connection) -> DeadLetters:
    """The dead letters of a topic that Kafka numbers, drained up to offset 100 of its two partitions."""
    texts = topics.load(postgres.schemas("public"))
    topics.register_topic(conn, texts, TOPIC, 2)
    topics.register_partitions(conn, texts, TOPIC, dict.fromkeys(range(2), NEXT_OFFSET))
    conn.execute(
        "insert into kafka_migrator.drain_source (queue_schema, topic, cluster_id, partitions, cleanup_policy, "
        "retention_ms, start_choice, end_choice, format, queue_oid) "
        "values ('public', %s, 'c', 2, 'delete', -1, 'earliest', 'end', 'json', 1)",
        [TOPIC],
    )
    conn.execute(
        "insert into kafka_migrator.drain_offset (source_id, partition, next_offset, start_offset, end_offset, "
        "window_end, low_at_start, high_at_start, stable_at_start, dead) "
        "select 1, n, 100, 0, 100, 0, 0, 100, 100, 100 from generate_series(0, 1) as n"
    )
    return open_dead_letters(conn, postgres.schemas("public"))


def bury(
    conn: Connection,
    value: bytes | None,
    *,
    offset: int = 7,
    partition: int = 1,
    headers: list[bytes | None] | None = None,
    stage: str = "format",
) -> None:
    conn.execute(
        "insert into kafka_migrator.drain_dead_letter (source_id, partition, log_offset, key, value, headers, "
        "timestamp_ms, timestamp_type, stage, reason) "
        "values (1, %s, %s, '\\x6b00', %s, %s, 1700000000123, 1, %s, 'no')",
        [partition, offset, value, headers, stage],
    )


def rows(conn: Connection) -> list[Any]:
    with conn.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return list(cursor.execute(ROWS, [TOPIC]))


def number_here(conn: Connection) -> None:
    topics.number_in_postgres(conn, topics.load(postgres.schemas("public")), TOPIC)


def test_while_kafka_numbers_the_topic_a_retried_record_takes_no_offset(conn: Connection, letters: DeadLetters) -> None:
    bury(conn, b"plain text", headers=[b"a", b"1", b"a", None])

    (one,) = letters.retry(EMAILS, execute=True)

    assert (one.result, one.new_offset, one.encoding) == ("retried", None, "text")
    (row,) = rows(conn)
    assert (row.partition, row.log_offset, row.key, row.value) == (1, None, b"k\0", b"plain text")
    place = [b"kafka.topic", b"emails", b"kafka.partition", b"1", b"kafka.offset", b"7"]
    assert row.headers == [b"a", b"1", b"a", None, *place]
    assert (row.timestamp_ms, row.timestamp_type, row.payload) == (1700000000123, 1, '"plain text"')
    assert row.parked
    heads = conn.execute("select distinct next_offset from job_partition").fetchall()
    assert heads == [(NEXT_OFFSET,)]


def test_once_postgres_numbers_the_topic_it_takes_the_head_of_its_partition(
    conn: Connection, letters: DeadLetters
) -> None:
    number_here(conn)
    for offset in (7, 8):
        bury(conn, b"{}", offset=offset)

    done = list(letters.retry(EMAILS, execute=True))

    assert [one.new_offset for one in done] == [100, 101]
    assert [row.log_offset for row in rows(conn)] == [100, 101]
    heads = conn.execute("select partition, next_offset from job_partition order by 1").fetchall()
    assert heads == [(0, 100), (1, 102)]
    assert [one.retried_offset for one in letters.listed(EMAILS)] == [100, 101]


def test_an_open_gate_lets_it_run_at_once(conn: Connection, letters: DeadLetters) -> None:
    topics.set_gate(conn, topics.load(postgres.schemas("public")), TOPIC, "open")
    bury(conn, b"{}")
    list(letters.retry(EMAILS, execute=True))
    assert [row.parked for row in rows(conn)] == [False]


def test_a_rehearsal_changes_nothing(conn: Connection, letters: DeadLetters) -> None:
    number_here(conn)
    bury(conn, b"{}")

    (one,) = letters.retry(EMAILS, execute=False)

    assert (one.result, one.new_offset) == ("retried", 100)
    assert rows(conn) == []
    assert letters.count(EMAILS) == (1, 0)
    assert conn.execute("select max(next_offset) from job_partition").fetchone() == (NEXT_OFFSET,)


def test_a_second_run_finds_nothing_to_do(conn: Connection, letters: DeadLetters) -> None:
    bury(conn, b"{}")
    assert len(list(letters.retry(EMAILS, execute=True))) == 1
    assert list(letters.retry(EMAILS, execute=True)) == []
    assert len(rows(conn)) == 1
    assert letters.count(EMAILS) == (1, 1)


def test_two_runs_at_once_append_it_once(url: str, conn: Connection, letters: DeadLetters) -> None:
    bury(conn, b"{}", offset=7)
    bury(conn, b"{}", offset=8)
    with closing(postgres.connect(url, "test")) as second:
        rival = open_dead_letters(second, postgres.schemas("public"))
        ours = letters.retry(EMAILS, execute=True)
        results = [next(ours).result]
        theirs = [one.result for one in rival.retry(EMAILS, execute=True)]
        results += [one.result for one in ours]
    assert (results, theirs) == (["retried", "already"], ["retried"])
    assert len(rows(conn)) == 2


def test_a_record_that_fails_again_stays_dead_with_its_new_reason(conn: Connection, letters: DeadLetters) -> None:
    number_here(conn)
    conn.execute("alter table job_queue add constraint short check (octet_length(value) < 5)")
    bury(conn, b"secret value", offset=7)
    bury(conn, b"ok", offset=8)

    first, second = letters.retry(EMAILS, execute=True)

    assert (first.result, second.result, second.new_offset) == ("dead", "retried", 100)
    dead = letters.listed(EMAILS)[0]
    assert (dead.stage, dead.retried_at) == ("write", None)
    assert dead.reason == "CheckViolation (23514) on short"
    assert letters.found(TOPIC, 1, 7)[1].constraint_name == "short"


@pytest.mark.parametrize(
    ("value", "fmt", "encoding", "payload"),
    [
        (b'{"a": 1.10}', Format.AUTO, "json", '{"a": 1.10}'),
        (b'{"a": "\\u0000"}', Format.AUTO, "json-22P05", "null"),
        (b"NaN", Format.AUTO, "text", '"NaN"'),
        (b'"\\ud800"', Format.AUTO, "text", '"\\"\\\\ud800\\""'),
        (b"1e400", Format.AUTO, "json", "1" + 400 * "0"),
        ("{}".encode("utf-16"), Format.AUTO, "bytes", "null"),
        (b"\xff\x00", Format.AUTO, "bytes", "null"),
        (None, Format.AUTO, "tombstone", "null"),
        (b"{}", Format.TEXT, "text", '"{}"'),
        (b"{}", Format.BYTES, "bytes", "null"),
    ],
)
def test_values_are_taken_for_what_a_drain_takes_them_for(
    conn: Connection, letters: DeadLetters, value: bytes | None, fmt: Format, encoding: str, payload: str
) -> None:
    bury(conn, value)
    (one,) = letters.retry(EMAILS, fmt, execute=True)
    (row,) = rows(conn)
    assert (one.encoding, row.encoding, row.payload, row.value) == (encoding, encoding, payload, value)


@pytest.mark.parametrize("value", [b"text", b"NaN", b"\xff"])
def test_what_is_not_json_stays_dead_when_json_is_forced(conn: Connection, letters: DeadLetters, value: bytes) -> None:
    bury(conn, value)
    (one,) = letters.retry(EMAILS, Format.JSON, execute=True)
    assert one.result == "dead"
    assert (one.reason or "").startswith("not JSON")
    assert rows(conn) == []


def test_a_record_whose_headers_were_lost_goes_only_when_asked(conn: Connection, letters: DeadLetters) -> None:
    bury(conn, b"{}", stage="read")
    assert [one.result for one in letters.retry(EMAILS, execute=True)] == ["dead"]
    assert letters.listed(EMAILS)[0].reason == "no"
    assert [one.result for one in letters.retry(EMAILS, execute=True, without_headers=True)] == ["retried"]


def test_one_from_the_uncertain_window_is_held_as_a_row_would_have_been(conn: Connection, letters: DeadLetters) -> None:
    conn.execute("update kafka_migrator.drain_source set uncertain = 'hold'")
    conn.execute("update kafka_migrator.drain_offset set window_end = 8")
    bury(conn, b"{}", offset=7)
    bury(conn, b"{}", offset=8)
    list(letters.retry(EMAILS, execute=True))
    inside, behind = rows(conn)
    assert inside.last_error.startswith("held: ")
    assert behind.last_error is None


def test_a_forgotten_place_is_an_error_with_the_next_command(letters: DeadLetters) -> None:
    with pytest.raises(CannotStartError) as missing:
        letters.found(TOPIC, 1, 99)
    assert missing.value.hint == "migrator dead-letters list --topic emails"


# --- the command ----------------------------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], url: str, *words: str) -> tuple[int, dict[str, Any], str]:
    status = run(["dead-letters", *words, "--dsn", url, "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out), said.out + said.err


def test_listing_shows_digests_and_never_bytes(
    conn: Connection, letters: DeadLetters, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert letters.count(EMAILS) == (0, 0)
    bury(conn, b"top secret")
    bury(conn, None, offset=8, stage="write")

    status, document, said = command(capsys, url, "list", "--topic", TOPIC, "--stage", "format")

    assert (status, document["schema_version"], document["matched"]) == (0, 1, 1)
    (one,) = document["dead_letters"]
    assert (one["size"], one["digest"]) == (10, sha256(b"top secret").hexdigest()[:16])
    assert "secret" not in said


def test_showing_gives_bytes_only_on_request(
    conn: Connection, letters: DeadLetters, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert letters.count(EMAILS) == (0, 0)
    bury(conn, b"top\x1bsecret", headers=[b"h", b"hidden", b"n", None])
    place = ("show", "--topic", TOPIC, "--partition", "1", "--offset", "7")

    _, document, said = command(capsys, url, *place)
    assert "secret" not in said
    assert "base64" not in said
    assert [header["name"] for header in document["headers"]] == ["h", "n"]

    _, document, _ = command(capsys, url, *place, "--show-values")
    assert document["value"]["base64"] == "dG9wG3NlY3JldA=="

    assert run(["dead-letters", *place, "--show-values", "--dsn", url]) == 0
    assert "b'top\\x1bsecret'" in capsys.readouterr().out


def test_retrying_tells_by_its_status_whether_all_went(
    conn: Connection, letters: DeadLetters, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert letters.count(EMAILS) == (0, 0)
    bury(conn, b"text")
    retry = ("retry", "--topic", TOPIC)

    status, document, _ = command(capsys, url, *retry, "--format", "json")
    assert (status, document["dry_run"], document["dead"]) == (1, True, 1)
    status, document, _ = command(capsys, url, *retry, "--execute")
    assert (status, document["retried"], document["already"]) == (0, 1, 0)
    status, document, _ = command(capsys, url, *retry, "--execute")
    assert (status, document["retried"], document["already"]) == (0, 0, 1)


@pytest.mark.parametrize("words", [("retry",), ("list", "--stage", "nowhere")])
def test_what_cannot_be_meant_is_a_usage_error(
    url: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    status, document, _ = command(capsys, url, *words)
    assert status == 2
    assert document["error"]["hint"]
