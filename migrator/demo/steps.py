"""The story, step by step: what is done, what is said of it, and whether it held."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from migrator.demo import show
from migrator.demo.commands import CommandFailedError, Commands, spelled
from migrator.demo.oracle import Finding, judge, read_tables
from migrator.demo.records import Record, make_records
from migrator.kafka.produce import Delivered, Outgoing, produce
from migrator.postgres import Connection

TOPIC = "emails"
STRICT = "emails-strict"
PARTITIONS = 4
"""What librdkafka's mock cluster always makes."""


class Narrator(Protocol):
    """Tells the story to whoever watches."""

    def title(self, number: int, title: str) -> None:
        """A step begins."""

    def command(self, line: str) -> None:
        """This is run now, as one would type it."""

    def say(self, line: str) -> None:
        """One sentence."""

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A result."""

    def finding(self, finding: Finding) -> None:
        """A promise that was checked."""


@dataclass(slots=True)
class Step:
    """One step as ``--json`` shows it; ``facts`` stand beside the other fields."""

    name: str
    ok: bool = True
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Returns the step's fields."""
        return {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 2), **self.facts}


class StoryEndedError(Exception):
    """A step failed; those behind it make no sense."""


@dataclass(slots=True)
class Steps:
    """Keeps the steps in order and times them.

    Attributes:
        narrator: tells them.
        done: those that were begun.
    """

    narrator: Narrator
    done: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every step held so far."""
        return all(step.ok for step in self.done)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        """Times one step.

        Raises:
            StoryEndedError: a command failed in it, or what it should show did not show.
        """
        step = Step(name)
        self.done.append(step)
        self.narrator.title(len(self.done), title)
        began = time.monotonic()
        try:
            yield step
        except CommandFailedError as error:
            step.ok = False
            step.facts["failed"] = str(error)
            self.narrator.say(str(error))
            raise StoryEndedError from None
        finally:
            step.seconds = time.monotonic() - began


@dataclass(slots=True)
class Story:
    """Everything that is shown once both servers run.

    Attributes:
        steps: where its steps go.
        commands: runs the real commands.
        conn: a connection in autocommit to the demo's database.
        bootstrap_servers: the demo's Kafka.
        make_topic: makes a topic there.
    """

    steps: Steps
    commands: Commands
    conn: Connection
    bootstrap_servers: str
    make_topic: Callable[[str], None]

    def tell(self, count: int) -> None:
        """Tells it all, with so many records.

        Raises:
            StoryEndedError: a step failed.
        """
        records = make_records(count, int(time.time() * 1000))
        self._run("init", "The tables", "init")
        self._move("drain", TOPIC, records)
        self._look()
        self._closed()
        self._run("open", "The gate opens: from here on jobs may run", "gate", "open", "--topic", TOPIC)
        self._claim()
        strict = records[: max(200, count // 4)]
        self._move("strict", STRICT, strict, "--format", "json", "--dead-letter-budget", str(len(strict)))
        self._dead_letters()

    def _run(self, name: str, title: str, *words: str) -> dict[str, Any]:
        with self.steps.step(name, title) as step:
            return self._command(step, *words)

    def _command(self, step: Step, *words: str) -> dict[str, Any]:
        self.steps.narrator.command(spelled(words))
        document = self.commands.run(*words)
        step.facts.setdefault("commands", []).append(spelled(words))
        return document

    def _move(self, name: str, topic: str, records: Sequence[Record], *options: str) -> None:
        delivered = self._produce(f"produce-{name}", topic, records)
        fate = "what is no JSON becomes a dead letter" if options else "each record becomes a row"
        with self.steps.step(name, f"The drain of {topic}: {fate}, exactly once") as step:
            document = self._command(step, "drain", "--topic", topic, *options)
            step.facts |= {fact: document[fact] for fact in ("rows", "dead", "rows_per_second")}
            self.steps.narrator.say(f"{document['rows']:,} rows, {document['dead']:,} dead letters")
        with self.steps.step(f"check-{name}", "What was produced against what the table holds") as step:
            findings = self._judge(topic, records, delivered, document, only_json=bool(options))
            step.ok = all(finding.ok for finding in findings)
            step.facts["checks"] = [asdict(finding) for finding in findings]
            for finding in findings:
                self.steps.narrator.finding(finding)

    def _produce(self, name: str, topic: str, records: Sequence[Record]) -> list[Delivered]:
        with self.steps.step(name, f"{len(records):,} records go into topic {topic}") as step:
            self.make_topic(topic)
            outgoing = (Outgoing(one.key, one.value, one.headers, one.timestamp_ms) for one in records)
            delivered = produce(self.bootstrap_servers, topic, outgoing)
            kinds = sorted({record.kind for record in records})
            step.facts |= {"topic": topic, "records": len(records), "kinds": kinds}
            self.steps.narrator.say(f"of {len(kinds)} kinds: {', '.join(kinds)}")
            return delivered

    def _judge(
        self,
        topic: str,
        records: Sequence[Record],
        delivered: Sequence[Delivered],
        document: dict[str, Any],
        *,
        only_json: bool,
    ) -> list[Finding]:
        tables = read_tables(self.conn, show.load(), topic)
        return judge(records, delivered, tables, document, only_json=only_json)

    def _look(self) -> None:
        with self.steps.step("look", "The jobs in plain SQL"):
            self._show("overview")
            self._show("a_job")

    def _closed(self) -> None:
        with self.steps.step("closed", "Behind the closed gate the article's own claim gets nothing") as step:
            claimed = self._show("claim").rows
            self._must(step, not claimed, f"{len(claimed)} jobs claimed")

    def _claim(self) -> None:
        with self.steps.step("claim", "Now it gets the oldest job, and completes it") as step:
            claimed = self._show("claim").rows
            completed = self._show("complete").rows
            self._must(step, len(claimed) == len(completed) == 1, f"{len(claimed)} claimed, {len(completed)} completed")

    def _dead_letters(self) -> None:
        with self.steps.step(
            "dead-letters", "What is no JSON was set aside with all its bytes, and can still go in"
        ) as step:
            self._show("dead_letters")
            listed = self._command(step, "dead-letters", "list", "--topic", STRICT)
            retried = self._command(step, "dead-letters", "retry", "--topic", STRICT, "--execute")
            found = f"{retried['retried']:,} of {listed['matched']:,} dead letters appended as text or bytes"
            self._must(step, retried["retried"] == listed["matched"] > 0, found)

    def _show(self, name: str) -> show.Shown:
        shown = show.show(self.conn, show.load()[name])
        self.steps.narrator.command(f"{shown.sql};")
        self.steps.narrator.table(shown.columns, shown.rows)
        return shown

    def _must(self, step: Step, held: bool, found: str) -> None:
        step.ok = held
        step.facts["found"] = found
        self.steps.narrator.say(found)
