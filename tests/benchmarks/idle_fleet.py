"""What 200 idle consumers in 20 processes cost: connections, statements and CPU, hint on and off.

Run it with ``python -m tests.benchmarks.idle_fleet``; it starts a Postgres of its own, with its default settings and
``pg_stat_statements``. Each process has one consumer in each group, and everything runs that runs beside consumers:
heartbeats, the watcher, the listener, commits by the clock, retention. Nothing is produced. Beside it the same fleet
on confluent_kafka and Apache Kafka.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import psycopg

from migrator.embedded.kafka import EmbeddedKafka
from migrator.embedded.postgres import EmbeddedPostgres
from shim.store import topics
from shim.store.schema import store_line, upgrade
from tests.benchmarks.clients.idler import Idle
from tests.benchmarks.measuring import Spread, machine, note, process_cpu, save, say, table
from tests.benchmarks.processes import Application
from tests.benchmarks.sessions import SessionWatch, Usage
from tests.fixtures.kafka import create_topic_on
from tests.fixtures.postgres import Databases, with_database

_SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "max_connections": "300"}
_HEAD = (
    *("side", "open", "open/process", "busy", "busy/process", "statements/s"),
    *("clients %", "backends %", "postgres %", "broker %", "all %"),
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many there are, and for how long they are watched.

    Attributes:
        processes: how many processes.
        consumers: how many consumers in each, which is also how many groups and topics there are.
        partitions: how many partitions each topic has.
        settle: seconds from when every consumer has partitions to the measurement.
        seconds: of the measurement.
    """

    processes: int
    consumers: int
    partitions: int
    settle: float
    seconds: float

    @property
    def topics(self) -> list[str]:
        """The topics, and the groups too."""
        return [f"topic-{number}" for number in range(self.consumers)]


@dataclass(frozen=True, slots=True)
class Idleness:
    """What a fleet cost.

    Attributes:
        clients: CPU seconds of its processes, in each second.
        broker: the same of Kafka.
        postgres: what its sessions used; None on Kafka.
        received: how many messages and errors came: none, or something is wrong.
        unassigned: how many partitions nobody held: none, or something is wrong.
    """

    clients: float
    broker: float
    postgres: Usage | None
    received: int
    unassigned: int

    @property
    def total(self) -> float:
        """CPU seconds of all, in each second."""
        postgres = self.postgres.backends + self.postgres.server if self.postgres else 0.0
        return self.clients + self.broker + postgres


@contextmanager
def running(fleet: Fleet, api: str, servers: str, configuration: Mapping[str, Any]) -> Iterator[list[Application]]:
    """Starts a fleet, and waits until every consumer has partitions and all has settled."""
    with ExitStack() as stack:
        applications = []
        for number in range(fleet.processes):
            told = {"client.id": f"process-{number}", **configuration}
            applications.append(stack.enter_context(Application(Idle(api, servers, fleet.topics, told))))
        for application in applications:
            assert application.hear() == {"ready": True}
            application.go()
        for application in applications:
            assert application.hear() == {"assigned": True}
        note(f"{fleet.processes * fleet.consumers} consumers have partitions")
        time.sleep(fleet.settle)
        yield applications


def on_postgres(server: EmbeddedPostgres, databases: Databases, fleet: Fleet, hint: str) -> Idleness:
    """Watches a fleet of the shim, in a database of its own."""
    url = databases.create(_tables)
    with psycopg.connect(url, autocommit=True) as conn:
        for topic in fleet.topics:
            topics.create_topic(conn, topics.load(store_line().schemas), topic, fleet.partitions)
    with (
        running(fleet, "shim", url, {"shim.notify": hint}) as applications,
        SessionWatch(server, url) as watch,
    ):
        clients, _ = _cpu_rates(applications, partial(watch.look, fleet.seconds))
        answers = _ended(applications)
    databases.drop(url)
    return _idleness(fleet, answers, clients, 0.0, watch.usage)


def on_kafka(fleet: Fleet) -> Idleness:
    """Watches the same fleet on Kafka."""
    with EmbeddedKafka(heap="1g", jvm_options=()) as kafka:
        for topic in fleet.topics:
            create_topic_on(kafka.bootstrap_servers, topic, fleet.partitions)
        with running(fleet, "confluent_kafka", kafka.bootstrap_servers, {}) as applications:
            clients, broker = _cpu_rates(applications, partial(time.sleep, fleet.seconds), kafka.pid)
            answers = _ended(applications)
    return _idleness(fleet, answers, clients, broker, None)


def _cpu_rates(
    applications: Sequence[Application], wait: Callable[[], object], broker: int | None = None
) -> tuple[float, float]:
    """CPU seconds in each second, of all applications and of the broker, while something is waited for."""

    def used() -> tuple[float, float]:
        return sum(process_cpu(one.pid) for one in applications), process_cpu(broker) if broker else 0.0

    began, (clients, brokers) = time.monotonic(), used()
    wait()
    seconds, (clients_then, brokers_then) = time.monotonic() - began, used()
    return (clients_then - clients) / seconds, (brokers_then - brokers) / seconds


def _ended(applications: Sequence[Application]) -> list[dict[str, Any]]:
    for application in applications:
        application.go()
    answers = [application.hear() for application in applications]
    for application in applications:
        application.go()
    return answers


def _idleness(
    fleet: Fleet, answers: Sequence[Mapping[str, Any]], clients: float, broker: float, usage: Usage | None
) -> Idleness:
    held = sum(answer["held"] for answer in answers)
    received = sum(answer["received"] for answer in answers)
    return Idleness(clients, broker, usage, received, fleet.consumers * fleet.partitions - held)


def _tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        upgrade(conn, store_line())


def report(runs: Mapping[str, Sequence[Idleness]], shown: int) -> str:
    """What is printed."""
    text = [table(_HEAD, [(side, *_cells(passes)) for side, passes in runs.items() if passes])]
    for side, passes in runs.items():
        if passes and (usage := passes[-1].postgres) is not None:
            text += [f"{side}: {usage.wal_bytes:,.0f} B/s of WAL; the statements:", usage.text(shown)]
    every = [one for passes in runs.values() for one in passes]
    received, unassigned = sum(one.received for one in every), sum(one.unassigned for one in every)
    right = f"correctness, over {len(every)} runs: received {received} of 0, partitions that nobody held {unassigned}"
    return "\n".join([*text, right])


def _cells(passes: Sequence[Idleness]) -> list[str]:
    usages = [one.postgres for one in passes if one.postgres is not None]
    shares = [
        Spread.of(100 * share for share in one).text()
        for one in (
            [one.clients for one in passes],
            [usage.backends for usage in usages],
            [usage.server for usage in usages],
            [one.broker for one in passes],
            [one.total for one in passes],
        )
        if one
    ]
    if not usages:
        return [*("-",) * 5, shares[0], "-", "-", *shares[1:]]
    numbers = [
        Spread.of(one).text(0)
        for one in (
            [usage.open for usage in usages],
            [usage.open_in_process for usage in usages],
            [usage.busy for usage in usages],
            [usage.busy_in_process for usage in usages],
        )
    ]
    return [*numbers, Spread.of(usage.statements for usage in usages).text(1), *shares]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--consumers", type=int, default=10, help="in each process, and as many groups and topics")
    parser.add_argument("--partitions", type=int, default=20, help="of each topic")
    parser.add_argument("--hints", nargs="*", choices=("on", "off"), default=("on", "off"))
    parser.add_argument("--kafka", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--settle", type=float, default=30, help="seconds before the measurement")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--statements", type=int, default=8, help="how many are shown")
    arguments = parser.parse_args()
    sizes = arguments.processes, arguments.consumers, arguments.partitions
    fleet = Fleet(*sizes, arguments.settle, arguments.seconds)
    with EmbeddedPostgres(settings=_SETTINGS, fsync=True) as server:
        databases = Databases(with_database(server.url, "postgres"))
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute("create extension pg_stat_statements")
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        sides = {f"shim, hint {hint}": partial(on_postgres, server, databases, fleet, hint) for hint in arguments.hints}
        if arguments.kafka:
            sides["Kafka"] = partial(on_kafka, fleet)
        runs: dict[str, list[Idleness]] = {side: [] for side in sides}
        for _ in range(arguments.repeats):
            for side, run in sides.items():
                runs[side].append(run())
        databases.drop_all()
    document["runs"] = {side: [asdict(one) for one in passes] for side, passes in runs.items()}
    say(report(runs, arguments.statements))
    say(f"raw figures: {save('idle_fleet', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
