"""Claims with a deep backlog in the table: do they use their index, and how fast are they, held against few jobs alone?

Run it with ``python -m tests.benchmarks.backlog``; it starts a Postgres of its own. Two databases are prepared. In one,
a million jobs of the topic are due, 100,000 of them after as many delayed ones at the head of the log, a million of
another topic wait behind a closed gate, and ten million are completed. In the other one are only the jobs that a run
takes. A share consumer takes and completes so many jobs in each, in turn.

The exit status is 1 when a claim does not use its index, or is slower than the goal.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from migrator.embedded.postgres import EmbeddedPostgres
from shim.store import claims, topics
from shim.store.schema import store_line, upgrade
from tests.benchmarks.clients.taker import Take
from tests.benchmarks.measuring import Connection, Spread, machine, note, save, say, table, value
from tests.benchmarks.processes import race
from tests.fixtures.postgres import Databases, with_database

GOAL = 0.9
_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min", "autovacuum": "off"}
_TOPIC, _PARKED = "emails", "reports"
_FILL = """
insert into job_queue (
  payload, value, headers, timestamp_ms, timestamp_type, encoding, key,
  topic, partition, log_offset, status, created_at, process_after, locked_at, locked_by, lease, finished_at
)
select body, convert_to(body::text, 'UTF8'), array['trace-id'::bytea, '0123456789abcdef'], 1700000000000, 1, 'json',
  convert_to('user-' || n, 'UTF8'),
  %(topic)s, n %% 8, %(first)s + n / 8, %(status)s::job_status, moment, coalesce(%(due)s::timestamptz, moment),
  case when %(status)s = 'completed' then moment end, case when %(status)s = 'completed' then 'w' end,
  case when %(status)s = 'completed' then 1 end, case when %(status)s = 'completed' then moment end
from generate_series(0, %(count)s - 1) as n,
  lateral (select now() - %(age)s::interval + n * interval '10 microseconds') as one (moment),
  lateral (
    select jsonb_build_object('job', n, 'kind', 'welcome-email', 'to', 'user' || n || '@example.com',
      'data', repeat('x', 200))
  ) as two (body)
"""
_STATES = ("none", "fresh", "stale")


@dataclass(frozen=True, slots=True)
class Depth:
    """How many jobs there are of each kind.

    Attributes:
        due: of the topic.
        parked: of another topic, behind a closed gate.
        completed: of the topic, with offsets before all others.
        delayed: of the topic, with offsets before those that are due.
    """

    due: int
    parked: int
    completed: int
    delayed: int


def fill(conn: Connection, depth: Depth) -> None:
    """Fills a queue."""
    conn.execute("alter table job_queue set (autovacuum_enabled = off)")
    for topic in (_TOPIC, _PARKED):
        topics.create_topic(conn, topics.load(store_line().schemas), topic, 8)
    conn.execute("update job_topic set retention_ms = null")
    conn.execute("update job_topic set gate = 'closed' where topic = %s", [_PARKED])
    parts = (
        (_TOPIC, 0, "completed", depth.completed, "3 days", None),
        (_TOPIC, depth.completed, "pending", depth.delayed, "2 days", "tomorrow"),
        (_TOPIC, depth.completed + depth.delayed, "pending", depth.due, "1 day", None),
        (_PARKED, 0, "pending", depth.parked, "2 days", "infinity"),
    )
    for topic, first, status, count, age, due in parts:
        names = ("topic", "first", "status", "count", "age", "due")
        conn.execute(_FILL.encode(), dict(zip(names, (topic, first, status, count, age, due), strict=True)))
    conn.execute(
        "update job_partition as head set next_offset = 1 + "
        "coalesce((select max(log_offset) from job_queue where topic = head.topic and partition = head.partition), -1)"
    )


def plans(conn: Connection) -> Iterator[tuple[str, str]]:
    """How a claim is planned, without statistics, with fresh and with stale ones; the last ones stay fresh."""
    statement = claims.load(store_line().schemas)["claim"]
    place = {"topic": _TOPIC, "worker": "w", "limit": 100, "after": "-infinity", "after_id": 0}
    for state in _STATES:
        with conn.transaction(force_rollback=True):
            if state != "none":
                conn.execute("analyze job_queue")
            if state == "stale":
                conn.execute("update pg_class set reltuples = 10, relpages = 1 where oid = 'job_queue'::regclass")
            rows = conn.execute(f"explain {statement}", {**place, "done_ids": [1, 2], "done_lease": 1}).fetchall()
        yield state, "\n".join(row[0] for row in rows)
    conn.execute("analyze job_queue")


def uses_its_index(plan: str) -> bool:
    """Whether a claim walks the claim index, and finds what it has chosen by the primary key."""
    return "Index Scan using job_queue_claim_idx" in plan and "Seq Scan on job_queue" not in plan


@contextmanager
def filled(databases: Databases, name: str, depth: Depth) -> Iterator[tuple[str, Connection]]:
    """A database with that many jobs, as its URL and a session."""
    url = databases.create(_tables)
    with psycopg.connect(url, autocommit=True) as conn:
        fill(conn, depth)
        note(f"{name}: {depth} filled")
        yield url, conn
    databases.drop(url)


def _tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        upgrade(conn, store_line())


def run(url: str, jobs: int, batch: int) -> float:
    """Takes jobs, and returns how many a second."""
    configuration = {"group.id": "workers", "max.poll.records": batch, "shim.notify": "off", "shim.retention": False}
    answers = race([Take(url, _TOPIC, jobs, configuration)])
    (answer,) = answers.each
    return float(answer["taken"]) / answers.seconds


def report(rates: Mapping[str, list[float]], found: Mapping[str, bool]) -> tuple[str, bool]:
    """What is printed, and whether the goal was reached."""
    ratios = Spread.of(deep / alone for deep, alone in zip(rates["backlog"], rates["alone"], strict=True))
    lines = [(side, Spread.of(of_side).text(0)) for side, of_side in rates.items()]
    index = ", ".join(f"{state} {'yes' if used else 'NO'}" for state, used in found.items())
    text = [
        table(("side", "jobs/s"), lines),
        f"backlog / alone, per pair: {ratios.text()}; the goal is {GOAL}",
        f"the claim uses its index, with statistics: {index}",
    ]
    return "\n".join(text), ratios.median >= GOAL and all(found.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--due", type=int, default=1_000_000)
    parser.add_argument("--parked", type=int, default=1_000_000)
    parser.add_argument("--completed", type=int, default=10_000_000)
    parser.add_argument("--delayed", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=30_000, help="that each run takes")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main() -> int:
    """Fill, measure and print."""
    arguments = _arguments()
    deep = Depth(arguments.due, arguments.parked, arguments.completed, arguments.delayed)
    rates: dict[str, list[float]] = {"alone": [], "backlog": []}
    with EmbeddedPostgres(settings=_SETTINGS, fsync=True) as server:
        databases = Databases(with_database(server.url, "postgres"))
        with filled(databases, "backlog", deep) as (url, conn):
            found = {state: uses_its_index(plan) for state, plan in plans(conn)}
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
            size = value(conn, "select pg_size_pretty(pg_total_relation_size('job_queue'))")
            for number in range(arguments.repeats + 1):
                with filled(databases, "alone", Depth(arguments.jobs, 0, 0, 0)) as (alone, small):
                    sides = {"alone": (alone, small), "backlog": (url, conn)}
                    for _, one in sides.values():
                        one.execute("vacuum (analyze) job_queue")
                    pair = {}
                    for side in list(sides) if number % 2 else reversed(sides):
                        where, one = sides[side]
                        one.execute("checkpoint")
                        pair[side] = run(where, arguments.jobs, arguments.batch)
                note(f"{pair}" + ("" if number else ", to warm up"))
                if number:
                    for side, rate in pair.items():
                        rates[side].append(rate)
        databases.drop_all()
    text, reached = report(rates, found)
    say(text)
    document |= {"rates": rates, "uses_its_index": found, "table": size, "depth": asdict(deep)}
    say(f"table {size}; raw figures: {save('backlog', document).name}; machine: {document['machine']}")
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
