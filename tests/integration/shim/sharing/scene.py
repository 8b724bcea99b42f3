"""What the tests of share consumers have in common."""

import time
from collections.abc import Sequence

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.message import Message
from shim.share_consumer import ShareConsumer

WAIT_SECONDS = 60.0


def taken(consumer: ShareConsumer, count: int) -> list[Message]:
    """So many messages, in as many polls as it takes."""
    messages: list[Message] = []
    end = time.monotonic() + WAIT_SECONDS
    while len(messages) < count and time.monotonic() < end:
        messages += consumer.poll(0.5)
    assert len(messages) == count, f"{len(messages)} messages came in time"
    return messages


def deliveries(messages: Sequence[Message]) -> list[tuple[int, int]]:
    return [(message.offset() or 0, message.delivery_count() or 0) for message in messages]


def change(conn: Connection, **terms: object) -> None:
    """Changes the terms of every topic."""
    for column, value in terms.items():
        conn.execute(f"update job_topic set {column} = %s", [value])


def statuses(conn: Connection) -> list[str]:
    return [row[0] for row in conn.execute("select status::text from job_queue order by id")]


def until_statuses(conn: Connection, *wanted: str) -> None:
    assert wait_until(lambda: statuses(conn) == list(wanted), WAIT_SECONDS), statuses(conn)
