"""Sends to and reads from a queue of pgmq, by its own Python client."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pgmq
import psycopg

from tests.benchmarks.clients import parent
from tests.benchmarks.jobs import HEADER, jobs

QUEUE = "jobs"
_INVISIBLE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Pgmq:
    """Sends jobs in batches, reads and deletes them in batches, or reads and archives them for a while.

    Attributes:
        dsn: where the queue is.
        action: ``send``, ``receive`` or ``work``.
        messages: how many jobs; to work, how many there are at most.
        batch: how many at once.
        seconds: how long to work.
    """

    dsn: str
    action: str
    messages: int
    batch: int
    seconds: float = 0.0


def install(dsn: str) -> None:
    """Puts pgmq into a database, without an extension, and makes the queue."""
    with psycopg.connect(dsn) as conn:
        pgmq.install_pgmq_from_sql(conn=conn)
        conn.execute("select pgmq.create(%s)", (QUEUE,))


def main() -> None:
    """Send, receive or work."""
    task = parent.task(Pgmq)
    actions: dict[str, Callable[[Any, Pgmq], dict[str, Any]]] = {"send": _send, "receive": _receive, "work": _work}
    queue = pgmq.PGMQueue(conn_string=task.dsn, init_extension=False, pool_size=1)
    try:
        parent.tell(actions[task.action](queue, task))
    finally:
        queue.close()


def _send(queue: Any, task: Pgmq) -> dict[str, Any]:
    bodies: list[dict[str, Any]] = []
    headers: list[dict[str, Any]] = []
    for key, value, trace in jobs(task.messages):
        bodies.append(json.loads(value))
        headers.append({"key": key.decode(), HEADER: trace.decode()})
    sent = 0
    clock = parent.ready()
    for start in range(0, task.messages, task.batch):
        end = start + task.batch
        sent += len(queue.send_batch(QUEUE, bodies[start:end], headers[start:end]))
    clock.stop()
    return {**clock.document(), "delivered": sent}


def _receive(queue: Any, task: Pgmq) -> dict[str, Any]:
    seen: set[int] = set()
    count = 0
    clock = parent.ready()
    while count < task.messages:
        messages = queue.read(QUEUE, vt=_INVISIBLE_SECONDS, qty=task.batch)
        assert messages, f"the queue is empty after {count} messages"
        ids = [message.msg_id for message in messages]
        queue.delete_batch(QUEUE, ids)
        seen.update(ids)
        count += len(ids)
    clock.stop()
    return {**clock.document(), "messages": count, "lost": task.messages - len(seen), "doubled": count - len(seen)}


def _work(queue: Any, task: Pgmq) -> dict[str, Any]:
    count = 0
    clock = parent.ready()
    end = monotonic() + task.seconds
    while monotonic() < end:
        messages = queue.read_batch(QUEUE, vt=_INVISIBLE_SECONDS, batch_size=task.batch)
        assert messages, f"the queue is empty after {count} messages: raise --backlog"
        count += len(queue.archive_batch(QUEUE, [message.msg_id for message in messages]))
    clock.stop()
    return {**clock.document(), "jobs": count}


if __name__ == "__main__":
    main()
