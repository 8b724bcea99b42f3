"""Where a run takes place: a server of its own with the topics, and the faults that can strike there."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import psycopg
from confluent_kafka.admin import AdminClient as KafkaAdminClient
from confluent_kafka.cimpl import NewTopic as KafkaNewTopic

from migrator.embedded.kafka import EmbeddedKafka
from migrator.embedded.postgres import EmbeddedPostgres
from shim.admin import AdminClient, NewTopic
from shim.store import schema
from tests.fixtures.proxy import TcpProxy
from tests.histories.nemesis.deck import Fault, Strike
from tests.histories.nemesis.inversion import Inversions
from tests.histories.nemesis.network import NetworkFaults
from tests.histories.nemesis.server import ServerFaults
from tests.histories.workload.plan import Client

TOPICS = ("events", "copies")
PARTITIONS = 3


class Arena(NamedTuple):
    """One client's server.

    Attributes:
        client: the client.
        servers: what its ``bootstrap.servers`` is.
        strikes: the faults of this server.
        session_ms: the shortest ``session.timeout.ms`` that may be asked for.
    """

    client: Client
    servers: str
    strikes: Mapping[Fault, Strike]
    session_ms: int


@contextmanager
def postgres_arena(folder: Path, dice: Random) -> Iterator[Arena]:
    """Postgres behind a proxy, with every fault there is."""
    with EmbeddedPostgres(fsync=True) as server, TcpProxy(("127.0.0.1", server.port)) as proxy:
        _prepare(server.url)
        with closing(Inversions(server.url, TOPICS[0], folder)) as inversions:
            strikes = {
                **ServerFaults(server, dice).strikes,
                **NetworkFaults(proxy, dice).strikes,
                **inversions.strikes,
            }
            yield Arena("shim", proxy.url_of(server.url), strikes, 3_000)


@contextmanager
def kafka_arena(_folder: Path, _dice: Random) -> Iterator[Arena]:
    """Apache Kafka, which nothing strikes."""
    with EmbeddedKafka() as kafka:
        admin = KafkaAdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        for made in admin.create_topics([KafkaNewTopic(topic, PARTITIONS, 1) for topic in TOPICS]).values():
            made.result()
        yield Arena("kafka", kafka.bootstrap_servers, {}, 6_000)


ARENAS = {"shim": postgres_arena, "kafka": kafka_arena}


def _prepare(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        schema.upgrade(connection, schema.store_line())
    admin = AdminClient({"bootstrap.servers": url})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS) for topic in TOPICS]).values():
        made.result()
