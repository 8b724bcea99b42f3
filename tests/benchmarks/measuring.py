"""What the benchmarks share: CPU time of processes, medians with their spread, tables, raw results."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import confluent_kafka
import psycopg
from psycopg.rows import TupleRow

from migrator.embedded.classpath import KAFKA_VERSION

Connection = psycopg.Connection[TupleRow]

RESULTS = Path(__file__).with_name("results")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeats of one figure."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, digits: int = 2) -> str:
        """The median, and behind it the least and the greatest."""
        return f"{self.median:,.{digits}f} [{min(self.values):,.{digits}f}..{max(self.values):,.{digits}f}]"


class Stopwatch:
    """Seconds of wall clock, and of CPU of this process, since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    @property
    def wall(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def cpu(self) -> float:
        return time.process_time() - self._cpu


def thread_cpu(pid: int) -> float:
    """CPU seconds of a process with one thread, such as a Postgres backend, in nanosecond steps."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def process_cpu(pid: int) -> float:
    """CPU seconds of all threads of a process, in steps of 10 ms."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def ended_children_cpu(pid: int) -> float:
    """CPU seconds of the children of a process that have ended: of a postmaster, its closed sessions."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / _TICKS


def peak_memory(pid: int) -> int:
    """The most bytes that a process has held so far; 0 when it has ended.

    Not ``ru_maxrss``: that begins with what the parent held at the moment of exec.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def children(pid: int) -> list[int]:
    """The children of a process that run now."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def machine(conn: Connection) -> dict[str, Any]:
    """What the figures were taken on."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    return {
        "cpu": model.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024**2, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
        "librdkafka": confluent_kafka.libversion()[0],
        "kafka": KAFKA_VERSION,
        "load_before": os.getloadavg()[0],
        "postgres": {name: value(conn, f"show {name}") for name in names},
    }


def value(conn: Connection, query: str) -> Any:
    """The one value that a query returns."""
    row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown that is also aligned for the eye."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    ruled = [head, ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in ruled
    )


def say(text: str) -> None:
    """Write a line for the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a line about what goes on."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


def save(name: str, document: dict[str, Any]) -> Path:
    """Keep a run's raw figures; returns where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
