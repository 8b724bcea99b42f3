"""Starts the applications of a benchmark, each in a process of its own, and hears what they have to say."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from tests.benchmarks.measuring import RESULTS

BYTECODE = RESULTS / "bytecode"
_LAST_WORDS = 4000
_END_SECONDS = 60.0


class Task(Protocol):
    """What an application is to do: a dataclass, in the module that does it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class Application:
    """A process that carries out one task."""

    def __init__(self, task: Task) -> None:
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            python("-m", type(task).__module__, json.dumps(asdict(task))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate(timeout=_END_SECONDS)
        self._complaints.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def hear(self) -> dict[str, Any]:
        """The next document that it hands over."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the application ended: {self._last_words()}"
        document: dict[str, Any] = json.loads(line)
        return document

    def go(self) -> None:
        """Lets it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _last_words(self) -> str:
        self._process.wait(_END_SECONDS)
        self._complaints.seek(0)
        return self._complaints.read()[-_LAST_WORDS:]


@dataclass(frozen=True, slots=True)
class Answers:
    """What applications that ran side by side had to say.

    Attributes:
        each: their answers.
        seconds: from when the first one began to when the last one ended.
        cpu: CPU seconds of all of them meanwhile.
    """

    each: list[dict[str, Any]]
    seconds: float
    cpu: float


def race(tasks: Sequence[Task]) -> Answers:
    """Carries tasks out side by side, all from the moment on at which the last one is ready."""
    with ExitStack() as stack:
        applications = [stack.enter_context(Application(task)) for task in tasks]
        for application in applications:
            assert application.hear() == {"ready": True}
        for application in applications:
            application.go()
        each = [application.hear() for application in applications]
    seconds = max(one["ended"] for one in each) - min(one["began"] for one in each)
    return Answers(each, seconds, sum(one["cpu"] for one in each))


def python(*arguments: str) -> list[str]:
    """The command that starts Python with these arguments, and compiles modules once."""
    return [sys.executable, "-X", f"pycache_prefix={BYTECODE}", *arguments]


def environment() -> dict[str, str]:
    """This process's environment, but for what would have modules compiled each time."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
