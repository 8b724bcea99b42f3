"""What any client is told of the cluster: one broker, which is the Postgres server, and the topics."""

import numbers
from dataclasses import dataclass, field

from shim.client import request
from shim.client.request import Deadline, prefixed
from shim.errors import KafkaError, KafkaException
from shim.model import Node
from shim.protocol.topic_names import flaw
from shim.store import topics as store_topics
from shim.store.pool import Connection, Pool
from shim.store.statements import Schemas
from shim.store.topics import TopicFacts

BROKER_ID = 1
"""The number of the one broker."""


@dataclass(slots=True, eq=False)
class BrokerMetadata:
    """A broker.

    Attributes:
        id: its number.
        host: its name.
        port: its port.
    """

    id: int = -1
    host: str | None = None
    port: int = -1

    def __repr__(self) -> str:
        return f"BrokerMetadata({self.id}, {self.host}:{self.port})"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.id}"


@dataclass(slots=True, eq=False)
class PartitionMetadata:
    """A partition.

    Attributes:
        id: its number.
        leader: the broker that serves it.
        replicas: the brokers that keep it.
        isrs: those of them that are in sync.
        error: what is wrong with it.
    """

    id: int = -1
    leader: int = -1
    replicas: list[int] = field(default_factory=list)
    isrs: list[int] = field(default_factory=list)
    error: KafkaError | None = None

    def __repr__(self) -> str:
        error = "" if self.error is None else f", {self.error}"
        return f"PartitionMetadata({self.id}{error})"

    def __str__(self) -> str:
        return str(self.id)


@dataclass(slots=True, eq=False)
class TopicMetadata:
    """A topic.

    Attributes:
        topic: its name.
        partitions: its partitions by number.
        error: what is wrong with it, such as that there is none of that name.
    """

    topic: str | None = None
    partitions: dict[int, PartitionMetadata] = field(default_factory=dict)
    error: KafkaError | None = None

    def __repr__(self) -> str:
        error = "" if self.error is None else f", {self.error}"
        return f"TopicMetadata({self.topic}, {len(self.partitions)} partitions{error})"

    def __str__(self) -> str:
        return str(self.topic)


@dataclass(slots=True, eq=False)
class ClusterMetadata:
    """The cluster.

    Attributes:
        cluster_id: its identifier.
        controller_id: the broker that leads it.
        brokers: its brokers by number.
        topics: its topics by name.
        orig_broker_id: the broker that was asked.
        orig_broker_name: the same by name.
    """

    cluster_id: str | None = None
    controller_id: int = -1
    brokers: dict[int, BrokerMetadata] = field(default_factory=dict)
    topics: dict[str, TopicMetadata] = field(default_factory=dict)
    orig_broker_id: int = -1
    orig_broker_name: str | None = None

    def __repr__(self) -> str:
        return f"ClusterMetadata({self.cluster_id})"

    def __str__(self) -> str:
        return str(self.cluster_id)


def list_topics(pool: Pool, schemas: Schemas, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
    """Returns the cluster with its topics, or with one of them.

    A topic that there is not is told so by its ``error``; asking makes none, whatever the configuration.

    Args:
        pool: where connections come from.
        schemas: where the queue's tables are.
        topic: the one topic; None for all.
        timeout: how many seconds to wait for a server that is away; negative for ever.

    Raises:
        TypeError: an argument is of another kind.
        KafkaException: Postgres refused, or stayed away.
    """
    if not isinstance(topic, str | None):
        raise TypeError(f"argument 1 must be str or None, not {type(topic).__name__}")
    deadline = Deadline(seconds(timeout))
    texts = store_topics.load(schemas)
    wanted = None if topic is None else [topic]

    def describe(conn: Connection) -> ClusterMetadata:
        found = store_topics.describe_topics(conn, texts, wanted)
        described = {name: _topic(name, found.get(name)) for name in wanted or sorted(found)}
        return _cluster(broker(conn), store_topics.cluster_id(conn, texts), described)

    try:
        return request.read(pool, deadline, describe)
    except KafkaException as failure:
        raise prefixed(failure, "Failed to get metadata") from failure.__cause__


def cluster_id(pool: Pool, schemas: Schemas, timeout: float = -1) -> str:
    """Returns what identifies the queue, as a cluster's id does in Kafka; it survives a dump and a failover.

    Args:
        pool: where connections come from.
        schemas: where the queue's tables are.
        timeout: how many seconds to wait for a server that is away; negative for ever.

    Raises:
        TypeError: an argument is of another kind.
        KafkaException: Postgres refused, or stayed away.
    """
    deadline = Deadline(seconds(timeout))
    texts = store_topics.load(schemas)
    try:
        return request.read(pool, deadline, lambda conn: store_topics.cluster_id(conn, texts))
    except KafkaException as failure:
        raise prefixed(failure, "Failed to retrieve cluster id") from failure.__cause__


def broker(conn: Connection) -> BrokerMetadata:
    """Returns the one broker: where this connection leads."""
    return BrokerMetadata(BROKER_ID, conn.info.host, conn.info.port)


def node(conn: Connection) -> Node:
    """Returns the one broker as descriptions have it."""
    return Node(BROKER_ID, conn.info.host, conn.info.port)


def seconds(timeout: object) -> float:
    """Returns a timeout; raises TypeError for what is no real number, such as None."""
    if not isinstance(timeout, numbers.Real):
        raise TypeError(f"must be real number, not {type(timeout).__name__}")
    return float(timeout)


def unknown_topic(topic: str) -> KafkaError:
    """Returns why nothing is known of a topic: there is none of that name, or none can be."""
    return KafkaError(KafkaError.TOPIC_EXCEPTION if flaw(topic) else KafkaError.UNKNOWN_TOPIC_OR_PART)


def _topic(name: str, facts: TopicFacts | None) -> TopicMetadata:
    if facts is None:
        return TopicMetadata(name, error=unknown_topic(name))
    partitions = range(facts.partitions)
    return TopicMetadata(name, {one: PartitionMetadata(one, BROKER_ID, [BROKER_ID], [BROKER_ID]) for one in partitions})


def _cluster(asked: BrokerMetadata, identifier: str, topics: dict[str, TopicMetadata]) -> ClusterMetadata:
    return ClusterMetadata(identifier, asked.id, {asked.id: asked}, topics, asked.id, str(asked))
