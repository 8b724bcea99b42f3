"""What the tests of the producer look at: the reports that it made, and the rows that it left."""

from collections.abc import Callable
from typing import Any, NamedTuple

from migrator.postgres import Connection
from shim.producer import Producer
from shim.store import topics
from shim.store.schema import store_line

MakeProducer = Callable[..., Producer]

WAIT_SECONDS = 20.0


class Stored(NamedTuple):
    """A row of ``job_queue``."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[bytes | None] | None
    encoding: str
    payload: Any
    timestamp_ms: int
    timestamp_type: int


class Reports:
    """A delivery callback that remembers what it was called with; empty it is false, and called all the same."""

    def __len__(self) -> int:
        return len(self.messages)

    def __init__(self) -> None:
        self.errors: list[Any] = []
        self.messages: list[Any] = []

    def __call__(self, error: Any, message: Any) -> None:
        self.errors.append(error)
        self.messages.append(message)

    @property
    def values(self) -> list[Any]:
        return [message.value() for message in self.messages]

    @property
    def codes(self) -> list[int | None]:
        return [None if error is None else error.code() for error in self.errors]


def make_topic(conn: Connection, topic: str, partitions: int = 1, partitioner: str = "consistent_random") -> None:
    texts = topics.load(store_line().schemas)
    assert topics.create_topic(conn, texts, topic, partitions, partitioner=partitioner)


def stored(conn: Connection, topic: str) -> list[Stored]:
    """What a topic holds, in order."""
    rows = conn.execute(
        "select partition, log_offset, key, value, headers, encoding, payload, timestamp_ms, timestamp_type"
        " from job_queue where topic = %s order by partition, log_offset",
        [topic],
    )
    return [Stored(*row) for row in rows]
