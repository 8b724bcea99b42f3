"""``Producer.produce``: what it takes, what a consumer then finds, and what the report says."""

import time
from typing import Any

import pytest

from tests.conformance.records import fill, take, values
from tests.conformance.side import WAIT_SECONDS, Side


def round_trip(side: Side, **fields: Any) -> Any:
    """Produce one record and return what a consumer is handed; it is kept however old its timestamp is."""
    topic = side.topic(config={"retention.ms": "-1"})
    producer = side.producer()
    producer.produce(topic, **fields)
    assert producer.flush(WAIT_SECONDS) == 0
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    return take(consumer, 1)[0]


def report_of(side: Side, *, settings: dict[str, object] | None = None, **fields: Any) -> tuple[Any, Any]:
    """Produce one record and return its delivery report."""
    reports: list[tuple[Any, Any]] = []
    producer = side.producer(settings)
    producer.produce(side.topic(), on_delivery=lambda error, message: reports.append((error, message)), **fields)
    assert producer.flush(WAIT_SECONDS) == 0
    (report,) = reports
    return report


@pytest.mark.parametrize(
    "value", [1, 1.5, {}, [], bytearray(b"a"), memoryview(b"a"), object()], ids=lambda v: type(v).__name__
)
@pytest.mark.parametrize("field", ["value", "key"])
def test_what_is_neither_text_nor_bytes(side: Side, field: str, value: object) -> None:
    producer = side.producer()
    with pytest.raises(TypeError):
        producer.produce("topic", **{field: value})
    assert len(producer) == 0


@pytest.mark.parametrize("topic", [None, b"topic", 1])
def test_topic_is_text(side: Side, topic: object) -> None:
    with pytest.raises(TypeError):
        side.producer().produce(topic, b"v")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"topic": "t", "partition": "0"},
        {"topic": "t", "partition": None},
        {"topic": "t", "timestamp": 1.5},
        {"topic": "t", "timestamp": None},
        {"topic": "t", "nonsense": 1},
    ],
    ids=str,
)
def test_arguments_of_the_wrong_type(side: Side, fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        side.producer().produce(**fields)


@pytest.mark.parametrize(
    "headers",
    [
        [["a", b"1"]],
        (("a", b"1"),),
        [("a",)],
        [("a", b"1", b"2")],
        [("a", 1)],
        {"a": 1},
        {"a": bytearray(b"1")},
        "ab",
        5,
    ],
    ids=str,
)
def test_headers_of_the_wrong_form(side: Side, headers: object) -> None:
    producer = side.producer()
    with pytest.raises(TypeError):
        producer.produce("topic", b"v", headers=headers)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes", b"bytes"),
        ("żółć", "żółć".encode()),
        ("", b""),
        (b"", b""),
        (None, None),
        (b"\x00\xff\xfe", b"\x00\xff\xfe"),
        ("a\x00b", b"a\x00b"),
        (b'{"a":  1, "a": 2}', b'{"a":  1, "a": 2}'),
        (b"null", b"null"),
        (b"-0", b"-0"),
    ],
    ids=repr,
)
def test_value_and_key_come_back_as_they_went(side: Side, value: str | bytes | None, expected: bytes | None) -> None:
    message = round_trip(side, value=value, key=value)
    assert message.value() == expected
    assert message.key() == expected
    assert len(message) == len(expected or b"")
    assert bool(message) is bool(expected)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, None),
        ([], None),
        ({}, None),
        ([("a", b"1"), ("b", b"2"), ("a", b"3")], [("a", b"1"), ("b", b"2"), ("a", b"3")]),
        ({"one": "text", "two": b"\x00\xff", "three": None}, [("one", b"text"), ("two", b"\x00\xff"), ("three", None)]),
        (
            [("empty", b""), ("", b"nameless"), ("empty text", "")],
            [("empty", b""), ("", b"nameless"), ("empty text", b"")],
        ),
        ([("ż", "ółć")], [("ż", "ółć".encode())]),
        ([(b"bytes", b"1"), (5, b"2")], [("b'bytes'", b"1"), ("5", b"2")]),
        ([("cut", "be\x00hind")], [("cut", b"be")]),
    ],
    ids=str,
)
def test_headers_come_back_in_order(side: Side, headers: Any, expected: list[tuple[str, bytes | None]] | None) -> None:
    assert round_trip(side, value=b"v", headers=headers).headers() == expected


@pytest.mark.parametrize("timestamp", [1, 1_000_000_000_000])
def test_timestamp_is_the_producers(side: Side, timestamp: int) -> None:
    message = round_trip(side, value=b"v", timestamp=timestamp)
    assert message.timestamp() == (side.api.TIMESTAMP_CREATE_TIME, timestamp)


@pytest.mark.differs("future-timestamp")
def test_a_timestamp_in_2100(side: Side) -> None:
    error, _ = report_of(side, value=b"v", timestamp=4_102_444_800_000)
    assert error == side.either(kafka=side.error.INVALID_TIMESTAMP, shim=None)


@pytest.mark.parametrize("fields", [{}, {"timestamp": 0}])
def test_timestamp_is_now(side: Side, fields: dict[str, int]) -> None:
    before = int(time.time() * 1000)
    kind, timestamp = round_trip(side, value=b"v", **fields).timestamp()
    assert kind == side.api.TIMESTAMP_CREATE_TIME
    assert before - 1 <= timestamp <= time.time() * 1000 + 1


def test_a_consumed_message(side: Side) -> None:
    message = round_trip(side, value=b"v", key=b"k")
    assert type(message) is side.api.Message
    assert (message.partition(), message.offset()) == (0, 0)
    assert message.error() is None
    assert message.latency() is None
    assert message.delivery_count() is None


@pytest.mark.differs("leader-epoch")
def test_leader_epoch(side: Side) -> None:
    assert round_trip(side, value=b"v").leader_epoch() == side.either(kafka=0, shim=None)


def test_positional_order(side: Side) -> None:
    topic = side.topic(2)
    reports: list[Any] = []
    producer = side.producer()
    producer.produce(topic, b"value", b"key", 1, lambda _error, message: reports.append(message), None, 77, {"h": b"1"})
    producer.flush(WAIT_SECONDS)
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 1, 0)])
    (message,) = take(consumer, 1)
    assert (message.value(), message.key(), message.partition()) == (b"value", b"key", 1)
    assert (message.timestamp()[1], message.headers()) == (77, [("h", b"1")])
    assert len(reports) == 1


def test_produce_returns_nothing_and_reports_nothing_by_itself(side: Side) -> None:
    topic = side.topic()
    reports: list[Any] = []
    producer = side.producer()
    assert producer.produce(topic, b"v", on_delivery=lambda *report: reports.append(report)) is None
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    take(consumer, 1)
    assert reports == []
    assert len(producer) >= 1
    while not reports:
        producer.poll(WAIT_SECONDS)
    assert len(producer) == 0


def test_report_of_a_delivered_message(side: Side) -> None:
    error, message = report_of(side, value="välue", key=b"k", timestamp=1234)
    assert error is None
    assert type(message) is side.api.Message
    assert message.error() is None
    assert (message.partition(), message.offset()) == (0, 0)
    assert (message.value(), message.key()) == ("välue".encode(), b"k")
    assert message.timestamp() == (side.api.TIMESTAMP_CREATE_TIME, 1234)
    assert message.leader_epoch() is None
    assert isinstance(message.latency(), float)
    assert 0 <= message.latency() < WAIT_SECONDS


@pytest.mark.differs("report-headers")
def test_headers_of_a_report(side: Side) -> None:
    _, message = report_of(side, value=b"v", headers={"a": b"1"})
    assert message.headers() == side.either(kafka=None, shim=[("a", b"1")])


def test_offsets_in_reports_rise_by_one(side: Side) -> None:
    topic = side.topic()
    found: list[int] = []
    producer = side.producer()
    for number in range(50):
        producer.produce(topic, b"%d" % number, on_delivery=lambda _error, message: found.append(message.offset()))
    assert producer.flush(WAIT_SECONDS) == 0
    assert found == list(range(50))


def test_acks_zero_still_reports(side: Side) -> None:
    error, message = report_of(side, settings={"acks": 0}, value=b"v")
    assert error is None
    assert message.value() == b"v"


def test_callback_wins_over_on_delivery(side: Side) -> None:
    topic = side.topic()
    called: list[str] = []
    default = {"on_delivery": lambda *_report: called.append("default")}
    producer = side.producer(default)
    producer.produce(
        topic, b"1", callback=lambda *_: called.append("callback"), on_delivery=lambda *_: called.append("on_delivery")
    )
    producer.produce(topic, b"2", on_delivery=lambda *_: called.append("on_delivery"))
    producer.produce(topic, b"3")
    assert producer.flush(WAIT_SECONDS) == 0
    assert called == ["callback", "on_delivery", "default"]


def test_only_errors_are_reported_if_asked(side: Side) -> None:
    topic = side.topic()
    reports: list[Any] = []
    producer = side.producer(
        {"delivery.report.only.error": True, "on_delivery": lambda error, _: reports.append(error)}
    )
    producer.produce(topic, b"bad", partition=7)  # first: it is refused at once when the topic is known
    producer.produce(topic, b"good")
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports == [side.code("_UNKNOWN_PARTITION")]


def test_message_is_too_large(side: Side) -> None:
    topic = side.topic()
    producer = side.producer({"message.max.bytes": 1000})
    with pytest.raises(side.api.KafkaException) as caught:
        producer.produce(topic, b"x" * 1001)
    assert caught.value.args[0].code() == side.error.MSG_SIZE_TOO_LARGE
    assert caught.value.args[0].str() == "Unable to produce message: Broker: Message size too large"
    assert len(producer) == 0


def test_a_partition_that_is_not_there(side: Side) -> None:
    """It is refused at once where the topic is known, and else in the report."""
    topic = side.topic(2)
    reports: list[Any] = []
    producer = side.producer()
    producer.produce(topic, b"v", partition=2, on_delivery=lambda *report: reports.append(report))
    assert producer.flush(WAIT_SECONDS) == 0
    ((error, message),) = reports
    assert error.code() == side.code("_UNKNOWN_PARTITION")
    assert message.error() == error
    assert (message.offset(), message.value()) == (None, b"v")
    producer.produce(topic, b"v", partition=1)
    producer.flush(WAIT_SECONDS)
    with pytest.raises(side.api.KafkaException) as caught:
        producer.produce(topic, b"v", partition=2)
    assert caught.value.args[0].code() == side.code("_UNKNOWN_PARTITION")


@pytest.mark.parametrize("topic", ["", "spaces are not allowed", "a" * 250, "."], ids=lambda name: name[:6])
def test_names_that_no_topic_has(side: Side, topic: str) -> None:
    codes: list[int] = []
    producer = side.producer({"on_delivery": lambda error, _: codes.append(error.code())})
    try:
        producer.produce(topic, b"v")
    except side.api.KafkaException as refused:
        codes.append(refused.args[0].code())
    producer.flush(WAIT_SECONDS)
    assert codes == [side.error.TOPIC_EXCEPTION]


def test_order_within_a_partition(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(500)])
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    messages = take(consumer, 500)
    assert values(messages) == [b"%d" % number for number in range(500)]
    assert [message.offset() for message in messages] == list(range(500))


def test_a_megabyte(side: Side) -> None:
    value = bytes(range(256)) * 3900
    assert round_trip(side, value=value).value() == value


def test_transactions_need_an_id(side: Side) -> None:
    producer = side.producer()
    for call in (
        lambda: producer.init_transactions(1),
        producer.begin_transaction,
        lambda: producer.commit_transaction(1),
        lambda: producer.abort_transaction(1),
    ):
        with pytest.raises(side.api.KafkaException) as caught:
            call()
        assert caught.value.args[0].code() == side.code("_NOT_CONFIGURED")


def test_idempotence_changes_nothing_that_is_seen(side: Side) -> None:
    error, message = report_of(side, settings={"enable.idempotence": True}, value=b"v")
    assert error is None
    assert message.offset() == 0
