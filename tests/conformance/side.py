"""A side of the comparison: one client's package, the server behind it, and what a test makes there."""

import contextlib
import importlib
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pytest

from migrator.embedded.process import wait_until
from tests.conformance.differences import DIFFERENCES

FamilyName = Literal["kafka", "shim"]
Configuration = Mapping[str, object]

WAIT_SECONDS = 15.0
ADMIN_SECONDS = 30.0

# What a member needs to be noticed at once; the test broker delays no group's first rebalance.
QUICK_MEMBER: Configuration = {
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 50,
    "heartbeat.interval.ms": 100,
    "session.timeout.ms": 6000,
}


@dataclass(frozen=True)
class Family:
    """One client and the server that it talks to; it lasts for the session.

    Attributes:
        name: ``kafka`` for the original on Apache Kafka, ``shim`` for ours on Postgres.
        package: the name of the client's package.
        servers: its ``bootstrap.servers``.
        settings: what else its clients are told.
    """

    name: FamilyName
    package: str
    servers: str
    settings: Configuration = field(default_factory=dict)

    def module(self, name: str = "") -> Any:
        """The package itself, or a submodule such as ``admin``."""
        return importlib.import_module(f"{self.package}.{name}" if name else self.package)


class Side:
    """What a test is given: names of one client, and clients that are closed when the test is over.

    Attributes:
        family: which client and server.
        api: the client's package.
    """

    def __init__(self, family: Family, differs: str | None) -> None:
        self.family = family
        self.api = family.module()
        self._differs = differs
        self._opened: list[Callable[[], object]] = []

    @property
    def admin(self) -> Any:
        """The module ``admin`` of the package."""
        return self.family.module("admin")

    @property
    def error(self) -> Any:
        """The package's ``KafkaError``."""
        return self.api.KafkaError

    def code(self, name: str) -> int:
        """The error code of a name, such as ``_STATE``."""
        return int(getattr(self.error, name))

    def refusal(self, call: Callable[[], object]) -> tuple[int, str]:
        """The code and the text of the ``KafkaException`` with which a call fails."""
        with pytest.raises(self.api.KafkaException) as caught:
            call()
        error = caught.value.args[0]
        assert type(error) is self.error
        return error.code(), error.str()

    def failure(self, future: Future[Any]) -> tuple[int, str]:
        """The code and the text of the ``KafkaException`` in a future."""
        return self.refusal(lambda: future.result(ADMIN_SECONDS))

    @cached_property
    def cluster(self) -> Any:
        """An admin client, the same for the whole test."""
        return self.admin.AdminClient(self.connection)

    @property
    def silence(self) -> logging.Logger:
        """The ``logger`` of clients whose complaints are part of the test."""
        return logging.getLogger("conformance.silence")

    @property
    def connection(self) -> dict[str, object]:
        """The configuration that every client needs."""
        return {"bootstrap.servers": self.family.servers, **self.family.settings}

    def nobody(self) -> dict[str, object]:
        """The connection to a server that is not there."""
        scheme, _, _ = self.family.servers.rpartition("://")
        return {"bootstrap.servers": "postgresql://nobody@127.0.0.1:9/none" if scheme else "127.0.0.1:9"}

    def either(self, *, kafka: Any, shim: Any) -> Any:
        """What is expected where the two differ; the test's marker names the line of ``DIFFERENCES``."""
        assert self._differs in DIFFERENCES, "a test that expects a difference carries the marker 'differs'"
        return kafka if self.family.name == "kafka" else shim

    def name(self, prefix: str) -> str:
        """A name that nobody else uses, for a topic or a group."""
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    def tp(self, topic: str, partition: int = -1, offset: int = -1001, **more: Any) -> Any:
        """A ``TopicPartition``."""
        return self.api.TopicPartition(topic, partition, offset, **more)

    def producer(self, configuration: Configuration | None = None, **more: Any) -> Any:
        """A producer that sends at once."""
        producer = self.api.Producer({**self.connection, "linger.ms": 0, **(configuration or {})}, **more)
        self._opened.append(lambda: self._end_producer(producer))
        return producer

    def consumer(self, group: str | None = None, configuration: Configuration | None = None, **more: Any) -> Any:
        """A consumer of ``group``, or of a group of its own, that begins at the beginning and notices others fast."""
        group_id = {"group.id": group or self.name("group")}
        consumer = self.api.Consumer({**self.connection, **QUICK_MEMBER, **group_id, **(configuration or {})}, **more)
        self._opened.append(lambda: self._end_consumer(consumer))
        return consumer

    def share_group(self) -> str:
        """A share group of the test's own, which begins at the beginning."""
        group = self.name("share")
        if self.family.name == "kafka":  # where the shim's has no other way to begin
            admin = self.admin
            entry = admin.ConfigEntry(
                "share.auto.offset.reset", "earliest", incremental_operation=admin.AlterConfigOpType.SET
            )
            resource = admin.ConfigResource(admin.ResourceType.GROUP, group, incremental_configs=[entry])
            self.cluster.incremental_alter_configs([resource])[resource].result(ADMIN_SECONDS)
        return group

    def share_consumer(self, group: str | None = None, configuration: Configuration | None = None, **more: Any) -> Any:
        """A share consumer of ``group``, or of a group of its own, that begins at the beginning."""
        conf = {**self.connection, "group.id": group or self.share_group(), **(configuration or {})}
        consumer = self.api.ShareConsumer(conf, **more)
        self._opened.append(consumer.close)
        return consumer

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None, *, name: str | None = None) -> str:
        """Create a topic, with a name of its own unless one is given; returns the name."""
        name = name or self.name("topic")
        new = self.admin.NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self.cluster.create_topics([new], operation_timeout=ADMIN_SECONDS)[name].result(ADMIN_SECONDS)
        assert wait_until(lambda: self._has_leaders(name, partitions), ADMIN_SECONDS)
        return name

    def close(self) -> None:
        """Close what the test left open, the newest first."""
        while self._opened:
            self._opened.pop()()
        self.__dict__.pop("cluster", None)

    def _has_leaders(self, topic: str, partitions: int) -> bool:
        found = self.cluster.list_topics(topic, ADMIN_SECONDS).topics[topic].partitions
        return len(found) == partitions and all(partition.leader >= 0 for partition in found.values())

    def _end_producer(self, producer: Any) -> None:
        with contextlib.suppress(RuntimeError, self.api.KafkaException):  # closed by the test, or nothing to purge
            producer.purge()
            producer.flush(1)
            producer.close()

    def _end_consumer(self, consumer: Any) -> None:
        bare = None
        try:
            consumer.close()
        except RuntimeError:  # closed by the test
            pass
        except self.error as error:  # what the original lets out when a callback fails; it is no exception
            bare = error
        if bare is not None:
            raise self.api.KafkaException(bare)
