"""Apache Kafka itself, as one KRaft node on the JVM: ready in three seconds, gone without a trace.

The broker is a child in a session of its own; when this process dies without closing it, its guardian kills it and
removes its folder.
"""

import base64
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self

from migrator.embedded.broker_properties import ONE_NODE, Listeners
from migrator.embedded.classpath import default_cache_dir, kafka_classpath
from migrator.embedded.process import ServerProcess, free_port, remove_folder, temporary_folder, wait_until
from migrator.errors import CannotStartError
from migrator.kafka.ready import ReadinessProbe

# The first compiler only: the broker is up in two thirds of the time, and serves what one client asks for.
QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PORT_TAKEN = "Address already in use"
_PORT_ATTEMPTS = 5


class EmbeddedKafka:
    """A throw-away Kafka broker on 127.0.0.1.

    ``with EmbeddedKafka() as broker`` starts it and removes it; ``stop``, ``kill`` and ``start`` in between keep its
    records and its ports.
    """

    kind: ClassVar[Literal["apache-kafka"]] = "apache-kafka"

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        properties: Mapping[str, str] | None = None,
        sasl_users: Mapping[str, str] | None = None,
        heap: str = "512m",
        jvm_options: Sequence[str] = QUICK_JVM,
        timeout: float = 60.0,
    ) -> None:
        """Describe the broker; nothing is started yet.

        Args:
            cache_dir: the user's cache folder, for the jars; None for ``~/.cache``.
            properties: broker properties, over those of this class.
            sasl_users: password by name; given, a second listener demands SASL/PLAIN, and ACLs are obeyed.
            heap: the JVM's largest heap, in its own notation.
            jvm_options: further options of the JVM; an empty sequence for its own defaults, as in a benchmark.
            timeout: seconds within which it must answer, and stop.
        """
        self._cache_dir = cache_dir or default_cache_dir()
        self._properties = dict(properties or {})
        self._sasl_users = dict(sasl_users or {})
        self._jvm = [f"-Xmx{heap}", *jvm_options]
        self._timeout = timeout
        self._folder: Path | None = None
        self._listeners: Listeners | None = None
        self._process: ServerProcess | None = None
        self._classpath = ""

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` for clients without authentication."""
        return f"127.0.0.1:{self._ports.broker}"

    @property
    def sasl_bootstrap_servers(self) -> str:
        """``host:port`` for clients that authenticate with SASL/PLAIN over plain text."""
        return f"127.0.0.1:{self._ports.sasl}"

    @property
    def pid(self) -> int:
        """The JVM's process id."""
        return self._running_process.pid

    @property
    def folder(self) -> Path:
        """Where properties, records and log live."""
        if self._folder is None:
            self._folder = temporary_folder()
        return self._folder

    @property
    def log(self) -> Path:
        """The broker's own log file."""
        return self.folder / "broker.log"

    def start(self) -> Self:
        """Start the broker on its records, or empty the first time, and wait until it answers.

        Raises:
            CannotStartError: it did not answer in time, or ended, or its jars cannot be had.
        """
        self._classpath = self._classpath or kafka_classpath(self._cache_dir)
        if self._listeners is not None:
            self._launch(last=True)
            return self
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._choose_ports()
            if self._launch(last=attempt == _PORT_ATTEMPTS):
                break
        return self

    def stop(self) -> None:
        """Shut the broker down in order; records and ports stay for the next ``start``."""
        if self._process is None:
            return
        self._process.send(signal.SIGTERM)
        self._process.wait(self._timeout)
        self._process = None

    def kill(self) -> None:
        """End the broker with SIGKILL; the next ``start`` recovers its log."""
        process = self._running_process
        process.send(signal.SIGKILL)
        process.wait(self._timeout)
        self._process = None

    def restart(self) -> Self:
        """Stop and start on the same records and ports."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """End the broker and remove everything it wrote."""
        if self._process is not None:
            self.kill()
        if self._folder is not None:
            remove_folder(self._folder)
            self._folder = None
            self._listeners = None

    def dump_log(self, topic: str, partition: int) -> str:
        """What Kafka's own ``DumpLogSegments`` says of a partition's segments, records and control records included.

        Raises:
            CannotStartError: the tool failed, or the partition has no segment.
        """
        segments = sorted((self.folder / "data" / f"{topic}-{partition}").glob("*.log"))
        files = ",".join(map(str, segments))
        return self._run_tool("org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files", files)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _ports(self) -> Listeners:
        if self._listeners is None:
            raise CannotStartError("the embedded Kafka has not been started", code="kafka-not-running")
        return self._listeners

    @property
    def _running_process(self) -> ServerProcess:
        if self._process is None:
            raise CannotStartError("the embedded Kafka is not running", code="kafka-not-running")
        return self._process

    def _choose_ports(self) -> None:
        sasl = free_port() if self._sasl_users else 0
        self._listeners = Listeners(free_port(), free_port(), sasl, self._sasl_users)
        properties = {
            **ONE_NODE,
            **self._listeners.properties(),
            "log.dirs": str(self.folder / "data"),
            **self._properties,
        }
        lines = (f"{name}={value}\n" for name, value in properties.items())
        (self.folder / "server.properties").write_text("".join(lines))
        (self.folder / "tmp").mkdir(exist_ok=True)
        self._format()

    def _format(self) -> None:
        """Give the empty node its cluster id; a node that has one keeps it, and learns nothing of the ports."""
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("--config", str(self.folder / "server.properties"), "--ignore-formatted")
        self._run_tool("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", *arguments)

    def _launch(self, *, last: bool) -> bool:
        """Start the JVM; False when somebody else took a port first, and this was not the last try."""
        self._process = process = ServerProcess(
            self._java(*self._jvm, "kafka.Kafka", str(self.folder / "server.properties")), log=self.log
        )
        probe = ReadinessProbe(self.bootstrap_servers)
        answered = wait_until(lambda: not process.running or probe.answers(), self._timeout)
        if answered and process.running:
            probe.wake_group_coordinator()
            return True
        self.kill()
        if _PORT_TAKEN in process.tail() and not last:
            return False
        raise CannotStartError(f"Apache Kafka did not start:\n{process.tail()}", code="kafka-not-started")

    def _java(self, *arguments: str) -> list[str]:
        # Counters and unpacked native libraries would stay in the machine's /tmp after a kill -9.
        scratch = f"-Djava.io.tmpdir={self.folder / 'tmp'}"
        return ["java", "-XX:-UsePerfData", scratch, "-cp", self._classpath, *arguments]

    def _run_tool(self, *arguments: str) -> str:
        argv = self._java("-Xmx256m", *QUICK_JVM, *arguments)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode:
            text = (done.stderr or done.stdout).strip()
            raise CannotStartError(f"Kafka's {arguments[0]} failed: {text}", code="kafka-tool-failed")
        return done.stdout
