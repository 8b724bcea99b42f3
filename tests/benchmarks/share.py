"""The shim's share consumer against its limit: a loop in bare SQL that claims jobs and completes them.

Run it with ``python -m tests.benchmarks.share``; it starts a Postgres of its own. Each worker is a process. Beside it
the queues of pgmq (read and archive) and PgQueuer, where they are installed. At each point, which is a batch size and a
number of workers, all sides take turns, and every pair gives one ratio.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import psycopg

from shim.store import topics
from shim.store.schema import store_line
from tests.benchmarks.clients.claimer import ClaimLoop
from tests.benchmarks.clients.producer import Produce
from tests.benchmarks.clients.sharer import Share
from tests.benchmarks.jobs import PARTITIONS
from tests.benchmarks.measuring import Spread, machine, note, save, say, table, value
from tests.benchmarks.metering import Meter
from tests.benchmarks.parts import Server, postgres_alone, tables
from tests.benchmarks.peers import Peer, peers
from tests.benchmarks.processes import Task, race
from tests.benchmarks.runs import Run, Runs, correctness, installed, ratios

TOPIC = "jobs"
LIMIT = "bare SQL"
_DONE = "(select count(*) from job_queue where status = 'completed')"
_HELD = "(select count(*) from job_queue where status = 'processing')"
_SENT_AT_ONCE = 1000
_HEAD = ("side", "jobs/s", "client us", "backend us", "WAL B/job", "dead tuples/job", "commits/job")


class Point(NamedTuple):
    """A batch size and a number of workers."""

    batch: int
    workers: int

    @property
    def text(self) -> str:
        """How the report calls it."""
        return f"batch {self.batch}, {self.workers} worker{'s' if self.workers > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that take turns.

    Attributes:
        fill: prepares an empty database, given its URL: its tables with the backlog.
        task: makes a worker's task, from the database's URL and the batch size.
        done: the SQL expression for how many jobs are done.
        held: the same for how many a worker has and has not settled.
    """

    fill: Callable[[str], None]
    task: Callable[[str, int], Task]
    done: str = _DONE
    held: str = _HELD

    def run(self, on: Server, point: Point) -> Run:
        """Works for a while on a clone of the backlog."""
        with on.database(self.fill) as (url, conn):
            meter = Meter(on, conn)
            answers = race([self.task(url, point.batch)] * point.workers)
            costs = meter.costs()
            told = sum(one["jobs"] for one in answers.each)
            done, held = value(conn, f"select {self.done}"), value(conn, f"select {self.held}")
            faults = {"doubled": max(told - done, 0), "lost": max(done - told, 0), "left held": held}
            return Run.of(told, answers, costs, faults)


def sides(arguments: argparse.Namespace) -> dict[str, Side]:
    """What takes turns, by name."""
    backlog, seconds = arguments.backlog, arguments.seconds
    fill = partial(_fill, backlog=backlog)
    found = {LIMIT: Side(fill, lambda url, batch: ClaimLoop(url, TOPIC, batch, seconds))}
    for mode in arguments.modes:
        share = partial(_share, seconds=seconds, mode=mode, prefetch_ms=arguments.prefetch)
        found[f"shim {mode}"] = Side(fill, share)
    for peer in peers(arguments.peers):
        if installed(*peer.modules):
            work = partial(_work_of, peer, backlog=backlog, seconds=seconds)
            found[peer.name] = Side(partial(_fill_peer, peer, backlog=backlog), work, peer.done, peer.held)
    return found


def _share(url: str, batch: int, *, seconds: float, mode: str, prefetch_ms: int) -> Task:
    return Share(url, TOPIC, batch, seconds, mode, prefetch_ms)


def _work_of(peer: Peer, url: str, batch: int, *, backlog: int, seconds: float) -> Task:
    return peer.task(url, "work", backlog, batch, seconds)


def _fill(url: str, *, backlog: int) -> None:
    tables(url)
    with psycopg.connect(url, autocommit=True) as conn:
        topics.create_topic(conn, topics.load(store_line().schemas), TOPIC, PARTITIONS)
        race([Produce("shim", url, TOPIC, backlog, {})])
        conn.execute("vacuum (freeze, analyze)")


def _fill_peer(peer: Peer, url: str, *, backlog: int) -> None:
    peer.install(url)
    race([peer.task(url, "send", backlog, _SENT_AT_ONCE)])
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("vacuum (freeze, analyze)")


def report(runs: Mapping[Point, Runs]) -> str:
    """What is printed."""
    parts: list[str] = []
    for point, of_sides in runs.items():
        ours = [side for side in of_sides if side.startswith("shim")]
        others = [side for side in of_sides if side not in ours]
        rows = [_row(side, passes) for side, passes in of_sides.items()]
        parts += [point.text, table(_HEAD, rows), *(ratios(of_sides, *pair) for pair in product(ours, others)), ""]
    everything = {
        f"{point.text}, {side}": passes for point, of_sides in runs.items() for side, passes in of_sides.items()
    }
    return "\n".join([*parts, correctness(everything)])


def _row(side: str, passes: Sequence[Run]) -> list[str]:
    costs = [(run.costs, run.messages) for run in passes]
    return [
        side,
        Spread.of(run.rate for run in passes).text(0),
        Spread.of(run.client_cpu / run.messages * 1e6 for run in passes).text(),
        Spread.of(one.backend_cpu / jobs * 1e6 for one, jobs in costs).text(),
        f"{Spread.of(one.wal_bytes / jobs for one, jobs in costs).median:,.0f}",
        f"{Spread.of(one.dead_tuples / jobs for one, jobs in costs).median:.2f}",
        f"{Spread.of(one.commits / jobs for one, jobs in costs).median:.4f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=(1, 100, 1000))
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 4))
    parser.add_argument("--backlog", type=int, default=100_000, help="jobs in each table, more than a run can do")
    parser.add_argument("--modes", nargs="+", choices=("implicit", "explicit"), default=("implicit",))
    parser.add_argument("--prefetch", type=int, default=50, help="shim.prefetch.ms; 0: one claim for each poll")
    parser.add_argument("--peers", nargs="*", choices=("pgmq", "pgqueuer"), default=("pgmq", "pgqueuer"))
    arguments = parser.parse_args()
    points = [Point(batch, workers) for batch, workers in product(arguments.batches, arguments.workers)]
    with postgres_alone() as on:
        with on.database() as (_, conn):
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        taking_turns = sides(arguments)
        runs: dict[Point, dict[str, list[Run]]] = {point: {side: [] for side in taking_turns} for point in points}
        for repeat, point, (name, side) in product(range(arguments.repeats), points, taking_turns.items()):
            run = side.run(on, point)
            runs[point][name].append(run)
            note(f"repeat {repeat + 1}, {point.text}, {name}: {run.rate:,.0f} jobs/s")
    document["runs"] = {
        point.text: {side: [asdict(one) for one in passes] for side, passes in of_sides.items()}
        for point, of_sides in runs.items()
    }
    say(report(runs))
    say(f"raw figures: {save('share', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
