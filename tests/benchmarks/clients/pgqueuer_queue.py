"""Enqueues and works off jobs of PgQueuer, by its own client on asyncpg."""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
from pgqueuer import PgQueuer as Worker
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from tests.benchmarks.clients import parent
from tests.benchmarks.jobs import HEADER, jobs

ENTRYPOINT = "send-mail"


@dataclass(frozen=True, slots=True)
class PgQueuer:
    """Enqueues jobs in batches, or works them off with a handler that does nothing: all of them, or for a while.

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
    """Puts PgQueuer's tables into a database."""

    async def run() -> None:
        conn = await asyncpg.connect(dsn)
        await Queries(AsyncpgDriver(conn)).install()
        await conn.close()

    asyncio.run(run())


def main() -> None:
    """Send, receive or work."""
    task = parent.task(PgQueuer)
    actions = {"send": _send, "receive": _receive, "work": _work}
    parent.tell(asyncio.run(actions[task.action](task)))


async def _send(task: PgQueuer) -> dict[str, Any]:
    values: list[bytes | None] = []
    headers: list[dict[str, str] | None] = []
    for key, value, trace in jobs(task.messages):
        values.append(value)
        headers.append({"key": key.decode(), HEADER: trace.decode()})
    conn = await asyncpg.connect(task.dsn)
    queries = Queries(AsyncpgDriver(conn))
    sent = 0
    clock = parent.ready()
    for start in range(0, task.messages, task.batch):
        payloads = values[start : start + task.batch]
        count = len(payloads)
        arguments = [ENTRYPOINT] * count, payloads, [0] * count
        sent += len(await queries.enqueue(*arguments, headers=headers[start : start + task.batch]))
    clock.stop()
    await conn.close()
    return {**clock.document(), "delivered": sent}


async def _receive(task: PgQueuer) -> dict[str, Any]:
    conn = await asyncpg.connect(task.dsn)
    worker = Worker(AsyncpgDriver(conn))
    seen: set[object] = set()
    count = 0

    async def handle(job: Any) -> None:
        nonlocal count
        count += 1
        seen.add(job.id)

    worker.entrypoint(ENTRYPOINT)(handle)
    clock = parent.ready()
    # It refuses fewer tasks than two batches.
    await worker.run(batch_size=task.batch, max_concurrent_tasks=2 * task.batch, mode=QueueExecutionMode.drain)
    clock.stop()
    return {**clock.document(), "messages": count, "lost": task.messages - len(seen), "doubled": count - len(seen)}


async def _work(task: PgQueuer) -> dict[str, Any]:
    conn = await asyncpg.connect(task.dsn)
    worker = Worker(AsyncpgDriver(conn))
    count = 0

    async def handle(_: Any) -> None:
        nonlocal count
        count += 1

    worker.entrypoint(ENTRYPOINT)(handle)
    clock = parent.ready()
    asyncio.get_running_loop().call_later(task.seconds, worker.shutdown.set)
    await worker.run(batch_size=task.batch, max_concurrent_tasks=2 * task.batch)
    clock.stop()
    assert count < task.messages, f"the queue is empty after {count} jobs: raise --backlog"
    return {**clock.document(), "jobs": count}


if __name__ == "__main__":
    main()
