"""What is refused before anything is asked of the database, with the original's exceptions."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.consumer import Consumer
from shim.errors import KafkaError, KafkaException
from shim.message import Message
from shim.protocol.constants import OFFSET_STORED
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import MakeConsumer

NOBODY = "postgresql://nobody@127.0.0.1:9/none"
ONE = TopicPartition("topic", 0, 1)
LIST = "requires list of TopicPartition"
PARTITION = "expected cimpl.TopicPartition"
NUMBER = "must be real number, not "

Call = Callable[[Any], Any]


@pytest.fixture
def offline(consumer_of: MakeConsumer) -> Consumer:
    return consumer_of(NOBODY, "group", enable_auto_commit=False)


def refused(identifier: str, call: Call, kind: type[Exception], text: str) -> Any:
    return pytest.param(call, kind, text, id=identifier)


WRONG: Any = [  # of the wrong type on purpose
    refused("str", lambda c: c.subscribe("topic"), TypeError, "expected list of topic unicode strings"),
    refused("tuple", lambda c: c.subscribe(("topic",)), TypeError, "expected list of topic unicode strings"),
    refused("on_assign", lambda c: c.subscribe(["t"], on_assign=None), TypeError, "on_assign expects a callable"),
    refused("on_revoke", lambda c: c.subscribe(["t"], on_revoke=5), TypeError, "on_revoke expects a callable"),
    refused("on_lost", lambda c: c.subscribe(["t"], on_lost="x"), TypeError, "on_lost expects a callable"),
    refused("poll-none", lambda c: c.poll(None), TypeError, NUMBER + "NoneType"),
    refused("poll-str", lambda c: c.poll("1"), TypeError, NUMBER + "str"),
    refused("consume-none", lambda c: c.consume(1, None), TypeError, NUMBER + "NoneType"),
    refused("consume-float", lambda c: c.consume(1.5), TypeError, "'float' object cannot be interpreted as an integer"),
    refused("fewer", lambda c: c.consume(-1, 0), ValueError, "num_messages must be between 0 and 1000000 (1M)"),
    refused("more", lambda c: c.consume(1_000_001, 0), ValueError, "num_messages must be between 0 and 1000000 (1M)"),
    refused("assign-tuple", lambda c: c.assign((ONE,)), TypeError, LIST),
    refused("assign-str", lambda c: c.assign(["topic"]), TypeError, PARTITION),
    refused("incremental", lambda c: c.incremental_unassign(()), TypeError, LIST),
    refused("commit-str", lambda c: c.commit("x"), TypeError, "expected confluent_kafka.cimpl.Message"),
    refused("commit-tuple", lambda c: c.commit(offsets=(ONE,)), TypeError, LIST),
    refused("commit-both", lambda c: c.commit(Message(), []), ValueError, "message and offsets are mutually exclusive"),
    refused("commit-what", lambda c: c.commit(x=1), TypeError, "'x' is an invalid keyword argument for this function"),
    refused("store-none", lambda c: c.store_offsets(), ValueError, "expected either message or offsets"),
    refused("store-both", lambda c: c.store_offsets(Message(), []), ValueError, "message and offsets are mutually "),
    refused("committed", lambda c: c.committed(None), TypeError, LIST),
    refused("committed-time", lambda c: c.committed([ONE], None), TypeError, NUMBER + "NoneType"),
    refused("position", lambda c: c.position(ONE), TypeError, LIST),
    refused("seek", lambda c: c.seek("topic"), TypeError, PARTITION),
    refused("pause", lambda c: c.pause(["topic"]), TypeError, PARTITION),
    refused("resume", lambda c: c.resume(None), TypeError, LIST),
    refused("watermarks", lambda c: c.get_watermark_offsets("topic"), TypeError, PARTITION),
    refused("times", lambda c: c.offsets_for_times((ONE,)), TypeError, LIST),
    refused("password", lambda c: c.set_sasl_credentials(None, "x"), TypeError, "argument 1 must be str, not None"),
]


@pytest.mark.parametrize(("call", "kind", "text"), WRONG)
def test_arguments_of_another_kind(offline: Consumer, call: Call, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as raised:
        call(offline)
    assert str(raised.value).startswith(text)
    assert type(raised.value) is kind


INVALID, STATE, UNKNOWN = KafkaError._INVALID_ARG, KafkaError._STATE, KafkaError._UNKNOWN_PARTITION  # noqa: SLF001
ARGUMENT = ": Local: Invalid argument or configuration"
SUBSCRIPTION = "Failed to set subscription" + ARGUMENT


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        pytest.param(lambda c: c.subscribe([]), INVALID, SUBSCRIPTION, id="no-topic"),
        pytest.param(lambda c: c.subscribe([""]), INVALID, SUBSCRIPTION, id="no-name"),
        pytest.param(lambda c: c.subscribe(["t", "t"]), INVALID, SUBSCRIPTION, id="twice"),
        pytest.param(lambda c: c.subscribe(["^(["]), INVALID, SUBSCRIPTION, id="no-pattern"),
        pytest.param(lambda c: c.assign([ONE, ONE]), INVALID, "Failed to set assignment" + ARGUMENT, id="assign"),
        pytest.param(
            lambda c: c.incremental_assign([ONE, ONE]), INVALID, "Duplicate topic [0] in input list", id="add"
        ),
        pytest.param(
            lambda c: c.incremental_unassign([ONE]),
            INVALID,
            "topic [0] can't be unassigned since it is not in the current assignment",
            id="remove",
        ),
        pytest.param(
            lambda c: c.seek(ONE), UNKNOWN, "Failed to seek to offset 1: Local: Unknown partition", id="seek-unknown"
        ),
        pytest.param(
            lambda c: (c.assign([ONE]), c.unassign(), c.seek(ONE)),
            STATE,
            "Failed to seek to offset 1: Local: Erroneous state",
            id="seek-unassigned",
        ),
        pytest.param(
            lambda c: (c.assign([ONE]), c.seek(TopicPartition("topic", 0, OFFSET_STORED))),
            INVALID,
            "Failed to seek to offset -1000" + ARGUMENT,
            id="seek-stored",
        ),
        pytest.param(lambda c: c.store_offsets(offsets=[]), INVALID, "StoreOffsets failed" + ARGUMENT, id="store"),
        pytest.param(lambda c: c.offsets_for_times([]), INVALID, "Failed to get offsets" + ARGUMENT, id="times"),
        pytest.param(
            lambda c: c.commit(Message(error=KafkaError(3))),
            INVALID,
            "Cannot commit offsets for message with error: 'Broker: Unknown topic or partition'",
            id="commit-event",
        ),
    ],
)
def test_arguments_that_mean_nothing(offline: Consumer, call: Call, code: int, text: str) -> None:
    with pytest.raises(KafkaException) as raised:
        call(offline)
    error = raised.value.args[0]
    assert (error.code(), error.str()) == (code, text)


def test_what_does_nothing(offline: Consumer) -> None:
    assert offline.unsubscribe() is None
    assert offline.unassign() is None
    assert offline.pause([ONE]) is None
    assert offline.resume([ONE]) is None
    assert offline.committed([]) == []
    assert offline.position([]) == []
    assert offline.commit(offsets=[]) is None
    assert offline.memberid() is None
    assert bool(offline) is True


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("subscribe", [["topic"]]),
        ("unsubscribe", []),
        ("assign", [[]]),
        ("unassign", []),
        ("incremental_assign", [[]]),
        ("incremental_unassign", [[]]),
        ("assignment", []),
        ("poll", [0]),
        ("consume", [1, 0]),
        ("commit", []),
        ("commit_in", [None]),
        ("store_offsets", []),
        ("committed", [[]]),
        ("position", [[]]),
        ("seek", [ONE]),
        ("pause", [[]]),
        ("resume", [[]]),
        ("get_watermark_offsets", [ONE]),
        ("offsets_for_times", [[]]),
        ("list_topics", []),
        ("cluster_id", []),
        ("consumer_group_metadata", []),
        ("memberid", []),
        ("set_sasl_credentials", ["user", "password"]),
    ],
)
def test_after_closing(offline: Consumer, name: str, arguments: list[Any]) -> None:
    offline.close()
    handle = name in {"list_topics", "cluster_id", "set_sasl_credentials"}
    with pytest.raises(RuntimeError) as closed:
        getattr(offline, name)(*arguments)
    assert str(closed.value) == ("Handle has been closed" if handle else "Consumer closed")
    with offline as entered:
        assert entered is offline
