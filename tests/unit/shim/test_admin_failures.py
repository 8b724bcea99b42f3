from collections.abc import Iterator

import psycopg
import pytest

from shim.admin.failures import error_of, one_by_one
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Broker, Local
from shim.store.errors import (
    OffsetRangeError,
    PartitionCountError,
    SequencerError,
    StoreError,
    TopicNameError,
    UnknownPartitionError,
)
from shim.store.groups import GroupNotEmptyError
from shim.store.partitioner import UnknownPartitionerError
from shim.store.topics import UnknownTopicError


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UnknownTopicError("t"), Broker.UNKNOWN_TOPIC_OR_PART),
        (UnknownPartitionError("t", 3), Broker.UNKNOWN_TOPIC_OR_PART),
        (TopicNameError("a b"), Broker.TOPIC_EXCEPTION),
        (PartitionCountError("t", 0), Broker.INVALID_PARTITIONS),
        (SequencerError("t"), Local.STATE),
        (OffsetRangeError("t", 0, 9, 5), Broker.OFFSET_OUT_OF_RANGE),
        (GroupNotEmptyError("g"), Broker.NON_EMPTY_GROUP),
        (UnknownPartitionerError("best"), Broker.INVALID_CONFIG),
        (StoreError("the row is gone"), Local.INCONSISTENT),
        (psycopg.errors.InsufficientPrivilege("permission denied"), Broker.TOPIC_AUTHORIZATION_FAILED),
        (psycopg.errors.QueryCanceled("statement timeout"), Local.TIMED_OUT),
    ],
)
def test_a_failure_has_a_code_of_kafka(failure: StoreError | psycopg.Error, code: int) -> None:
    assert error_of(failure) == code


def test_a_failure_is_that_things_alone() -> None:
    def act(key: str) -> str:
        if key == "b":
            raise UnknownTopicError(key)
        if key == "c":
            raise KafkaException(KafkaError(Local.STATE))
        return key.upper()

    answers = one_by_one(["a", "b", "c"], act)
    assert answers["a"] == "A"
    assert answers["b"] == KafkaError(Broker.UNKNOWN_TOPIC_OR_PART)
    assert isinstance(answers["c"], KafkaException)


def test_a_repeated_key_is_not_acted_on() -> None:
    acted: list[str] = []
    answers = one_by_one(["a", "b", "a"], acted.append, KafkaError(Broker.INVALID_REQUEST))
    assert acted == ["b"]
    assert answers == {"a": KafkaError(Broker.INVALID_REQUEST), "b": None}


def deadlocks(times: int) -> Iterator[psycopg.Error | None]:
    yield from [psycopg.errors.DeadlockDetected()] * times
    yield None


@pytest.mark.parametrize(("times", "answer"), [(0, "done"), (2, "done"), (3, KafkaError(Local.RETRY))])
def test_a_transaction_that_postgres_rolled_back_is_tried_again(times: int, answer: object) -> None:
    coming = deadlocks(times)

    def act(_: str) -> str:
        if failure := next(coming):
            raise failure
        return "done"

    assert one_by_one(["a"], act) == {"a": answer}
