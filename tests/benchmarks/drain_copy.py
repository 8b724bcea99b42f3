"""The drain against its limit: COPY of the same rows, encoded beforehand, into the same table of the same server.

Run it with ``python -m tests.benchmarks.drain_copy``; it starts Apache Kafka and a Postgres of its own. The two
alternate, each into a fresh database, and every pair gives one ratio.
"""

import argparse
import json
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from migrator.drain.options import DEFAULT_BATCH_ROWS
from shim.store import append
from shim.store.rows import RowEncoder
from shim.store.schema import store_line
from shim.store.values import View
from tests.benchmarks.measuring import (
    Connection,
    Spread,
    Stopwatch,
    machine,
    note,
    peak_memory,
    save,
    say,
    table,
    value,
)
from tests.benchmarks.metering import Costs, Meter
from tests.benchmarks.parts import Parts, parts, produce, read
from tests.benchmarks.processes import environment, python

Rows = Sequence[bytes]
_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of either side.

    Attributes:
        seconds: wall clock; of the drain from the start of its process to the end.
        client_cpu: CPU seconds of the client's process, all threads.
        costs: what the servers used.
        table_bytes: the table with its indexes.
        peak_bytes: the most memory that the client's process held; 0 where it is this process.
        told: what the drain said of itself.
    """

    seconds: float
    client_cpu: float
    costs: Costs
    table_bytes: int
    peak_bytes: int
    told: dict[str, Any]


def encode(bootstrap_servers: str, topic: str, messages: int, writers: int) -> list[list[Rows]]:
    """The topic's rows as the drain would encode them, in batches of its size, for each writer."""
    encoder = RowEncoder(topic, now_us=0, parked=True)
    batches: list[list[Rows]] = [[] for _ in range(writers)]
    open_rows: list[list[tuple[int, bytes]]] = [[] for _ in range(writers)]
    for records in read(bootstrap_servers, topic, messages):
        for _, partition, offset, key, body, headers, timestamp_ms, kind in records:
            view = View("json", body or b"")
            row = encoder.encode(partition, offset, key, body, headers, timestamp_ms, kind, view)
            mine = open_rows[partition % writers]
            mine.append((partition, row.copy))
            if len(mine) == DEFAULT_BATCH_ROWS:
                batches[partition % writers].append(_ordered(mine))
                mine.clear()
    for writer, rows in enumerate(open_rows):
        batches[writer] += [_ordered(rows)] if rows else []
    return batches


def _ordered(rows: list[tuple[int, bytes]]) -> Rows:
    return [row for _, row in sorted(rows, key=lambda one: one[0])]


def copy(on: Parts, batches: list[list[Rows]]) -> Figures:
    """The limit: COPY and nothing else, each writer in a thread with a connection of its own."""
    statements = append.load(store_line().schemas)

    def write(url: str, mine: list[Rows]) -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            for rows in mine:
                with conn.transaction():
                    append.copy_rows(conn, statements, rows)

    with on.database() as (url, conn), ThreadPoolExecutor(len(batches)) as pool:
        meter, watch = Meter(on, conn), Stopwatch()
        list(pool.map(lambda mine: write(url, mine), batches))
        wall, cpu = watch.wall, watch.cpu
        _check(conn, sum(len(rows) for mine in batches for rows in mine))
        return Figures(wall, cpu, meter.costs(), _table_bytes(conn), 0, {})


def drain(on: Parts, topic: str, messages: int, writers: int) -> Figures:
    """The drain, in a process of its own."""
    with on.database() as (url, conn):
        meter = Meter(on, conn)
        wall, cpu, peak, told = run_process(_drain(on, topic, url, writers))
        _check(conn, messages)
        return Figures(wall, cpu, meter.costs(), _table_bytes(conn), peak, told)


def warm_up(on: Parts, topic: str) -> None:
    """Has Python compile the drain's modules, which an installed package is spared."""
    with on.database() as (url, _):
        run_process([*_drain(on, topic, url, 1), "--dry-run"])


def _drain(on: Parts, topic: str, url: str, writers: int) -> list[str]:
    sides = ["--dsn", url, "--bootstrap-servers", on.kafka.bootstrap_servers]
    return ["migrator", "drain", "--topic", topic, *sides, "--writers", str(writers), "--json"]


def run_process(arguments: Sequence[str]) -> tuple[float, float, int, dict[str, Any]]:
    """Runs ``python -m`` with arguments: seconds, CPU seconds, peak memory, and the JSON that it printed."""
    before, watch, peak = _children_cpu(), Stopwatch(), 0
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(python("-m", *arguments), stdout=answer, stderr=complaints, env=environment())
        while process.returncode is None:
            peak = max(peak, peak_memory(process.pid))
            try:
                process.wait(_SAMPLE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        wall = watch.wall
        for file in (answer, complaints):
            file.seek(0)
        assert process.returncode == 0, complaints.read()[-4000:]
        return wall, _children_cpu() - before, peak, json.loads(answer.read())


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _table_bytes(conn: Connection) -> int:
    return int(value(conn, "select pg_total_relation_size('job_queue')"))


def _check(conn: Connection, rows: int) -> None:
    found = value(conn, "select count(*) from job_queue")
    assert found == rows, f"{found} rows instead of {rows}"


def report(messages: int, runs: dict[str, list[Figures]], reads: list[dict[str, Any]]) -> str:
    """The tables that are printed."""
    head = ("side", "rows/s", "client us", "backend us", "postgres us", "broker us", "table B", "WAL B", "peak MiB")
    lines = []
    for side, passes in runs.items():
        per_row = [
            Spread.of(seconds / messages * 1e6 for seconds in used).text()
            for used in zip(
                *[
                    (one.client_cpu, one.costs.backend_cpu, one.costs.server_cpu, one.costs.broker_cpu)
                    for one in passes
                ],
                strict=True,
            )
        ]
        last = passes[-1]
        sizes = [f"{size / messages:.0f}" for size in (last.table_bytes, last.costs.wal_bytes)]
        rows_rate = Spread.of(messages / one.seconds for one in passes).text(0)
        peak = Spread.of(one.peak_bytes / 2**20 for one in passes)
        lines.append((side, rows_rate, *per_row, *sizes, peak.text(0) if peak.median else "-"))
    pairs = Spread.of(limit.seconds / ours.seconds for limit, ours in zip(runs["copy"], runs["drain"], strict=True))
    text = [table(head, lines), f"drain / COPY, per pair: {pairs.text()}"]
    if own := [one.told["rows_per_second"] for one in runs["drain"] if one.told.get("rows_per_second")]:
        text.append(f"the drain's own count, without the start of Python: {Spread.of(own).text(0)} rows/s")
    if reads:
        rate, cpu, python = (
            Spread.of(figure)
            for figure in (
                [one["messages"] / one["seconds"] for one in reads],
                [one["cpu"] / one["messages"] * 1e6 for one in reads],
                [one["python_cpu"] / one["messages"] * 1e6 for one in reads],
            )
        )
        text.append(f"read and decoded only: {rate.text(0)}/s, {cpu.text()} us CPU, of it Python {python.text()}")
    return "\n".join(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--writers", type=int, choices=(1, 2), default=1)
    arguments = parser.parse_args()
    messages, writers = arguments.messages, arguments.writers
    runs: dict[str, list[Figures]] = {"copy": [], "drain": []}
    reads: list[dict[str, Any]] = []
    with parts() as on:
        servers = on.kafka.bootstrap_servers
        topic = produce(servers, messages)
        batches = encode(servers, topic, messages, writers)
        note("rows encoded")
        warm_up(on, topic)
        with on.database() as (_, conn):
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        for repeat in range(arguments.repeats):
            runs["copy"].append(copy(on, batches))
            runs["drain"].append(drain(on, topic, messages, writers))
            reads.append(run_process(["tests.benchmarks.read_topic", servers, topic, str(messages)])[3])
            note(f"repeat {repeat + 1}: {runs['copy'][-1].seconds / runs['drain'][-1].seconds:.2f}")
    document |= {side: [asdict(one) for one in passes] for side, passes in runs.items()} | {"reads": reads}
    say(report(messages, runs, reads))
    say(f"raw figures: {save('drain_copy', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
