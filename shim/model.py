"""The small values that several clients share: nodes, partitions of groups, enumerations of Kafka's protocol."""

import base64
from enum import Enum, IntEnum, unique
from typing import Self

from shim.protocol.integers import int64
from shim.topic_partition import TopicPartition

_INT64_BYTES = 8


class OrderedEnum(Enum):
    """An enumeration whose members are ordered by their numbers, within their own class only."""

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return bool(self.value < other.value)

    @classmethod
    def of(cls, given: object) -> Self:
        """Returns the member that is meant by itself, by its number, or by its name in any case.

        Raises:
            ValueError: no member has that name or number.
            TypeError: it is none of the three.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            if given.upper() in cls.__members__:
                return cls[given.upper()]
            raise ValueError(f'Unknown value "{given}": should be a {cls.__name__}')
        if isinstance(given, int):
            return cls(given)
        raise TypeError(f'Unknown value "{given}": should be a {cls.__name__}')


class ConsumerGroupState(OrderedEnum):
    """Where a consumer group stands."""

    UNKNOWN = 0
    UNKOWN = UNKNOWN
    PREPARING_REBALANCING = 1
    COMPLETING_REBALANCING = 2
    STABLE = 3
    DEAD = 4
    EMPTY = 5


@unique
class ConsumerGroupType(OrderedEnum):
    """By which protocol a group's members agree."""

    UNKNOWN = 0
    CONSUMER = 1
    CLASSIC = 2


@unique
class IsolationLevel(OrderedEnum):
    """Which records a reader is shown."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


@unique
class ElectionType(OrderedEnum):
    """How a partition's leader is elected."""

    PREFERRED = 0
    UNCLEAN = 1


@unique
class AcknowledgeType(IntEnum):
    """What a share consumer says of a record."""

    ACCEPT = 1
    RELEASE = 2
    REJECT = 3


class Node:
    """A broker: here the Postgres server.

    Attributes:
        id: its number.
        id_string: the same as text.
        host: its name.
        port: its port.
        rack: where it stands, if that is known.
    """

    def __init__(self, id: int, host: str, port: int, rack: str | None = None) -> None:  # noqa: A002  the API's name
        self.id = id
        self.id_string = str(id)
        self.host = host
        self.port = port
        self.rack = rack

    def __str__(self) -> str:
        rack = f"(Rack - {self.rack})" if self.rack else ""
        return f"({self.id}) {self.host}:{self.port} {rack}"


class TopicCollection:
    """Topics by name.

    Attributes:
        topic_names: the names.
    """

    def __init__(self, topic_names: list[str]) -> None:
        self.topic_names = topic_names


class TopicPartitionInfo:
    """One partition of a described topic.

    Attributes:
        id: its number.
        leader: the node that serves it.
        replicas: the nodes that keep it.
        isr: those of them that are in sync.
    """

    def __init__(self, id: int, leader: Node, replicas: list[Node], isr: list[Node]) -> None:  # noqa: A002  the API's name
        self.id = id
        self.leader = leader
        self.replicas = replicas
        self.isr = isr


class ConsumerGroupTopicPartitions:
    """A consumer group, and partitions with or without its offsets.

    Attributes:
        group_id: the group.
        topic_partitions: the partitions; None for all that the group has offsets of.
    """

    def __init__(self, group_id: str, topic_partitions: list[TopicPartition] | None = None) -> None:
        self.group_id = group_id
        self.topic_partitions = topic_partitions


class ThrottleEvent:
    """A request that the broker held back. Postgres never does: the class is here for annotations.

    Attributes:
        broker_name: the broker's host.
        broker_id: the broker's number.
        throttle_time: for how many seconds.
    """

    def __init__(self, broker_name: str, broker_id: int, throttle_time: float) -> None:
        self.broker_name = broker_name
        self.broker_id = broker_id
        self.throttle_time = throttle_time

    def __str__(self) -> str:
        return f"{self.broker_name}/{self.broker_id} throttled for {int(self.throttle_time * 1000)} ms"


class Uuid:
    """An identifier of 128 bits, such as a topic's.

    Args:
        most_significant_bits: the upper half, as a signed integer.
        least_significant_bits: the lower half, as a signed integer.
    """

    __slots__ = ("_least", "_most")

    def __init__(self, most_significant_bits: int, least_significant_bits: int) -> None:
        self._most = int64(most_significant_bits)
        self._least = int64(least_significant_bits)

    def get_most_significant_bits(self) -> int:
        """Returns the upper half."""
        return self._most

    def get_least_significant_bits(self) -> int:
        """Returns the lower half."""
        return self._least

    @classmethod
    def from_bytes(cls, sixteen: bytes) -> Self:
        """Returns the identifier with these 16 bytes."""
        most, least = sixteen[:_INT64_BYTES], sixteen[_INT64_BYTES:]
        return cls(int.from_bytes(most, signed=True), int.from_bytes(least, signed=True))

    def __str__(self) -> str:
        halves = (half.to_bytes(_INT64_BYTES, signed=True) for half in (self._most, self._least))
        return base64.b64encode(b"".join(halves)).decode().rstrip("=")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Uuid):
            return NotImplemented
        return (self._most, self._least) == (other._most, other._least)

    def __hash__(self) -> int:
        return hash((self._most, self._least))
