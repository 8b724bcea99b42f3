"""How headers are best kept in ``job_queue``: four column types, the same rows, sizes and times side by side.

Run it with ``python -m tests.benchmarks.headers_format``; it starts a Postgres of its own.
"""

import argparse
import json
import random
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from struct import Struct
from typing import Any

import psycopg

from migrator.embedded.postgres import EmbeddedPostgres
from shim.store import append
from shim.store.rows import RowEncoder, headers_field
from shim.store.schema import store_line, upgrade
from shim.store.values import View
from tests.benchmarks.measuring import Connection, Spread, Stopwatch, machine, note, save, say, table, thread_cpu, value

Headers = tuple[tuple[bytes, bytes | None], ...]
Encode = Callable[[Headers], bytes]

_TOPIC = "emails"
_COUNTS = (0, 1, 3, 8)
_BATCH = 10_000
_FROZEN_SECONDS = 1_700_000_000
_INT = Struct(">i").pack
_NULL = b"\xff\xff\xff\xff"
_BYTEA_OID = 17
_IDENTITY_BYTES = 8 + 12 + 12 + 6
_NAMES = (b"trace-id", b"content-type", b"source", b"schema", b"tenant", b"correlation", b"attempt-id", b"idempotency")
_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "autovacuum": "off", "jit": "off"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column type for headers.

    Attributes:
        name: short, and the schema's name.
        column: the type; ``header`` stands for the composite type of this schema.
        encoder: makes the function that builds the COPY field, given the OID of the composite type.
        bytes_of: SQL for the bytes that the digest takes of a row's headers.
        query: how a person reads one header's value in psql.
    """

    name: str
    column: str
    encoder: Callable[[int], Encode]
    bytes_of: str
    query: str


@dataclass(frozen=True, slots=True)
class Figures:
    """One pass of one candidate over one set of rows."""

    field_us: float
    copy_seconds: float
    copy_cpu_us: float
    scan_seconds: float
    scan_cpu_us: float
    bare_scan_cpu_us: float
    field_bytes: float
    heap_bytes: float
    wal_bytes: float


def _field(value: bytes | None) -> bytes:
    return _NULL if value is None else _INT(len(value)) + value


def _array_encoder(_oid: int) -> Encode:
    return headers_field


def _framed_encoder(_oid: int) -> Encode:
    def encode(headers: Headers) -> bytes:
        body = b"".join([_INT(len(headers)), *(_field(element) for header in headers for element in header)])
        return _INT(len(body)) + body

    return encode


def _jsonb_encoder(_oid: int) -> Encode:
    def encode(headers: Headers) -> bytes:
        pairs = [[name.decode(), None if value is None else b64encode(value).decode()] for name, value in headers]
        body = json.dumps(pairs, ensure_ascii=False).encode()
        return _INT(len(body) + 1) + b"\x01" + body

    return encode


def _composite_encoder(oid: int) -> Encode:
    start = Struct(">iiiii").pack
    member = _INT(_BYTEA_OID)

    def encode(headers: Headers) -> bytes:
        records = (_INT(2) + member + _field(name) + member + _field(value) for name, value in headers)
        body = start(1, 0, oid, len(headers), 1) + b"".join(_field(record) for record in records)
        return _INT(len(body)) + body

    return encode


CANDIDATES = (
    Candidate(
        "bytea_array",
        "bytea[]",
        _array_encoder,
        "array_send(headers)",
        "select encode(headers[i + 1], 'escape') from job_queue, generate_series(1, cardinality(headers), 2) as i "
        "where headers[i] = 'trace-id'",
    ),
    Candidate("framed_bytea", "bytea", _framed_encoder, "headers", "needs a function of ours"),
    Candidate(
        "jsonb_pairs",
        "jsonb",
        _jsonb_encoder,
        "jsonb_send(headers)",
        "select encode(decode(pair ->> 1, 'base64'), 'escape') from job_queue, jsonb_array_elements(headers) as pair "
        "where pair ->> 0 = 'trace-id'",
    ),
    Candidate(
        "composite_array",
        "header[]",
        _composite_encoder,
        "array_send(headers)",
        "select encode(header.value, 'escape') from job_queue, unnest(headers) as header "
        "where header.name = 'trace-id'",
    ),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows that were encoded without headers, and the headers to put in."""

    rows: Sequence[bytes]
    cuts: Sequence[tuple[int, int]]
    headers: Sequence[Headers | None]


def sample(count: int, per_row: int) -> Sample:
    """Rows with values of 300 bytes and keys of 8, and as many headers each as asked for."""
    dice = random.Random(per_row)  # noqa: S311
    encoder = RowEncoder(_TOPIC, now_us=0, parked=True)
    start = 2 + 4 + len(_TOPIC)
    rows, cuts, headers = [], [], []
    for offset in range(count):
        key, payload = b"%08d" % dice.randrange(10**8), _payload(dice)
        view = View("json", payload)
        rows.append(encoder.encode(0, offset, key, payload, None, _FROZEN_SECONDS * 1000, 1, view).copy)
        cuts.append((start, start + _IDENTITY_BYTES + 4 + len(key) + 4 + len(payload)))
        headers.append(tuple((name, _header_value(dice)) for name in _NAMES[:per_row]) or None)
    return Sample(rows, cuts, headers)


def _payload(dice: random.Random) -> bytes:
    body = {"user": dice.randrange(10**9), "template": "welcome", "locale": "en", "body": ""}
    missing = 300 - len(json.dumps(body))
    return json.dumps(body | {"body": dice.randbytes(missing // 2 + 1).hex()[:missing]}).encode()


def _header_value(dice: random.Random) -> bytes:
    return dice.randbytes(28).hex()[: dice.randrange(20, 56)].encode()


def put_headers(chosen: Sample, encode: Encode) -> tuple[list[bytes], int, float]:
    """Rows with their headers in, the sum of their digests' first halves, and the CPU seconds that the fields took."""
    watch = Stopwatch()
    fields = [_NULL if headers is None else encode(headers) for headers in chosen.headers]
    seconds = watch.cpu
    rows, total = [], 0
    for row, (start, cut), field in zip(chosen.rows, chosen.cuts, fields, strict=True):
        total += int.from_bytes(sha256(row[start:cut] + field).digest()[:8], signed=True)
        rows.append(row[:cut] + field + row[cut + 4 :])
    return rows, total, seconds


def prepare(conn: Connection, candidate: Candidate) -> Encode:
    """A table of the migrations' own shape but for one column's type; returns the encoder of that column."""
    schema = candidate.name
    upgrade(conn, store_line(schema))
    conn.execute(f"create type {schema}.header as (name bytea, value bytea)".encode())
    column = candidate.column.replace("header", f"{schema}.header")
    conn.execute(
        f"alter table {schema}.job_queue drop column headers, add column headers {column}".encode(),
    )
    return candidate.encoder(value(conn, f"select '{schema}.header'::regtype::oid"))


def digest_query(candidate: Candidate, *, bare: bool) -> str:
    """The sum of the digests' first halves in SQL; ``bare`` leaves the length before the headers out."""
    headers = f"int4send(octet_length({candidate.bytes_of})) || {candidate.bytes_of}"
    if bare:
        headers = candidate.bytes_of
    framed = " || ".join(
        (
            r"'\x00000004'::bytea || int4send(partition) || '\x00000008' || int8send(log_offset)",
            r"'\x00000008' || int8send(timestamp_ms) || '\x00000002' || int2send(timestamp_type)",
            r"coalesce(int4send(octet_length(key)) || key, '\xffffffff')",
            r"coalesce(int4send(octet_length(value)) || value, '\xffffffff')",
            rf"coalesce({headers}, '\xffffffff')",
        )
    )
    half = f"('x' || encode(substr(sha256({framed}), 1, 8), 'hex'))::bit(64)::bigint"
    return f"select sum({half}) from {candidate.name}.job_queue"


def copy(conn: Connection, candidate: Candidate, rows: Sequence[bytes]) -> tuple[float, float, float]:
    """Fills the table in transactions of 10,000 rows: seconds, the backend's CPU seconds, bytes of WAL."""
    conn.execute(f"truncate {candidate.name}.job_queue".encode())
    conn.execute("checkpoint")
    statements = append.load(store_line(candidate.name).schemas)
    pid, before = conn.info.backend_pid, value(conn, "select pg_current_wal_insert_lsn()")
    cpu, watch = thread_cpu(pid), Stopwatch()
    for start in range(0, len(rows), _BATCH):
        with conn.transaction():
            append.copy_rows(conn, statements, rows[start : start + _BATCH])
    wall, cpu = watch.wall, thread_cpu(pid) - cpu
    return wall, cpu, float(value(conn, f"select pg_current_wal_insert_lsn() - '{before}'::pg_lsn"))


def scan(conn: Connection, query: str) -> tuple[int, float, float]:
    """A query's one value, its seconds and the backend's CPU seconds."""
    pid = conn.info.backend_pid
    cpu, watch = thread_cpu(pid), Stopwatch()
    total = value(conn, query)
    return int(total), watch.wall, thread_cpu(pid) - cpu


def measure(conn: Connection, candidate: Candidate, encode: Encode, chosen: Sample) -> Figures:
    """One pass: encode, copy, scan; the sums on both sides must agree."""
    rows, wanted, field_seconds = put_headers(chosen, encode)
    copy_seconds, copy_cpu, wal = copy(conn, candidate, rows)
    value(conn, f"select count(*) from {candidate.name}.job_queue")
    total, scan_seconds, scan_cpu = scan(conn, digest_query(candidate, bare=False))
    assert total == wanted, f"{candidate.name}: SQL and Python differ"
    _, _, bare_cpu = scan(conn, digest_query(candidate, bare=True))
    size = value(conn, f"select coalesce(avg(pg_column_size(headers)), 0) from {candidate.name}.job_queue")
    heap = value(conn, f"select pg_relation_size('{candidate.name}.job_queue')")
    count = len(rows)
    return Figures(
        field_us=field_seconds / count * 1e6,
        copy_seconds=copy_seconds,
        copy_cpu_us=copy_cpu / count * 1e6,
        scan_seconds=scan_seconds,
        scan_cpu_us=scan_cpu / count * 1e6,
        bare_scan_cpu_us=bare_cpu / count * 1e6,
        field_bytes=float(size),
        heap_bytes=heap / count,
        wal_bytes=wal / count,
    )


def report(runs: dict[int, dict[str, list[Figures]]]) -> str:
    """The table that is printed: sizes and CPU per row, and behind it the ratios to the first type, pass by pass."""
    head = (
        "headers",
        "type",
        "field B",
        "heap B",
        "WAL B",
        "build us",
        "COPY us",
        "scan us",
        "COPY x",
        "scan x",
        "bare x",
    )
    lines = []
    for count, by_name in runs.items():
        first = by_name[CANDIDATES[0].name]
        for name, passes in by_name.items():
            mine = [(asdict(one), asdict(other)) for one, other in zip(passes, first, strict=True)]
            sizes = [f"{mine[0][0][key]:.0f}" for key in ("field_bytes", "heap_bytes", "wal_bytes")]
            times = [
                f"{Spread.of(one[key] for one, _ in mine).median:.2f}"
                for key in ("field_us", "copy_cpu_us", "scan_cpu_us")
            ]
            pairs = (
                ("copy_cpu_us", "copy_cpu_us"),
                ("scan_cpu_us", "scan_cpu_us"),
                ("bare_scan_cpu_us", "scan_cpu_us"),
            )
            ratios = [Spread.of(one[key] / other[base] for one, other in mine).text() for key, base in pairs]
            lines.append((str(count), name, *sizes, *times, *ratios))
    return table(head, lines)


def run(conn: Connection, count: int, repeats: int) -> dict[int, dict[str, list[Figures]]]:
    """Every candidate with every number of headers, interleaved, so that a busy minute hits all alike."""
    conn.execute("set max_parallel_workers_per_gather = 0")
    encoders = {candidate.name: prepare(conn, candidate) for candidate in CANDIDATES}
    runs: dict[int, dict[str, list[Figures]]] = {}
    for per_row in _COUNTS:
        chosen = sample(count, per_row)
        runs[per_row] = {candidate.name: [] for candidate in CANDIDATES}
        for repeat in range(repeats):
            note(f"{per_row} headers, repeat {repeat + 1} of {repeats}")
            order = CANDIDATES[repeat % len(CANDIDATES) :] + CANDIDATES[: repeat % len(CANDIDATES)]
            for candidate in order:
                runs[per_row][candidate.name].append(measure(conn, candidate, encoders[candidate.name], chosen))
    return runs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with (
        EmbeddedPostgres(fsync=True, settings=_SETTINGS) as server,
        psycopg.connect(server.url, autocommit=True) as conn,
    ):
        document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        runs = run(conn, arguments.rows, arguments.repeats)
    document["runs"] = {
        count: {name: [asdict(one) for one in passes] for name, passes in by_name.items()}
        for count, by_name in runs.items()
    }
    say(report(runs))
    for candidate in CANDIDATES:
        say(f"{candidate.name}: {candidate.query}")
    say(f"raw figures: {save('headers_format', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
