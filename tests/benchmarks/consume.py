"""The shim's consumers against their limit: bare SELECTs of the same rows, by as many connections as there are groups.

Run it with ``python -m tests.benchmarks.consume``; it starts Apache Kafka and a Postgres of its own. Each group is one
consumer in a process of its own, which reads all messages. Beside it the same application on confluent_kafka and Kafka,
and the queues of pgmq and PgQueuer where they are installed. All sides take turns, and every pair gives one ratio.
"""

import argparse
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from shim.store import topics
from shim.store.schema import store_line
from tests.benchmarks.clients.consumer import Consume
from tests.benchmarks.clients.producer import Produce
from tests.benchmarks.clients.selector import Select
from tests.benchmarks.jobs import PARTITIONS
from tests.benchmarks.measuring import Connection, machine, note, save, say
from tests.benchmarks.metering import Meter
from tests.benchmarks.parts import Parts, parts, produce
from tests.benchmarks.peers import peers
from tests.benchmarks.processes import Task, race
from tests.benchmarks.runs import Run, correctness, figures, installed, ratios

TOPIC = "jobs"
_FORMS = {"binary": True, "text": False}


def fill(url: str, conn: Connection, messages: int) -> None:
    """Produces the messages once, and has Postgres tidy up behind them, so that no reader does it for the others."""
    topics.create_topic(conn, topics.load(store_line().schemas), TOPIC, PARTITIONS)
    race([Produce("shim", url, TOPIC, messages, {})])
    conn.execute("vacuum (freeze, analyze)")
    conn.execute("checkpoint")


class Log(NamedTuple):
    """A topic, and the client that reads it."""

    api: str
    servers: str
    topic: str


class Readers:
    """Runs as many readers of all messages as are asked for."""

    def __init__(self, on: Parts, url: str, conn: Connection, messages: int) -> None:
        self._on = on
        self._url = url
        self._conn = conn
        self._messages = messages

    def select(self, readers: int, batch: int, *, binary: bool) -> Run:
        """The limit."""
        return self._run([Select(self._url, TOPIC, batch, binary)] * readers)

    def consume(self, readers: int, log: Log, at_once: int) -> Run:
        """The application, once for each of some new groups."""
        groups = [f"group-{uuid.uuid4().hex[:8]}" for _ in range(readers)]
        return self._run(
            [Consume(log.api, log.servers, group, log.topic, self._messages, at_once, {}) for group in groups]
        )

    def _run(self, tasks: Sequence[Task]) -> Run:
        meter = Meter(self._on, self._conn)
        answers = race(tasks)
        lost = sum(self._messages - one["messages"] + one.get("lost", 0) for one in answers.each)
        behind = sum(self._messages - one.get("committed", self._messages) for one in answers.each)
        faults = {"lost": lost, "doubled": sum(one.get("doubled", 0) for one in answers.each), "not committed": behind}
        return Run.of(self._messages * len(tasks), answers, meter.costs(), faults)


def sides(on: Parts, arguments: argparse.Namespace, url: str, conn: Connection) -> dict[str, Callable[[], Run]]:
    """What takes turns, by name."""
    messages, batch = arguments.messages, arguments.batch
    read = Readers(on, url, conn, messages)
    logs = {"shim": Log("shim", url, TOPIC)}
    if arguments.kafka:
        servers = on.kafka.bootstrap_servers
        logs["Kafka"] = Log("confluent_kafka", servers, produce(servers, messages))
    found: dict[str, Callable[[], Run]] = {}
    for groups in arguments.groups:
        for form, binary in _FORMS.items():
            found[_side("SELECT", form, groups)] = partial(read.select, groups, batch, binary=binary)
        for name, log in logs.items():
            found[_side(name, "poll", groups)] = partial(read.consume, groups, log, 0)
            found[_side(name, "consume", groups)] = partial(read.consume, groups, log, arguments.at_once)
    for peer in peers(arguments.peers):
        if installed(*peer.modules):
            name = f"{peer.name}, {arguments.peer_batch} at once"
            found[name] = partial(peer.receive, on, arguments.peer_messages, arguments.peer_batch)
    return found


def _side(name: str, way: str, groups: int) -> str:
    return f"{name} {way}, {groups} group{'s' if groups > 1 else ''}"


def report(runs: dict[str, list[Run]], groups: Sequence[int]) -> str:
    """What is printed."""
    pairs = [
        ratios(runs, _side("shim", way, count), _side("SELECT", form, count))
        for count, way, form in product(groups, ("poll", "consume"), _FORMS)
    ]
    return "\n".join([figures(runs), *pairs, correctness(runs)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=800_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--groups", type=int, nargs="+", default=(1, 2, 5))
    parser.add_argument("--batch", type=int, default=4_000, help="rows of each SELECT; the shim's consumer asks for so")
    parser.add_argument("--at-once", type=int, default=500, help="messages that consume() asks for, beside poll()")
    parser.add_argument("--kafka", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peers", nargs="*", choices=("pgmq", "pgqueuer"), default=("pgmq", "pgqueuer"))
    parser.add_argument("--peer-messages", type=int, default=100_000)
    parser.add_argument("--peer-batch", type=int, default=100)
    arguments = parser.parse_args()
    with parts() as on, on.database() as (url, conn):
        fill(url, conn, arguments.messages)
        taking_turns = sides(on, arguments, url, conn)
        document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        runs: dict[str, list[Run]] = {side: [] for side in taking_turns}
        for repeat in range(arguments.repeats):
            for side, run in taking_turns.items():
                runs[side].append(run())
                note(f"repeat {repeat + 1}, {side}: {runs[side][-1].rate:,.0f} messages/s")
    document["runs"] = {side: [asdict(one) for one in passes] for side, passes in runs.items()}
    say(report(runs, arguments.groups))
    say(f"raw figures: {save('consume', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
