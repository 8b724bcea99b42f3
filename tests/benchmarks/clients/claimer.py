"""Claims jobs and completes them with bare SQL: the limit that the share consumer is held against."""

from dataclasses import dataclass
from time import monotonic

import psycopg

from tests.benchmarks.clients import parent

_CLAIM = """
with due as materialized (
  select id
  from job_queue
  where topic = %s and status = 'pending' and process_after <= now()
  order by process_after, id
  limit %s
  for no key update skip locked
)
update job_queue as job
set status = 'processing', locked_at = clock_timestamp(), locked_by = 'bare'
from due
where job.id = due.id
returning job.id, job.retry_count, job.topic, job.partition, job.log_offset, job.key, job.value, job.headers,
  job.timestamp_ms, job.timestamp_type
"""
_COMPLETE = "update job_queue set status = 'completed', finished_at = clock_timestamp() where id = any(%s)"


@dataclass(frozen=True, slots=True)
class ClaimLoop:
    """Claims and completes for a while, in two statements and two commits for each batch, by one connection.

    Attributes:
        dsn: where the table is.
        topic: whose jobs.
        batch: how many at once.
        seconds: for how long.
    """

    dsn: str
    topic: str
    batch: int
    seconds: float


def main() -> None:
    """Claim and complete."""
    task = parent.task(ClaimLoop)
    count = 0
    with psycopg.connect(task.dsn, autocommit=True) as conn:
        cursor = conn.cursor(binary=True)
        clock = parent.ready()
        end = monotonic() + task.seconds
        while monotonic() < end:
            rows = cursor.execute(_CLAIM, (task.topic, task.batch)).fetchall()
            assert rows, f"the queue is empty after {count} jobs: raise --backlog"
            cursor.execute(_COMPLETE, ([row[0] for row in rows],))
            count += len(rows)
        clock.stop()
    parent.tell({**clock.document(), "jobs": count})


if __name__ == "__main__":
    main()
