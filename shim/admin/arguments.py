"""What every call checks of its arguments before anything is sent, with the original's exceptions."""

from collections.abc import Iterable
from typing import TypeGuard, TypeVar

from shim.client.metadata import seconds
from shim.model import ConsumerGroupTopicPartitions
from shim.protocol.constants import OFFSET_INVALID
from shim.topic_partition import TopicPartition

T = TypeVar("T")

_LONGEST_SECONDS = 3600
_MOST_PARTITIONS = 100_000
_MOST_REPLICAS = 10_000


def limit(name: str, given: float | None, default: float, *, lowest: float = 0) -> float:
    """Returns a timeout in seconds; raises TypeError or ValueError for what is none."""
    if given is None:
        return default
    if not lowest <= seconds(given) <= _LONGEST_SECONDS:
        bounds = f"{lowest * 1000:.0f}..{_LONGEST_SECONDS * 1000}"
        raise ValueError(f'Invalid value type for "{name}": expecting integer in range {bounds}')
    return seconds(given)


def operation_limit(given: float | None) -> None:
    """Checks ``operation_timeout``: an answer comes when all is done, so there is nothing to wait for after it."""
    limit("operation_timeout", given, 0, lowest=-0.001)


def flag(name: str, given: bool) -> bool:
    """Returns a flag; raises TypeError for what is none."""
    if not isinstance(given, bool):
        raise TypeError(f"Expected {name} to be bool type, not {type(given).__name__}")
    return given


def listing(given: object, kind: type[T], what: str) -> list[T]:
    """Returns a list of ``kind`` with something in it; raises ValueError otherwise."""
    if not isinstance(given, list) or not given:
        raise ValueError(f"Expected non-empty list of {what}")
    if not all(isinstance(one, kind) for one in given):
        raise ValueError(f"Expected list of {what}")
    return given


def partition_count(topic: str, count: int) -> None:
    """Checks how many partitions a new topic is to have; none at all is for the server to refuse."""
    if not -1 <= count <= _MOST_PARTITIONS:
        raise ValueError(
            f"Invalid NewTopic({topic}): num_partitions out of expected range "
            f"1..{_MOST_PARTITIONS} or -1 for broker default"
        )


def replication(topic: str, count: int, factor: int, assignment: object) -> None:
    """Checks how a new topic is to be replicated, though Postgres does that in its own way."""
    if not -1 <= factor <= _MOST_REPLICAS:
        raise ValueError(f"Invalid NewTopic({topic}): replication_factor out of expected range -1..{_MOST_REPLICAS}")
    if assignment is None:
        return
    if factor != -1:
        raise ValueError("replication_factor and replica_assignment are mutually exclusive")
    if count == -1:
        raise ValueError("Specifying a default partition count and a replica assignment are mutually exclusive")
    if not _is_assignment(assignment) or len(assignment) != count:
        raise ValueError("replica_assignment must be a list of int lists with an outer size of num_partitions")


def growth(topic: str, total: int, assignment: object) -> None:
    """Checks to how many partitions a topic is to grow."""
    if not 1 <= total <= _MOST_PARTITIONS:
        raise ValueError(f"Invalid NewPartitions({topic}): new_total_cnt out of expected range 1..{_MOST_PARTITIONS}")
    if assignment is not None and (not _is_assignment(assignment) or len(assignment) > total):
        raise ValueError(
            "replica_assignment must be a list of int lists with an outer size of "
            "new_total_count - existing partition count"
        )


def group_request(given: object, doing: str) -> ConsumerGroupTopicPartitions:
    """Returns the one group of a request about offsets; raises TypeError or ValueError for another shape."""
    if given is None:
        raise TypeError("request cannot be None")
    if not isinstance(given, list):
        raise TypeError("request must be a list")
    if len(given) != 1:
        raise ValueError(f"Currently we support {doing} offsets for a single consumer group only")
    request = given[0]
    if not isinstance(request, ConsumerGroupTopicPartitions):
        raise TypeError("Expected list of 'ConsumerGroupTopicPartitions'")
    if request.group_id is None:
        raise TypeError("'group_id' cannot be None")
    if not isinstance(request.group_id, str):
        raise TypeError("'group_id' must be a string")
    if not request.group_id:
        raise ValueError("'group_id' cannot be empty")
    return request


def group_partitions(given: object) -> list[TopicPartition]:
    """Returns the partitions of such a request."""
    if not isinstance(given, list):
        raise TypeError("'topic_partitions' must be a list or None")
    if not given:
        raise ValueError("'topic_partitions' cannot be empty")
    for one in given:
        if one is None:
            raise ValueError("Element of 'topic_partitions' cannot be None")
        if not isinstance(one, TopicPartition):
            raise TypeError("Element of 'topic_partitions' must be of type TopicPartition")
        if not one.topic:
            raise ValueError("Element of 'topic_partitions' must not have 'topic' attribute as Empty")
        if one.partition < 0:
            raise ValueError("Element of 'topic_partitions' must not have negative 'partition' value")
    return given


def without_offsets(partitions: Iterable[TopicPartition]) -> None:
    """Checks that offsets are asked for, not told."""
    if any(one.offset != OFFSET_INVALID for one in partitions):
        raise ValueError("Element of 'topic_partitions' must not have 'offset' value")


def with_offsets(partitions: Iterable[TopicPartition]) -> None:
    """Checks that offsets are told."""
    if any(one.offset < 0 for one in partitions):
        raise ValueError("Element of 'topic_partitions' must not have negative value for 'offset' field")


def _is_assignment(given: object) -> TypeGuard[list[list[int]]]:
    return isinstance(given, list) and all(
        isinstance(one, list) and all(isinstance(replica, int) for replica in one) for one in given
    )
