"""The digest of any record is the same in Python, in SQL and in the drain's ledger."""

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator import postgres
from migrator.digest import NOTHING, Headers, Record, Sums, fingerprint, sums
from migrator.postgres import Connection
from migrator.verify import sample
from migrator.verify.classes import Row
from migrator.verify.leaf import Found, Leaf
from migrator.verify.ledger import Source
from migrator.verify.table import Table
from shim.store.rows import RowEncoder
from shim.store.values import view
from tests.fixtures.cli import create_tables
from tests.fixtures.postgres import Databases

SOURCE = Source(1, "emails", "cluster", None, 1, "delete", "enqueue", sequencer="kafka", keep_value=True)
INSERT = """
insert into job_queue (payload, topic, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type)
values ('{}', 'emails', %s, %s, %s, %s, %s, %s, %s)
"""
BURY = """
insert into kafka_migrator.drain_dead_letter (
  source_id, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type, stage, reason
)
values (1, %s, %s, %s, %s, %s, %s, %s, 'write', 'a test')
"""
KNOWN = """
insert into kafka_migrator.drain_source (
  queue_schema, topic, cluster_id, partitions, cleanup_policy, retention_ms, start_choice, end_choice, format, queue_oid
)
values ('public', 'emails', 'cluster', 1, 'delete', -1, 'earliest', 'end', 'auto', 1)
"""

Content = tuple[tuple[int, int], bytes | None, bytes | None, Headers | None]

binary = st.binary(max_size=40)
headers = st.none() | st.lists(st.tuples(binary, st.none() | binary), max_size=4).map(tuple)
timestamps = st.tuples(
    st.sampled_from([0, 1, 2]), st.integers(-(2**63), 2**63 - 1) | st.just(-1) | st.integers(0, 4_000_000_000_000)
)
contents = st.tuples(timestamps, st.none() | binary, st.none() | binary, headers)
several = st.lists(contents, max_size=6)
partitions = st.integers(0, 2**31 - 1)
offsets = st.integers(0, 2**63 - 2)
six = st.lists(offsets, min_size=6, max_size=6, unique=True)
database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def conn(databases: Databases) -> Iterator[Connection]:
    url = databases.create(create_tables)
    with closing(postgres.connect(url, "test")) as opened:
        opened.execute(KNOWN)
        yield opened
    databases.drop(url)


def table(conn: Connection, *, values: bool = True, modulus: int = 1) -> Table:
    return Table.open(conn, postgres.schemas("public"), SOURCE, values=values, modulus=modulus)


def records_at(places: list[int], given_contents: list[Content]) -> list[Record]:
    return [Record(offset, *content) for offset, content in zip(sorted(places), given_contents, strict=False)]


def columns(partition: int, record: Record) -> tuple[object, ...]:
    kind, milliseconds = record.timestamp
    flat = None if record.headers is None else [part for header in record.headers for part in header]
    return partition, record.offset, record.key, record.value, flat, milliseconds, kind


def in_ledger(partition: int, records: list[Record]) -> Sums:
    encoder = RowEncoder("emails", now_us=0, parked=False)
    total = NOTHING
    for record in records:
        kind, milliseconds = record.timestamp
        seen = view(record.value, lambda _: None)
        row = encoder.encode(
            partition, record.offset, record.key, record.value, record.headers, milliseconds, kind, seen
        )
        total += Sums(1, row.digest_high, row.digest_low)
    return total


@database
@given(
    partitions, st.lists(contents, max_size=6), st.lists(offsets, min_size=6, max_size=6, unique=True), st.booleans()
)
def test_python_sql_and_ledger_agree(
    conn: Connection,
    partition: int,
    given_contents: list[Content],
    places: list[int],
    values: bool,
) -> None:
    records = records_at(places, given_contents)
    dead, rows = records[::3], [record for number, record in enumerate(records) if number % 3]
    whole = Leaf(partition, 0, 2**63 - 1, None)
    with conn.transaction(force_rollback=True):
        for statement, group in ((INSERT, rows), (BURY, dead)):
            for record in group:
                conn.execute(statement, columns(partition, record))
        side = table(conn, values=values)
        assert side.sums([whole]) == [Found(sums(partition, rows, values=values), sums(partition, dead, values=values))]
        assert side.sums([whole], digests=False) == [Found(Sums(len(rows)), Sums(len(dead)))]
        prints = {
            offset: [row.print for row in found] for offset, found in side.fingerprints(partition, 0, 2**63 - 1).items()
        }
    assert prints == {record.offset: [fingerprint(partition, record, values=values)] for record in records}
    assert in_ledger(partition, rows) == sums(partition, rows)


@database
@given(st.lists(st.integers(0, 99), min_size=1, max_size=20, unique=True), st.lists(st.integers(1, 99), max_size=5))
def test_leaves_share_the_rows_out(conn: Connection, places: list[int], cuts: list[int]) -> None:
    bounds = [0, *sorted(set(cuts)), 100]
    leaves = [Leaf(0, start, stop, None) for start, stop in pairwise(bounds)]
    records = [Record(offset, (1, 1), None, b"v", None) for offset in places]
    with conn.transaction(force_rollback=True):
        for record in records:
            conn.execute(INSERT, columns(0, record))
        found = table(conn).sums(leaves)
    assert [one.rows for one in found] == [
        sums(0, [record for record in records if leaf.start <= record.offset < leaf.stop]) for leaf in leaves
    ]


@database
@given(partitions, st.lists(offsets, max_size=12, unique=True), st.integers(1, 5) | st.integers(1, sample.MOST))
def test_both_sides_take_the_same_sample(conn: Connection, partition: int, places: list[int], modulus: int) -> None:
    with conn.transaction(force_rollback=True):
        for offset in places:
            conn.execute(INSERT, columns(partition, Record(offset, (1, 1), None, None, None)))
        found = table(conn, modulus=modulus).fingerprints(partition, 0, 2**63 - 1)
    assert set(found) == {offset for offset in places if sample.sampled(partition, offset, modulus)}


@database
@given(contents)
def test_a_copy_is_found_by_its_contents(conn: Connection, content: Content) -> None:
    original, copy = Record(7, *content), Record(900, *content)
    milliseconds = content[0][1]
    with conn.transaction(force_rollback=True):
        for record in (original, copy):
            conn.execute(INSERT, columns(0, record))
        (found,) = conn.execute("select id from job_queue where log_offset = 900").fetchone() or (0,)
        print_ = fingerprint(0, copy)
        assert table(conn).copies([Row(found, milliseconds, print_)]) == {print_.content: (0, 7)}
