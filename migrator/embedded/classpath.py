"""Apache Kafka's jars: resolved once by Maven into the user's cache, used from there without a network."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from migrator.errors import CannotStartError

# 4.4.0 is the newest on Maven Central, but one of the artifacts it needs (kafka-tools-api 4.4.0) is not there.
KAFKA_VERSION = "4.3.1"
_LOG4J_VERSION = "2.25.2"
_OLDEST_JAVA = 17
_RESOLVE_SECONDS = 600.0

# kafka-tools brings the log dump; what else it depends on (Connect, Jetty) is of no use here.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafka-to-postgres</groupId>
  <artifactId>embedded-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{KAFKA_VERSION}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{_LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def default_cache_dir() -> Path:
    """The user's cache folder when the caller names none."""
    return Path.home() / ".cache"


@cache
def missing_tools() -> str:
    """Why Apache Kafka cannot be started on this machine, or an empty string; found out once.

    Needs ``java`` of version 17 or later and ``mvn``.
    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            return f"'{program}' is not installed"
    found = _java_version()
    return "" if found >= _OLDEST_JAVA else f"java is version {found}; Kafka {KAFKA_VERSION} needs {_OLDEST_JAVA}"


def _java_version() -> int:
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found else 0


def kafka_classpath(cache_dir: Path) -> str:
    """The Java class path of the broker and its tools, taken from the cache or resolved by Maven.

    Processes that ask at the same time wait for the one that resolves.

    Args:
        cache_dir: the user's cache folder; a folder of ours is made in it.

    Raises:
        CannotStartError: Maven could not resolve it; the message holds Maven's first error.
    """
    folder = cache_dir / "kafka-to-postgres" / f"kafka-{KAFKA_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusively(folder / "lock"):
        return _cached(folder) or _resolve(folder)


@contextmanager
def _exclusively(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cached(folder: Path) -> str:
    """The class path on record, or an empty string when there is none, it is another pom's, or a jar has gone."""
    pom, classpath = folder / "pom.xml", folder / "classpath.txt"
    if not classpath.exists() or not pom.exists() or pom.read_text() != _POM:
        return ""
    text = classpath.read_text().strip()
    return text if all(Path(jar).exists() for jar in text.split(os.pathsep)) else ""


def _resolve(folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        pom, classpath = Path(work, "pom.xml"), Path(work, "classpath.txt")
        pom.write_text(_POM)
        _run_maven(pom, classpath)
        pom.replace(folder / "pom.xml")
        classpath.replace(folder / "classpath.txt")
    return (folder / "classpath.txt").read_text().strip()


def _run_maven(pom: Path, output: Path) -> None:
    argv = ["mvn", "-q", "-B", "-f", str(pom), "dependency:build-classpath", f"-Dmdep.outputFile={output}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_RESOLVE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _unresolved(f"no answer within {_RESOLVE_SECONDS:.0f} s") from error
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "[ERROR]" in line]
        raise _unresolved(errors[0].partition("[ERROR]")[2].strip() if errors else done.stderr.strip())


def _unresolved(reason: str) -> CannotStartError:
    return CannotStartError(
        f"Maven could not resolve Apache Kafka {KAFKA_VERSION}: {reason}",
        code="kafka-unresolved",
        hint=f"mvn dependency:get -Dartifact=org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    )
