"""The admin client."""

from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from shim.admin import operations
from shim.admin.arguments import flag
from shim.admin.cluster import DescribeClusterResult
from shim.admin.config_calls import ConfigCalls
from shim.admin.group_calls import GroupCalls
from shim.admin.offset_calls import OffsetCalls
from shim.admin.refused_calls import RefusedCalls
from shim.admin.topic_calls import TopicCalls
from shim.client import metadata
from shim.client.metadata import ClusterMetadata, seconds
from shim.client.request import Deadline
from shim.config.credentials import set_aside
from shim.config.parsing import Kind, parse
from shim.store import topics as store_topics
from shim.store.pool import Connection
from shim.store.rights import read_rights


class AdminClient(TopicCalls, GroupCalls, OffsetCalls, ConfigCalls, RefusedCalls):
    """Looks after topics, groups and offsets.

    Most calls return futures at once; wrong arguments raise at the call, and failures are ``KafkaException`` in the
    future. Nothing is connected before the first call. It may be used by several threads, and after a fork.

    Args:
        conf: the configuration, by the names of librdkafka and of the shim; it is not changed.
        **kwargs: more of it, ``logger`` among them; what stands here wins.
    """

    def __init__(self, conf: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(parse(Kind.ADMIN, (conf,), kwargs))

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Returns the cluster with its topics, or with one of them.

        Args:
            topic: the one topic; None for all. One that there is not is told so by its ``error``; none is made.
            timeout: how many seconds to wait for a server that is away; negative for ever.

        Raises:
            KafkaException: Postgres refused, or stayed away.
        """
        self._require_open("Handle")
        return self._told(lambda: metadata.list_topics(self._pool, self._schemas, topic, timeout))

    def cluster_id(self, timeout: float = -1) -> str:
        """Returns what identifies the queue, as a cluster's id does in Kafka.

        Args:
            timeout: how many seconds to wait for a server that is away; negative for ever.

        Raises:
            KafkaException: Postgres refused, or stayed away.
        """
        self._require_open("Handle")
        return self._told(lambda: metadata.cluster_id(self._pool, self._schemas, timeout))

    def describe_cluster(
        self, *, request_timeout: float | None = None, include_authorized_operations: bool = False
    ) -> "Future[DescribeClusterResult]":
        """Describes the cluster: one broker, which is the Postgres server.

        Args:
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            include_authorized_operations: whether to tell what this client's role may do.
        """
        with_operations = flag("include_authorized_operations", include_authorized_operations)

        def describe(conn: Connection) -> DescribeClusterResult:
            allowed = operations.on_cluster(read_rights(conn, self._texts.rights)) if with_operations else None
            at = metadata.node(conn)
            return DescribeClusterResult(at, [at], store_topics.cluster_id(conn, self._texts.topics), allowed)

        return self._read_one(self._deadline(request_timeout), describe)

    def poll(self, timeout: float = -1) -> int:
        """Calls ``error_cb`` with what went wrong meanwhile, and returns how often.

        Args:
            timeout: how many seconds to wait for something to tell; negative for ever.
        """
        deadline = Deadline(seconds(timeout))
        self._require_open()
        return self._events.poll(deadline)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Checks its arguments and logs that it has no effect: the connection's role comes from the DSN."""
        self._require_open("Handle")
        set_aside(self._settings, username, password)

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        self._background.close()
