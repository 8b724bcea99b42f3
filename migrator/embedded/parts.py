"""Which Postgres and which Kafka a demo or a test run uses: the best that this machine can start.

The order is fixed and each step that is passed over leaves its reason, so that a report can say why a lesser part was
used. A server that the user named is used or the run fails; nothing is put in its place.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, Protocol, Self, TypeVar

import psycopg

from migrator.embedded.classpath import KAFKA_VERSION, missing_tools
from migrator.embedded.containers import (
    KAFKA_IMAGE,
    POSTGRES_IMAGE,
    ContainerKafka,
    ContainerPostgres,
    why_no_containers,
)
from migrator.embedded.kafka import EmbeddedKafka
from migrator.embedded.postgres import EmbeddedPostgres
from migrator.errors import CannotStartError
from migrator.kafka.mock import MockCluster
from migrator.kafka.ready import metadata_answers

BrokerKind = Literal["apache-kafka", "container", "mock", "external"]
PostgresKind = Literal["embedded", "container", "external"]


class Broker(Protocol):
    """A Kafka cluster that was started, or found, for a while."""

    @property
    def kind(self) -> BrokerKind:
        """What it is."""

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``, once started."""

    def start(self) -> Self:
        """Start it and wait until it answers."""

    def close(self) -> None:
        """End it and remove what it wrote."""


class PostgresServer(Protocol):
    """A Postgres server that was started, or found, for a while."""

    @property
    def kind(self) -> PostgresKind:
        """What it is."""

    @property
    def url(self) -> str:
        """A libpq URL, once started."""

    def start(self) -> Self:
        """Start it and wait until it answers."""

    def close(self) -> None:
        """End it and remove what it wrote."""


Part = TypeVar("Part", Broker, PostgresServer)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Part]):
    """One way to have a part.

    Attributes:
        name: what it is, for a report.
        obstacle: why it cannot be had on this machine; empty when it seems that it can.
        make: makes the part, not yet started.
    """

    name: str
    obstacle: str
    make: Callable[[], Part]


@dataclass(frozen=True, slots=True)
class Started(Generic[Part]):
    """The part that runs, its name for a report, and why each better one was passed over."""

    part: Part
    name: str
    passed_over: tuple[str, ...]


class ExternalKafka:
    """A cluster that the user runs."""

    kind: ClassVar[Literal["external"]] = "external"

    def __init__(self, bootstrap_servers: str, timeout: float = 10.0) -> None:
        """Name the cluster.

        Args:
            bootstrap_servers: ``host:port``, several separated by commas.
            timeout: seconds within which it must answer.
        """
        self.bootstrap_servers = bootstrap_servers
        self._timeout = timeout

    def start(self) -> Self:
        """Make sure that it answers."""
        if not metadata_answers(self.bootstrap_servers, self._timeout):
            raise CannotStartError(f"no Kafka answers at {self.bootstrap_servers!r}", code="broker-unreachable")
        return self

    def close(self) -> None:
        """Leave it alone."""


class ExternalPostgres:
    """A server that the user runs."""

    kind: ClassVar[Literal["external"]] = "external"

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> Self:
        """Make sure that it answers."""
        try:
            psycopg.connect(self.url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            raise CannotStartError(f"no Postgres answers: {error}", code="postgres-unreachable") from error
        return self

    def close(self) -> None:
        """Leave it alone."""


def broker_candidates(external: str | None = None, *, cache_dir: Path | None = None) -> Iterator[Candidate[Broker]]:
    """The ways to have a Kafka, best first; each is looked into only when it is asked for.

    Args:
        external: bootstrap servers that the user named; then they are the only candidate.
        cache_dir: the user's cache folder, for Kafka's jars.
    """
    if external:
        yield Candidate(f"Kafka at {external}", "", lambda: ExternalKafka(external))
        return
    yield Candidate(f"container {KAFKA_IMAGE}", why_no_containers(), ContainerKafka)
    yield Candidate(
        f"Apache Kafka {KAFKA_VERSION} on the JVM", missing_tools(), lambda: EmbeddedKafka(cache_dir=cache_dir)
    )
    yield Candidate("librdkafka's mock cluster", "", MockCluster)


def postgres_candidates(
    external: str | None = None, *, bin_dir: Path | None = None
) -> Iterator[Candidate[PostgresServer]]:
    """The ways to have a Postgres, best first; each is looked into only when it is asked for.

    Args:
        external: a libpq URL that the user named; then it is the only candidate.
        bin_dir: the programs of the server to start; None for a container or else the wheel's.
    """
    if external:
        yield Candidate("Postgres of the environment", "", lambda: ExternalPostgres(external))
        return
    if bin_dir is None:
        yield Candidate(f"container {POSTGRES_IMAGE}", why_no_containers(), ContainerPostgres)
    yield Candidate("embedded Postgres", "", lambda: EmbeddedPostgres(bin_dir))


def likely(candidates: Iterable[Candidate[Part]]) -> str:
    """The name of the candidate that ``start_best`` will try first."""
    return next(candidate.name for candidate in candidates if not candidate.obstacle)


def start_best(candidates: Iterable[Candidate[Part]]) -> Started[Part]:
    """Start the first candidate that starts.

    Raises:
        CannotStartError: none did; the message holds each one's reason.
    """
    passed_over: list[str] = []
    for candidate in candidates:
        reason = candidate.obstacle
        if not reason:
            try:
                return Started(candidate.make().start(), candidate.name, tuple(passed_over))
            except CannotStartError as error:
                reason = error.message
        passed_over.append(f"{candidate.name}: {reason}")
    raise CannotStartError("; ".join(passed_over), code="no-part-starts")


def best_broker(external: str | None = None, *, cache_dir: Path | None = None) -> Started[Broker]:
    """Start the best Kafka that this machine can have; close its ``part`` afterwards."""
    return start_best(broker_candidates(external, cache_dir=cache_dir))


def best_postgres(external: str | None = None, *, bin_dir: Path | None = None) -> Started[PostgresServer]:
    """Start the best Postgres that this machine can have; close its ``part`` afterwards."""
    return start_best(postgres_candidates(external, bin_dir=bin_dir))
