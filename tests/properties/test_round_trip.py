"""Whatever a record holds comes back from Postgres byte for byte, and its digest is the one that SQL computes."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator import postgres
from migrator.drain.batch import Gaps, Place, Span
from migrator.drain.copying import Copier
from migrator.drain.sheet import fill
from migrator.kafka.records import SourceRecord
from migrator.postgres import Connection
from shim.store import append, schema
from shim.store.rows import RowEncoder
from shim.store.values import Format
from tests.fixtures.postgres import Databases

READ = """
select partition, log_offset, key, value, headers, timestamp_ms, timestamp_type
from job_queue order by log_offset
"""
DIGEST = """
select coalesce(sum(('x' || encode(substr(digest, 1, 8), 'hex'))::bit(64)::bigint), 0),
       coalesce(sum(('x' || encode(substr(digest, 9, 8), 'hex'))::bit(64)::bigint), 0)
from (
  select sha256(
    int4send(4) || int4send(partition) || int4send(8) || int8send(log_offset)
    || int4send(8) || int8send(timestamp_ms) || int4send(2) || int2send(timestamp_type)
    || int4send(coalesce(length(key), -1)) || coalesce(key, '')
    || int4send(coalesce(length(value), -1)) || coalesce(value, '')
    || int4send(coalesce(length(array_send(headers)), -1)) || coalesce(array_send(headers), '')
  ) as digest
  from job_queue
) as digests
"""

MISREPRESENTED = """
select count(*)
from job_queue
where payload is distinct from case
  when encoding = 'json' then convert_from(value, 'UTF8')::jsonb
  when encoding = 'text' then to_jsonb(convert_from(value, 'UTF8'))
  else 'null'::jsonb
end
"""

binary = st.binary(max_size=40)
json_text = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
escaped = st.sampled_from([b'"\\u0000"', b'"\\ud800"', b"1e400", b"-0", b"[1,]", b"{}x", b"1e-20000", b"\\N", b""])
records = st.builds(
    SourceRecord,
    topic=st.just("emails"),
    partition=st.integers(0, 2**31 - 1),
    offset=st.just(0),
    key=st.none() | binary,
    value=st.none() | binary | json_text | escaped,
    headers=st.none() | st.lists(st.tuples(binary, st.none() | binary), max_size=4).map(tuple),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1) | st.just(-1) | st.integers(0, 4_000_000_000_000),
    timestamp_type=st.sampled_from([0, 1, 2]),
)


def migrate(url: str) -> None:
    with closing(postgres.connect(url, "test")) as conn:
        for line in (schema.store_line(), postgres.migrator_line()):
            schema.upgrade(conn, line)


@pytest.fixture(scope="module")
def conn(databases: Databases) -> Iterator[Connection]:
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as opened:
        yield opened
    databases.drop(url)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(records, max_size=12))
def test_every_record_becomes_a_row_with_its_exact_bytes(conn: Connection, drawn: list[SourceRecord]) -> None:
    given_records = [record._replace(offset=offset) for offset, record in enumerate(drawn)]
    texts = append.load(postgres.schemas("public"))
    span = Span(Place(1, "emails", 0), 1, 0, len(drawn), tuple(given_records), 0, Gaps())

    with conn.transaction(force_rollback=True):
        sheet = fill(span, Format.AUTO, lambda values: append.judge_json(conn, texts, values), careful=True)
        copier = Copier(conn, texts, {"emails": RowEncoder("emails", now_us=0, parked=True)}, {})
        (account,) = copier.copy_carefully([sheet])
        rows = conn.execute(READ).fetchall()
        digests = conn.execute(DIGEST).fetchone()
        misrepresented = conn.execute(MISREPRESENTED).fetchone()

    assert account.rows == len(given_records)
    assert not account.dead
    assert digests == (account.digest_high, account.digest_low)
    assert rows == [as_row(record) for record in given_records]
    assert misrepresented == (0,)


def as_row(record: SourceRecord) -> tuple[object, ...]:
    _, partition, offset, key, value, headers, timestamp_ms, timestamp_type = record
    flat = None if headers is None else [element for header in headers for element in header]
    return partition, offset, key, value, flat, timestamp_ms, timestamp_type
