"""Records into Kafka: for the demo, which then knows exactly what a topic holds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer, admin

from migrator.errors import CannotStartError, StoppedError

_ADMIN: Any = admin  # the documented names are not all in the package's stubs
_SECONDS = 60.0


class Outgoing(NamedTuple):
    """One record to be produced."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int


class Delivered(NamedTuple):
    """Where the broker put a record, as its delivery report says."""

    partition: int
    offset: int


def create_topic(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Creates a topic whose records keep the timestamps that they are given.

    librdkafka's mock cluster knows no such request: it makes the topic when asked for it, with 4 partitions.

    Raises:
        CannotStartError: the broker refused, as when the topic exists.
    """
    client = _ADMIN.AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        if str(client.list_topics(timeout=_SECONDS).cluster_id).startswith("mockCluster"):
            client.list_topics(topic, timeout=_SECONDS)
            return
        own_times = {"message.timestamp.type": "CreateTime"}
        wanted = _ADMIN.NewTopic(topic, num_partitions=partitions, config=own_times)
        client.create_topics([wanted], operation_timeout=_SECONDS)[topic].result()
    except KafkaException as error:
        raise _refused(f"creating topic {topic!r}", error) from None


def delete_topics(bootstrap_servers: str, topics: Sequence[str]) -> None:
    """Deletes topics; one that is not there is passed over.

    Raises:
        CannotStartError: the broker refused.
    """
    client = _ADMIN.AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for topic, future in client.delete_topics(list(topics), operation_timeout=_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _refused(f"deleting topic {topic!r}", error) from None


def produce(bootstrap_servers: str, topic: str, records: Iterable[Outgoing]) -> list[Delivered]:
    """Produces records and returns where each of them is, in their order.

    Raises:
        StoppedError: a record was not acknowledged.
    """
    delivered: dict[int, Delivered] = {}
    settings: Mapping[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "enable.idempotence": True,
        "linger.ms": 5,
        "log_level": 0,
    }
    producer = Producer(dict(settings))
    sent = 0
    for number, record in enumerate(records):
        _send(producer, topic, record, _reporter(delivered, number))
        sent += 1
    producer.flush(_SECONDS)
    if len(delivered) != sent:
        raise StoppedError(
            f"{sent - len(delivered)} of {sent} records were not acknowledged by {bootstrap_servers}",
            code="produce-failed",
        )
    return [delivered[number] for number in range(sent)]


def _send(producer: Any, topic: str, record: Outgoing, report: Callable[[Any, Any], None]) -> None:
    while True:
        try:
            producer.produce(
                topic,
                record.value,
                record.key,
                headers=list(record.headers),
                timestamp=record.timestamp_ms,
                on_delivery=report,
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _reporter(delivered: dict[int, Delivered], number: int) -> Callable[[Any, Any], None]:
    def report(error: Any, message: Any) -> None:
        if error is None:
            delivered[number] = Delivered(message.partition(), message.offset())

    return report


def _refused(doing: str, error: KafkaException) -> CannotStartError:
    return CannotStartError(
        f"{doing} failed: {error.args[0].str().rstrip('.')}", code="kafka-request-failed", hint="migrator doctor"
    )
