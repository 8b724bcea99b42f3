"""The small types that every program holds: ``TopicPartition``, ``KafkaError``, ``KafkaException``, ``Message``."""

import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.side import Side

READERS = [
    "topic",
    "partition",
    "offset",
    "key",
    "value",
    "headers",
    "error",
    "timestamp",
    "latency",
    "leader_epoch",
    "delivery_count",
]


def test_topic_partition_has_defaults(side: Side) -> None:
    tp = side.api.TopicPartition("a")
    assert (tp.topic, tp.partition, tp.offset) == ("a", -1, side.api.OFFSET_INVALID)
    assert (tp.metadata, tp.leader_epoch, tp.error) == (None, None, None)


def test_topic_partition_of_everything(side: Side) -> None:
    tp = side.api.TopicPartition(topic="a", partition=1, offset=2, metadata="m", leader_epoch=3)
    assert (tp.topic, tp.partition, tp.offset, tp.metadata, tp.leader_epoch) == ("a", 1, 2, "m", 3)
    assert side.api.TopicPartition("a", leader_epoch=-3).leader_epoch is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("a", 1, 2), "TopicPartition{topic=a,partition=1,offset=2,leader_epoch=None,error=None}"),
        (("a",), "TopicPartition{topic=a,partition=-1,offset=-1001,leader_epoch=None,error=None}"),
        (("a", -5, -7, "m", 4), "TopicPartition{topic=a,partition=-5,offset=-7,leader_epoch=4,error=None}"),
    ],
)
def test_topic_partition_as_text(side: Side, arguments: tuple[Any, ...], text: str) -> None:
    tp = side.api.TopicPartition(*arguments)
    assert str(tp) == text
    assert repr(tp) == text


@pytest.mark.parametrize("arguments", [(), (None,), (b"a",), ("a", None), ("a", 1.5), ("a", 0, "0"), ("a", 0, 0, 5)])
def test_topic_partition_refuses(side: Side, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        side.api.TopicPartition(*arguments)


def test_topic_partition_lets_two_fields_be_set(side: Side) -> None:
    tp = side.api.TopicPartition("a", 1, 2)
    tp.partition, tp.offset = 3, 4
    assert (tp.partition, tp.offset) == (3, 4)
    with pytest.raises(TypeError):
        tp.offset = "x"
    for name in ("topic", "metadata", "error", "leader_epoch", "nonsense"):
        with pytest.raises(AttributeError):
            setattr(tp, name, None)


def test_topic_partition_compares_topic_and_partition_alone(side: Side) -> None:
    tp = side.api.TopicPartition
    assert tp("a", 1, 2) == tp("a", 1, 99)
    assert tp("a", 1) != tp("a", 2)
    assert hash(tp("a", 1, 2)) == hash(tp("a", 1, 99))
    assert sorted([tp("b", 0), tp("a", 2), tp("a", 1)]) == [tp("a", 1), tp("a", 2), tp("b", 0)]
    assert len({tp("a", 1, 2), tp("a", 1, 3), tp("a", 2)}) == 2
    assert tp("a", 1) <= tp("a", 1, 9)
    assert tp("b", 0) > tp("a", 5)


@pytest.mark.parametrize("other", [5, None, "a", ("a", 1)])
@pytest.mark.parametrize("operation", [operator.eq, operator.ne, operator.lt], ids=lambda function: function.__name__)
def test_topic_partition_compares_with_its_like_only(
    side: Side, operation: Callable[[Any, Any], bool], other: object
) -> None:
    with pytest.raises(NotImplementedError):
        operation(side.api.TopicPartition("a", 1), other)


def copied(value: Any) -> Any:
    """A value through pickle; None for one that cannot be pickled."""
    try:
        return pickle.loads(pickle.dumps(value))  # noqa: S301  # what we pickled ourselves
    except (TypeError, pickle.PicklingError):
        return None


@pytest.mark.differs("picklable")
def test_topic_partition_in_pickle(side: Side) -> None:
    tp = side.api.TopicPartition("a", 1, 2, "m", 3)
    text = "TopicPartition{topic=a,partition=1,offset=2,leader_epoch=3,error=None}"
    assert repr(copied(tp)) == side.either(kafka="None", shim=text)


@pytest.mark.differs("picklable")
def test_exception_in_pickle(side: Side) -> None:
    found = copied(side.api.KafkaException(side.error(side.code("_STATE"), "why")))
    assert repr(found) == side.either(kafka="None", shim='KafkaException(KafkaError{code=_STATE,val=-172,str="why"})')


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("NO_ERROR", 0, "Success"),
        ("UNKNOWN_TOPIC_OR_PART", 3, "Broker: Unknown topic or partition"),
        ("MSG_SIZE_TOO_LARGE", 10, "Broker: Message size too large"),
        ("TOPIC_EXCEPTION", 17, "Broker: Invalid topic"),
        ("ILLEGAL_GENERATION", 22, "Broker: Specified group generation id is not valid"),
        ("UNKNOWN_MEMBER_ID", 25, "Broker: Unknown member"),
        ("TOPIC_AUTHORIZATION_FAILED", 29, "Broker: Topic authorization failed"),
        ("TOPIC_ALREADY_EXISTS", 36, "Broker: Topic already exists"),
        ("NON_EMPTY_GROUP", 68, "Broker: The group is not empty"),
        ("GROUP_ID_NOT_FOUND", 69, "Broker: The group id does not exist"),
        ("FENCED_INSTANCE_ID", 82, "Broker: Static consumer fenced by other consumer with same group.instance.id"),
        ("_PARTITION_EOF", -191, "Broker: No more messages"),
        ("_UNKNOWN_PARTITION", -190, "Local: Unknown partition"),
        ("_MSG_TIMED_OUT", -192, "Local: Message timed out"),
        ("_TRANSPORT", -195, "Local: Broker transport failure"),
        ("_TIMED_OUT", -185, "Local: Timed out"),
        ("_QUEUE_FULL", -184, "Local: Queue full"),
        ("_STATE", -172, "Local: Erroneous state"),
        ("_NO_OFFSET", -168, "Local: No offset stored"),
        ("_MAX_POLL_EXCEEDED", -147, "Local: Maximum application poll interval (max.poll.interval.ms) exceeded"),
    ],
)
def test_error_codes(side: Side, name: str, code: int, text: str) -> None:
    error = side.error(getattr(side.error, name))
    assert (error.code(), error.name(), error.str()) == (code, name, text)


def test_error_as_text(side: Side) -> None:
    assert str(side.error(3)) == 'KafkaError{code=UNKNOWN_TOPIC_OR_PART,val=3,str="Broker: Unknown topic or partition"}'
    assert repr(side.error(3, "why")) == 'KafkaError{code=UNKNOWN_TOPIC_OR_PART,val=3,str="why"}'
    assert repr(side.error(3, "why", True)) == 'KafkaError{FATAL,code=UNKNOWN_TOPIC_OR_PART,val=3,str="why"}'


def test_error_of_an_unknown_code(side: Side) -> None:
    assert (side.error(12345).name(), side.error(12345).str()) == ("ERR_12345?", "Err-12345?")


def test_error_has_flags(side: Side) -> None:
    plain = side.error(3)
    assert (plain.fatal(), plain.retriable(), plain.txn_requires_abort()) == (False, False, False)
    flagged = side.error(error=3, reason="r", fatal=True, retriable=True, txn_requires_abort=True)
    assert (flagged.fatal(), flagged.retriable(), flagged.txn_requires_abort()) == (True, True, True)


@pytest.mark.parametrize("arguments", [(), (None,), ("3",)])
def test_error_refuses(side: Side, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        side.error(*arguments)
    with pytest.raises(TypeError):
        side.error(code=3)


def test_error_is_its_code(side: Side) -> None:
    error = side.error(side.code("_PARTITION_EOF"), "end")
    assert error == side.code("_PARTITION_EOF")
    assert error == side.error(side.code("_PARTITION_EOF"))
    assert error != side.code("_STATE")
    assert error in {side.code("_PARTITION_EOF"), side.code("_STATE")}
    assert hash(error) == hash(-191)
    assert error < 0 < side.error(3)
    assert bool(error)
    assert bool(side.error(0))


def test_error_in_pickle(side: Side) -> None:
    assert repr(copied(side.error(3, "why"))) == repr(side.error(3, "why"))


@pytest.mark.differs("error-is-an-exception")
def test_what_an_error_is(side: Side) -> None:
    assert issubclass(side.error, Exception) is side.either(kafka=False, shim=True)


def test_exception_carries_the_error(side: Side) -> None:
    error = side.error(3)
    caught = side.api.KafkaException(error)
    assert caught.args == (error,)
    assert caught.args[0] is error
    assert str(caught) == str(error)
    assert issubclass(side.api.KafkaException, Exception)
    assert issubclass(side.api.IllegalStateException, RuntimeError)
    assert issubclass(side.api.ConcurrentModificationException, RuntimeError)


def test_message_of_nothing(side: Side) -> None:
    message = side.api.Message()
    found = {name: getattr(message, name)() for name in READERS}
    assert found.pop("timestamp") == (side.api.TIMESTAMP_NOT_AVAILABLE, 0)
    assert set(found.values()) == {None}
    assert (len(message), bool(message)) == (0, False)


def test_message_of_everything(side: Side) -> None:
    error = side.error(3)
    parts = ("t", 1, 2, b"k", b"v", [("a", b"1")], error, (1, 5), 0.5, 3, 4)
    message = side.api.Message(**dict(zip(READERS, parts, strict=True)))
    assert [getattr(message, name)() for name in READERS] == list(parts)
    assert (message.deserialized_key(), message.deserialized_value()) == (b"k", b"v")
    assert [getattr(side.api.Message(*parts[:10]), name)() for name in READERS[:10]] == list(parts[:10])


def test_message_hides_negative_numbers(side: Side) -> None:
    message = side.api.Message(partition=-1, offset=-1001, leader_epoch=-1)
    assert (message.partition(), message.offset(), message.leader_epoch()) == (None, None, None)


@pytest.mark.parametrize("wrong", [{"timestamp": 5}, {"timestamp": (1, 2, 3)}, {"nonsense": 1}], ids=str)
def test_message_refuses(side: Side, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        side.api.Message(**wrong)


def test_message_is_as_long_as_its_value(side: Side) -> None:
    assert len(side.api.Message(value=b"four")) == 4
    assert len(side.api.Message(value="żó")) == 2
    assert not side.api.Message(value=b"")


def test_messages_compare_by_content(side: Side) -> None:
    fields: dict[str, Any] = {"topic": "t", "partition": 1, "offset": 2, "value": b"v"}
    message = side.api.Message(**fields, latency=0.5)
    assert message == side.api.Message(**fields, latency=9.5)
    assert message != side.api.Message(**{**fields, "offset": 3})
    assert (message == 5) is False
    with pytest.raises(TypeError):
        hash(message)


def test_message_has_no_items(side: Side) -> None:
    message: Any = side.api.Message(value=b"abc")
    with pytest.raises(TypeError):
        message[0]
    with pytest.raises(TypeError):
        iter(message)


def test_message_can_be_changed(side: Side) -> None:
    message = side.api.Message("t", value=b"v")
    for setter, value in (
        ("set_topic", "u"),
        ("set_key", 5),
        ("set_value", {"a": 1}),
        ("set_headers", [("h", b"")]),
        ("set_error", side.error(3)),
    ):
        assert getattr(message, setter)(value) is None
    assert (message.topic(), message.key(), message.value()) == ("u", 5, {"a": 1})
    assert (message.headers(), message.error()) == ([("h", b"")], side.error(3))
    assert message.deserialized_value() == {"a": 1}


def test_message_in_pickle_and_subclassed(side: Side) -> None:
    message = side.api.Message("t", 1, 2, b"k", b"v", [("a", None)], side.error(3, "why"), (1, 5))
    assert copied(message) == message
    assert type("Mine", (side.api.Message,), {})(topic="t").topic() == "t"


def test_constants(side: Side) -> None:
    api = side.api
    offsets = (api.OFFSET_BEGINNING, api.OFFSET_END, api.OFFSET_STORED, api.OFFSET_INVALID)
    assert offsets == (-2, -1, -1000, -1001)
    kinds = (api.TIMESTAMP_NOT_AVAILABLE, api.TIMESTAMP_CREATE_TIME, api.TIMESTAMP_LOG_APPEND_TIME)
    assert kinds == (0, 1, 2)


def test_new_topic(side: Side) -> None:
    new = side.admin.NewTopic("a", 3, 2, config={"retention.ms": "5"})
    assert (new.topic, new.num_partitions, new.replication_factor) == ("a", 3, 2)
    assert new.config == {"retention.ms": "5"}
    assert new == side.admin.NewTopic("a", 3)
    bare = side.admin.NewTopic("a")
    assert (bare.num_partitions, bare.replication_factor) == (-1, -1)
    for wrong in ((), (5,), ("a", "3")):
        with pytest.raises(TypeError):
            side.admin.NewTopic(*wrong)


def test_new_partitions(side: Side) -> None:
    new = side.admin.NewPartitions("a", 5)
    assert (new.topic, new.new_total_count) == ("a", 5)
    with pytest.raises(TypeError):
        side.admin.NewPartitions("a")
