"""What the sessions of a database do meanwhile: how many there are and are busy, what they execute, what that costs."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from migrator.embedded.postgres import EmbeddedPostgres
from tests.benchmarks.measuring import children, ended_children_cpu, table, thread_cpu, value

_SAMPLE_SECONDS = 0.2
_SHOWN_LETTERS = 90
_EXECUTED = """
select query, sum(calls), sum(total_exec_time)
from pg_stat_statements join pg_database on pg_database.oid = dbid
where datname = %s
group by query
order by sum(total_exec_time) desc
"""
_SESSIONS = """
select application_name, state <> 'idle'
from pg_stat_activity
where datname = %s and backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text, how often a second it was executed, and how many milliseconds each took."""

    text: str
    rate: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What sessions used.

    Attributes:
        open: connections, the most at one moment.
        open_in_process: the most of one process.
        busy: those in a statement or a transaction, the most at one moment.
        busy_in_process: the most of one process.
        executed: what was executed, the most expensive first.
        backends: CPU seconds of the sessions, in each second; planning and sending are in them.
        server: the same of Postgres' own processes.
        wal_bytes: WAL that was written, in each second.
    """

    open: int
    open_in_process: int
    busy: int
    busy_in_process: int
    executed: list[Statement]
    backends: float
    server: float
    wal_bytes: float

    @property
    def statements(self) -> float:
        """Statements a second."""
        return sum(one.rate for one in self.executed)

    def text(self, shown: int) -> str:
        """The table of the most expensive ones."""
        lines = [
            (
                f"{one.rate:.2f}",
                f"{one.milliseconds:.3f}",
                f"{one.rate * one.milliseconds / 10:.2f}",
                " ".join(one.text.split())[:_SHOWN_LETTERS],
            )
            for one in self.executed[:shown]
        ]
        return table(("executions/s", "ms each", "% of a core", "statement"), lines)


class SessionWatch:
    """Watches one database's sessions from another database, so that it counts for nothing.

    Args:
        server: the server, with ``pg_stat_statements``.
        url: the database; each process has an application name of its own there.

    Attributes:
        usage: what `look` saw.
    """

    def __init__(self, server: EmbeddedPostgres, url: str) -> None:
        self._server = server
        self._database = url.rpartition("/")[2]
        self.usage: Usage | None = None

    def __enter__(self) -> Self:
        self._conn = psycopg.connect(self._server.url, autocommit=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._conn.close()

    def look(self, seconds: float) -> None:
        """Watches for a while."""
        conn = self._conn
        conn.execute("select pg_stat_statements_reset()")
        wal = value(conn, "select pg_current_wal_insert_lsn()")
        before, began = self._cpu(), time.monotonic()
        samples = list(self._samples(began + seconds))
        elapsed = time.monotonic() - began
        backends, server = ((after - earlier) / elapsed for after, earlier in zip(self._cpu(), before, strict=True))
        written = float(value(conn, f"select pg_current_wal_insert_lsn() - '{wal}'::pg_lsn"))
        rows = conn.execute(_EXECUTED, (self._database,)).fetchall()
        self.usage = Usage(
            open=max(sum(seen.values()) for seen, _ in samples),
            open_in_process=max(max(seen.values(), default=0) for seen, _ in samples),
            busy=max(sum(busy.values()) for _, busy in samples),
            busy_in_process=max(max(busy.values(), default=0) for _, busy in samples),
            executed=[Statement(text, float(calls) / elapsed, spent / float(calls)) for text, calls, spent in rows],
            backends=backends,
            server=server,
            wal_bytes=written / elapsed,
        )

    def _samples(self, end: float) -> Iterator[tuple[Counter[str], Counter[str]]]:
        """Connections by process, five times a second: those that are open, and of them those that are busy."""
        while time.monotonic() < end:
            rows = self._conn.execute(_SESSIONS, (self._database,)).fetchall()
            yield Counter(name for name, _ in rows), Counter(name for name, busy in rows if busy)
            time.sleep(_SAMPLE_SECONDS)

    def _cpu(self) -> tuple[float, float]:
        """CPU seconds of the database's sessions, and of Postgres' own processes."""
        sessions, helpers = ended_children_cpu(self._server.pid), 0.0
        for pid in children(self._server.pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                used, title = thread_cpu(pid), Path(f"/proc/{pid}/cmdline").read_text()
                if self._database in title:
                    sessions += used
                elif pid != self._conn.info.backend_pid:
                    helpers += used
        return sessions, helpers
