"""The shim's producer against its limit: COPY of the same rows, encoded beforehand, into the same table.

Run it with ``python -m tests.benchmarks.produce``; it starts Apache Kafka and a Postgres of its own. Beside it the same
application on confluent_kafka and Kafka, and the queues of pgmq and PgQueuer where they are installed. All sides take
turns, each in a fresh database or topic, and every pair gives one ratio.
"""

import argparse
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from shim.store import topics
from shim.store.schema import store_line
from tests.benchmarks.clients.copier import Copy
from tests.benchmarks.clients.producer import Produce
from tests.benchmarks.jobs import PARTITIONS
from tests.benchmarks.measuring import Connection, machine, note, save, say
from tests.benchmarks.metering import Meter
from tests.benchmarks.parts import Parts, parts
from tests.benchmarks.peers import peers
from tests.benchmarks.processes import race
from tests.benchmarks.runs import Run, correctness, figures, installed, ratios
from tests.fixtures.kafka import create_topic_on

TOPIC = "jobs"
_NUMBERED = """
select %(messages)s - count(distinct job), count(*) - count(distinct job), count(*) filter (where job < before)
from (
  select job, lag(job) over (partition by partition order by place) as before
  from (select ({body} ->> 'job')::integer as job, {partition} as partition, {place} as place from {queue}) as stored
) as ordered
"""


def faults(conn: Connection, messages: int, **columns: str) -> dict[str, int]:
    """Lost, doubled and out of order, by the numbers of the jobs that a table holds.

    Args:
        conn: to its database.
        messages: how many there must be.
        columns: the jsonb of a job's body, its partition, its place in it, and the queue's table.
    """
    row = conn.execute(_NUMBERED.format(**columns).encode(), {"messages": messages}).fetchone()
    assert row is not None
    return dict(zip(("lost", "doubled", "out of order"), row, strict=True))


def copy(on: Parts, messages: int, batch: int) -> Run:
    """The limit."""
    with on.database() as (url, conn):
        meter = Meter(on, conn)
        answers = race([Copy(url, TOPIC, messages, batch)])
        return Run.of(messages, answers, meter.costs(), _faults_of_table(conn, messages))


def shim(on: Parts, messages: int, configuration: dict[str, Any]) -> Run:
    """The application on the shim."""
    with on.database() as (url, conn):
        texts = topics.load(store_line().schemas)
        topics.create_topic(conn, texts, TOPIC, PARTITIONS)
        meter = Meter(on, conn)
        answers = race([Produce("shim", url, TOPIC, messages, configuration)])
        _check_reports(answers.each[0], messages)
        return Run.of(messages, answers, meter.costs(), _faults_of_table(conn, messages))


def kafka(on: Parts, messages: int, configuration: dict[str, Any]) -> Run:
    """The application on confluent_kafka."""
    servers, topic = on.kafka.bootstrap_servers, f"{TOPIC}-{uuid.uuid4().hex[:8]}"
    create_topic_on(servers, topic, PARTITIONS)
    with on.database() as (_, conn):
        meter = Meter(on, conn)
        answers = race([Produce("confluent_kafka", servers, topic, messages, configuration)])
        _check_reports(answers.each[0], messages)
        costs = meter.costs()
    excess = _in_kafka(servers, topic) - messages
    return Run.of(messages, answers, costs, {"lost": max(-excess, 0), "doubled": max(excess, 0)})


def _faults_of_table(conn: Connection, messages: int) -> dict[str, int]:
    return faults(conn, messages, body="payload", partition="partition", place="log_offset", queue="job_queue")


def _check_reports(answer: dict[str, Any], messages: int) -> None:
    assert (answer["delivered"], answer["failed"]) == (messages, 0), answer


def _in_kafka(servers: str, topic: str) -> int:
    consumer: Any = Consumer({"bootstrap.servers": servers, "group.id": "benchmark"})
    try:
        ends = [
            consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30) for number in range(PARTITIONS)
        ]
    finally:
        consumer.close()
    return sum(high - low for low, high in ends)


def sides(on: Parts, arguments: argparse.Namespace) -> dict[str, Callable[[], Run]]:
    """What takes turns, by name."""
    messages, linger = arguments.messages, arguments.linger
    lingers: dict[str, dict[str, Any]] = {"default linger": {}, f"linger {linger} ms": {"linger.ms": linger}}
    found: dict[str, Callable[[], Run]] = {"COPY": partial(copy, on, messages, arguments.copy_batch)}
    found |= {f"shim, {name}": partial(shim, on, messages, chosen) for name, chosen in lingers.items()}
    if arguments.kafka:
        found |= {f"Kafka, {name}": partial(kafka, on, messages, chosen) for name, chosen in lingers.items()}
    for peer in peers(arguments.peers):
        if installed(*peer.modules):
            found |= {
                f"{peer.name}, {batch} at once": partial(peer.send, on, arguments.peer_messages, batch)
                for batch in arguments.peer_batches
            }
    return found


def report(runs: dict[str, list[Run]]) -> str:
    """What is printed."""
    ours = [side for side in runs if side.startswith("shim")]
    return "\n".join([figures(runs), *(ratios(runs, side, "COPY") for side in ours), correctness(runs)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=600_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--linger", type=float, default=50, help="linger.ms beside the client's own default of 5")
    parser.add_argument("--copy-batch", type=int, default=10_000, help="rows in each transaction of the limit")
    parser.add_argument("--kafka", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peers", nargs="*", choices=("pgmq", "pgqueuer"), default=("pgmq", "pgqueuer"))
    parser.add_argument("--peer-messages", type=int, default=200_000)
    parser.add_argument("--peer-batches", type=int, nargs="+", default=(100, 1000))
    arguments = parser.parse_args()
    with parts() as on:
        with on.database() as (_, conn):
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        taking_turns = sides(on, arguments)
        runs: dict[str, list[Run]] = {side: [] for side in taking_turns}
        for repeat in range(arguments.repeats):
            for side, run in taking_turns.items():
                runs[side].append(run())
                note(f"repeat {repeat + 1}, {side}: {runs[side][-1].rate:,.0f} messages/s")
    document["runs"] = {side: [asdict(one) for one in passes] for side, passes in runs.items()}
    say(report(runs))
    say(f"raw figures: {save('produce', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
