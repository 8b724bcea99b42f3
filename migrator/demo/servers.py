"""The demo's two servers: started when it begins, gone when it ends, however it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psycopg

from migrator.demo.steps import PARTITIONS, Steps
from migrator.embedded.classpath import KAFKA_VERSION, default_cache_dir, missing_tools
from migrator.embedded.parts import best_broker
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import remove_folder, temporary_folder
from migrator.kafka.produce import create_topic, delete_topics

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(slots=True)
class OwnTopics:
    """The topics that the demo made in a Kafka, and may therefore delete.

    Attributes:
        bootstrap_servers: the Kafka.
        made: their names.
    """

    bootstrap_servers: str
    made: list[str] = field(default_factory=list)

    def make(self, topic: str) -> None:
        """Makes a topic.

        Raises:
            CannotStartError: there is one of that name, which is then left alone.
        """
        create_topic(self.bootstrap_servers, topic, PARTITIONS)
        self.made.append(topic)

    def delete(self) -> None:
        """Deletes what was made."""
        if self.made:
            delete_topics(self.bootstrap_servers, self.made)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the demo's servers are.

    Attributes:
        dsn: Postgres.
        kafka: Kafka.
        folder: a folder for whatever the demo writes.
    """

    dsn: str
    kafka: OwnTopics
    folder: Path


@contextmanager
def servers(steps: Steps, external: str | None) -> Iterator[Servers]:
    """Starts both servers, and ends them.

    Args:
        steps: where the start is told.
        external: the user's own Kafka; what the demo made there is deleted at the end.

    Raises:
        CannotStartError: a server does not start.
    """
    folder = temporary_folder()
    try:
        with _postgres(steps) as dsn, _kafka(steps, external) as kafka:
            yield Servers(dsn, kafka, folder)
    finally:
        remove_folder(folder)


@contextmanager
def _postgres(steps: Steps) -> Iterator[str]:
    server = EmbeddedPostgres()
    try:
        with steps.step("postgres", "A Postgres server of our own") as step:
            server.start()
            version = _version(server.url)
            step.facts["server"] = f"Postgres {version}"
            steps.narrator.say(f"Postgres {version} at {server.url}")
        yield server.url
    finally:
        server.close()


@contextmanager
def _kafka(steps: Steps, external: str | None) -> Iterator[OwnTopics]:
    with steps.step("kafka", "A Kafka broker") as step:
        _announce_download(steps, external)
        with _patiently(steps.narrator.say):
            started = best_broker(external)
        step.facts |= {"server": started.name, "passed_over": list(started.passed_over)}
        steps.narrator.say(f"{started.name} at {started.part.bootstrap_servers}")
    topics = OwnTopics(started.part.bootstrap_servers)
    try:
        yield topics
    finally:
        try:
            if started.part.kind == "external":
                topics.delete()
        finally:
            started.part.close()


def _announce_download(steps: Steps, external: str | None) -> None:
    jars = default_cache_dir() / "kafka-to-postgres" / f"kafka-{KAFKA_VERSION}" / "classpath.txt"
    if not (external or jars.exists() or missing_tools()):
        steps.narrator.say(
            f"the first time, Maven fetches Apache Kafka {KAFKA_VERSION}, about 50 MB; later runs need no network"
        )


@contextmanager
def _patiently(say: Callable[[str], None]) -> Iterator[None]:
    """Says every few seconds that the body is still at it."""
    ended = Event()
    began = time.monotonic()

    def tick() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LINES):
            say(f"still starting after {time.monotonic() - began:.0f} s")

    ticker = Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        ended.set()
        ticker.join()


def _version(dsn: str) -> str:
    with psycopg.connect(dsn) as conn:
        number = conn.info.server_version
    return f"{number // 10000}.{number % 10000}"
