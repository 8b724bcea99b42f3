"""What a failure of the store, or of Postgres, is called in Kafka's words."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import psycopg

from shim.errors import KafkaError, KafkaException, from_postgres
from shim.protocol.codes import Broker, Local
from shim.protocol.topic_names import flaw
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
from shim.store.topics import MOST_PARTITIONS, UnknownTopicError

K = TypeVar("K", bound=Hashable)

_TRIES = 3
_ROLLED_BACK = "40"
"""The class of SQLSTATEs that say so: a deadlock, a serialization failure."""


def one_by_one(keys: Sequence[K], act: Callable[[K], object], repeated: KafkaError | None = None) -> dict[K, object]:
    """Acts on each key.

    Args:
        keys: on what to act.
        act: changes one thing; its failure is that thing's alone.
        repeated: what a key fails with that is there more than once.

    Returns:
        for each key what ``act`` returned, or in Kafka's words why it failed.
    """
    counts = Counter(keys)
    return {
        key: repeated if repeated is not None and count > 1 else _attempt(act, key) for key, count in counts.items()
    }


def error_of(failure: StoreError | psycopg.Error) -> KafkaError:
    """Returns what a failure is called."""
    match failure:
        case psycopg.Error():
            return from_postgres(failure)
        case UnknownTopicError() | UnknownPartitionError():
            return KafkaError(Broker.UNKNOWN_TOPIC_OR_PART)
        case TopicNameError():
            return KafkaError(Broker.TOPIC_EXCEPTION, flaw(failure.topic))
        case PartitionCountError():
            return KafkaError(Broker.INVALID_PARTITIONS, _why_not_so_many(failure))
        case SequencerError():
            return KafkaError(Local.STATE, f"Kafka numbers topic {failure.topic!r}: see migrator cutover")
        case OffsetRangeError():
            return KafkaError(Broker.OFFSET_OUT_OF_RANGE)
        case GroupNotEmptyError():
            return KafkaError(Broker.NON_EMPTY_GROUP)
        case UnknownPartitionerError():
            return KafkaError(Broker.INVALID_CONFIG, str(failure))
    return KafkaError(Local.INCONSISTENT, str(failure))


def _attempt(act: Callable[[K], object], key: K) -> object:
    """A transaction that Postgres rolled back for another one's sake is tried again."""
    for attempt in range(1, _TRIES + 1):
        try:
            return act(key)
        except KafkaException as failure:
            return failure
        except StoreError as failure:
            return error_of(failure)
        except psycopg.Error as failure:
            if attempt == _TRIES or (failure.sqlstate or "")[:2] != _ROLLED_BACK:
                return error_of(failure)
    raise AssertionError  # the last attempt returns


def _why_not_so_many(failure: PartitionCountError) -> str:
    if failure.partitions > MOST_PARTITIONS:
        return f"A topic has at most {MOST_PARTITIONS} partitions."
    if not failure.found:
        return "Number of partitions was set to an invalid non-positive value."
    if failure.partitions == failure.found:
        return f"Topic already has {failure.found} partition(s)."
    return (
        f"The topic {failure.topic} currently has {failure.found} partition(s); "
        f"{failure.partitions} would not be an increase."
    )
