"""Calls about topics: create, grow, describe, delete."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from shim.admin import operations
from shim.admin.acls import AclOperation
from shim.admin.arguments import flag, growth, listing, operation_limit, partition_count, replication
from shim.admin.asking import Asking
from shim.admin.failures import one_by_one
from shim.admin.topic_configs import read_config
from shim.admin.topics import NewPartitions, NewTopic, TopicDescription
from shim.client.metadata import node, unknown_topic
from shim.client.request import Deadline, bound
from shim.config.settings import Severity
from shim.errors import KafkaError, KafkaException
from shim.model import Node, TopicCollection, TopicPartitionInfo, Uuid
from shim.protocol.codes import Broker, Local
from shim.store import keep_times
from shim.store import topics as store
from shim.store.pool import Connection
from shim.store.rights import read_rights
from shim.store.topics import TopicFacts

_TWICE = KafkaError(Broker.INVALID_REQUEST, "Duplicate topic name.")


class TopicCalls(Asking):
    """The part of the admin client that is about topics."""

    def create_topics(
        self,
        new_topics: list[NewTopic],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
        validate_only: bool = False,
    ) -> dict[str, Future[None]]:
        """Makes topics.

        Args:
            new_topics: what to make. Of a topic's configuration these count: ``retention.ms``,
                ``shim.completed.retention.ms``, ``shim.failed.retention.ms`` and ``shim.partitioner``.
            operation_timeout: checked; an answer comes when the topic is there.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            validate_only: whether to find out only what would become of it.

        Returns:
            a future of None for each topic. It fails with ``TOPIC_ALREADY_EXISTS``, ``TOPIC_EXCEPTION``,
            ``INVALID_PARTITIONS``, ``INVALID_CONFIG``, or ``_UNSUPPORTED_FEATURE`` where the configuration asks for
            what Postgres does not do, such as compaction.
        """
        topics = [new.topic for new in new_topics]
        for new in listing(new_topics, NewTopic, "NewTopic objects"):
            partition_count(new.topic, new.num_partitions)
            replication(new.topic, new.num_partitions, new.replication_factor, new.replica_assignment)
        operation_limit(operation_timeout)
        dry = flag("validate_only", validate_only)
        deadline = self._deadline(request_timeout)
        wanted = {new.topic: new for new in new_topics}

        def create(conn: Connection) -> Mapping[str, object]:
            return one_by_one(topics, lambda topic: self._create(conn, deadline, wanted[topic], dry=dry), _TWICE)

        return self._change_each(topics, deadline, create)

    def create_partitions(
        self,
        new_partitions: list[NewPartitions],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
        validate_only: bool = False,
    ) -> dict[str, Future[None]]:
        """Adds partitions to topics; keys may move to them, as they do in Kafka.

        Args:
            new_partitions: how many each topic is to have.
            operation_timeout: checked; an answer comes when the partitions are there.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            validate_only: whether to find out only what would become of it.

        Returns:
            a future of None for each topic. It fails with ``UNKNOWN_TOPIC_OR_PART`` or ``INVALID_PARTITIONS``.
        """
        topics = [new.topic for new in new_partitions]
        for new in listing(new_partitions, NewPartitions, "NewPartitions objects"):
            growth(new.topic, new.new_total_count, new.replica_assignment)
        operation_limit(operation_timeout)
        dry = flag("validate_only", validate_only)
        deadline = self._deadline(request_timeout)
        totals = {new.topic: new.new_total_count for new in new_partitions}

        def grow(conn: Connection, topic: str) -> None:
            with conn.transaction(force_rollback=dry):
                bound(conn, deadline)
                store.grow_topic(conn, self._texts.topics, topic, totals[topic])

        def grow_all(conn: Connection) -> Mapping[str, object]:
            return one_by_one(topics, partial(grow, conn), _TWICE)

        return self._change_each(topics, deadline, grow_all)

    def delete_topics(
        self,
        topics: list[str],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> dict[str, Future[None]]:
        """Deletes topics, with their rows and with what groups committed in them.

        Args:
            topics: their names.
            operation_timeout: checked; an answer comes when the topic is gone.
            request_timeout: how many seconds to wait for a connection; ``socket.timeout.ms`` by default.

        Returns:
            a future of None for each topic. It fails with ``UNKNOWN_TOPIC_OR_PART``.
        """
        if not isinstance(topics, list):
            raise TypeError(f"argument 1 must be list, not {type(topics).__name__}")
        listing(topics, str, "topic strings")
        operation_limit(operation_timeout)
        deadline = self._deadline(request_timeout)

        def delete(conn: Connection, topic: str) -> None:
            if not store.delete_topic(conn, self._texts.topics, topic):
                raise KafkaException(KafkaError(Broker.UNKNOWN_TOPIC_OR_PART))

        def delete_all(conn: Connection) -> Mapping[str, object]:
            return one_by_one(topics, partial(delete, conn), KafkaError(Broker.INVALID_REQUEST))

        return self._change_each(topics, deadline, delete_all)

    def describe_topics(
        self,
        topics: TopicCollection,
        *,
        request_timeout: float | None = None,
        include_authorized_operations: bool = False,
    ) -> dict[str, Future[TopicDescription]]:
        """Describes topics.

        Args:
            topics: which.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            include_authorized_operations: whether to tell what this client's role may do with them.

        Returns:
            a future for each topic. It fails with ``UNKNOWN_TOPIC_OR_PART`` or ``TOPIC_EXCEPTION``.
        """
        names = _names(topics)
        with_operations = flag("include_authorized_operations", include_authorized_operations)
        deadline = self._deadline(request_timeout)

        def describe(conn: Connection) -> Mapping[str, object]:
            if len(set(names)) < len(names):
                raise KafkaException(KafkaError(Local.INVALID_ARG, "Duplicate topics not allowed"))
            found = store.describe_topics(conn, self._texts.topics, names)
            allowed = operations.on_topics(read_rights(conn, self._texts.rights)) if with_operations else None
            told = partial(_description, at=node(conn), allowed=allowed)
            return {name: told(found[name]) if name in found else unknown_topic(name) for name in names}

        return self._read_each(names, deadline, describe)

    def _create(self, conn: Connection, deadline: Deadline, new: NewTopic, *, dry: bool) -> None:
        config = read_config(new.config or {})
        if config.unused:
            self._settings.log(
                Severity.WARNING, "TOPIC", f"{new.topic}: Postgres has no use for {', '.join(config.unused)}"
            )
        with conn.transaction(force_rollback=dry):
            bound(conn, deadline)
            made = store.create_topic(
                conn,
                self._texts.topics,
                new.topic,
                self._settings.topic_partitions if new.num_partitions == -1 else new.num_partitions,
                partitioner=config.partitioner,
            )
            if made and config.keep_times:
                keep_times.change(conn, self._texts.keep_times, new.topic, config.keep_times)
        if not made:
            raise KafkaException(KafkaError(Broker.TOPIC_ALREADY_EXISTS, f"Topic '{new.topic}' already exists."))


def _names(topics: TopicCollection) -> list[str]:
    if not isinstance(topics, TopicCollection):
        raise TypeError("Expected input to be instance of TopicCollection")
    if not isinstance(topics.topic_names, list):
        raise TypeError("Expected list of topic names to be described")
    for index, name in enumerate(topics.topic_names):
        if not isinstance(name, str):
            raise TypeError(f"Expected list of topics strings, not {type(name).__name__}")
        if not name:
            raise ValueError(f"Empty topic name at index {index} isn't allowed")
    return topics.topic_names


def _description(facts: TopicFacts, *, at: Node, allowed: Sequence[AclOperation] | None) -> TopicDescription:
    partitions = [TopicPartitionInfo(one, at, [at], [at]) for one in range(facts.partitions)]
    return TopicDescription(facts.topic, Uuid.from_bytes(facts.topic_id.bytes), False, partitions, allowed)
