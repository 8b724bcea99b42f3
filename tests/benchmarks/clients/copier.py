"""Copies the rows of jobs into ``job_queue``: the limit that producing is held against."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from time import time

import psycopg

from shim.store import append
from shim.store.partitioner import partition_for
from shim.store.rows import Framer, encode_tail
from shim.store.schema import store_line
from shim.store.values import View
from tests.benchmarks.clients import parent
from tests.benchmarks.jobs import HEADER, PARTITIONS, jobs

_POSTGRES_EPOCH = 946_684_800


@dataclass(frozen=True, slots=True)
class Copy:
    """Copies rows that have been encoded before the clock starts, by one connection, and does nothing else.

    Attributes:
        dsn: where the table is.
        topic: what the rows say.
        messages: how many there are.
        batch: how many go in one transaction.
    """

    dsn: str
    topic: str
    messages: int
    batch: int


def main() -> None:
    """Copy."""
    task = parent.task(Copy)
    statements = append.load(store_line().schemas)
    batches = list(_batches(task))
    with psycopg.connect(task.dsn, autocommit=True) as conn:
        clock = parent.ready()
        for rows in batches:
            with conn.transaction():
                append.copy_rows(conn, statements, rows)
        clock.stop()
    parent.tell(clock.document())


def _batches(task: Copy) -> Iterator[list[bytes]]:
    """The rows as the shim would write them, partition by partition within a batch, which suits the indexes."""
    rows = list(_rows(task.topic, task.messages))
    for start in range(0, len(rows), task.batch):
        yield [row for _, row in sorted(rows[start : start + task.batch], key=lambda one: one[0])]


def _rows(topic: str, messages: int) -> Iterator[tuple[int, bytes]]:
    now = time()
    now_us = int((now - _POSTGRES_EPOCH) * 1e6)
    framers = [Framer(topic, partition, now_us=now_us, parked=False) for partition in range(PARTITIONS)]
    following: Counter[int] = Counter()
    for key, value, trace in jobs(messages):
        partition = partition_for("consistent_random", key, PARTITIONS) or 0
        tail = encode_tail(key, value, [(HEADER.encode(), trace)], int(now * 1000), View("json", value))
        yield partition, framers[partition].frame(following[partition], tail)
        following[partition] += 1


if __name__ == "__main__":
    main()
