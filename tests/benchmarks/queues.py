"""What a job queue looks like from inside of Postgres: how deep it is, how large, and how much of it is dead."""

from dataclasses import dataclass

from tests.benchmarks.measuring import Connection, children, ended_children_cpu, thread_cpu, value

_LOOK = """
explain (analyze, buffers, format json)
select id from job_queue
where topic = '{topic}' and status = 'pending' and process_after <= now() and log_offset is not null
order by process_after, id
limit 100
"""
_DEPTH = "select count(*), coalesce(extract(epoch from now() - min(process_after)), 0)::float8 from ({due}) as due"
_DUE = "select process_after from job_queue where topic = '{topic}' and status = 'pending' and process_after <= now()"
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
        depth: how many are due.
        oldest_s: how long the oldest of them has waited.
        table_bytes: of the table alone.
        index_bytes: of each index.
        live: rows, as Postgres counts them.
        dead: rows that are dead and not yet removed, as Postgres counts them.
        look_ms: how long it takes to find the first due jobs from the very beginning of the index.
        look_buffers: how many pages that touches.
        wal: where the WAL ends.
    """

    accepted: int
    depth: int
    oldest_s: float
    table_bytes: int
    index_bytes: dict[str, int]
    live: int
    dead: int
    look_ms: float
    look_buffers: int
    wal: int


def look_at(conn: Connection, topic: str) -> Queue:
    """Looks at a queue, from a session of the benchmark's own."""
    plan = value(conn, _LOOK.format(topic=topic))[0]
    buffers = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    depth, oldest = conn.execute(_DEPTH.format(due=_DUE.format(topic=topic)).encode()).fetchone() or (0, 0.0)
    live, dead = conn.execute(_DEAD).fetchone() or (0, 0)
    return Queue(
        accepted=accepted(conn),
        depth=depth,
        oldest_s=oldest,
        table_bytes=value(conn, "select pg_relation_size('job_queue')"),
        index_bytes=dict(conn.execute(_INDEXES).fetchall()),
        live=live,
        dead=dead,
        look_ms=plan["Execution Time"],
        look_buffers=buffers,
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
