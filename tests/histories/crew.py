"""The workers of a run: started, killed, stopped, and started again under a new name whenever one has ended."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.histories.workload.plan import Plan

_ROOT = Path(__file__).parents[2]
_END_SECONDS = 60.0


@dataclass(slots=True)
class Worker:
    """A part that is always played, by one process after the other.

    Attributes:
        plan: what it does; its ``process`` is the part's name.
        life: which process plays it now.
        process: that one.
    """

    plan: Plan
    life: int
    process: subprocess.Popen[bytes]

    @property
    def name(self) -> str:
        """The process's name in the history."""
        return f"{self.plan.process}.{self.life}"


class Crew:
    """All workers.

    Args:
        folder: where they say what goes wrong, a file for each process.

    Attributes:
        workers: those that are to work.
        failures: how processes ended that nobody killed, and that did not leave by themselves.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.workers: list[Worker] = []
        self.failures: list[str] = []

    def add(self, plan: Plan) -> Worker:
        """Has a part played from now on."""
        worker = Worker(plan, 1, self._launch(plan, 1))
        self.workers.append(worker)
        return worker

    def tend(self) -> None:
        """Starts again whoever has left."""
        for worker in self.workers:
            status = worker.process.poll()
            if status is not None:
                self._judge(worker, status)
                self._again(worker)

    def kill(self, worker: Worker) -> bool:
        """Kills a process, and starts the next one; False if it had ended by itself."""
        worker.process.kill()
        killed = _status(worker) == -signal.SIGKILL
        if not killed:
            self._judge(worker, worker.process.returncode)
        self._again(worker)
        return killed

    def kill_all(self) -> None:
        """Kills everybody, and starts nobody."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            if _status(worker) != -signal.SIGKILL:
                self._judge(worker, worker.process.returncode)
        self.workers.clear()

    def run_to_end(self, plans: Iterable[Plan], seconds: float) -> None:
        """Has processes do what ends by itself, all at once."""
        workers = [Worker(plan, 1, self._launch(plan, 1)) for plan in plans]
        for worker in workers:
            try:
                self._judge(worker, worker.process.wait(seconds))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                self.failures.append(f"{worker.name} was not done in {seconds} s")
            _status(worker)

    def _again(self, worker: Worker) -> None:
        _status(worker)
        worker.life += 1
        worker.process = self._launch(worker.plan, worker.life)

    def _judge(self, worker: Worker, status: int) -> None:
        if status != 0:
            said = (self._folder / f"{worker.name}.stderr").read_text(encoding="utf-8").strip().splitlines()
            self.failures.append(f"{worker.name} ended with {status}: {' | '.join(said[-3:])}")

    def _launch(self, plan: Plan, life: int) -> subprocess.Popen[bytes]:
        named = replace(plan, process=f"{plan.process}.{life}")
        with (self._folder / f"{named.process}.stderr").open("wb") as said:
            argv = [sys.executable, "-m", "tests.histories.workload", named.to_json()]
            return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd=_ROOT)


@contextmanager
def crew_in(folder: Path) -> Iterator[Crew]:
    """A crew that is gone afterwards, whatever happens."""
    crew = Crew(folder)
    try:
        yield crew
    finally:
        for worker in crew.workers:
            worker.process.kill()
            _status(worker)


def _status(worker: Worker) -> int:
    """Waits for the end of a process, and closes the pipe whose end would have ended it."""
    worker.process.communicate()
    return worker.process.returncode
