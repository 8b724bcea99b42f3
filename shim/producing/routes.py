"""Where a producer's messages go: what is known of topics, and which partition a message without one is given."""

from collections.abc import Iterable
from random import SystemRandom
from time import monotonic
from typing import Any, NamedTuple

import psycopg

from shim.errors import KafkaError, from_postgres
from shim.protocol.codes import Broker, Local
from shim.store import bounds, topics
from shim.store.append import Connection
from shim.store.errors import TopicNameError
from shim.store.partitioner import DEFAULT, crc32, partition_for
from shim.store.topics import Texts, TopicGate

_FRESH_SECONDS = 10.0


class Plan(NamedTuple):
    """How topics that are used for the first time are made, and how partitions are chosen.

    Attributes:
        partitions: how many a new topic has.
        partitioner: what the application asked for; None leaves it to each topic.
        sticky_s: how long messages without a key stay with one partition.
    """

    partitions: int
    partitioner: str | None
    sticky_s: float


class Route:
    """A topic that may be written to, as it was a moment ago.

    Attributes:
        partitions: how many it has.
        partition: chooses one for a key; the time says when the message was produced.
    """

    def __init__(self, gate: TopicGate, plan: Plan) -> None:
        self.partitions = gate.partitions
        self._name = plan.partitioner or gate.partitioner
        self._sticky_s = 0.0 if self._name == "random" else plan.sticky_s
        self._crc32 = self._name == DEFAULT
        # As in librdkafka: without stickiness the plain ones hash what is no key.
        self._hashes_none = not plan.sticky_s and self._name in {"consistent", "murmur2", "fnv1a"}
        self._any = SystemRandom().randrange(gate.partitions)
        self._until = 0.0
        self._read_at = monotonic()

    @property
    def fresh(self) -> bool:
        """Whether this was learned so lately that it need not be learned again."""
        return monotonic() - self._read_at < _FRESH_SECONDS

    def partition(self, key: bytes | None, produced_at: float) -> int:
        """Returns the partition of a message."""
        if self._crc32 and key:
            return crc32(key) % self.partitions
        if key is None and self._hashes_none:
            key = b""
        chosen = partition_for(self._name, key, self.partitions)
        return self._sticky(produced_at) if chosen is None else chosen

    def _sticky(self, produced_at: float) -> int:
        if produced_at >= self._until:
            self._any = SystemRandom().randrange(self.partitions)
            self._until = produced_at + self._sticky_s
        return self._any


class Learned(NamedTuple):
    """Topics that may be written to, and why others may not."""

    routes: dict[str, Route]
    refused: dict[str, KafkaError]


class Routes:
    """The topics that one producer writes to.

    Args:
        texts: the statements of `shim.store.topics`.
        plan: how topics are made and partitions chosen.
    """

    def __init__(self, texts: Texts, plan: Plan) -> None:
        self._texts = texts
        self._plan = plan
        self._known: dict[str, Route] = {}

    @property
    def names(self) -> list[str]:
        """The topics that were written to."""
        return list(self._known)

    def partitions(self, topic: str) -> int | None:
        """Returns how many partitions a topic has; None when that was not asked lately."""
        route = self._known.get(topic)
        return route.partitions if route and route.fresh else None

    def known(self, names: Iterable[str]) -> dict[str, Route]:
        """Returns what was learned of topics lately."""
        routes = ((name, self._known.get(name)) for name in names)
        return {name: route for name, route in routes if route and route.fresh}

    def forget(self, topic: str) -> None:
        """Makes a topic be learned again: Postgres said that it is not what it was."""
        self._known.pop(topic, None)

    def learn(self, conn: Connection, names: Iterable[str]) -> Learned:
        """Reads topics, and makes those that do not exist; returns how to write to them, or why that cannot be.

        Raises:
            psycopg.Error: Postgres is gone, or the tables are not there.
        """
        wanted = list(names)
        found = self.read(conn, wanted)
        missing = [name for name in wanted if name not in found.routes and name not in found.refused]
        if not missing:
            return found
        unmade = self._make(conn, missing)
        made = self.read(conn, [name for name in missing if name not in unmade])
        return Learned(found.routes | made.routes, found.refused | unmade | made.refused)

    def read(self, conn: psycopg.Connection[Any], names: Iterable[str]) -> Learned:
        """Reads topics; of those that do not exist, nothing is returned.

        Args:
            conn: any connection to the queue's database, whatever its rows look like.
            names: which topics.
        """
        wanted = list(names)
        gates = topics.read_gates(conn, self._texts, wanted)
        refused = {name: numbered_by_kafka(name) for name, gate in gates.items() if gate.sequencer == "kafka"}
        routes = {name: Route(gate, self._plan) for name, gate in gates.items() if name not in refused}
        for name in wanted:
            self.forget(name)
        self._known |= routes
        return Learned(routes, refused)

    def _make(self, conn: Connection, names: Iterable[str]) -> dict[str, KafkaError]:
        refused: dict[str, KafkaError] = {}
        for name in names:
            try:
                self._make_one(conn, name)
            except TopicNameError:
                refused[name] = KafkaError(Broker.TOPIC_EXCEPTION)
            except psycopg.Error as failure:
                refused[name] = from_postgres(failure)
                if refused[name].retriable():
                    raise
        return refused

    def _make_one(self, conn: Connection, name: str) -> None:
        partitions, partitioner = self._plan.partitions, self._plan.partitioner or DEFAULT
        with conn.transaction():
            bounds.bound(conn, self._texts)
            topics.create_topic(conn, self._texts, name, partitions, partitioner=partitioner)


def numbered_by_kafka(topic: str) -> KafkaError:
    """Returns why nothing can be produced to a topic before its cutover."""
    return KafkaError(
        Local.STATE,
        f"{Local.STATE.text}: Kafka numbers topic {topic!r} until it is cut over (migrator cutover --topic {topic})",
    )
