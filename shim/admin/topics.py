"""Topics as they are asked for, and as they are described."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import total_ordering

from shim.admin.acls import AclOperation
from shim.model import TopicPartitionInfo, Uuid
from shim.protocol.integers import int32


@total_ordering
class _Sized(ABC):
    """A topic's name and a number of partitions: what two requests are compared by.

    Comparing with anything else raises NotImplementedError, as the original does.
    """

    __slots__ = ("_topic",)

    def __init__(self, topic: str) -> None:
        if not isinstance(topic, str):
            raise TypeError(f"argument 1 must be str, not {'None' if topic is None else type(topic).__name__}")
        self._topic = topic

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._topic

    @abstractmethod
    def _size(self) -> int:
        """Returns the number of partitions."""

    def _place(self) -> tuple[str, int]:
        return self._topic, self._size()

    def _place_of(self, other: object) -> tuple[str, int]:
        if not isinstance(other, type(self)):
            raise NotImplementedError
        return other._place()  # noqa: SLF001  of its own kind

    def __eq__(self, other: object) -> bool:
        return self._place() == self._place_of(other)

    def __lt__(self, other: object) -> bool:
        return self._place() < self._place_of(other)

    def __hash__(self) -> int:
        return hash(self._topic)


class NewTopic(_Sized):
    """A topic to create.

    Attributes:
        num_partitions: how many partitions; -1 for the default.
        replication_factor: taken and not used: Postgres replicates in its own way.
        replica_assignment: likewise.
        config: the topic's configuration by name.
    """

    __slots__ = ("config", "num_partitions", "replica_assignment", "replication_factor")

    def __init__(
        self,
        topic: str,
        num_partitions: int = -1,
        replication_factor: int = -1,
        replica_assignment: list[list[int]] | None = None,
        config: dict[str, str] | None = None,
    ) -> None:
        super().__init__(topic)
        if not isinstance(config, dict | None):
            raise TypeError("config must be a dict of strings")
        self.num_partitions = int32(num_partitions)
        self.replication_factor = int32(replication_factor)
        self.replica_assignment = replica_assignment
        self.config = config

    def _size(self) -> int:
        return self.num_partitions

    def __repr__(self) -> str:
        size = f",num_partitions={self.num_partitions}" if self.num_partitions != -1 else ""
        return f"NewTopic(topic={self.topic}{size})"


class NewPartitions(_Sized):
    """How many partitions a topic is to have from now on.

    Attributes:
        new_total_count: how many in all.
        replica_assignment: taken and not used: Postgres replicates in its own way.
    """

    __slots__ = ("new_total_count", "replica_assignment")

    def __init__(self, topic: str, new_total_count: int, replica_assignment: list[list[int]] | None = None) -> None:
        super().__init__(topic)
        self.new_total_count = int32(new_total_count)
        self.replica_assignment = replica_assignment

    def _size(self) -> int:
        return self.new_total_count

    def __repr__(self) -> str:
        return f"NewPartitions(topic={self.topic},new_total_count={self.new_total_count})"


class TopicDescription:
    """A topic as it is.

    Attributes:
        name: its name.
        topic_id: its identifier, another one when a topic of the same name is made again.
        is_internal: whether the cluster keeps its own records there.
        partitions: the partitions, in order.
        authorized_operations: what this client may do with it, if that was asked for.
    """

    def __init__(
        self,
        name: str,
        topic_id: Uuid,
        is_internal: bool,
        partitions: list[TopicPartitionInfo],
        authorized_operations: Sequence[AclOperation | str | int] | None = None,
    ) -> None:
        self.name = name
        self.topic_id = topic_id
        self.is_internal = is_internal
        self.partitions = partitions
        self.authorized_operations = AclOperation.all_of(authorized_operations)
