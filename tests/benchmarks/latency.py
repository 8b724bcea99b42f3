"""How long a message takes from ``produce()`` to the consumer's ``poll()``: idle and under load, hint on and off.

Run it with ``python -m tests.benchmarks.latency``; it starts Apache Kafka and a Postgres of its own. Producer and
consumer are processes of their own. Beside the shim runs the same application on confluent_kafka and Kafka, with equal
linger. All sides take turns.
"""

import argparse
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import quantiles
from typing import Any

from shim.store import topics
from shim.store.schema import store_line
from tests.benchmarks.clients.receiver import Receive
from tests.benchmarks.clients.sender import Send
from tests.benchmarks.jobs import PARTITIONS
from tests.benchmarks.measuring import Spread, machine, note, save, say, table
from tests.benchmarks.metering import Costs, Meter
from tests.benchmarks.parts import Parts, parts
from tests.benchmarks.processes import Application
from tests.fixtures.kafka import create_topic_on

TOPIC = "jobs"
_WARM_UP_SECONDS = 2.0
_HEAD = ("side", "messages", "p50 ms", "p95 ms", "p99 ms", "max ms", "client us", "backend us", "broker us")
_APIS = {"shim, hint on": ("shim", "on"), "shim, hint off": ("shim", "off"), "Kafka": ("confluent_kafka", "")}


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting.

    Attributes:
        side: the client, and whether it is hinted.
        rate: messages a second; 0 for idle.
        linger: ``linger.ms``.
    """

    side: str
    rate: float
    linger: float

    def __str__(self) -> str:
        return f"{self.side}, {f'{self.rate:,.0f}/s' if self.rate else 'idle'}, linger {self.linger:g}"


@dataclass(frozen=True, slots=True)
class Waits:
    """One run of a cell.

    Attributes:
        milliseconds: how old each message was when it was received, but for those of the first two seconds.
        messages: how many were sent.
        client_cpu: CPU seconds of producer and consumer.
        costs: what the servers used.
        lost: how many messages were sent and never received.
        doubled: how many came twice.
    """

    milliseconds: list[float]
    messages: int
    client_cpu: float
    costs: Costs
    lost: int
    doubled: int

    def quantile(self, percent: int) -> float:
        """Below which so many percent of the waits lie."""
        return quantiles(self.milliseconds, n=100, method="inclusive")[percent - 1]

    def per_message(self, seconds: float) -> float:
        """CPU microseconds for each message."""
        return seconds / self.messages * 1e6


def measure(on: Parts, cell: Cell, seconds: float) -> Waits:
    """Sends for a while, and receives what was sent."""
    api, notify = _APIS[cell.side]
    with on.database() as (url, conn):
        servers, topic, configuration = url, TOPIC, {"shim.notify": notify}
        if api == "shim":
            topics.create_topic(conn, topics.load(store_line().schemas), topic, PARTITIONS)
        else:
            servers, topic, configuration = on.kafka.bootstrap_servers, f"{TOPIC}-{uuid.uuid4().hex[:8]}", {}
            create_topic_on(servers, topic, PARTITIONS)
        meter = Meter(on, conn)
        settings = {**configuration, "linger.ms": cell.linger}
        sending = Send(api, servers, topic, _WARM_UP_SECONDS + seconds, cell.rate, settings)
        sent, received = _exchange(sending, Receive(api, servers, topic, configuration))
        costs = meter.costs()
    assert sent["failed"] == 0, sent
    warm = sent["began"] + _WARM_UP_SECONDS
    waits = [wait for produced, wait in received["waits"] if produced >= warm]
    excess = len(received["waits"]) - sent["sent"]
    return Waits(waits, sent["sent"], sent["cpu"] + received["cpu"], costs, max(-excess, 0), max(excess, 0))


def _exchange(sending: Send, receiving: Receive) -> tuple[dict[str, Any], dict[str, Any]]:
    with Application(receiving) as receiver:
        assert receiver.hear() == {"ready": True}
        receiver.go()
        with Application(sending) as sender:
            assert sender.hear() == {"ready": True}
            sender.go()
            sent = sender.hear()
        receiver.go()
        return sent, receiver.hear()


def report(runs: dict[Cell, list[Waits]]) -> str:
    """What is printed."""
    lines = [(str(cell), *_cells(passes)) for cell, passes in runs.items()]
    every = [waits for passes in runs.values() for waits in passes]
    lost, doubled = sum(one.lost for one in every), sum(one.doubled for one in every)
    return f"{table(_HEAD, lines)}\ncorrectness, over {len(every)} runs: lost {lost}, doubled {doubled}"


def _cells(passes: Sequence[Waits]) -> list[str]:
    messages = f"{sum(len(waits.milliseconds) for waits in passes):,}"
    points = [Spread.of(waits.quantile(percent) for waits in passes).text() for percent in (50, 95, 99)]
    longest = Spread.of(max(waits.milliseconds) for waits in passes).text()
    used = (
        [waits.per_message(waits.client_cpu) for waits in passes],
        [waits.per_message(waits.costs.backend_cpu) for waits in passes],
        [waits.per_message(waits.costs.broker_cpu) for waits in passes],
    )
    return [messages, *points, longest, *(Spread.of(one).text(0) for one in used)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=(0, 2000), help="messages a second; 0: idle")
    parser.add_argument("--lingers", type=float, nargs="+", default=(0, 5))
    parser.add_argument("--sides", nargs="+", choices=tuple(_APIS), default=tuple(_APIS))
    arguments = parser.parse_args()
    grid = product(arguments.rates, arguments.lingers, arguments.sides)
    cells = [Cell(side, rate, linger) for rate, linger, side in grid if rate or not linger]
    runs: dict[Cell, list[Waits]] = {cell: [] for cell in cells}
    with parts() as on:
        with on.database() as (_, conn):
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        for repeat in range(arguments.repeats):
            for cell, passes in runs.items():
                passes.append(measure(on, cell, arguments.seconds))
                note(f"repeat {repeat + 1}, {cell}: p50 {passes[-1].quantile(50):.2f} ms")
    document["runs"] = {str(cell): [asdict(one) for one in passes] for cell, passes in runs.items()}
    say(report(runs))
    say(f"raw figures: {save('latency', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
