"""The verifier against its limit: the slower of reading the topic with all fields, and SHA leaf sums in SQL.

Run it with ``python -m tests.benchmarks.verify``; it starts Apache Kafka and a Postgres of its own. The three take
turns over the same drained topic, and every round gives one ratio.
"""

import argparse
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from migrator import postgres
from migrator.verify.ledger import Ledger
from migrator.verify.table import Table
from tests.benchmarks.drain_copy import run_process
from tests.benchmarks.measuring import Spread, Stopwatch, machine, note, save, say, table
from tests.benchmarks.parts import Parts, parts, produce


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        read: seconds to read the topic with all fields, in a process of its own.
        sums: seconds of the leaf sums in SQL alone, on one connection.
        verify: seconds that the verifier took by its own count, without the start of Python.
        wall: the same with it.
        cpu: CPU seconds of the verifier's process.
        peak_bytes: the most memory that it held.
    """

    read: float
    sums: float
    verify: float
    wall: float
    cpu: float
    peak_bytes: int

    @property
    def ratio(self) -> float:
        """How near it comes to its limit."""
        return max(self.read, self.sums) / self.verify


def sum_leaves(url: str, topic: str) -> float:
    """Seconds of the leaf sums of a whole topic."""
    schemas = postgres.schemas("public")
    with closing(postgres.connect(url, "benchmark")) as conn:
        ledger = Ledger.open(conn, schemas)
        source = ledger.source(topic)
        assert source is not None
        side = Table.open(conn, schemas, source, values=True, modulus=1)
        watch = Stopwatch()
        for one in ledger.positions(source):
            for leaves in ledger.windows(source, one.partition, one.start_offset, one.next_offset):
                side.sums(leaves)
        return watch.wall


def compare(on: Parts, url: str, topic: str, messages: int) -> tuple[float, float, int, dict[str, Any]]:
    """Runs the verifier in a process of its own; it has to find that all is well."""
    sides = ["--dsn", url, "--bootstrap-servers", on.kafka.bootstrap_servers]
    ran = run_process(["migrator", "verify", "--topic", topic, *sides, "--json"])
    assert (ran[3]["result"], ran[3]["compared"]) == ("pass", messages), ran[3]
    return ran


def play(on: Parts, url: str, topic: str, messages: int) -> Round:
    """One round of all three."""
    read = run_process(["tests.benchmarks.read_topic", on.kafka.bootstrap_servers, topic, str(messages)])[3]["seconds"]
    sums = sum_leaves(url, topic)
    wall, cpu, peak, told = compare(on, url, topic, messages)
    return Round(read, sums, told["seconds"], wall, cpu, peak)


def report(messages: int, rounds: list[Round]) -> str:
    """The table that is printed."""

    def rate(seconds: Iterable[float]) -> str:
        return Spread.of(messages / one for one in seconds).text(0)

    lines = [
        ("read all fields", rate(one.read for one in rounds)),
        ("SHA leaf sums", rate(one.sums for one in rounds)),
        ("verify", rate(one.verify for one in rounds)),
        ("verify, with the start of Python", rate(one.wall for one in rounds)),
    ]
    cpu = Spread.of(one.cpu / messages * 1e6 for one in rounds)
    peak = Spread.of(one.peak_bytes / 2**20 for one in rounds)
    return "\n".join(
        (
            table(("what", "messages/s"), lines),
            f"verify / the slower of the two, per round: {Spread.of(one.ratio for one in rounds).text()}",
            f"CPU of the verifier: {cpu.text()} us a message; most memory: {peak.text(0)} MiB",
        )
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    messages = arguments.messages
    with parts() as on:
        topic = produce(on.kafka.bootstrap_servers, messages)
        with on.database() as (url, conn):
            sides = ["--dsn", url, "--bootstrap-servers", on.kafka.bootstrap_servers]
            run_process(["migrator", "drain", "--topic", topic, *sides, "--json"])
            conn.execute("vacuum analyze job_queue")
            note("drained")
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
            compare(on, url, topic, messages)  # has Python compile the modules, and the table come into memory
            rounds = []
            for repeat in range(arguments.repeats):
                rounds.append(play(on, url, topic, messages))
                note(f"round {repeat + 1}: {rounds[-1].ratio:.2f}")
    document["rounds"] = [asdict(one) for one in rounds]
    say(report(messages, rounds))
    say(f"raw figures: {save('verify', document).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
