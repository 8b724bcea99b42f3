"""Every record arrives once, whole, in order; everything else arrives under its own name."""

import time
from collections.abc import Iterator

import pytest

from migrator.embedded.process import wait_until
from migrator.errors import CannotStartError, RefusedError
from migrator.kafka import raw_headers
from migrator.kafka.properties import KafkaProperties, kafka_properties
from migrator.kafka.records import EndOfPartition, OutOfRange, SourceRecord, UnreadableRecord
from migrator.kafka.source import ConfluentSource
from tests.fixtures.kafka import CreateTopic, OwnKafka, create_topic_on
from tests.integration.migrator.producing import (
    SECONDS,
    Sent,
    allow_bob,
    delete_records_below,
    delete_topic,
    numbered,
    produce,
    produce_raw,
    read_to_the_end,
    read_until,
    transactions,
    within,
)

_CREATE, _LOG_APPEND = 1, 2


@pytest.fixture
def properties(bootstrap_servers: str) -> KafkaProperties:
    return kafka_properties(bootstrap_servers)


@pytest.fixture
def source(properties: KafkaProperties) -> Iterator[ConfluentSource]:
    with ConfluentSource(properties) as opened:
        yield opened


def records(source: ConfluentSource, topic: str, start: int = 0) -> list[SourceRecord]:
    *found, end = read_to_the_end(source, {(topic, 0): start})
    assert isinstance(end, EndOfPartition)
    assert all(isinstance(record, SourceRecord) for record in found)
    return [record for record in found if isinstance(record, SourceRecord)]


ODD = [
    Sent(b'{"a": 1}', b"key"),
    Sent(b"", b""),
    Sent(None, b"tombstone"),
    Sent(None, None),
    Sent(b"\x00\xff\xfe", b"\x80\x00"),
    Sent(headers=[]),
    Sent(headers=[("one", b"1")]),
    Sent(headers=[("null", None), ("empty", b""), ("", b"nameless")]),
    Sent(headers=[("twice", b"1"), ("other", b"2"), ("twice", b"1"), ("twice", b"3")]),
    Sent(headers=[("binary", bytes(range(256))), ("ключ", "значение".encode()), ("\U0001f4e8", b"x")]),
    Sent(headers=[(f"h{n}", b"%d" % n) for n in range(200)]),
    Sent(timestamp_ms=1),
]


def test_every_field_arrives_as_it_was_sent(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic(config={"retention.ms": "-1"})
    produce(bootstrap_servers, topic, ODD)
    found = records(source, topic)
    assert [record.offset for record in found] == list(range(len(ODD)))
    for record, sent in zip(found, ODD, strict=True):
        assert (record.topic, record.partition, record.key, record.value) == (topic, 0, sent.key, sent.value)
        headers = tuple((name.encode(), value) for name, value in sent.headers or ())
        assert record.headers == (headers or None)
        assert record.timestamp_type == _CREATE
    assert found[-1].timestamp_ms == 1


@pytest.mark.real_kafka
def test_timestamps_far_away_stay_as_they_are(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    far = 9_007_199_254_740_993  # year 287,396; a double cannot hold it
    topic = create_topic(config={"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)})
    produce(bootstrap_servers, topic, [Sent(timestamp_ms=far)])
    assert records(source, topic)[0].timestamp_ms == far


@pytest.mark.real_kafka
def test_a_topic_that_stamps_on_arrival(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic(config={"message.timestamp.type": "LogAppendTime"})
    produce(bootstrap_servers, topic, [Sent(timestamp_ms=1)])
    record = records(source, topic)[0]
    assert record.timestamp_type == _LOG_APPEND
    assert record.timestamp_ms > 1


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(codec: str, source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic) -> None:
    topic = create_topic()
    sent = [Sent(b"%d " % n * 50, b"k%d" % n, [("n", b"%d" % n)]) for n in range(200)]
    produce(bootstrap_servers, topic, sent, compression_type=codec, linger_ms=50)
    found = records(source, topic)
    assert [(r.value, r.key, r.headers) for r in found] == [
        (s.value, s.key, ((b"n", s.headers[0][1] if s.headers else None),)) for s in sent
    ]


@pytest.mark.real_kafka
def test_a_record_of_20_mb_among_small_ones(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic(config={"max.message.bytes": "30000000"})
    large = bytes(20_000_000)
    sent = [Sent(b"before"), Sent(large), Sent(b"after"), Sent(large), Sent(b"last")]
    produce(bootstrap_servers, topic, sent, message_max_bytes=30_000_000)
    assert [record.value for record in records(source, topic)] == [s.value for s in sent]


@pytest.mark.real_kafka
def test_only_what_was_committed_arrives_and_the_end_lies_behind_the_last_marker(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    with transactions(bootstrap_servers, topic) as producer:
        within(producer, topic, 3)
        producer.commit_transaction(SECONDS)
        within(producer, topic, 3)
        producer.abort_transaction(SECONDS)
    events = read_to_the_end(source, {(topic, 0): 0})
    assert [e.offset for e in events if isinstance(e, SourceRecord)] == [0, 1, 2]
    assert events[-1] == EndOfPartition(topic, 0, 8)


@pytest.mark.real_kafka
def test_an_open_transaction_holds_everything_behind_it_back(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(2))
    with transactions(bootstrap_servers, topic) as producer:
        within(producer, topic, 1)
        produce(bootstrap_servers, topic, numbered(2))
        assert read_to_the_end(source, {(topic, 0): 0})[-1] == EndOfPartition(topic, 0, 2)
        producer.commit_transaction(SECONDS)
        later = read_until(source, lambda events: any(isinstance(e, EndOfPartition) for e in events))
    assert [e.offset for e in later if isinstance(e, SourceRecord)] == [2, 3, 4]
    assert later[-1] == EndOfPartition(topic, 0, 6)


@pytest.mark.real_kafka
def test_uncommitted_records_arrive_for_who_asks(
    properties: KafkaProperties, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    with transactions(bootstrap_servers, topic) as producer:
        within(producer, topic, 3)
        producer.abort_transaction(SECONDS)
    with ConfluentSource(properties, isolation="read_uncommitted") as source:
        assert [record.offset for record in records(source, topic)] == [0, 1, 2]


NOT_UTF8 = ((b"ok", b"1"), (b"\xff\xfe", b"\x00bad\x00"), (b"", b""), (b"null \xe9", None), (b"nul\x00in", b"x"))


def test_header_names_that_are_not_utf8_arrive_all_the_same(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, [Sent(headers=[("a", b"0")])])
    produce_raw(bootstrap_servers, topic, NOT_UTF8)
    produce(bootstrap_servers, topic, numbered(1))
    produce_raw(bootstrap_servers, topic, NOT_UTF8[:2])
    found = records(source, topic)
    assert [r.headers for r in found] == [((b"a", b"0"),), NOT_UTF8, None, NOT_UTF8[:2]]
    assert [r.value for r in found] == [b"{}", b"v", b"0", b"v"]
    assert [r.offset for r in found] == [0, 1, 2, 3]


def test_records_with_such_names_in_several_partitions(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic(4)
    for number in range(8):
        produce_raw(bootstrap_servers, topic, ((b"\xff", b"%d" % number),), partition=number % 4)
    events = read_to_the_end(source, {(topic, partition): 0 for partition in range(4)})
    found = {(r.partition, r.offset): r.headers for r in events if isinstance(r, SourceRecord)}
    assert found == {(n % 4, n // 4): ((b"\xff", b"%d" % n),) for n in range(8)}


def test_without_librdkafkas_own_library_such_a_record_is_named_unreadable(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = create_topic()
    produce_raw(bootstrap_servers, topic, NOT_UTF8)
    monkeypatch.setattr(raw_headers, "_library", lambda: None)
    record, _ = read_to_the_end(source, {(topic, 0): 0})
    assert isinstance(record, UnreadableRecord)
    assert (record.topic, record.partition, record.offset, record.value) == (topic, 0, 0, b"v")
    assert "UTF-8" in record.reason


def test_an_empty_partition_ends_where_it_begins(source: ConfluentSource, create_topic: CreateTopic) -> None:
    topic = create_topic()
    assert read_to_the_end(source, {(topic, 0): 0}) == [EndOfPartition(topic, 0, 0)]


def test_reading_begins_exactly_where_it_is_told_to(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(100))
    assert [record.offset for record in records(source, topic, 97)] == [97, 98, 99]
    assert records(source, topic, 100) == []


def test_many_partitions_each_in_order(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic(4)
    for partition in range(4):
        produce(bootstrap_servers, topic, numbered(500, partition))
    events = read_to_the_end(source, {(topic, partition): 0 for partition in range(4)})
    for partition in range(4):
        mine = [event for event in events if event.partition == partition]
        assert [e.offset for e in mine if isinstance(e, SourceRecord)] == list(range(500))
        assert mine[-1] == EndOfPartition(topic, partition, 500)


def test_no_more_than_asked_for_and_nothing_lost_between_reads(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(2500))
    source.assign({(topic, 0): 0})
    offsets: list[int] = []
    while len(offsets) < 2500:
        events = source.read(7, SECONDS)
        assert 0 < len(events) <= 7
        offsets += [event.offset for event in events if isinstance(event, SourceRecord)]
    assert offsets == list(range(2500))


def test_what_is_there_is_returned_at_once(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(3))
    source.assign({(topic, 0): 0})
    began = time.monotonic()
    assert source.read(1000, SECONDS)
    assert time.monotonic() - began < SECONDS / 3


def test_nothing_there_waits_no_longer_than_told(source: ConfluentSource) -> None:
    began = time.monotonic()
    assert source.read(1000, 0.2) == []
    assert source.read(1000, 0) == []
    assert time.monotonic() - began < 5


def test_assigning_again_drops_what_was_read_ahead(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(3000))
    source.assign({(topic, 0): 0})
    read_until(source, lambda events: len(events) >= 10)
    assert [record.offset for record in records(source, topic)] == list(range(3000))
    assert [record.offset for record in records(source, topic, 2990)] == list(range(2990, 3000))


def test_seeking_moves_one_partition_only(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic(2)
    for partition in (0, 1):
        produce(bootstrap_servers, topic, numbered(10, partition))
    read_to_the_end(source, {(topic, 0): 0, (topic, 1): 0})
    source.seek(topic, 0, 8)
    events = read_until(source, lambda events: any(isinstance(e, EndOfPartition) for e in events))
    assert [(e.partition, e.offset) for e in events if isinstance(e, SourceRecord)] == [(0, 8), (0, 9)]


def test_a_paused_partition_is_silent_and_goes_on_where_it_stopped(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(10))
    source.assign({(topic, 0): 0})
    first = source.read(3, SECONDS)
    source.pause([(topic, 0)])
    assert source.read(10, 0.5) == []
    source.resume([(topic, 0)])
    rest = read_until(source, lambda events: any(isinstance(e, EndOfPartition) for e in events))
    offsets = [e.offset for e in (*first, *rest) if isinstance(e, SourceRecord)]
    assert offsets == list(range(10))


@pytest.mark.real_kafka
@pytest.mark.parametrize("position", [2, 50])
def test_an_offset_that_is_not_there_is_an_event_and_no_jump(
    position: int, source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(10))
    delete_records_below(bootstrap_servers, topic, 5)
    source.assign({(topic, 0): position})
    assert read_until(source, bool) == [OutOfRange(topic, 0)]
    assert source.read(10, 0.5) == []
    source.seek(topic, 0, 5)
    events = read_until(source, lambda events: any(isinstance(e, EndOfPartition) for e in events))
    assert [e.offset for e in events if isinstance(e, SourceRecord)] == [5, 6, 7, 8, 9]


@pytest.mark.real_kafka
def test_a_topic_that_is_deleted_meanwhile(
    source: ConfluentSource, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    read_to_the_end(source, {(topic, 0): 0})
    delete_topic(bootstrap_servers, topic)
    with pytest.raises(RefusedError) as raised:
        read_until(source, lambda _: False)
    assert raised.value.code == "topic-gone"
    assert topic in raised.value.message


def test_nobody_listens_there(capfd: pytest.CaptureFixture[str]) -> None:
    with ConfluentSource(kafka_properties("127.0.0.1:9")) as source:
        source.assign({("emails", 0): 0})
        assert wait_until(lambda: source.read(1, 0.1) == [] and source.trouble is not None, 15)
        assert source.trouble is not None
        assert "Connection refused" in source.trouble.text
        assert source.trouble.since <= time.monotonic()
    assert capfd.readouterr() == ("", "")


def test_closing_twice_is_closing_once(properties: KafkaProperties) -> None:
    source = ConfluentSource(properties)
    source.close()
    source.close()


@pytest.mark.real_kafka
def test_a_broker_that_goes_and_comes_back(own_kafka: OwnKafka, capfd: pytest.CaptureFixture[str]) -> None:
    kafka = own_kafka()
    create_topic_on(kafka.bootstrap_servers, "emails")
    produce(kafka.bootstrap_servers, "emails", numbered(5))
    with ConfluentSource(kafka_properties(kafka.bootstrap_servers)) as source:
        read_to_the_end(source, {("emails", 0): 0})
        kafka.kill()
        assert wait_until(lambda: source.read(1, 0.1) == [] and source.trouble is not None, SECONDS)
        kafka.start()
        produce(kafka.bootstrap_servers, "emails", numbered(5))
        events = read_until(source, lambda events: sum(isinstance(e, SourceRecord) for e in events) == 5)
        assert [e.offset for e in events if isinstance(e, SourceRecord)] == [5, 6, 7, 8, 9]
        assert source.trouble is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.real_kafka
def test_rights(own_kafka: OwnKafka) -> None:
    kafka = own_kafka(sasl_users={"bob": "bob-secret"}, properties={"allow.everyone.if.no.acl.found": "false"})
    create_topic_on(kafka.bootstrap_servers, "emails")
    produce(kafka.bootstrap_servers, "emails", numbered(2))
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "bob",
        "sasl.password": "bob-secret",
    }
    properties = kafka_properties(kafka.sasl_bootstrap_servers, None, login)
    allow_bob(kafka.bootstrap_servers, "DESCRIBE", "TOPIC", "emails")
    with ConfluentSource(properties) as source, pytest.raises(CannotStartError) as raised:
        read_to_the_end(source, {("emails", 0): 0})
    assert raised.value.code == "not-authorized"
    assert "kafka-acls.sh" in raised.value.hint
    assert "--allow-principal 'User:bob' --operation Read --topic 'emails'" in raised.value.hint
    allow_bob(kafka.bootstrap_servers, "READ", "TOPIC", "emails")
    with ConfluentSource(properties) as source:
        assert [record.offset for record in records(source, "emails")] == [0, 1]  # no right to any group is needed
