"""What a job queue looks like from inside of Postgres: its oldest job, its size, and how much of it is dead."""

import time
from dataclasses import dataclass

from tests.benchmarks.measuring import Connection, children, ended_children_cpu, thread_cpu, value

_LOOK = """
select extract(epoch from now() - process_after)::float8 from job_queue
where topic = %s and status = 'pending' and process_after <= now() and log_offset is not null
order by process_after, id
limit 100
"""
_DEAD = "select n_live_tup, n_dead_tup from pg_stat_user_tables where relname = 'job_queue'"
_INDEXES = """
select indexrelid::regclass::text, pg_relation_size(indexrelid) from pg_index where indrelid = 'job_queue'::regclass
order by 1
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """One moment of a queue.

    Attributes:
        accepted: how many jobs have been given an offset so far.
        oldest_s: how long the oldest of those that are due has waited.
        table_bytes: of the table alone.
        index_bytes: of each index.
        live: rows, as Postgres counts them.
        dead: rows that are dead and not yet removed, as Postgres counts them.
        look_ms: how long it takes to find the first due jobs from the very beginning of the index.
        wal: where the WAL ends.
    """

    accepted: int
    oldest_s: float
    table_bytes: int
    index_bytes: dict[str, int]
    live: int
    dead: int
    look_ms: float
    wal: int


def look_at(conn: Connection, topic: str) -> Queue:
    """Looks at a queue, from a session of the benchmark's own."""
    began = time.perf_counter()
    due = conn.execute(_LOOK, [topic]).fetchall()
    spent = time.perf_counter() - began
    live, dead = conn.execute(_DEAD).fetchone() or (0, 0)
    return Queue(
        accepted=accepted(conn),
        oldest_s=due[0][0] if due else 0.0,
        table_bytes=value(conn, "select pg_relation_size('job_queue')"),
        index_bytes=dict(conn.execute(_INDEXES).fetchall()),
        live=live,
        dead=dead,
        look_ms=1000 * spent,
        wal=int(value(conn, "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")),
    )


def accepted(conn: Connection) -> int:
    """How many jobs have been given an offset so far."""
    return int(value(conn, "select coalesce(sum(next_offset), 0) from job_partition"))


def server_cpu(pid: int) -> float:
    """CPU seconds of a postmaster's processes so far, sessions that have ended included."""
    used = ended_children_cpu(pid)
    for child in children(pid):
        try:
            used += thread_cpu(child)
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
    return used
