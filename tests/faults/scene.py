"""What a fault strikes: a log that is known record by record, the database it is drained to, and the drains."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, LiteralString, NamedTuple, Self

import psycopg
from confluent_kafka import Producer

from migrator.embedded.process import wait_until
from tests.faults.drain_process import FIRED
from tests.fixtures import oracle
from tests.fixtures.cli import Done, drain_arguments
from tests.fixtures.oracle import Produced

SECONDS = 90.0
"""How long anything may take."""

_ROOT = Path(__file__).parents[2]
_CREATE_TIME = 1


class Place(NamedTuple):
    """Where a record lies."""

    partition: int
    offset: int


@dataclass(slots=True)
class Log:
    """A topic of which every record is known, since nobody else produces to it."""

    bootstrap_servers: str
    topic: str
    partitions: int
    records: dict[Place, Produced] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _began_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    _numbers: Iterator[int] = field(default_factory=count)
    _dice: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311

    def produce(self, messages: int) -> None:
        """Adds records, in turn to each partition, and waits until the broker has them."""
        producer, before = self.producer(), len(self.records)
        for _ in range(messages):
            self.send(producer)
        assert producer.flush(SECONDS) == 0
        assert not self.failures
        assert len(self.records) == before + messages

    def producer(self) -> Any:
        """A client that neither loses nor doubles."""
        return Producer({"bootstrap.servers": self.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5})

    def send(self, producer: Any) -> None:
        """Sends one record, which joins the known ones when the broker has acknowledged it."""
        number = next(self._numbers)
        key = None if number % 7 == 0 else b"user-%d" % (number % 100)
        value = self._value(number)
        headers = ((b"trace", b"%d" % number), (b"trace", None)) if number % 3 == 0 else ()
        timestamp_ms = self._began_ms + number

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                self.failures.append(str(error))
                return
            place = Place(message.partition(), message.offset())
            assert place not in self.records
            self.records[place] = Produced(self.topic, *place, key, value, headers, timestamp_ms, _CREATE_TIME)

        producer.produce(
            self.topic,
            value,
            key,
            partition=number % self.partitions,
            headers=[(name.decode(), content) for name, content in headers] or None,
            timestamp=timestamp_ms,
            on_delivery=delivered,
        )
        producer.poll(0)

    def ends(self) -> dict[int, int]:
        """The offset behind the last known record of each partition."""
        ends = dict.fromkeys(range(self.partitions), 0)
        for partition, offset in self.records:
            ends[partition] = max(ends[partition], offset + 1)
        return ends

    def _value(self, number: int) -> bytes | None:
        body = {"job": number, "to": f"user{number}@example.com", "data": self._dice.randbytes(40).hex()}
        rare = (
            json.dumps(body, indent=1).encode(),  # jsonb would not give these bytes back
            f"text {number}".encode(),
            b"\xff\x00" + number.to_bytes(4, "big"),
            None,
        )
        return rare[number % 50] if number % 50 < len(rare) else json.dumps(body).encode()


@dataclass(slots=True)
class Stream:
    """Production that does not stop: for faults that must strike under load."""

    log: Log
    per_second: int
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(SECONDS)
        assert not self.log.failures

    def _run(self) -> None:
        producer = self.log.producer()
        began, sent = time.monotonic(), 0
        while not self._stop.wait(0.01):
            while sent < (time.monotonic() - began) * self.per_second:
                self.log.send(producer)
                sent += 1
        if producer.flush(SECONDS):
            self.log.failures.append("records were left unsent")


@dataclass(frozen=True, slots=True)
class Drain:
    """A drain that has been started. Its output goes to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    arguments: tuple[str, ...]
    folder: Path
    started: float = field(default_factory=time.monotonic)

    def said(self) -> str:
        """What it has said on stderr so far."""
        return (self.folder / "stderr").read_text(encoding="utf-8")

    def fired(self) -> list[str]:
        """The faults that have struck, in their order."""
        path = self.folder / FIRED
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def wait_for_fault(self, line: str, timeout: float = SECONDS) -> None:
        """Wait until a fault has struck."""
        self.wait_for(lambda: line in self.fired(), timeout)

    def wait_for(self, condition: Callable[[], bool], timeout: float = SECONDS) -> None:
        """Wait until something is true while, or because, the drain runs."""
        answers = [False]

        def is_over() -> bool:
            answers.append(condition())
            return answers[-1] or self.process.poll() is not None

        assert wait_until(is_over, timeout), self.said()
        # It may have become true by the drain's very end.
        assert answers[-1] or condition(), (self.process.poll(), self.said())

    def wait_for_words(self, words: str, timeout: float = SECONDS) -> None:
        """Wait until it has said something."""
        self.wait_for(lambda: words in self.said(), timeout)

    def go_on(self, point: str, nth: int) -> None:
        """Let it pass a place where it waits."""
        (self.folder / f"go-{point}-{nth}").touch()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, timeout: float = SECONDS) -> Done:
        """Wait for its end."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs: {self.said()}") from None
        printed = (self.folder / "stdout").read_text(encoding="utf-8")
        return Done(self.arguments, status, printed, self.said(), time.monotonic() - self.started)


@dataclass(frozen=True, slots=True)
class Scene:
    """A log, a database, and a folder for what the drains leave there.

    Attributes:
        log: what was produced.
        url: the database, reached directly.
        folder: empty at first.
    """

    log: Log
    url: str
    folder: Path
    started: list[Drain] = field(default_factory=list)

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.log.topic

    def start(
        self,
        *options: str,
        faults: Sequence[str] = (),
        batch_rows: int = 100,
        url: str | None = None,
        bootstrap_servers: str | None = None,
    ) -> Drain:
        """Start a drain of the topic.

        Args:
            options: of ``migrator drain``.
            faults: as ``POINT:N:ACTION``.
            batch_rows: small, so that there are many batches.
            url: another way to the database.
            bootstrap_servers: another way to the broker.
        """
        folder = self.folder / f"drain-{len(self.started)}"
        folder.mkdir()
        arguments = drain_arguments([self.topic], ["--batch-rows", str(batch_rows), *options])
        planned = [word for fault in faults for word in ("--fault", fault)]
        environment = {
            "HOME": str(folder),
            "PATH": os.defpath,
            "DATABASE_URL": url or self.url,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers or self.log.bootstrap_servers,
        }
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.drain_process", "--folder", folder, *planned, "--", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=_ROOT,
                env=environment,
            )
        drain = Drain(process, arguments, folder)
        self.started.append(drain)
        return drain

    def resume(self, *options: str) -> Done:
        """Run the same command again, to its end."""
        return self.start(*options).end().expect(0)

    def clear(self) -> None:
        """End what still runs."""
        for drain in self.started:
            if drain.process.poll() is None:
                drain.process.kill()
            drain.process.wait()

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection of the test's own, in autocommit."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            yield conn

    def ask(self, query: LiteralString, *arguments: object) -> list[tuple[Any, ...]]:
        """What Postgres answers to one query."""
        with self.connected() as conn:
            return conn.execute(query, arguments).fetchall()

    def value(self, query: LiteralString, *arguments: object) -> Any:
        """The one value that a query answers with."""
        return self.ask(query, *arguments)[0][0]

    def rows(self) -> int:
        """How many rows of the topic are there."""
        return int(self.value("select count(*) from job_queue where topic = %s", self.topic))

    def has_more_than(self, rows: int) -> bool:
        """Whether more rows of the topic are there."""
        return self.rows() > rows

    def has_all(self) -> bool:
        """Whether there are as many rows as there are known records."""
        return self.rows() == len(self.log.records)

    def batches(self) -> int:
        """How many transactions have written a ledger row."""
        return int(self.value("select count(distinct xmin::text) from kafka_migrator.drain_batch"))

    def epoch(self) -> int:
        """How often the partitions were taken hold of."""
        return int(self.value("select coalesce(max(epoch), 0) from kafka_migrator.drain_offset"))

    def worked_since(self, epoch: int) -> bool:
        """Whether a drain that took hold later than that has committed anything."""
        return bool(self.value("select exists (select from kafka_migrator.drain_batch where epoch > %s)", epoch))

    def dead_letters(self) -> int:
        """How many dead letters there are."""
        return int(self.value("select count(*) from kafka_migrator.drain_dead_letter"))

    def frozen(self) -> list[tuple[Any, ...]]:
        """Start and end of every partition, as they were frozen."""
        return self.ask(
            "select partition, start_offset, end_offset from kafka_migrator.drain_offset order by partition"
        )

    def parked(self) -> int:
        """How many pending rows no claim may take."""
        return int(
            self.value(
                "select count(*) from job_queue where topic = %s and status = 'pending' "
                "and process_after >= timestamptz '100000-01-01 00:00:00+00'",
                self.topic,
            )
        )

    def assert_both_or_none(self) -> None:
        """At this moment rows, ledger, counters and positions speak of the same records: in one snapshot."""
        found = self.ask(
            "select (select count(*) from job_queue where topic = %s), "
            "(select coalesce(sum(rows), 0) from kafka_migrator.drain_batch), "
            "(select coalesce(sum(rows), 0) from kafka_migrator.drain_offset), "
            "(select coalesce(sum(next_offset - start_offset), 0) from kafka_migrator.drain_offset), "
            "(select coalesce(sum(head.next_offset), 0) from job_partition as head where topic = %s)",
            self.topic,
            self.topic,
        )[0]
        assert len(set(found)) == 1, found

    def assert_exactly_once(
        self, expected: Mapping[Place, Produced] | None = None, done: Done | None = None, *, complete: bool = True
    ) -> None:
        """Every known record is there once, byte for byte, none is a dead letter, and the books say the same.

        Args:
            expected: what must be there; all that is known of the log unless said.
            done: the command that ended the drain.
            complete: whether the end was reached; else everything holds up to where the drain stands.
        """
        records = self.log.records if expected is None else expected
        wanted = oracle.expected(self.topic, records.values(), at_least=len(records) if complete else 1)
        counts = oracle.check(self.url, wanted, done, complete=complete)
        assert counts.dead == 0
