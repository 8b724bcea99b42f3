"""Reads the rows of a topic with bare SELECTs: the limit that consuming is held against."""

from dataclasses import dataclass

import psycopg

from tests.benchmarks.clients import parent

_BOUNDS = """
select partition, min(log_offset), max(log_offset) from job_queue where topic = %s group by partition order by partition
"""
_ROWS = """
select topic, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type
from job_queue
where topic = %s and partition = %s and log_offset >= %s and log_offset < %s
order by log_offset
"""


@dataclass(frozen=True, slots=True)
class Select:
    """Fetches all rows of a topic as tuples, by one connection, and throws them away.

    Attributes:
        dsn: where the table is.
        topic: whose rows.
        batch: how many rows come at once.
        binary: whether Postgres sends them in binary.
    """

    dsn: str
    topic: str
    batch: int
    binary: bool


def main() -> None:
    """Select."""
    task = parent.task(Select)
    with psycopg.connect(task.dsn, autocommit=True) as conn:
        bounds = conn.execute(_BOUNDS, (task.topic,)).fetchall()
        cursor = conn.cursor(binary=task.binary)
        count = 0
        clock = parent.ready()
        for partition, first, last in bounds:
            for start in range(first, last + 1, task.batch):
                count += len(cursor.execute(_ROWS, (task.topic, partition, start, start + task.batch)).fetchall())
        clock.stop()
    parent.tell({**clock.document(), "messages": count})


if __name__ == "__main__":
    main()
