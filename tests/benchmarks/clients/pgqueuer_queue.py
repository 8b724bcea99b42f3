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
    """Enqueues jobs in batches, or works them off with a handler that does nothing.

    Attributes:
        dsn: where the queue is.
        action: ``send`` or ``receive``.
        messages: how many jobs.
        batch: how many at once.
    """

    dsn: str
    action: str
    messages: int
    batch: int


def install(dsn: str) -> None:
    """Puts PgQueuer's tables into a database."""

    async def run() -> None:
        conn = await asyncpg.connect(dsn)
        await Queries(AsyncpgDriver(conn)).install()
        await conn.close()

    asyncio.run(run())


def main() -> None:
    """Send or receive."""
    task = parent.task(PgQueuer)
    parent.tell(asyncio.run(_send(task) if task.action == "send" else _receive(task)))


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


if __name__ == "__main__":
    main()
