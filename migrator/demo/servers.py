"""The demo's two servers: started when it begins, gone when it ends, however it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psycopg

from migrator.demo.steps import STRICT, TOPIC, Steps
from migrator.embedded.classpath import KAFKA_VERSION, default_cache_dir, missing_tools
from migrator.embedded.parts import Broker, best_broker
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.embedded.process import remove_folder, temporary_folder
from migrator.errors import CannotStartError
from migrator.kafka.produce import delete_topics, existing_topics

_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the demo's servers are.

    Attributes:
        dsn: Postgres.
        bootstrap_servers: Kafka.
        folder: a folder for whatever the demo writes.
    """

    dsn: str
    bootstrap_servers: str
    folder: Path


@contextmanager
def servers(steps: Steps, external: str | None) -> Iterator[Servers]:
    """Starts both servers, and ends them.

    Args:
        steps: where the start is told.
        external: the user's own Kafka; the demo's topics are deleted from it at the end.

    Raises:
        CannotStartError: a server does not start, or the user's Kafka has topics of these names.
    """
    folder = temporary_folder()
    try:
        with _postgres(steps) as dsn, _kafka(steps, external) as bootstrap_servers:
            yield Servers(dsn, bootstrap_servers, folder)
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
def _kafka(steps: Steps, external: str | None) -> Iterator[str]:
    with steps.step("kafka", "A Kafka broker") as step:
        _announce_download(steps, external)
        with _patiently(steps.narrator.say):
            started = best_broker(external)
        step.facts |= {"server": started.name, "passed_over": list(started.passed_over)}
        steps.narrator.say(f"{started.name} at {started.part.bootstrap_servers}")
    try:
        yield _vacant(started.part)
    finally:
        _leave(started.part)


def _vacant(broker: Broker) -> str:
    taken = {TOPIC, STRICT} & existing_topics(broker.bootstrap_servers)
    if taken:
        # Ours to use, not ours to delete.
        broker.close()
        raise CannotStartError(
            f"the Kafka at {broker.bootstrap_servers} has a topic {min(taken)!r} already",
            code="topic-exists",
            hint="migrator demo    # with a broker of its own",
        )
    return broker.bootstrap_servers


def _leave(broker: Broker) -> None:
    try:
        if broker.kind == "external":
            delete_topics(broker.bootstrap_servers, [TOPIC, STRICT])
    finally:
        broker.close()


def _announce_download(steps: Steps, external: str | None) -> None:
    jars = default_cache_dir() / "kafka-to-postgres" / f"kafka-{KAFKA_VERSION}" / "classpath.txt"
    if not (external or jars.exists() or missing_tools()):
        steps.narrator.say(f"the first time, Maven downloads Apache Kafka {KAFKA_VERSION}: about 150 MB, once")


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
