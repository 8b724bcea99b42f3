"""Records on a broker, of every kind that a producer can write."""

import ctypes
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka import Producer, TopicPartition, admin
from confluent_kafka.admin import AdminClient

from migrator.kafka.records import EndOfPartition, Event
from migrator.kafka.source import ConfluentSource

SECONDS = 30.0
BROKER_SECONDS = 60.0


class Sent(NamedTuple):
    """What is produced; ``timestamp_ms`` 0 is now."""

    value: bytes | None = b"{}"
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] | None = None
    timestamp_ms: int = 0
    partition: int = 0


def produce(servers: str, topic: str, records: Iterable[Sent], **config: Any) -> None:
    """Produces the records, and fails when one is refused."""
    settings = {key.replace("_", "."): value for key, value in config.items()}
    producer: Any = Producer({"bootstrap.servers": servers, "log_level": 0, **settings})
    failures: list[Any] = []
    for record in records:
        producer.produce(
            topic,
            record.value,
            record.key,
            headers=list(record.headers) if record.headers is not None else None,
            timestamp=record.timestamp_ms,
            partition=record.partition,
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(SECONDS) == 0
    assert not failures


def numbered(count: int, partition: int = 0) -> Iterable[Sent]:
    return (Sent(b"%d" % n, partition=partition) for n in range(count))


@contextmanager
def transactions(servers: str, transactional_id: str) -> Any:
    """A transactional producer."""
    producer: Any = Producer({"bootstrap.servers": servers, "transactional.id": transactional_id, "log_level": 0})
    producer.init_transactions(SECONDS)
    yield producer


def within(producer: Any, topic: str, count: int) -> None:
    """Begins a transaction and has its records in the log."""
    producer.begin_transaction()
    for n in range(count):
        producer.produce(topic, b"t%d" % n, partition=0)
    assert producer.flush(SECONDS) == 0


def delete_records_below(servers: str, topic: str, offset: int, partition: int = 0) -> None:
    client: Any = AdminClient({"bootstrap.servers": servers})
    for answer in client.delete_records([TopicPartition(topic, partition, offset)]).values():
        answer.result()


def delete_topic(servers: str, topic: str) -> None:
    client: Any = AdminClient({"bootstrap.servers": servers})
    client.delete_topics([topic])[topic].result()


def produce_raw(servers: str, topic: str, headers: Iterable[tuple[bytes, bytes | None]], partition: int = 0) -> None:
    """Produces one record whose header names are any bytes, which the Python client cannot do."""
    library = _librdkafka()
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    for key, value in {"bootstrap.servers": servers, "log_level": "0"}.items():
        assert library.rd_kafka_conf_set(conf, key.encode(), value.encode(), error, 512) == 0
    client = ctypes.c_void_p(library.rd_kafka_new(0, conf, error, 512))
    built = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(8)))
    for name, content in headers:
        size = ctypes.c_ssize_t(0 if content is None else len(content))
        library.rd_kafka_header_add(built, name, ctypes.c_ssize_t(len(name)), content, size)
    topic_, partition_, value_, flags_, headers_, end = 1, 3, 4, 7, 10, 0  # the tags of rd_kafka_producev
    copy = 2
    arguments = (topic_, topic.encode(), partition_, ctypes.c_int32(partition), value_, b"v", ctypes.c_size_t(1))
    assert library.rd_kafka_producev(client, *arguments, flags_, copy, headers_, built, end) == 0
    assert library.rd_kafka_flush(client, int(SECONDS * 1000)) == 0
    library.rd_kafka_destroy(client)


def _librdkafka() -> Any:
    package = Path(confluent_kafka.__file__).parent
    bundled = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    library = ctypes.CDLL(str(bundled[0]))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def read_until(source: ConfluentSource, done: Callable[[list[Event]], bool], seconds: float = SECONDS) -> list[Event]:
    """Reads until what has arrived satisfies ``done``."""
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while not done(events):
        assert time.monotonic() < deadline, f"still not done with {events[-3:]}"
        events += source.read(1000, 0.1)
    return events


def read_to_the_end(source: ConfluentSource, positions: Mapping[tuple[str, int], int]) -> list[Event]:
    """Reads every partition from its position to its first end."""
    source.assign(positions)
    return read_until(
        source,
        lambda events: {(e.topic, e.partition) for e in events if isinstance(e, EndOfPartition)} >= set(positions),
    )


def allow_bob(servers: str, operation: str, kind: str, name: str) -> None:
    """Allows an operation to the user ``bob``; ``servers`` is where one is a superuser."""
    names: Any = admin
    binding = names.AclBinding(
        names.ResourceType[kind],
        name,
        names.ResourcePatternType.LITERAL,
        "User:bob",
        "*",
        names.AclOperation[operation],
        names.AclPermissionType.ALLOW,
    )
    client: Any = AdminClient({"bootstrap.servers": servers})
    for answer in client.create_acls([binding]).values():
        answer.result()
