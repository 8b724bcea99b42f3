"""The day of the move: a topic is drained, the import is swapped, and every group goes on at its next message."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from types import ModuleType
from typing import Any, NamedTuple, Self

import confluent_kafka
import pytest

import shim
from migrator.embedded.process import wait_until
from shim.store.pool import close_all
from tests.fixtures.cli import Cli, create_tables
from tests.fixtures.kafka import CreateTopic, topic_name
from tests.fixtures.oracle import Recorder
from tests.fixtures.pgbouncer import client_settings
from tests.fixtures.postgres import Databases

pytestmark = pytest.mark.real_kafka

SECONDS = 60.0
PARTITIONS, MESSAGES = 4, 40

# Three groups apart, each by partition; where one is missing the group has never committed.
COMMITS: Mapping[str, Mapping[int, int]] = {
    "mailers": {0: 30, 1: 10, 2: MESSAGES, 3: 1},
    "reports": {0: 5, 2: 17},
    "billing": {0: MESSAGES, 1: MESSAGES, 3: MESSAGES - 1},
}

Offsets = dict[int, int]


class Read(NamedTuple):
    """A message as a consumer was handed it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None
    timestamp: tuple[int, int]


class Group:
    """A consumer of a group, of either package."""

    def __init__(self, package: ModuleType, connection: Mapping[str, object], group_id: str, topic: str) -> None:
        self._package = package
        self._places = [package.TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        conf = {**connection, "group.id": group_id, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        self.consumer: Any = package.Consumer(conf)
        self.consumer.subscribe([topic])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.close()

    def committed(self) -> Offsets:
        """Where the group stands; nothing for a partition in which it never committed."""
        found = self.consumer.committed(self._places, SECONDS)
        return {one.partition: one.offset for one in found if one.offset != self._package.OFFSET_INVALID}

    def read_to_the_end(self) -> list[Read]:
        """What the group has yet to read, in the order of each partition."""
        reads: list[Read] = []
        left = set(self._ends().items()) - set(self.committed().items())

        def done() -> bool:
            message = self.consumer.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                reads.append(_read(message))
                left.discard((message.partition(), message.offset() + 1))
            return not left

        assert wait_until(done, SECONDS, 0), left
        return sorted(reads, key=lambda read: read.partition)  # sorting keeps the order within a partition

    def _ends(self) -> Offsets:
        return {one.partition: self.consumer.get_watermark_offsets(one, SECONDS)[1] for one in self._places}


def _read(message: Any) -> Read:
    headers, place = message.headers(), (message.partition(), message.offset())
    return Read(*place, message.key(), message.value(), headers, message.timestamp())


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    close_all()
    databases.drop(made)


@pytest.fixture
def topic(bootstrap_servers: str, create_topic: CreateTopic) -> str:
    """A topic of Kafka's, filled."""
    name = create_topic(PARTITIONS)
    recorder = Recorder(bootstrap_servers)
    for number in range(MESSAGES):
        for partition in range(PARTITIONS):
            headers = ((b"trace", b"\x00%d" % number), (b"trace", None))
            recorder.send(name, b'{ "n": %d}' % number, b"%d" % partition, headers=headers, partition=partition)
    recorder.flush()
    return name


@pytest.fixture
def groups(bootstrap_servers: str, topic: str) -> dict[str, Mapping[int, int]]:
    """The three groups, by their ids: without members, and with their commits."""
    made: dict[str, Mapping[int, int]] = {}
    for name, commits in COMMITS.items():
        group_id = topic_name(name)
        conf: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "group.id": group_id}
        offsets = [confluent_kafka.TopicPartition(topic, partition, offset) for partition, offset in commits.items()]
        with closing(confluent_kafka.Consumer(conf)) as consumer:
            consumer.commit(offsets=offsets, asynchronous=False)
        made[group_id] = commits
    return made


def first_offsets(reads: Sequence[Read]) -> Offsets:
    """Where each partition was begun."""
    first: Offsets = {}
    for read in reads:
        first.setdefault(read.partition, read.offset)
    return first


def test_every_group_goes_on_at_its_next_message(
    bootstrap_servers: str, url: str, topic: str, groups: dict[str, Mapping[int, int]]
) -> None:
    """Its first messages are the next ones, and it reads what the original would have read, to the end."""
    drained = ["--from", "groups", "--no-commit", "earliest", "--open"]
    Cli.on(url, bootstrap_servers).drain(topic, options=drained).expect()
    for group_id, commits in groups.items():
        with Group(confluent_kafka, {"bootstrap.servers": bootstrap_servers}, group_id, topic) as original:
            expected = original.read_to_the_end()
        with Group(shim, {"shim.dsn": url, **client_settings()}, group_id, topic) as swapped:
            assert swapped.committed() == commits
            found = swapped.read_to_the_end()
            swapped.consumer.commit(asynchronous=False)
            assert swapped.committed() == dict.fromkeys(range(PARTITIONS), MESSAGES)
        starts = {partition: commits.get(partition, 0) for partition in range(PARTITIONS)}
        assert first_offsets(found) == {partition: start for partition, start in starts.items() if start < MESSAGES}
        assert found == expected
