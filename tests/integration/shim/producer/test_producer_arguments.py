"""What calls raise: the original's exceptions, with its texts. No server is needed to be wrong."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from shim.errors import KafkaException
from shim.producer import Producer
from shim.protocol.codes import Broker, Local
from tests.integration.shim.producer.scene import MakeProducer

NOBODY = "postgresql://nobody@127.0.0.1:9/none"
NO_BYTES = "a bytes-like object is required, not '{}'"
NO_LIST_OF_TUPLES = "Headers are expected to be a list of (key, value) tuples"


def named(value: object) -> str:
    """A name that is the same in every process."""
    return re.sub(r" at 0x\w+", "", str(value))


@pytest.fixture
def producer(producer_of: MakeProducer) -> Producer:
    return producer_of(NOBODY)


def test_nothing_is_done_when_a_producer_is_made(producer: Producer) -> None:
    assert len(producer) == 0
    assert bool(producer) is True


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "expected configuration dict"),
        ((1,), "expected configuration dict"),
        ((None,), "expected configuration dict"),
        (({}, {}), "expected tuple containing single dict"),
    ],
)
def test_construction_without_a_dict(args: tuple[Any, ...], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Producer(*args)


def test_construction_twice(producer: Producer) -> None:
    with pytest.raises(RuntimeError, match="already __init__"):
        producer.__init__({})  # type: ignore[misc]  # what a careless subclass does


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"topic": None}, TypeError, "argument 1 must be str, not None"),
        ({"topic": b"t"}, TypeError, "argument 1 must be str, not bytes"),
        ({"topic": "a\0b"}, ValueError, "embedded null character"),
        ({"topic": "\ud800"}, UnicodeEncodeError, "surrogates not allowed"),
        ({"value": 1}, TypeError, NO_BYTES.format("int")),
        ({"value": {}}, TypeError, NO_BYTES.format("dict")),
        ({"value": bytearray(b"v")}, TypeError, "argument 2 must be read-only bytes-like object, not bytearray"),
        ({"value": "\ud800"}, UnicodeEncodeError, "surrogates not allowed"),
        ({"key": [1]}, TypeError, NO_BYTES.format("list")),
        ({"key": memoryview(b"k")}, TypeError, "argument 3 must be read-only bytes-like object, not memoryview"),
        ({"partition": "1"}, TypeError, "'str' object cannot be interpreted as an integer"),
        ({"partition": 1.0}, TypeError, "'float' object cannot be interpreted as an integer"),
        ({"partition": None}, TypeError, "'NoneType' object cannot be interpreted as an integer"),
        ({"partition": 2**31}, OverflowError, "signed integer is greater than maximum"),
        ({"partition": -(2**31) - 1}, OverflowError, "signed integer is less than minimum"),
        ({"timestamp": 1.0}, TypeError, "'float' object cannot be interpreted as an integer"),
        ({"timestamp": None}, TypeError, "'NoneType' object cannot be interpreted as an integer"),
        ({"timestamp": 2**63}, OverflowError, ""),
        (
            {"headers": (("a", b"b"),)},
            TypeError,
            "expected headers to be dict or list of (key, value) tuples, not tuple",
        ),
        ({"headers": "ab"}, TypeError, "expected headers to be dict or list of (key, value) tuples, not str"),
        ({"headers": 0}, TypeError, "expected headers to be dict or list of (key, value) tuples, not int"),
        ({"headers": [["a", b"b"]]}, TypeError, NO_LIST_OF_TUPLES),
        ({"headers": [("a",)]}, TypeError, NO_LIST_OF_TUPLES),
        ({"headers": [5]}, TypeError, NO_LIST_OF_TUPLES),
        ({"headers": {"a": 1}}, TypeError, "expected header value to be None, binary, or unicode string, not int"),
        ({"headers": [("a", bytearray(b"b"))]}, TypeError, "unicode string, not bytearray"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
    ids=named,
)
def test_arguments_of_produce(producer: Producer, fields: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        producer.produce(**{"topic": "topic", **fields})
    assert text in str(caught.value)
    assert len(producer) == 0


def test_produce_needs_a_topic(producer: Producer) -> None:
    with pytest.raises(TypeError, match="topic"):
        producer.produce()  # type: ignore[call-arg]  # that is the test


def test_a_name_for_which_librdkafka_has_no_room(producer: Producer) -> None:
    with pytest.raises(KafkaException) as caught:
        producer.produce("a" * 513, b"v")
    assert caught.value.args[0].code() == Local.INVALID_ARG


@pytest.mark.parametrize(
    ("value_bytes", "others"),
    [
        pytest.param(964, {}, id="value"),
        pytest.param(954, {"key": b"k" * 10}, id="key"),
        pytest.param(954, {"headers": {"abc": b"12345"}}, id="header"),
        pytest.param(894, {"headers": {"abc": b"y" * 64}}, id="long-header"),
    ],
)
def test_the_largest_message(producer_of: MakeProducer, value_bytes: int, others: dict[str, Any]) -> None:
    """The bounds were found with the original."""
    producer = producer_of(NOBODY, message_max_bytes=1000)
    producer.produce("topic", b"v" * value_bytes, **others)
    with pytest.raises(KafkaException) as caught:
        producer.produce("topic", b"v" * (value_bytes + 1), **others)
    assert caught.value.args[0].code() == Broker.MSG_SIZE_TOO_LARGE
    assert caught.value.args[0].str() == "Unable to produce message: Broker: Message size too large"
    assert len(producer) == 1


@pytest.mark.parametrize("method", ["poll", "flush"])
@pytest.mark.parametrize("timeout", [None, "1", []])
def test_timeouts_are_numbers(producer: Producer, method: str, timeout: object) -> None:
    with pytest.raises(TypeError, match="must be real number, not "):
        getattr(producer, method)(timeout)


@pytest.mark.parametrize("timeout", [0, 0.0, True, float("nan")])
def test_timeouts_may_be_any_number(producer: Producer, timeout: float) -> None:
    assert producer.poll(timeout) == 0
    assert producer.flush(timeout) == 0


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ((), "messages must be a list"),
        (None, "messages must be a list"),
        ([{}, 1], "Message at index 1 must be a dict"),
        ([{}, {"value": 1}], "Message value at index 1 must be bytes or str"),
        ([{"key": 5}], "Message key at index 0 must be bytes or str"),
        ([{"partition": "a"}], "Message partition at index 0 must be int"),
        ([{"timestamp": 1.5}], "Message timestamp at index 0 must be int"),
        ([{}, {"headers": 1}], "Invalid headers at index 1"),
    ],
    ids=named,
)
def test_arguments_of_produce_batch(producer: Producer, messages: Any, text: str) -> None:
    """One wrong field refuses the whole batch."""
    with pytest.raises((TypeError, ValueError)) as caught:
        producer.produce_batch("topic", messages)
    assert str(caught.value) == text
    assert len(producer) == 0


def test_transactions_are_refused(producer: Producer) -> None:
    calls: list[Callable[[], None]] = [
        producer.init_transactions,
        producer.begin_transaction,
        producer.commit_transaction,
        producer.abort_transaction,
        lambda: producer.send_offsets_to_transaction([], b""),
    ]
    for call in calls:
        with pytest.raises(KafkaException, match=r"requires transactional\.id to be configured") as caught:
            call()
        assert caught.value.args[0].code() == Local.NOT_CONFIGURED
    with pytest.raises(TypeError):
        producer.init_transactions(timeout=1)  # type: ignore[call-arg]  # positional only, as in the original
    with pytest.raises(TypeError, match="must be real number"):
        producer.init_transactions("1")  # type: ignore[arg-type]  # that is the test


def test_a_transactional_producer_is_refused(producer_of: MakeProducer) -> None:
    with pytest.raises(KafkaException) as caught:
        producer_of(NOBODY, transactional_id="t")
    assert caught.value.args[0].code() in {Local.INVALID_ARG, Local.UNSUPPORTED_FEATURE}


def test_credentials(producer: Producer) -> None:
    producer.set_sasl_credentials("user", "password")
    with pytest.raises(TypeError):
        producer.set_sasl_credentials(None, "password")  # type: ignore[arg-type]  # that is the test


def test_a_closed_producer(producer: Producer) -> None:
    assert producer.close() is True
    assert producer.close() is True
    assert len(producer) == 0
    assert bool(producer) is True
    calls = [
        lambda: producer.produce("topic"),
        lambda: producer.produce_batch("topic", [{}]),
        lambda: producer.produce_in(None, "topic"),
        producer.poll,
        producer.flush,
        producer.purge,
        producer.begin_transaction,
    ]
    for call in calls:
        with pytest.raises((RuntimeError, TypeError), match=r"Producer has been closed|not builtins\.NoneType"):
            call()
    for handle in (producer.list_topics, producer.cluster_id, lambda: producer.set_sasl_credentials("a", "b")):
        with pytest.raises(RuntimeError, match="Handle has been closed"):
            handle()
    assert producer.produce_batch("topic", []) == 0


def test_a_block_closes() -> None:
    with Producer({"shim.dsn": NOBODY}) as producer:
        assert producer.poll(0) == 0
    with pytest.raises(RuntimeError, match="Producer has been closed"):
        producer.poll(0)
