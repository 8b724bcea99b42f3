"""What a run costs both servers, as the operating system and Postgres count it."""

from dataclasses import dataclass

from migrator.embedded.process import wait_until
from tests.benchmarks.measuring import Connection, children, ended_children_cpu, process_cpu, thread_cpu, value
from tests.benchmarks.parts import Parts, Server

_SESSION_END_SECONDS = 5.0
_DEAD = "select coalesce(sum(n_dead_tup), 0)::bigint from pg_stat_user_tables"
_COMMITTED = "select xact_commit from pg_stat_database where datname = current_database()"


@dataclass(frozen=True, slots=True)
class Costs:
    """What was used from one moment to another.

    Attributes:
        backend_cpu: CPU seconds of the sessions, which had all been closed by then.
        server_cpu: CPU seconds of Postgres' own processes: WAL writer, checkpointer, I/O workers.
        broker_cpu: CPU seconds of Kafka.
        wal_bytes: the WAL that was written.
        commits: transactions that were committed, those that only read included.
        dead_tuples: the rows' old versions that nobody has tidied up yet.
    """

    backend_cpu: float
    server_cpu: float
    broker_cpu: float
    wal_bytes: int
    commits: int
    dead_tuples: int


class Meter:
    """Counters of the servers from one moment to another.

    Args:
        on: the server, or both of them.
        conn: a session of the benchmark's own, which counts for nothing.
    """

    def __init__(self, on: Server, conn: Connection) -> None:
        self._on = on
        self._conn = conn
        self._own = conn.info.backend_pid
        self._wal = value(conn, "select pg_current_wal_insert_lsn()")
        self._commits = value(conn, _COMMITTED)
        self._dead = value(conn, _DEAD)
        self._helpers = [pid for pid in children(on.server.pid) if pid != self._own]
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        helpers = sum(map(thread_cpu, self._helpers))
        broker = process_cpu(self._on.kafka.pid) if isinstance(self._on, Parts) else 0.0
        return ended_children_cpu(self._on.server.pid), helpers, broker

    def costs(self) -> Costs:
        """What has been used since; waits for sessions that are ending, so that they are counted."""
        known = {self._own, *self._helpers}
        assert wait_until(lambda: set(children(self._on.server.pid)) <= known, _SESSION_END_SECONDS)
        backend, helpers, broker = (after - before for after, before in zip(self._now(), self._before, strict=True))
        wal = value(self._conn, f"select pg_current_wal_insert_lsn() - '{self._wal}'::pg_lsn")
        commits = value(self._conn, _COMMITTED) - self._commits
        dead = value(self._conn, _DEAD) - self._dead
        return Costs(backend, helpers, broker, int(wal), int(commits), int(dead))
