"""Reading the log: what was produced comes back to the byte, in order, within its bounds, by the one right index."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from migrator import postgres
from migrator.postgres import Connection
from shim.store import append, fetch, topics
from shim.store.fetch import Head, Mark, Place, Stamp, Texts
from shim.store.records import Record, header_pairs
from shim.store.schema import Line
from shim.store.statements import Statements
from shim.store.values import View, view
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate

EMAILS = "emails"
NOON = 1_700_000_000_000


@pytest.fixture
def statements(line: Line) -> Texts:
    return {**topics.load(line.schemas), **append.load(line.schemas), **fetch.load(line.schemas)}


@pytest.fixture
def log(migrated: Connection, statements: Texts) -> Connection:
    """A connection to a database with an empty topic of three partitions."""
    topics.create_topic(migrated, statements, EMAILS, 3)
    return migrated


def produce(
    conn: Connection,
    statements: Texts,
    *values: bytes | None,
    partition: int = 0,
    key: bytes | None = None,
    headers: Sequence[tuple[bytes, bytes | None]] | None = None,
    timestamps: Sequence[int] = (),
) -> None:
    times = list(timestamps) or [NOON] * len(values)
    drafts = [
        append.draft(EMAILS, partition, key, value, headers, time, view(value))
        for value, time in zip(values, times, strict=True)
    ]
    append.append(conn, statements, drafts)


def read(
    conn: Connection,
    statements: Texts,
    *positions: int,
    max_rows: int = 1000,
    max_bytes: int = 10_000_000,
    per_partition: int = 1000,
) -> list[Record]:
    """What follows in partitions 0, 1, ..., from these positions on."""
    places = [Place(EMAILS, partition, position) for partition, position in enumerate(positions)]
    return fetch.fetch(conn, statements, places, max_rows=max_rows, max_bytes=max_bytes, per_partition=per_partition)


def no_marks(count: int) -> dict[str, list[Any]]:
    return {"marks": [-1] * count, "mark_times": [-1] * count, "mark_keys": [None] * count}


def offsets(records: Sequence[Record]) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in records]


def test_a_record_comes_back_as_it_was_produced(log: Connection, statements: Texts) -> None:
    headers = [(b"a", b"1"), (b"a", None), ("ä".encode(), b"")]
    produce(log, statements, b' {"n": 1e0}\n', key=b"\x00k", headers=headers, timestamps=[NOON + 1])
    (record,) = read(log, statements, 0)
    assert record[:5] == (EMAILS, 0, 0, b"\x00k", b' {"n": 1e0}\n')
    assert header_pairs(record.headers) == [(name.decode(), value) for name, value in headers]
    assert (record.timestamp_ms, record.timestamp_type) == (NOON + 1, 1)
    assert record.size >= len(b"\x00k") + len(b' {"n": 1e0}\n') + 5


@pytest.mark.parametrize("value", [b"", b"null", b"text, not JSON", b"\xff\x00", b'"\\ud800"', None], ids=repr)
def test_every_value_keeps_its_bytes(log: Connection, statements: Texts, value: bytes | None) -> None:
    encoded = View("json-22P05", b"null") if value == b'"\\ud800"' else view(value)
    append.append(log, statements, [append.draft(EMAILS, 0, None, value, None, NOON, encoded)])
    (record,) = read(log, statements, 0)
    assert record == (EMAILS, 0, 0, None, value, None, NOON, 1, len(value or b""))


def test_no_headers_and_null_headers_stay_apart(log: Connection, statements: Texts) -> None:
    produce(log, statements, b"1", headers=())
    produce(log, statements, b"2", headers=None)
    assert [record.headers for record in read(log, statements, 0)] == [[], None]


@pytest.mark.parametrize(
    ("payload", "encoding", "value"),
    [
        ('{"b": [1, 2.50, 1e400], "a": ": , "}', None, None),
        ('"text, plain"', None, b'"text, plain"'),
        ("null", None, b"null"),
        ('"text, \\"quoted\\""', "text", b'text, "quoted"'),
        ('{"a": 1}', "json", b'{"a":1}'),
        ("null", "tombstone", None),
    ],
)
def test_a_row_without_a_value_is_its_payload(
    log: Connection, statements: Texts, payload: str, encoding: str | None, value: bytes | None
) -> None:
    log.execute(
        "insert into job_queue (payload, topic, partition, log_offset, encoding, created_at, key)"
        " values (%s, %s, 0, 0, %s, to_timestamp(1700000000.123), 'k')",
        [payload, EMAILS, encoding],
    )
    (record,) = read(log, statements, 0)
    if value is None and encoding is None:
        value = b'{"a":": , ","b":[1,2.50,1' + b"0" * 400 + b"]}"
    assert record == (EMAILS, 0, 0, b"k", value, None, NOON + 123, 1, 1 + len(value or b""))


def test_a_time_that_no_number_holds_is_none(log: Connection, statements: Texts) -> None:
    log.execute(
        "insert into job_queue (payload, topic, partition, log_offset, created_at) values ('1', %s, 0, 0, 'infinity')",
        [EMAILS],
    )
    assert read(log, statements, 0)[0].timestamp_ms == -1


def test_a_record_that_bore_no_time_bears_none(log: Connection, statements: Texts) -> None:
    log.execute(
        "insert into job_queue (payload, topic, partition, log_offset, timestamp_ms, timestamp_type)"
        " values ('1', %s, 0, 0, -1, 0), ('1', %s, 0, 1, 5, 2)",
        [EMAILS, EMAILS],
    )
    assert [record[6:8] for record in read(log, statements, 0)] == [(-1, 0), (5, 2)]


def test_places_are_served_in_their_order_and_records_in_the_logs(log: Connection, statements: Texts) -> None:
    for partition in (0, 1, 2):
        produce(log, statements, *[b"x"] * 4, partition=partition)
    assert offsets(read(log, statements, 2, 4, 1)) == [(0, 2), (0, 3), (2, 1), (2, 2), (2, 3)]
    assert offsets(read(log, statements, 0, 0, 0, per_partition=2)) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert offsets(read(log, statements, 0, 0, 0, max_rows=5)) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    places = [Place(EMAILS, 2, 3), Place("nobody", 0, 0), Place(EMAILS, 0, 3)]
    answer = fetch.fetch(log, statements, places, max_rows=9, max_bytes=999, per_partition=9)
    assert offsets(answer) == [(2, 3), (0, 3)]


def test_nothing_asked_for_is_nothing_read(log: Connection, statements: Texts) -> None:
    produce(log, statements, b"x")
    assert read(log, statements) == []
    assert read(log, statements, 0, max_rows=0) == []
    assert read(log, statements, 0, per_partition=0) == []
    assert read(log, statements, 1) == []


def test_holes_are_passed_over(log: Connection, statements: Texts) -> None:
    produce(log, statements, *[b"x"] * 6)
    log.execute("delete from job_queue where log_offset in (0, 2, 3)")
    assert offsets(read(log, statements, 0)) == [(0, 1), (0, 4), (0, 5)]
    assert offsets(read(log, statements, 2)) == [(0, 4), (0, 5)]
    assert offsets(read(log, statements, 0, per_partition=4)) == [(0, 1), (0, 4)]
    assert offsets(read(log, statements, 2, per_partition=1)) == [(0, 4)]


def test_rows_without_an_offset_are_not_in_the_log(log: Connection, statements: Texts) -> None:
    log.execute("insert into job_queue (payload, topic, partition) values ('1', %s, 0)", [EMAILS])
    assert read(log, statements, 0) == []


@pytest.mark.parametrize(
    ("sizes", "max_bytes", "count"),
    [
        ([100, 100, 100], 300, 3),
        ([100, 100, 100], 299, 2),
        ([100, 100, 100], 1, 1),
        ([5000, 5000, 5000], 10_000, 2),
        ([5000, 10, 10], 4000, 1),
        ([10, 5000, 10], 4000, 1),
        ([50_000, 10, 10, 50_000], 100_019, 3),
        ([50_000, 10, 10, 50_000], 100_020, 4),
        ([300_000], 1, 1),
    ],
)
@pytest.mark.parametrize("max_rows", [10, 10_000])
def test_the_sum_of_sizes_is_bounded(
    log: Connection, statements: Texts, sizes: list[int], max_bytes: int, count: int, max_rows: int
) -> None:
    """Whichever records come first, and whether or not the server held a value back: a reader gets to the end."""
    values = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    produce(log, statements, *values)
    first = read(log, statements, 0, max_bytes=max_bytes, max_rows=max_rows)
    assert 1 <= len(first) <= count
    assert len(first) == count or max(sizes) > 1024
    position, seen = 0, []
    while batch := read(log, statements, position, max_bytes=max_bytes, max_rows=max_rows):
        assert len(batch) == 1 or sum(record.size for record in batch) <= max_bytes
        seen += [record.value for record in batch]
        position = batch[-1].offset + 1
    assert seen == values


def test_jsonb_s_text_counts_as_what_it_becomes(log: Connection, statements: Texts) -> None:
    log.execute(
        "insert into job_queue (payload, topic, partition, log_offset) values (%s, %s, 0, 0), (%s, %s, 0, 1)",
        [Jsonb([1] * 3000), EMAILS, Jsonb([2] * 3000), EMAILS],
    )
    batch = read(log, statements, 0, max_bytes=7000)
    assert [record.value for record in batch] == [json.dumps([1] * 3000, separators=(",", ":")).encode()]
    assert batch[0].size == 6001
    assert len(read(log, statements, 0, max_bytes=20_000)) == 2


def test_a_value_beyond_the_bound_is_not_sent(log: Connection, statements: Texts) -> None:
    produce(log, statements, b"x" * 100_000, b"y")
    place = {"topics": [EMAILS], "partitions": [0], "positions": [0], **no_marks(1)}
    rows = log.execute(statements["fetch"], place | {"span": 9, "largest": 1024, "max_rows": 9}).fetchall()
    assert [(row[4], row[8]) for row in rows] == [(None, 100_000), (b"y", 1)]


def after(conn: Connection, statements: Texts, mark: Mark) -> list[int]:
    """The offsets that are read on after a record; -1 for a log that was truncated."""
    place = Place(EMAILS, 0, mark.offset + 1, mark)
    records = fetch.fetch(conn, statements, [place], max_rows=9, max_bytes=1000, per_partition=9)
    truncated = fetch.truncated(conn, statements, [place])
    assert not (records and truncated)
    return [-1] if truncated == {(EMAILS, 0)} else [record.offset for record in records]


def test_a_log_that_was_written_anew_is_not_read_on(log: Connection, statements: Texts) -> None:
    """After the loss of its end another record has the offset of the one that was read last."""
    produce(log, statements, b"a", b"b", b"c", key=b"k", timestamps=[NOON, NOON + 1, NOON + 2])
    assert after(log, statements, Mark(0, NOON, b"k")) == [1, 2]
    assert after(log, statements, Mark(0, NOON - 1, b"k")) == [-1]
    assert after(log, statements, Mark(0, NOON, b"other")) == [-1]
    assert after(log, statements, Mark(0, NOON, None)) == [-1]


def test_a_record_that_was_removed_tells_nothing(log: Connection, statements: Texts) -> None:
    produce(log, statements, b"a", b"b")
    log.execute("delete from job_queue where log_offset = 0")
    assert after(log, statements, Mark(0, NOON - 1, b"other")) == [1]


def test_a_row_of_plain_sql_is_known_again(log: Connection, statements: Texts) -> None:
    for offset in (0, 1):
        row = "insert into job_queue (payload, topic, partition, log_offset) values ('1', %s, 0, %s)"
        log.execute(row, [EMAILS, offset])
    first, _ = read(log, statements, 0)
    assert after(log, statements, Mark(0, first.timestamp_ms, None)) == [1]
    assert after(log, statements, Mark(0, first.timestamp_ms + 1, None)) == [-1]


def test_heads(log: Connection, statements: Texts) -> None:
    topics.create_topic(log, statements, "reports", 1)
    produce(log, statements, *[b"x"] * 5, partition=1)
    topics.advance_start(log, statements, EMAILS, 1, 2)
    assert fetch.heads(log, statements, [EMAILS, "nobody"]) == {
        (EMAILS, 0): Head(0, 0),
        (EMAILS, 1): Head(2, 5),
        (EMAILS, 2): Head(0, 0),
    }
    assert fetch.heads(log, statements, []) == {}


def test_offsets_for_times(log: Connection, statements: Texts) -> None:
    produce(log, statements, *[b"x"] * 5, timestamps=[NOON + ms for ms in (10, 30, 20, 40, 40)])
    log.execute(
        "insert into job_queue (payload, topic, partition, log_offset, created_at)"
        " values ('1', %s, 0, 5, to_timestamp(1700000000.050))",
        [EMAILS],
    )

    def found(ms: int) -> int | None:
        return fetch.offsets_for_times(log, statements, [(EMAILS, 0, NOON + ms)])[EMAILS, 0]

    assert [found(ms) for ms in (-NOON, 0, 10, 11, 30, 31, 41, 50, 51)] == [0, 0, 0, 1, 1, 3, 5, 5, None]
    asked = [(EMAILS, 0, NOON + 41), (EMAILS, 1, 0), ("nobody", 0, 0), (EMAILS, 99, 0)]
    assert fetch.stamps_for_times(log, statements, asked) == {
        (EMAILS, 0): Stamp(5, NOON + 50),
        (EMAILS, 1): None,
        ("nobody", 0): None,
        (EMAILS, 99): None,
    }


def test_times_below_the_low_watermark_do_not_count(log: Connection, statements: Texts) -> None:
    produce(log, statements, *[b"x"] * 3, timestamps=[NOON + 9, NOON, NOON + 1])
    topics.advance_start(log, statements, EMAILS, 0, 1)
    assert fetch.offsets_for_times(log, statements, [(EMAILS, 0, 0)]) == {(EMAILS, 0): 1}
    assert fetch.newest_stamps(log, statements, [(EMAILS, 0)]) == {(EMAILS, 0): Stamp(2, NOON + 1)}


def test_newest_is_the_first_with_the_highest_timestamp(log: Connection, statements: Texts) -> None:
    produce(log, statements, *[b"x"] * 4, timestamps=[NOON + ms for ms in (10, 30, 30, 20)])
    assert fetch.newest_stamps(log, statements, [(EMAILS, 0), (EMAILS, 1)]) == {
        (EMAILS, 0): Stamp(1, NOON + 30),
        (EMAILS, 1): None,
    }


def test_behind_a_pooler(pooled_log: Connection, statements: Texts) -> None:
    assert fetch.heads(pooled_log, statements, [EMAILS]) == {(EMAILS, 0): Head(0, 1)}
    assert offsets(read(pooled_log, statements, 0)) == [(0, 0)]


@pytest.fixture
def pooled_log(pooled_url: str, database_url: str, statements: Texts) -> Iterator[Connection]:
    migrate(database_url)
    with closing(postgres.connect(pooled_url, "test")) as conn:
        topics.create_topic(conn, statements, EMAILS, 1)
        produce(conn, statements, b"x")
        yield conn


@pytest.fixture(scope="module")
def large(databases: Databases) -> Iterator[Connection]:
    """Half a million rows of two topics, some of them never numbered."""
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute("insert into job_topic (topic, partitions) values ('emails', 4), ('reports', 4)")
        conn.execute("alter table job_queue set (autovacuum_enabled = off)")
        conn.execute(
            """
            insert into job_queue (payload, topic, partition, log_offset, status)
            select to_jsonb(n), case when n % 5 = 0 then 'reports' else 'emails' end, n % 4,
              case when n % 100 <> 0 then n / 4 end,
              case when n % 2 = 0 then 'pending'::job_status else 'completed'::job_status end
            from generate_series(1, 500000) as n
            """
        )
        yield conn
    databases.drop(url)


@pytest.mark.parametrize("statistics", ["none", "fresh", "stale"])
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("span", [1, 10_000])
def test_no_plan_reads_more_than_the_span(
    large: Connection, line: Line, statistics: str, count: int, span: int
) -> None:
    marks = {"marks": [59_999] * count, "mark_times": [NOON] * count, "mark_keys": [b"k"] * count}
    places = [(topic, partition) for topic in ("emails", "reports") for partition in range(4)][:count]
    arguments = {
        "topics": [topic for topic, _ in places],
        "partitions": [partition for _, partition in places],
        "positions": [60_000] * count,
        **marks,
    }
    with large.transaction(force_rollback=True):
        if statistics != "none":
            large.execute("analyze job_queue")
        if statistics == "stale":
            large.execute("update pg_class set reltuples = 10, relpages = 1 where oid = 'job_queue'::regclass")
        statement = fetch.load(line.schemas)["fetch"]
        bounds = {"span": span, "largest": 1024, "max_rows": 10_000}
        explained = [row[0] for row in large.execute(f"explain {statement}", arguments | bounds)]
    scans = [text for text in explained if "Scan" in text and "Function Scan" not in text]
    mark, *conditions = [text for text in explained if "Index Cond" in text]
    assert all("job_queue_log_key" in text or "Bitmap Heap Scan" in text for text in scans), explained
    assert "log_offset = " in mark, explained
    assert ["log_offset <" in text for text in conditions] == [False, True], explained
    assert all("(topic = place.topic) AND (partition = place.partition)" in text for text in conditions), explained


@pytest.mark.parametrize("statistics", ["none", "fresh"])
def test_the_look_probes_one_index_for_each_topic(large: Connection, line: Line, statistics: str) -> None:
    look = Statements("shim.store.sql", "watcher.sql", line.schemas)["look"]
    with large.transaction(force_rollback=True):
        if statistics != "none":
            large.execute("analyze job_queue")
        bounds: dict[str, object] = {name: [] for name in ("claimed", "after", "after_ids", "past", "past_ids")}
        rows = large.execute(f"explain {look}", {"topics": ["emails", "reports"], "window_ms": None, **bounds})
        explained = "\n".join(row[0] for row in rows)
    assert "using job_queue_unsequenced_idx on job_queue" in explained
    assert "Seq Scan on job_queue" not in explained
