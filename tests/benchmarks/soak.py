"""Jobs at a fixed rate for an hour, with a transaction held open in the middle: does the queue keep up?

Run it with ``python -m tests.benchmarks.soak``; it starts a Postgres of its own, which vacuums as it does by default.
A producer keeps to its rate in a process of its own, workers of a share group do nothing with the jobs but accept them,
and retention sweeps finished ones. Every minute becomes a row, in a file and in the table at the end. In some minutes
jobs come in a burst on top: how fast those are worked off is the most that the queue can do at that time.

The exit status is 1 when a job was lost, or was done twice by its token.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise, zip_longest
from pathlib import Path
from statistics import quantiles

import psycopg

from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import wait_until
from shim.store import topics
from shim.store.schema import store_line, upgrade
from tests.benchmarks.clients.sender import Send
from tests.benchmarks.clients.worker import Work
from tests.benchmarks.holding import held
from tests.benchmarks.measuring import RESULTS, Connection, machine, note, process_cpu, say, table, value
from tests.benchmarks.processes import Application
from tests.benchmarks.queues import Queue, look_at, server_cpu

_TOPIC = "emails"
_GROUP = "workers"
_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}
_PRODUCER = {"queue.buffering.max.messages": 1_000_000}
_BURST_SECONDS = 2.0
_BURST_AFTER = 15.0
_DRAINED_SECONDS = 300.0
_PEAK_SECONDS = 3
_KIB = 1024
_KEPT_FOR = """
select column_name from information_schema.columns
where table_name = 'job_topic' and column_name in ('retention_ms', 'completed_retention_ms')
"""
_HEAD = (
    *("minute", "held", "produced/s", "completed/s", "peak/s", "claim p50", "p99 ms", "age p50", "p99 ms"),
    *("depth", "oldest s", "look ms", "dead", "live", "table MiB", "claim idx", "recovery idx", "indexes MiB"),
    *("WAL B/job", "server %", "clients %"),
)


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute brought.

    Attributes:
        minute: its number, from 1.
        seconds: how long it was.
        held: whether a transaction was held open.
        burst: how many jobs came on top.
        produced: jobs a second that were accepted.
        completed: jobs a second that workers were given.
        peak: jobs a second in its busiest three seconds.
        claim_ms: median and 99th percentile of a claim, as the client sees it.
        age_ms: the same of the time from `produce()` to `poll()`.
        depth: how many jobs were accepted by its end, and not yet given to a worker.
        queue: the queue at its end.
        wal_bytes: the WAL of this minute.
        server: cores that Postgres used.
        clients: cores that producer and workers used.
        again: jobs that had been delivered before.
        late: acknowledgements that came too late.
    """

    minute: int
    seconds: float
    held: bool
    burst: int
    produced: float
    completed: float
    peak: float
    claim_ms: tuple[float, float]
    age_ms: tuple[float, float]
    depth: int
    queue: Queue
    wal_bytes: int
    server: float
    clients: float
    again: int
    late: int


class Soak:
    """A producer and workers side by side, looked at once a minute."""

    def __init__(self, arguments: argparse.Namespace, server: EmbeddedPostgres, journal: Path) -> None:
        self._arguments = arguments
        self._server = server
        self._journal = journal
        self._url = server.url
        hold_end = arguments.hold_from + arguments.hold_minutes
        self._held_minutes = range(arguments.hold_from + 1, hold_end + 1)
        self._burst_minutes = {
            *(arguments.hold_from, hold_end, hold_end + 2),
            *(arguments.hold_from + number for number in (1, 3, 5, 10) if number <= arguments.hold_minutes),
        }

    def run(self, conn: Connection) -> Iterator[Minute]:
        """Runs all of it, minute by minute."""
        with ExitStack() as stack:
            workers = [
                stack.enter_context(Application(self._work(number))) for number in range(self._arguments.workers)
            ]
            sender = stack.enter_context(Application(self._send(self._arguments.minutes * 60.0, self._arguments.rate)))
            for one in [*workers, sender]:
                assert one.hear() == {"ready": True}
            for one in [*workers, sender]:
                one.go()
            self._producers = [sender]
            yield from self._minutes(conn, workers)
            self.unsent = self._end(conn, sender, workers)

    def _minutes(self, conn: Connection, workers: Sequence[Application]) -> Iterator[Minute]:
        began, given = time.monotonic(), 0
        moment = began
        queue, server, clients = look_at(conn, _TOPIC), self._server_cpu(), self._client_cpu(workers)
        with ExitStack() as holding:
            for number in range(1, self._arguments.minutes + 1):
                if number == self._held_minutes.start:
                    holding.enter_context(held(self._url))
                    note("a transaction is held open")
                if number == self._held_minutes.stop:
                    holding.close()
                    note("it has ended")
                end = began + 60.0 * number
                burst = self._burst() if number in self._burst_minutes else 0
                time.sleep(max(end - time.monotonic(), 0.0))
                told = _answers(workers)
                now, queue_now = time.monotonic(), look_at(conn, _TOPIC)
                server_now, clients_now = self._server_cpu(), self._client_cpu(workers)
                seconds = now - moment
                given += sum(told.seconds.values())
                yield Minute(
                    minute=number,
                    seconds=seconds,
                    held=number in self._held_minutes,
                    burst=burst,
                    produced=(queue_now.accepted - queue.accepted) / seconds,
                    completed=sum(told.seconds.values()) / seconds,
                    peak=_peak(told.seconds),
                    claim_ms=_percentiles(told.claims),
                    age_ms=_percentiles(told.ages),
                    depth=max(queue_now.accepted - given, 0),
                    queue=queue_now,
                    wal_bytes=queue_now.wal - queue.wal,
                    server=(server_now - server) / seconds,
                    clients=(clients_now - clients) / seconds,
                    again=told.again,
                    late=told.late,
                )
                moment, queue, server, clients = now, queue_now, server_now, clients_now

    def _burst(self) -> int:
        """Adds jobs as fast as a producer can, some seconds after the minute's beginning."""
        rate = self._arguments.burst / _BURST_SECONDS
        with Application(self._send(_BURST_SECONDS, rate)) as sender:
            assert sender.hear() == {"ready": True}
            time.sleep(_BURST_AFTER)
            sender.go()
            answer = sender.hear()
        assert not answer["failed"]
        return int(answer["sent"])

    def _end(self, conn: Connection, sender: Application, workers: Sequence[Application]) -> int:
        """Waits until all is worked off, and has the workers leave their journals; how many jobs were not accepted."""
        answer = sender.hear()
        unfinished = "select count(*) from job_queue where status in ('pending', 'processing')"
        # A worker settles its last batch with its next poll.
        assert wait_until(lambda: value(conn, unfinished) == 0, _DRAINED_SECONDS), "not all jobs were done in time"
        _answers(workers)
        return int(answer["failed"])

    def _work(self, number: int) -> Work:
        journal = str(self._journal / str(number))
        told = {"group.id": _GROUP, "max.poll.records": self._arguments.batch, "client.id": f"worker-{number}"}
        return Work(self._url, _TOPIC, self._arguments.partitions, self._arguments.minutes + 1, journal, told)

    def _send(self, seconds: float, rate: float) -> Send:
        return Send("shim", self._url, _TOPIC, seconds, rate, dict(_PRODUCER))

    def _server_cpu(self) -> float:
        return server_cpu(self._server.pid)

    def _client_cpu(self, workers: Sequence[Application]) -> float:
        return sum(process_cpu(one.pid) for one in (*workers, *self._producers))


@dataclass(frozen=True, slots=True)
class Told:
    """What all workers had to say."""

    seconds: Counter[int]
    claims: list[float]
    ages: list[float]
    again: int
    late: int


def _answers(workers: Sequence[Application]) -> Told:
    for worker in workers:
        worker.go()
    answers = [worker.hear() for worker in workers]
    seconds = Counter[int]()
    for answer in answers:
        seconds.update({int(second): jobs for second, jobs in answer["seconds"].items()})
    return Told(
        seconds,
        [one for answer in answers for one in answer["claims"]],
        [one for answer in answers for one in answer["ages"]],
        sum(answer["again"] for answer in answers),
        sum(answer["late"] for answer in answers),
    )


def _peak(seconds: Mapping[int, int]) -> float:
    starts = range(min(seconds, default=0), max(seconds, default=0) + 1)
    sums = (sum(seconds.get(start + step, 0) for step in range(_PEAK_SECONDS)) for start in starts)
    return max(sums, default=0) / _PEAK_SECONDS


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    if len(times) <= 1:
        return (0.0, 0.0)
    hundredths = quantiles(times, n=100)
    return hundredths[49], hundredths[98]


def _row(minute: Minute) -> list[str]:
    queue = minute.queue
    mib = {name: size / _KIB**2 for name, size in queue.index_bytes.items()}
    jobs = minute.produced * minute.seconds
    return [
        str(minute.minute),
        "held" if minute.held else "",
        f"{minute.produced:,.0f}",
        f"{minute.completed:,.0f}",
        f"{minute.peak:,.0f}" if minute.burst else "",
        *(f"{one:.1f}" for one in (*minute.claim_ms, *minute.age_ms)),
        f"{minute.depth:,}",
        f"{queue.oldest_s:.2f}",
        f"{queue.look_ms:.2f}",
        f"{queue.dead:,}",
        f"{queue.live:,}",
        f"{queue.table_bytes / _KIB**2:,.0f}",
        f"{mib['job_queue_claim_idx']:,.0f}",
        f"{mib['job_queue_recovery_idx']:,.0f}",
        f"{sum(mib.values()):,.0f}",
        f"{minute.wal_bytes / jobs:,.0f}" if jobs else "-",
        f"{100 * minute.server:.0f}",
        f"{100 * minute.clients:.0f}",
    ]


def judge(conn: Connection, journal: Path, partitions: int) -> dict[str, int]:
    """What became of every job: by what workers were told, and by what stands in the table."""
    counts: Counter[str] = Counter()
    for partition in range(partitions):
        marks = [(worker / str(partition)).read_bytes() for worker in journal.iterdir()]
        times = Counter(map(sum, zip_longest(*marks, fillvalue=0)))
        counts["completed"] += sum(jobs for told, jobs in times.items() if told)
        counts["doubled"] += sum(jobs for told, jobs in times.items() if told > 1)
    counts["accepted"] = value(conn, "select sum(next_offset) from job_partition")
    counts["failed"] = value(conn, "select count(*) from job_queue where status = 'failed'")
    counts["lost"] = counts["accepted"] - counts["completed"] - counts["failed"]
    return {name: int(counts[name]) for name in ("accepted", "completed", "lost", "doubled", "failed")}


def _prepare(conn: Connection, arguments: argparse.Namespace) -> None:
    upgrade(conn, store_line())
    topics.create_topic(conn, topics.load(store_line().schemas), _TOPIC, arguments.partitions)
    kept_for = conn.execute(_KEPT_FOR).fetchall()
    for (column,) in kept_for:
        conn.execute(f"update job_topic set {column} = %s".encode(), [int(arguments.keep_minutes * 60_000)])


def _summary(minutes: Sequence[Minute]) -> str:
    """The rates before, while and after the transaction was held."""
    edges = [index for index, (one, other) in enumerate(pairwise(minutes), 1) if one.held != other.held]
    parts = [minutes[start:end] for start, end in pairwise([0, *edges, len(minutes)])]
    lines = [
        (
            f"{part[0].minute} to {part[-1].minute}",
            "held" if part[0].held else "",
            f"{min(one.completed for one in part):,.0f}..{max(one.completed for one in part):,.0f}",
            ", ".join(f"{one.peak:,.0f}" for one in part if one.burst),
            f"{max(one.claim_ms[1] for one in part):,.1f}",
            f"{max(one.depth for one in part):,}",
        )
        for part in parts
        if part
    ]
    return table(("minutes", "", "completed/s", "peaks/s", "claim p99 at most", "depth at most"), lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=float, default=2000, help="jobs a second")
    parser.add_argument("--hold-from", type=int, default=20, help="minutes before a transaction is held open")
    parser.add_argument("--hold-minutes", type=int, default=10)
    parser.add_argument("--burst", type=int, default=40_000, help="jobs that come on top, in some minutes")
    parser.add_argument("--workers", type=int, default=4, help="processes")
    parser.add_argument("--batch", type=int, default=100, help="jobs that a claim takes at most")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--keep-minutes", type=float, default=5, help="how long finished jobs are kept")
    return parser.parse_args()


def main() -> int:
    """Run, print and judge."""
    arguments = _arguments()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"soak-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    minutes: list[Minute] = []
    with (
        tempfile.TemporaryDirectory() as journal,
        path.open("w", buffering=1) as rows,
        EmbeddedPostgres(settings=_SETTINGS, fsync=True) as server,
        psycopg.connect(server.url, autocommit=True) as conn,
    ):
        _prepare(conn, arguments)
        facts = machine(conn)
        rows.write(json.dumps({"arguments": vars(arguments), "machine": facts}) + "\n")
        soak = Soak(arguments, server, Path(journal))
        for minute in soak.run(conn):
            minutes.append(minute)
            rows.write(json.dumps(asdict(minute)) + "\n")
            note(" ".join(_row(minute)))
        verdict = judge(conn, Path(journal), arguments.partitions)
        redelivered = {"again": sum(one.again for one in minutes), "late": sum(one.late for one in minutes)}
        verdict |= {"refused": soak.unsent, **redelivered}
        rows.write(json.dumps({"correctness": verdict}) + "\n")
    say(table(_HEAD, map(_row, minutes)))
    say(_summary(minutes))
    say("correctness: " + ", ".join(f"{name} {count:,}" for name, count in verdict.items()))
    say(f"raw figures: {path.name}; load now {os.getloadavg()[0]:.1f}; machine: {facts}")
    return int(verdict["lost"] != 0 or verdict["doubled"] != 0)


if __name__ == "__main__":
    sys.exit(main())
