"""One application of its own rows and of jobs: ``python -m tests.faults.own_rows URL produce|transaction|poll_in``.

``produce`` inserts an order and produces the job that belongs to it, in one transaction. The others take jobs and
insert a row for each, in one transaction: in one that the consumer begins, or in one that the application begins
itself. Each pauses in the middle of it, so that most faults strike there. It goes on until it is killed, whatever the
server does.
"""

import random
import sys
from contextlib import suppress
from threading import Event

import psycopg

from shim import KafkaException, Producer, ShareConsumer

TOPIC = "mails"
TABLES = """
create table orders (id bigserial primary key);
create table sent (id bigserial primary key, order_id bigint not null);
"""

_RECORDS = 5
_LONGEST_PAUSE = 0.02


def main(url: str, part: str) -> None:
    """Works until the process is killed."""
    work = {"produce": _produce, "transaction": _work, "poll_in": _work_in}[part]
    while True:
        with suppress(psycopg.Error, KafkaException), psycopg.connect(url, autocommit=True) as conn:
            work(url, conn)


def _produce(url: str, conn: psycopg.Connection) -> None:
    producer = Producer({"shim.dsn": url})
    while True:
        with conn.transaction():
            row = conn.execute("insert into orders default values returning id").fetchone()
            assert row is not None
            _pause()
            producer.produce_in(conn, TOPIC, str(row[0]))
            _pause()


def _work(url: str, conn: psycopg.Connection) -> None:
    with _consumer(url) as consumer:
        while True:
            with consumer.transaction(conn, 0.5, _RECORDS) as messages:
                for message in messages:
                    conn.execute("insert into sent (order_id) values (%s)", [int(message.value() or b"")])
                _pause()


def _work_in(url: str, conn: psycopg.Connection) -> None:
    with _consumer(url) as consumer:
        while True:
            with conn.transaction():
                for message in consumer.poll_in(conn, _RECORDS):
                    conn.execute("insert into sent (order_id) values (%s)", [int(message.value() or b"")])
                _pause()


def _consumer(url: str) -> ShareConsumer:
    consumer = ShareConsumer({"shim.dsn": url, "group.id": "workers"})
    consumer.subscribe([TOPIC])
    return consumer


def _pause() -> None:
    Event().wait(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311


if __name__ == "__main__":
    main(*sys.argv[1:])
