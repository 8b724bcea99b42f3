"""Postgres and Kafka as containers, for machines on which a Docker engine answers.

Honest limits: no engine answers where this was written, so only the choice (``docker_answers``) was ever run; the two
classes below follow the images' documentation and testcontainers' API and have not been started.
"""

import subprocess
from functools import cache
from importlib.util import find_spec
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from migrator.embedded.broker_properties import ONE_NODE, Listeners
from migrator.embedded.process import free_port, wait_until
from migrator.errors import CannotStartError
from migrator.kafka.ready import ReadinessProbe

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
PGBOUNCER_IMAGE = "edoburu/pgbouncer:v1.23.1-p2"
POSTGRES_PORT = 5432
KAFKA_PORT = 9092
_CONTROLLER_PORT = 9093
_DOCKER_SECONDS = 1.5


def docker_answers() -> bool:
    """Whether a Docker engine answers; takes at most 1.5 s and never raises."""
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=_DOCKER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def container_environment(port: int) -> dict[str, str]:
    """The environment that makes the ``apache/kafka`` image one node for clients on 127.0.0.1:``port``.

    The image turns ``KAFKA_A_B`` into the property ``a.b``.
    """
    properties = {
        **ONE_NODE,
        **Listeners(port, _CONTROLLER_PORT).properties(),
        "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:{_CONTROLLER_PORT}",
        "log.dirs": "/tmp/kraft-combined-logs",  # noqa: S108  # inside the container
    }
    return {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in properties.items()}


@cache
def why_no_containers() -> str:
    """Why containers cannot be started here, or an empty string; found out once."""
    if find_spec("testcontainers") is None:
        return "testcontainers is not installed"
    return "" if docker_answers() else "no Docker engine answers"


def _start(container: Any, image: str) -> None:
    try:
        container.start()
    except Exception as error:  # the engine's, the registry's and the waiting's errors share no base class
        raise CannotStartError(
            f"the container {image} did not start: {error}", code="container-not-started", hint=f"docker pull {image}"
        ) from error


class ContainerKafka:
    """A Kafka broker in a container, with the settings of ``EmbeddedKafka``."""

    kind: ClassVar[Literal["container"]] = "container"

    def __init__(self, timeout: float = 120.0) -> None:
        """Describe the broker; nothing is started yet.

        Args:
            timeout: seconds within which it must answer, the image's download not included.
        """
        self._timeout = timeout
        self._container: Any = None
        self.bootstrap_servers = ""

    def start(self) -> Self:
        """Start the container and wait until the broker answers."""
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415  # a dependency of tests only

        port = free_port()
        self._container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port)
        self._container.with_envs(**container_environment(port))
        _start(self._container, KAFKA_IMAGE)
        self.bootstrap_servers = f"127.0.0.1:{port}"
        probe = ReadinessProbe(self.bootstrap_servers)
        if not wait_until(probe.answers, self._timeout):
            self.close()
            raise CannotStartError("the Kafka container did not answer in time", code="kafka-not-started")
        probe.wake_group_coordinator()
        return self

    def close(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.stop()
            self._container = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ContainerPostgres:
    """A Postgres server in a container, with superuser ``postgres``."""

    kind: ClassVar[Literal["container"]] = "container"

    def __init__(self) -> None:
        self._container: Any = None
        self.url = ""

    def start(self) -> Self:
        """Start the container and wait until the server answers."""
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415  # a dependency of tests only

        self._container = PostgresContainer(
            POSTGRES_IMAGE,
            username="postgres",
            password="postgres",  # noqa: S106  # of a container that lives for minutes
            dbname="postgres",
            driver=None,
        )
        self._container.with_command("postgres -c fsync=off -c full_page_writes=off -c max_connections=200")
        _start(self._container, POSTGRES_IMAGE)
        self.url = str(self._container.get_connection_url())
        return self

    def close(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.stop()
            self._container = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
