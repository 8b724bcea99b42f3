"""The settings of a one-node Apache Kafka for demos and tests; the same on the JVM and in a container."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_LARGEST_BATCH_BYTES = 512 * 1024 * 1024
# A stray TLS hello is read as a request of 369 MB: it must be refused, not waited for until the heap is full.
_LARGEST_REQUEST_BYTES = 128 * 1024 * 1024

# One node holds every replica; what is done now and then is done within a second.
ONE_NODE: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.share.min.record.lock.duration.ms": "1000",
    "message.max.bytes": str(_LARGEST_BATCH_BYTES),
    "replica.fetch.max.bytes": str(_LARGEST_BATCH_BYTES),
    "socket.request.max.bytes": str(_LARGEST_REQUEST_BYTES),
    "log.initial.task.delay.ms": "200",
    "log.retention.check.interval.ms": "500",
    "log.segment.delete.delay.ms": "500",
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    # A killed broker may not register again before its predecessor has expired.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}


@dataclass(frozen=True, slots=True)
class Listeners:
    """The ports of a node, and who may come in by name.

    Attributes:
        broker: port for clients without authentication; they are superusers.
        controller: port of the node's own controller.
        sasl: port for clients that authenticate with SASL/PLAIN; 0 for no such listener.
        users: password by name, for the SASL listener; such users may do what ACLs do not deny.
    """

    broker: int
    controller: int
    sasl: int = 0
    users: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> dict[str, str]:
        """The broker properties that open these listeners on the loopback address."""
        clients = [f"PLAINTEXT://127.0.0.1:{self.broker}"]
        if self.sasl:
            clients.append(f"SASL_PLAINTEXT://127.0.0.1:{self.sasl}")
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*clients, f"CONTROLLER://127.0.0.1:{self.controller}"]),
            "advertised.listeners": ",".join(clients),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            **(self._authentication() if self.sasl else {}),
        }

    def _authentication(self) -> dict[str, str]:
        users = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
        }
