"""librdkafka's mock cluster: brokers inside this process that speak Kafka's wire protocol over loopback.

The last choice where nothing better runs. It creates topics when they are first named, knows neither CreateTopics nor
compaction, control records or topic ids, keeps about 5 MB a partition, and ends with the client that made it.
"""

from types import TracebackType
from typing import ClassVar, Literal, Self

from confluent_kafka import Producer

_METADATA_SECONDS = 10.0


class MockCluster:
    """A mock cluster that other clients of this machine can connect to."""

    kind: ClassVar[Literal["mock"]] = "mock"

    def __init__(self, brokers: int = 1) -> None:
        """Describe the cluster; nothing is started yet.

        Args:
            brokers: how many brokers it has.
        """
        self._brokers = brokers
        self._owner: Producer | None = None
        self.bootstrap_servers = ""

    def start(self) -> Self:
        """Start the brokers."""
        self._owner = Producer({"test.mock.num.brokers": self._brokers, "log_level": 0})
        brokers = self._owner.list_topics(timeout=_METADATA_SECONDS).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        return self

    def close(self) -> None:
        """End the brokers; what they held is gone."""
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
