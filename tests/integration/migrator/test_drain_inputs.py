"""Whatever a topic may hold: every record comes out as it went in, or is set aside with its bytes and a reason.

The numbers are those of the list of inputs in the drain's specification. Many inputs share a topic and a drain; each
has its own test.
"""

import ctypes
import gzip
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from migrator.embedded.kafka import EmbeddedKafka
from migrator.embedded.parts import Broker
from migrator.embedded.process import wait_until
from tests.fixtures.cli import Cli, Done, create_tables
from tests.fixtures.kafka import OwnKafka, create_topic_on, topic_name
from tests.fixtures.oracle import (
    Expected,
    Headers,
    Produced,
    Recorder,
    Row,
    check,
    count_rows,
    dead_letters_of,
    expect_same,
    expected,
    rows_of,
)
from tests.fixtures.postgres import Databases, OwnPostgres

pytestmark = pytest.mark.real_kafka

_SECONDS = 60.0
_HOUR_MS = 3_600_000
_FOR_EVER = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
"""For records of other times than ours: the broker neither refuses nor removes them."""
_YEAR_292_MILLION = 9_214_646_400_000_000_000
_LAST_TIMESTAMPTZ = "294276-12-31 23:59:59.999999+00"
_JSON_NULL = "null"


@pytest.fixture(scope="module")
def servers(broker: Broker) -> str:
    if broker.kind == "mock":
        pytest.skip("needs a real broker")
    return broker.bootstrap_servers


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


@contextmanager
def kept_database(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


def ends_of(servers: str, topic: str, partitions: int = 1) -> dict[int, int]:
    """The high watermarks."""
    settings = {"bootstrap.servers": servers, "group.id": "ends", "isolation.level": "read_uncommitted"}
    with Consumer(settings) as consumer:
        watermarks = [consumer.get_watermark_offsets(TopicPartition(topic, n), _SECONDS) for n in range(partitions)]
    return {partition: high for partition, (_, high) in enumerate(watermarks)}


def delete_before(servers: str, topic: str, offset: int) -> None:
    admin: Any = AdminClient({"bootstrap.servers": servers})
    for deleted in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        assert deleted.result().low_watermark == offset


# --- 1 to 45, 60 and 61: what a record may hold ---------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """One record of the shared topic, and what its row must show beside the exact bytes.

    Attributes:
        name: the number, and what it is.
        value: as produced.
        encoding: of the row.
        payload: of the row, as jsonb prints it; None where comparing it with the value's own jsonb is enough.
        key: as produced.
        headers: as produced.
        timestamp_ms: as produced; None is now.
        by: how it is produced where the Python client cannot.
    """

    name: str
    value: bytes | None
    encoding: str = "json"
    payload: str | None = None
    key: bytes | None = b"key"
    headers: Headers = ()
    timestamp_ms: int | None = None
    by: str = "client"


def as_text(name: str, value: bytes) -> Input:
    return Input(name, value, "text", json.dumps(value.decode(), ensure_ascii=False))


def as_bytes(name: str, value: bytes) -> Input:
    return Input(name, value, "bytes", _JSON_NULL)


def refused_json(name: str, value: bytes, sqlstate: str) -> Input:
    return Input(name, value, f"json-{sqlstate}", _JSON_NULL)


INPUTS = (
    refused_json("1-an-escaped-nul-in-a-string", rb'{"a": "x\u0000y"}', "22P05"),
    refused_json("2-an-escaped-nul-in-a-key", rb'{"x\u0000y": 1}', "22P05"),
    Input("3-an-escaped-backslash-before-u0000", rb'{"a": "\\u0000"}', payload=r'{"a": "\\u0000"}'),
    as_bytes("4-a-raw-nul", b'{"a": "x\x00y"}'),
    as_bytes("5-a-byte-ff", b'{"a": "\xff"}'),
    as_bytes("6-an-overlong-nul", b'{"a": "\xc0\x80"}'),
    as_bytes("7-latin-1", b'{"a": "caf\xe9"}'),
    as_bytes("8-a-surrogate-in-utf-8", b'{"a": "\xed\xa0\x80"}'),
    as_text("9-a-lone-high-surrogate", rb'{"a": "\ud800"}'),
    as_text("10-a-lone-low-surrogate", rb'{"a": "\udc00"}'),
    as_text("11-nan", b'{"a": NaN}'),
    as_text("12-infinity", b'{"a": [Infinity, -Infinity]}'),
    Input("13-1e400", b'{"a": 1e400}', payload='{"a": 1%s}' % ("0" * 400)),
    refused_json("14-1e131073", b'{"a": 1e131073}', "22003"),
    refused_json("15-1e-20000", b'{"a": 1e-20000}', "22003"),
    Input("16-2-to-the-63rd", b'{"a": 9223372036854775808}', payload='{"a": 9223372036854775808}'),
    Input("16-2-to-the-64th", b'{"a": 18446744073709551616}', payload='{"a": 18446744073709551616}'),
    Input("16-100-digits", b"9" * 100, payload="9" * 100),
    Input("17-31-decimals", b"[0.1234567890123456789012345678901]", payload="[0.1234567890123456789012345678901]"),
    Input("17-trailing-zeros", b'{"price": 1.00}', payload='{"price": 1.00}'),
    Input("18-duplicate-keys", b'{"a": 1, "b": 2, "a": 3}', payload='{"a": 3, "b": 2}'),
    as_text("19-a-byte-order-mark", b'\xef\xbb\xbf{"a": 1}'),
    as_text("20-empty", b""),
    as_text("21-spaces-only", b" \t\n "),
    Input("22-null", b"null", payload=_JSON_NULL),
    Input("22-a-number", b" -1.5e3 ", payload="-1500"),
    Input("22-a-string", '"gr\u00fc\u00df"'.encode(), payload='"gr\u00fc\u00df"'),
    Input("22-an-array", b"[1, [], {}]", payload="[1, [], {}]"),
    Input("22-a-boolean", b"true", payload="true"),
    as_text("23-two-documents", b'{"a": 1}{"b": 2}'),
    as_text("23-two-lines", b'{"a": 1}\n{"b": 2}\n'),
    as_text("23-trailing-garbage", b'{"a": 1} x'),
    as_text("23-a-trailing-comma", b'{"a": 1,}'),
    as_text("23-a-comment", b'{"a": 1 /* one */}'),
    as_text("23-single-quotes", b"{'a': 1}"),
    as_text("23-a-raw-control-character", b'{"a": "\x01"}'),
    as_text("23-a-raw-newline-in-a-string", b'{"a": "x\ny"}'),
    Input("24-nested-1500-deep", b"[" * 1500 + b"]" * 1500),
    Input("24-nested-7000-deep", b'{"a":' * 3500 + b"[" * 3500 + b"]" * 3500 + b"}" * 3500),
    refused_json("25-nested-100000-deep", b"[" * 100_000 + b"]" * 100_000, "54001"),
    Input("26-70000-members", json.dumps({f"member{n}": n for n in range(70_000)}).encode()),
    Input("27-1.2-million-elements", b"[" + b"0," * 1_199_999 + b"0]"),
    as_bytes("30-avro-with-a-schema-id", b"\x00\x00\x00\x00\x2a\x06foo\x02"),
    as_bytes("31-gzip", gzip.compress(b'{"a": 1}', mtime=0)),
    as_bytes("32-protobuf", b"\x0a\x05hello\x10\x96\x01"),
    Input("33-a-tombstone", None, "tombstone", _JSON_NULL),
    Input("34-no-key", b"{}", key=None),
    Input("35-an-empty-key", b"{}", key=b""),
    Input("36-a-binary-key", b"{}", key=b"\x00\xff\xfe\x80"),
    Input("36-neither-key-nor-value", None, "tombstone", _JSON_NULL, key=None),
    Input("37-a-header-without-a-value", b"{}", headers=((b"a", None), (b"b", b""))),
    Input("38-repeated-header-names", b"{}", headers=((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"1"))),
    Input("39-a-binary-header", b"{}", headers=((b"trace", b'\x00\xff\xfe\x80\\x00{},"NULL'),)),
    Input("40-200-headers", b"{}", headers=tuple((b"name-%d" % n, b"value-%d" % n) for n in range(200))),
    Input("41-header-names-not-utf-8", b"{}", headers=((b"\xff\xfe", b"1"), (b"caf\xe9", None)), by="librdkafka"),
    Input("41-a-header-with-an-empty-name", b"{}", headers=((b"", b"1"),)),
    Input("42-timestamp-minus-1", b"{}", timestamp_ms=-1),
    Input("43-timestamp-0", b"{}", timestamp_ms=0, by="wire"),
    Input("43-year-292-million", b"{}", timestamp_ms=_YEAR_292_MILLION),
    as_bytes("60-a-schema-id-that-nobody-knows", b"\x00\x7f\xff\xff\xff\x02a"),
    as_bytes("60-schema-id-0", b"\x00\x00\x00\x00\x00\x02a"),
    as_text("61-the-end-of-text-copy", b"\\.\n"),
    as_text("61-tab-newline-backslash", b"a\tb\nc\\d\r\n"),
    as_text("61-the-null-of-text-copy", rb"\N"),
)
_BY_NAME = {one.name: one for one in INPUTS}


@dataclass(frozen=True)
class SharedDrain:
    """A topic with every input, drained once."""

    url: str
    topic: str
    done: Done
    records: Mapping[str, Produced]
    rows: Mapping[tuple[int, int], Row]
    dead: Mapping[tuple[int, int], Row]


@pytest.fixture(scope="module")
def inputs(servers: str, databases: Databases) -> Iterator[SharedDrain]:
    topic = topic_name("inputs")
    create_topic_on(servers, topic, config=_FOR_EVER)
    recorder = Recorder(servers, linger_ms=0, message_max_bytes=10_000_000)
    records = {one.name: produce_one(recorder, servers, topic, one) for one in INPUTS}
    with kept_database(databases) as url:
        done = Cli.on(url, servers).drain(topic)
        yield SharedDrain(url, topic, done, records, rows_of(url, topic), dead_letters_of(url, topic))


def produce_one(recorder: Recorder, servers: str, topic: str, one: Input) -> Produced:
    """Produce one record, alone in its batch: a batch's timestamps are kept as differences from the first."""
    if one.by == "librdkafka":
        return by_librdkafka(servers, topic, one)
    if one.by == "wire":
        return by_wire(servers, topic, one)
    recorder.send(topic, one.value, one.key, headers=one.headers, timestamp_ms=one.timestamp_ms)
    return recorder.flush()[-1]


@pytest.mark.parametrize("name", _BY_NAME)
def test_each_input_becomes_a_row_with_its_bytes(inputs: SharedDrain, name: str) -> None:
    wanted, record = _BY_NAME[name], inputs.records[name]
    assert (0, record.offset) not in inputs.dead
    row = inputs.rows[0, record.offset]
    expect_same(row, record)
    assert (record.key, record.value, record.headers) == (wanted.key, wanted.value, wanted.headers)
    assert row["encoding"] == wanted.encoding
    if wanted.payload is not None:
        assert row["payload"] == wanted.payload
    assert (row["status"], row["retry_count"], row["last_error"]) == ("pending", 0, None)
    assert row["process_after"] == "infinity"


def test_a_topic_with_every_input_is_complete(inputs: SharedDrain) -> None:
    inputs.done.expect(0)
    wanted = expected(inputs.topic, inputs.records.values(), at_least=len(INPUTS))
    counts = check(inputs.url, wanted, inputs.done)
    assert (counts.rows, counts.dead, counts.gaps) == (len(INPUTS), 0, {})


@pytest.mark.parametrize(
    ("name", "created"),
    [
        ("43-timestamp-0", "1970-01-01 00:00:00+00"),
        ("43-year-292-million", _LAST_TIMESTAMPTZ),
    ],
)
def test_the_time_of_creation_is_what_timestamptz_can_hold_of_the_records(
    inputs: SharedDrain, name: str, created: str
) -> None:
    assert in_utc(inputs.url, inputs.topic, inputs.records[name].offset) == created


def test_42_a_record_without_a_time_was_created_when_it_was_copied(inputs: SharedDrain) -> None:
    offset = inputs.records["42-timestamp-minus-1"].offset
    with psycopg.connect(inputs.url) as conn:
        statement = "select now() - created_at < interval '10 min' from job_queue where topic = %s and log_offset = %s"
        assert conn.execute(statement, (inputs.topic, offset)).fetchone() == (True,)


def in_utc(url: str, topic: str, offset: int) -> str:
    with psycopg.connect(url) as conn:
        conn.execute("set timezone = 'UTC'")
        statement = "select created_at::text from job_queue where topic = %s and log_offset = %s"
        found = conn.execute(statement, (topic, offset)).fetchone()
    assert found is not None
    return str(found[0])


# --- whether the judge sees -----------------------------------------------------------------------------------------

TAMPERINGS = {
    "a-missing-row": "delete from job_queue where log_offset = 3",
    "an-altered-value": r"update job_queue set value = value || '\x20' where log_offset = 3",
    "an-altered-key": r"update job_queue set key = '\x' where log_offset = 3",
    "a-lost-key": "update job_queue set key = null where log_offset = 3",
    "a-lost-header": "update job_queue set headers = null where log_offset = 3",
    "headers-in-another-order": "update job_queue set headers = headers[3:4] || headers[1:2] where log_offset = 3",
    "a-null-header-made-empty": r"update job_queue set headers[4] = '\x' where log_offset = 3",
    "another-time": "update job_queue set timestamp_ms = timestamp_ms + 1 where log_offset = 3",
    "another-type-of-time": "update job_queue set timestamp_type = 2 where log_offset = 3",
    "another-payload": "update job_queue set payload = '{}' where log_offset = 3",
    "two-rows-in-each-others-place": """
        update job_queue set log_offset = 1000 - log_offset where log_offset in (3, 4);
        update job_queue set log_offset = 3 where log_offset = 996;
        update job_queue set log_offset = 4 where log_offset = 997
    """,
    "a-row-behind-the-end": "update job_queue set log_offset = 1000 where log_offset = 9",
    "a-row-that-is-dead-as-well": """
        insert into kafka_migrator.drain_dead_letter
          (source_id, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type, stage, reason)
        select 1, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type, 'write', 'none'
        from job_queue where log_offset = 3
    """,
    "a-lost-batch": "delete from kafka_migrator.drain_batch where from_offset = 4",
    "a-wrong-digest": "update kafka_migrator.drain_batch set digest_low = digest_low + 1 where from_offset = 4",
    "a-wrong-count": "update kafka_migrator.drain_batch set rows = rows - 1, dead = 1 where from_offset = 4",
    "wrong-counters": "update kafka_migrator.drain_offset set rows = rows - 1, skipped = 1",
    "a-wrong-head": "update job_partition set next_offset = next_offset + 1",
    "not-complete": "update kafka_migrator.drain_source set complete = false",
}


@dataclass(frozen=True)
class Small:
    """A small topic, and what makes an empty database one into which it was drained."""

    topic: str
    records: Sequence[Produced]
    setup: Callable[[str], None]


@pytest.fixture(scope="module")
def small(servers: str) -> Small:
    topic = topic_name("small")
    create_topic_on(servers, topic)
    recorder = Recorder(servers)
    for n in range(10):
        recorder.send(topic, b'{"n": %d}' % n, b"k%d" % n, headers=((b"a", b"%d" % n), (b"b", None)))

    def setup(url: str) -> None:
        create_tables(url)
        Cli.on(url, servers).drain(topic, options=["--batch-rows", "4"]).expect(0)

    return Small(topic, recorder.flush(), setup)


@pytest.mark.parametrize("name", TAMPERINGS)
def test_the_oracle_sees_what_was_tampered_with(small: Small, databases: Databases, name: str) -> None:
    url = databases.create(small.setup)
    wanted = expected(small.topic, small.records, at_least=10)
    assert check(url, wanted).rows == 10
    with psycopg.connect(url) as conn:
        assert conn.execute(TAMPERINGS[name].encode()).rowcount > 0
    with pytest.raises(AssertionError):
        check(url, wanted)
    databases.drop(url)


# --- what the Python client cannot produce --------------------------------------------------------------------------


class _Memory(ctypes.Structure):
    _fields_ = (("pointer", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Argument(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("int32", ctypes.c_int32),
        ("int64", ctypes.c_int64),
        ("memory", _Memory),
        ("pointer", ctypes.c_void_p),
        ("reserved", ctypes.c_char * 64),
    )


class _Named(ctypes.Structure):
    """librdkafka's ``rd_kafka_vu_t``: which argument, and the argument."""

    _fields_ = (("kind", ctypes.c_int), ("value", _Argument))


_TOPIC, _PARTITION, _VALUE, _KEY, _TIMESTAMP, _HEADERS = 1, 3, 4, 5, 8, 10


def by_librdkafka(servers: str, topic: str, one: Input) -> Produced:
    """Produces through librdkafka's own functions, which take header names as bytes."""
    library: Any = ctypes.CDLL(
        str(next(Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdk*")))
    )
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new", "rd_kafka_produceva"):
        getattr(library, name).restype = ctypes.c_void_p
    errors = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    assert library.rd_kafka_conf_set(conf, b"bootstrap.servers", servers.encode(), errors, 512) == 0, errors.value
    producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, errors, ctypes.c_size_t(512)))
    assert producer.value, errors.value
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(len(one.headers))))
    for label, content in one.headers:
        sizes = ctypes.c_ssize_t(len(label)), ctypes.c_ssize_t(len(content or b""))
        assert library.rd_kafka_header_add(headers, label, sizes[0], content, sizes[1]) == 0
    stamp = one.timestamp_ms or now_ms()
    arguments = (_Named * 6)(
        _Named(_TOPIC, _Argument(text=topic.encode())),
        _Named(_PARTITION, _Argument(int32=0)),
        _Named(_VALUE, _Argument(memory=_Memory(one.value, len(one.value or b"")))),
        _Named(_KEY, _Argument(memory=_Memory(one.key, len(one.key or b"")))),
        _Named(_TIMESTAMP, _Argument(int64=stamp)),
        _Named(_HEADERS, _Argument(pointer=headers)),
    )
    assert library.rd_kafka_produceva(producer, arguments, ctypes.c_size_t(6)) is None
    assert library.rd_kafka_flush(producer, 30_000) == 0
    library.rd_kafka_destroy(producer)
    return Produced(topic, 0, ends_of(servers, topic)[0] - 1, one.key, one.value, one.headers, stamp, 1)


def by_wire(servers: str, topic: str, one: Input) -> Produced:
    """Produces by a request of our own: librdkafka takes the timestamp 0 for "now"."""
    assert one.timestamp_ms is not None
    batch = record_batch(one.key, one.value, one.headers, one.timestamp_ms)
    body = struct.pack(">hhi", 0, 7, 1) + _string("raw") + struct.pack(">hhii", -1, -1, 30_000, 1)
    body += _string(topic) + struct.pack(">iii", 1, 0, len(batch)) + batch
    host, _, port = servers.rpartition(":")
    with socket.create_connection((host, int(port)), _SECONDS) as connection, connection.makefile("rb") as replies:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", replies.read(4))
        reply = replies.read(size)
    _, error, offset = struct.unpack_from(">ihq", reply, 4 + 4 + 2 + len(topic) + 4)
    assert error == 0
    return Produced(topic, 0, offset, one.key, one.value, one.headers, one.timestamp_ms, 1)


def record_batch(key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int) -> bytes:
    """One record as a batch of Kafka's format 2, by its public description."""
    fields = b"".join(_counted(name) + _counted(content) for name, content in headers)
    record = b"\0" + _varint(0) + _varint(0) + _counted(key) + _counted(value) + _varint(len(headers)) + fields
    tail = struct.pack(">hiqqqhii", 0, 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1) + _counted(record)
    return struct.pack(">qiibI", 0, 9 + len(tail), -1, 2, crc32c(tail)) + tail


def crc32c(data: bytes) -> int:
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def _varint(number: int) -> bytes:
    left = ((number << 1) ^ (number >> 63)) & (2**64 - 1)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _counted(content: bytes | None) -> bytes:
    return _varint(-1) if content is None else _varint(len(content)) + content


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- 28 and 29: more than jsonb holds -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("pattern", "repeated", "sqlstate"),
    [
        pytest.param(b'"%b"', b"a" * 270_000_000, "54000", id="28-a-string-of-270-MB"),
        pytest.param(b"[%b0]", b"1234567890123," * 14_000_000, "54000", id="29-an-array-of-280-MB-as-jsonb"),
        # Postgres' parser runs into its own limit of memory first, and calls that an internal error.
        pytest.param(b"[%b0]", b"1," * 22_900_000, "XX000", id="29-an-array-of-22.9-million"),
    ],
)
def test_what_is_too_large_for_jsonb_is_kept_as_bytes(
    servers: str, url: str, pattern: bytes, repeated: bytes, sqlstate: str
) -> None:
    topic = topic_name("huge")
    create_topic_on(servers, topic)
    recorder = Recorder(servers, compression_type="zstd", message_max_bytes=400_000_000, linger_ms=0)
    recorder.send(topic, b'{"before": 1}')
    recorder.flush()
    recorder.send(topic, pattern % repeated)
    recorder.flush()
    recorder.send(topic, b'{"after": 1}')
    records = recorder.flush()
    done = Cli.on(url, servers).drain(topic, options=["--max-wait", "60"], timeout=600).expect(0)
    with psycopg.connect(url) as conn:
        statement = "select encoding, payload::text from job_queue where topic = %s order by log_offset"
        found = conn.execute(statement, (topic,)).fetchall()
    assert found == [("json", '{"before": 1}'), (f"json-{sqlstate}", _JSON_NULL), ("json", '{"after": 1}')]
    assert check(url, expected(topic, records, at_least=3), done).rows == 3


# --- 44 to 50, 52 to 57, 59 and 63: what a log may look like --------------------------------------------------------


@dataclass
class Shape:
    """A topic of a certain shape; filled before the drain, judged after it.

    Attributes:
        topic: its name.
        partitions: how many.
        records: those that a reader of committed records is given.
        start: by partition, where the log begins; 0 where it is not said.
        aborted: offsets of records in aborted transactions, by partition.
        compacted: how many offsets the cleaner took away.
    """

    topic: str
    partitions: int = 1
    records: list[Produced] = field(default_factory=list)
    start: dict[int, int] = field(default_factory=dict)
    aborted: dict[int, set[int]] = field(default_factory=dict)
    compacted: int = 0
    markers: dict[int, set[int]] = field(default_factory=dict)
    end: dict[int, int] = field(default_factory=dict)

    def expected(self) -> Expected:
        gaps = {
            "aborted": sum(map(len, self.aborted.values())),
            "marker": sum(map(len, self.markers.values())),
            "compacted": self.compacted,
        }
        return expected(self.topic, self.records, self.end, start=self.start, gaps=gaps, at_least=len(self.records))


class ShapeMaker:
    """Makes topics of every shape on one broker."""

    def __init__(self, servers: str) -> None:
        self.servers = servers

    def topic(self, name: str = "", partitions: int = 1, **config: str) -> str:
        topic = name or topic_name("shape")
        create_topic_on(self.servers, topic, partitions, {key.replace("_", "."): text for key, text in config.items()})
        return topic

    def plain(self, topic: str, values: Sequence[bytes], **settings: Any) -> Shape:
        recorder = Recorder(self.servers, **settings)
        for value in values:
            recorder.send(topic, value, b"k")
        return Shape(topic, records=recorder.flush())

    def log_append_time(self) -> Shape:
        topic = self.topic(message_timestamp_type="LogAppendTime")
        recorder = Recorder(self.servers)
        for n in range(5):
            recorder.send(topic, b"%d" % n, timestamp_ms=1_000_000_000_000 + n)
        shape = Shape(topic, records=recorder.flush())
        assert {record.timestamp_type for record in shape.records} == {2}
        assert min(record.timestamp_ms for record in shape.records) > now_ms() - _HOUR_MS
        return shape

    def large_among_small(self) -> Shape:
        small = [json.dumps({"n": n, "text": "x" * 180}).encode() for n in range(40)]
        large = json.dumps({"text": os.urandom(10_000_000).hex()}).encode()
        return self.plain(self.topic(), [*small[:20], large, *small[20:]], message_max_bytes=50_000_000)

    def codecs(self) -> Shape:
        topic = self.topic(partitions=5)
        shape = Shape(topic, 5)
        for partition, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
            recorder = Recorder(self.servers, compression_type=codec, linger_ms=200)
            for n in range(100):
                recorder.send(topic, b'{"codec": "%b", "n": %d}' % (codec.encode(), n), partition=partition)
            shape.records += recorder.flush()
        return shape

    def named(self, name: str) -> Shape:
        return self.plain(self.topic(name), [b"1", b"two"])

    def emptied(self) -> Shape:
        shape = self.plain(self.topic(), [b"1"] * 5)
        delete_before(self.servers, shape.topic, 5)
        return Shape(shape.topic, start={0: 5}, end={0: 5})

    def shortened(self) -> Shape:
        shape = self.plain(self.topic(), [b"%d" % n for n in range(9)])
        delete_before(self.servers, shape.topic, 4)
        return Shape(shape.topic, records=shape.records[4:], start={0: 4})

    def duplicates(self) -> Shape:
        job = b'{"job": "invoice-17"}'
        others = [b'{"job": "%d"}' % n for n in range(30)]
        return self.plain(self.topic(), [job, job, *others, job])

    def compacted(self) -> Shape:
        topic = self.topic(
            cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.001", delete_retention_ms="0"
        )
        recorder = Recorder(self.servers, linger_ms=0)
        for n in range(60):
            recorder.send(topic, b"%d" % n, b"again" if n % 10 else b"once-%d" % n)
        recorder.send(topic, None, b"once-30")
        recorder.flush()
        left = self._wait_for_cleaner(topic, recorder)
        shape = Shape(topic, records=[record for record in recorder.records if record.offset in left])
        shape.compacted = len(recorder.records) - len(left)
        return shape

    def _wait_for_cleaner(self, topic: str, recorder: Recorder) -> frozenset[int]:
        """Polls, each time with one more record that may roll the segment, until the cleaner has nothing left to do."""
        seen: list[frozenset[int]] = []

        def cleaned() -> bool:
            before = len(recorder.records)
            if not seen or len(seen[-1]) > 12:
                recorder.send(topic, b"more", b"more-%d" % before)
                recorder.flush()
            seen.append(readable(self.servers, topic))
            return len(seen) > 2 and seen[-1] == seen[-2] and len(recorder.records) - len(seen[-1]) >= 50

        assert wait_until(cleaned, _SECONDS, interval=0.3), seen[-1:]
        return seen[-1]

    def transactions(self) -> Shape:
        topic = self.topic(partitions=6)
        shape = Shape(topic, 6)
        plain = Recorder(self.servers, linger_ms=0)

        def outside(partition: int) -> None:
            plain.send(topic, b'"outside"', partition=partition)
            plain.flush()

        def transaction(partition: int, count: int, *, commit: bool, between: Callable[[], None] | None = None) -> None:
            inside = Recorder(self.servers, transactional_id=topic_name("transaction"), linger_ms=0)
            inside.producer.init_transactions(_SECONDS)
            inside.producer.begin_transaction()
            for n in range(count):
                inside.send(topic, b'"inside %d"' % n, partition=partition)
                inside.flush()
                if between:
                    between()
            if commit:
                inside.producer.commit_transaction(_SECONDS)
                shape.records += inside.records
            else:
                inside.producer.abort_transaction(_SECONDS)
                shape.aborted.setdefault(partition, set()).update(record.offset for record in inside.records)

        transaction(0, 3, commit=True)
        outside(0)
        outside(0)
        transaction(1, 3, commit=False)
        outside(1)
        outside(2)
        transaction(2, 2, commit=True)
        outside(3)
        transaction(3, 2, commit=False)
        transaction(4, 3, commit=False)
        transaction(5, 3, commit=False, between=lambda: outside(5))
        transaction(5, 2, commit=True, between=lambda: outside(5))
        shape.records += plain.records
        shape.end = ends_of(self.servers, topic, 6)
        visible = {(record.partition, record.offset) for record in shape.records}
        for partition, end in shape.end.items():
            aborted = shape.aborted.get(partition, set())
            shape.markers[partition] = {n for n in range(end) if n not in aborted and (partition, n) not in visible}
        return shape


def readable(servers: str, topic: str) -> frozenset[int]:
    """The offsets that a consumer is given."""
    found: set[int] = set()
    settings = {
        "bootstrap.servers": servers,
        "group.id": "reader",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 50,
    }
    with Consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            message = consumer.poll(_SECONDS)
            assert message is not None
            if message.error() is not None:
                return frozenset(found)
            offset = message.offset()
            assert offset is not None
            found.add(offset)


_LONGEST = ("Longest_Topic.Name-" + "x" * 249)[:249]
SHAPES: Mapping[str, Callable[[ShapeMaker], Shape]] = {
    "44-log-append-time": ShapeMaker.log_append_time,
    "46-20-MB-among-200-bytes": ShapeMaker.large_among_small,
    "47-every-codec": ShapeMaker.codecs,
    "48-a-name-with-dots": partial(ShapeMaker.named, name="orders.v1.created.eu-west"),
    "48-a-name-with-underscores": partial(ShapeMaker.named, name="_emails_to_send_"),
    "48-a-name-in-upper-case": partial(ShapeMaker.named, name="EMAILS-Select"),
    "48-a-name-of-249-characters": partial(ShapeMaker.named, name=_LONGEST),
    "49-an-empty-topic": lambda maker: Shape(maker.topic(partitions=3), 3, end={0: 0, 1: 0, 2: 0}),
    "50-exactly-one-record": lambda maker: maker.plain(maker.topic(), [b"{}"]),
    "52-emptied-by-retention": ShapeMaker.emptied,
    "52-shortened-by-retention": ShapeMaker.shortened,
    "53-compacted": ShapeMaker.compacted,
    "54-to-59-transactions": ShapeMaker.transactions,
    "63-a-business-key-twice": ShapeMaker.duplicates,
}


@dataclass(frozen=True)
class ShapesDrain:
    """Topics of every shape, drained in one run, in batches of 20."""

    url: str
    done: Done
    shapes: Mapping[str, Shape]


@pytest.fixture(scope="module")
def shapes(servers: str, databases: Databases) -> Iterator[ShapesDrain]:
    maker = ShapeMaker(servers)
    made = {name: make(maker) for name, make in SHAPES.items()}
    for shape in made.values():
        shape.end = shape.end or ends_of(servers, shape.topic, shape.partitions)
    with kept_database(databases) as url:
        topics = [shape.topic for shape in made.values()]
        yield ShapesDrain(url, Cli.on(url, servers).drain(*topics, options=["--batch-rows", "20"]), made)


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_of_log_is_copied_whole(shapes: ShapesDrain, name: str) -> None:
    shapes.done.expect(0)
    shape = shapes.shapes[name]
    counts = check(shapes.url, shape.expected(), shapes.done)
    assert (counts.rows, counts.dead) == (len(shape.records), 0)


TRANSACTIONS = ("54-committed", "55-aborted", "56-ends-in-a-commit", "57-ends-in-an-abort", "59-only-aborted", "mixed")


@pytest.mark.parametrize(("partition", "markers"), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 2)], ids=TRANSACTIONS)
def test_the_offsets_of_transactions_have_the_verdict_that_kafkas_own_log_dump_gives(
    broker: Broker, shapes: ShapesDrain, partition: int, markers: int
) -> None:
    shape = shapes.shapes["54-to-59-transactions"]
    if not isinstance(broker, EmbeddedKafka):
        pytest.skip("needs the folder of the broker's log")
    dumped = {
        int(line.split("offset: ")[1].split()[0])
        for line in broker.dump_log(shape.topic, partition).splitlines()
        if "endTxnMarker" in line
    }
    assert dumped == shape.markers[partition]
    assert len(dumped) == markers
    said = shapes.done.topic(shape.topic)["partitions"][partition]["gaps"]
    aborted = len(shape.aborted.get(partition, ()))
    assert said == {"compacted": 0, "aborted": aborted, "marker": markers, "lost": 0, "unexplained": 0}


def test_47_the_codecs_were_really_used(broker: Broker, shapes: ShapesDrain) -> None:
    if not isinstance(broker, EmbeddedKafka):
        pytest.skip("needs the folder of the broker's log")
    topic = shapes.shapes["47-every-codec"].topic
    for number in range(5):  # none, gzip, snappy, lz4, zstd, as a batch's attributes number them
        (segment,) = (broker.folder / "data" / f"{topic}-{number}").glob("*.log")
        (attributes,) = struct.unpack_from(">h", segment.read_bytes(), 21)
        assert attributes & 7 == number


def test_63_the_same_job_arrives_as_often_as_it_was_produced(shapes: ShapesDrain) -> None:
    with psycopg.connect(shapes.url) as conn:
        statement = "select count(*) from job_queue where topic = %s and payload ->> 'job' = 'invoice-17'"
        assert conn.execute(statement, (shapes.shapes["63-a-business-key-twice"].topic,)).fetchone() == (3,)


# --- 45, 51 and 58: one by one --------------------------------------------------------------------------------------


def test_45_until_a_time_ends_before_the_first_record_of_that_time_or_later(servers: str, url: str) -> None:
    topic = topic_name("until")
    create_topic_on(servers, topic)
    begin = now_ms() - _HOUR_MS
    recorder = Recorder(servers)
    for seconds in (0, 10, 5, 60, 20, 30, 70):  # 20 and 30 lie behind 60: they are of the next run
        recorder.send(topic, b"%d" % seconds, timestamp_ms=begin + 1000 * seconds)
    records = recorder.flush()
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((begin + 40_000) / 1000))
    cli = Cli.on(url, servers)
    done = cli.drain(topic, options=["--until", f"timestamp:{moment}"]).expect(0)
    assert check(url, expected(topic, records, {0: 3}), done).rows == 3
    done = cli.drain(topic, options=["--until", "end"]).expect(0)
    assert check(url, expected(topic, records), done).rows == 7


def test_51_a_log_that_starts_at_a_huge_offset(own_kafka: OwnKafka, url: str) -> None:
    topic, start = "old", 10**12
    kafka = own_kafka()
    create_topic_on(kafka.bootstrap_servers, topic)
    recorder = Recorder(kafka.bootstrap_servers)
    for n in range(10):
        recorder.send(topic, b'{"n": %d}' % n)
    records = [record._replace(offset=record.offset + start) for record in recorder.flush()]
    kafka.stop()
    move_log(kafka.folder / "data" / f"{topic}-0", start)
    kafka.start()
    assert ends_of(kafka.bootstrap_servers, topic) == {0: start + 10}
    done = Cli.on(url, kafka.bootstrap_servers).drain(topic).expect(0)
    assert check(url, expected(topic, records, start={0: start}, at_least=10), done).rows == 10


def move_log(folder: Path, start: int) -> None:
    """Gives the records of a stopped broker's partition other offsets, as if all before them had been removed.

    A batch's checksum does not cover its first offset.
    """
    (segment,) = folder.glob("*.log")
    content = bytearray(segment.read_bytes())
    at = 0
    while at < len(content):
        offset, length = struct.unpack_from(">qi", content, at)
        struct.pack_into(">q", content, at, offset + start)
        at += 12 + length
    for left in [*folder.glob("*.*index"), *folder.glob("*.snapshot"), folder / "leader-epoch-checkpoint", segment]:
        left.unlink()
    (folder / f"{start:020d}.log").write_bytes(content)


def test_58_a_transaction_that_stays_open_stops_the_drain_with_kafkas_own_command(servers: str, url: str) -> None:
    topic = topic_name("open")
    create_topic_on(servers, topic)
    plain = Recorder(servers)
    plain.send(topic, b'"before"')
    plain.flush()
    inside = Recorder(servers, transactional_id=topic, transaction_timeout_ms=600_000)
    inside.producer.init_transactions(_SECONDS)
    inside.producer.begin_transaction()
    inside.send(topic, b'"inside"')
    inside.flush()
    plain.send(topic, b'"behind"')
    plain.flush()
    cli = Cli.on(url, servers)
    stopped = cli.drain(topic, options=["--transaction-wait", "3"]).expect(5)
    assert stopped.error["code"] == "transaction-open"
    assert "offset 1" in stopped.error["message"]
    assert f"kafka-transactions.sh --bootstrap-server HOST:PORT describe-producers --topic {topic}" in stopped.stderr
    assert f"resume: migrator drain --topic {topic}" in stopped.stderr
    # The frozen end: "behind" has been in the log since before the start.
    assert check(url, expected(topic, plain.records, {0: 3}), stopped, complete=False).rows == 1
    inside.producer.abort_transaction(_SECONDS)
    done = cli.drain(topic).expect(0)
    counts = check(url, expected(topic, plain.records, {0: 3}, gaps={"aborted": 1}), done)
    assert counts.rows == 2


# --- 62: what a table of the user's own making refuses --------------------------------------------------------------

_POISON = b'{"to": "poison"}'
REFUSALS = {
    "a-check": "alter table job_queue add constraint no_poison check (payload ->> 'to' <> 'poison')",
    "a-varchar": """
        create table longest (receiver varchar(10));
        create function keep_short() returns trigger language plpgsql as $$
        begin
          insert into longest values (new.payload ->> 'to' || '-and-more');
          return new;
        end $$;
        create trigger keep_short before insert on job_queue for each row
        when (new.payload ->> 'to' = 'poison') execute function keep_short()
    """,
    "an-enum": """
        create type receiver as enum ('fine');
        create index on job_queue ((payload ->> 'to'));
        create function known() returns trigger language plpgsql as $$
        begin
          perform (new.payload ->> 'to')::receiver;
          return new;
        end $$;
        create trigger known before insert on job_queue for each row execute function known()
    """,
}


@pytest.mark.parametrize("poisoned", [1, 30], ids=["one", "many"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_62_a_record_that_the_table_refuses_costs_that_record_alone(
    servers: str, url: str, refusal: str, poisoned: int
) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(REFUSALS[refusal].encode())
    topic = topic_name("refused")
    create_topic_on(servers, topic, 2)
    recorder = Recorder(servers)
    for n in range(600):
        bad = n % (600 // poisoned) == 7
        value = _POISON if bad else b'{"to": "fine"}'
        recorder.send(topic, value, b"key-%d" % n, headers=((b"n", b"%d" % n),), partition=n % 2)
    records = recorder.flush()
    done = Cli.on(url, servers).drain(topic).expect(0)
    counts = check(url, expected(topic, records, at_least=600), done)
    assert (counts.rows, counts.dead) == (600 - poisoned, poisoned)
    dead = dead_letters_of(url, topic)
    for record in records:
        if record.value == _POISON:
            letter = dead[record.partition, record.offset]
            expect_same(letter, record)
            assert letter["stage"] == "write"
            assert letter["sqlstate"] in {"23514", "22001", "22P02"}
            assert "poison" not in letter["reason"].replace("no_poison", "")
    assert f"migrator dead-letters list --topic {topic}" in done.stderr


def test_more_dead_letters_than_the_budget_stop_the_drain_before_the_batch_that_exceeds_it(
    servers: str, url: str
) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(REFUSALS["a-check"].encode())
    topic = topic_name("budget")
    create_topic_on(servers, topic)
    recorder = Recorder(servers)
    for n in range(100):
        recorder.send(topic, _POISON if n in {5, 42, 43, 77} else b'{"to": "fine"}')
    records = recorder.flush()
    cli = Cli.on(url, servers)
    options = ["--batch-rows", "10", "--dead-letter-budget"]
    stopped = cli.drain(topic, options=[*options, "2"]).expect(5)
    assert stopped.error["code"] == "dead-letter-budget"
    assert "resume: migrator drain" in stopped.stderr
    counts = check(url, expected(topic, records), stopped, complete=False)
    assert (counts.rows, counts.dead) == (39, 1)  # 0 to 39; the batch of 42 and 43 exceeds it
    done = cli.drain(topic, options=[*options, "4"]).expect(0)
    counts = check(url, expected(topic, records, at_least=100), done)
    assert (counts.rows, counts.dead) == (96, 4)


def test_an_outage_of_postgres_is_waited_out_and_makes_no_dead_letter(servers: str, own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    create_tables(server.url)
    topic = topic_name("outage")
    create_topic_on(servers, topic, 2)
    recorder = Recorder(servers)
    for n in range(4_000):
        recorder.send(topic, b'{"n": %d}' % n, partition=n % 2)
    records = recorder.flush()
    arguments = ("drain", "--topic", topic, "--json", "--batch-rows", "100", "--max-rate", "800")
    with Cli.on(server.url, servers).start(*arguments) as drain:
        drain.wait_for(lambda: count_rows(server.url, topic) > 0)
        server.stop("immediate")
        drain.wait_for(lambda: "waiting" in drain.said())
        server.start()
        before = count_rows(server.url, topic)
        assert 0 < before < 4_000
        done = drain.wait().expect(0)
    counts = check(server.url, expected(topic, records, at_least=4_000), done)
    assert (counts.rows, counts.dead) == (4_000, 0)
