"""A worker of a share group: it does nothing with its jobs but accept them, and tells how it fares when it is asked."""

import select
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, monotonic_ns, perf_counter, process_time
from typing import Any

from shim import KafkaException, Message, ShareConsumer, TopicPartition
from shim.store import claims
from tests.benchmarks.clients import parent
from tests.benchmarks.clients.sender import STAMP

_POLL_SECONDS = 0.2
_EACH_AGE = 10
_TWICE_OR_MORE = 2


@dataclass(frozen=True, slots=True)
class Work:
    """Works on a topic until it has been asked so often.

    Attributes:
        servers: where the queue is.
        topic: whose jobs.
        partitions: how many it has.
        rounds: how often it will be asked; at the last time it ends.
        journal: a folder for what came true: by partition, of each offset how often the shim said so.
        configuration: what else the share consumer is told.
    """

    servers: str
    topic: str
    partitions: int
    rounds: int
    journal: str
    configuration: dict[str, Any]


@dataclass(slots=True)
class Figures:
    """What a worker has seen since it was asked last.

    Attributes:
        seconds: jobs that came, by the second of the machine's monotonic clock.
        claims: how many milliseconds each claim took.
        ages: how many milliseconds lay between `produce()` and `poll()`, of each tenth job.
        again: jobs that had been delivered before.
        late: acknowledgements that came too late.
        cpu: CPU seconds of this process.
    """

    seconds: Counter[int] = field(default_factory=Counter)
    claims: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    again: int = 0
    late: int = 0
    cpu: float = field(default_factory=lambda: -process_time())

    def add(self, messages: Sequence[Message]) -> None:
        """Takes what a poll returned."""
        self.seconds[int(monotonic())] += len(messages)
        self.again += sum((message.delivery_count() or 0) >= _TWICE_OR_MORE for message in messages)
        now = monotonic_ns()
        self.ages += [(now - int((message.value() or b"")[STAMP])) / 1e6 for message in messages[::_EACH_AGE]]

    def document(self) -> dict[str, Any]:
        """As it is told."""
        times = {"claims": [round(one, 2) for one in self.claims], "ages": [round(one, 1) for one in self.ages]}
        counts = {"again": self.again, "late": self.late, "cpu": self.cpu + process_time()}
        return {"seconds": self.seconds, **times, **counts}


class Worker:
    """Polls, and remembers what came true."""

    def __init__(self, task: Work) -> None:
        self._marks = [bytearray() for _ in range(task.partitions)]
        self.figures = Figures()
        self._consumer = ShareConsumer({"bootstrap.servers": task.servers, **task.configuration})
        self._consumer.set_acknowledgement_commit_callback(self._told)
        self._consumer.subscribe([task.topic])

    def poll(self) -> None:
        """Takes jobs, which accepts those of before."""
        messages = self._consumer.poll(_POLL_SECONDS)
        if messages:
            self.figures.add(messages)

    def claimed(self, milliseconds: float) -> None:
        """Is told how long a claim took."""
        self.figures.claims.append(milliseconds)

    def close(self, journal: Path) -> None:
        """Ends, and leaves what came true."""
        self._consumer.commit_sync()
        self._consumer.close()
        journal.mkdir()
        for partition, marks in enumerate(self._marks):
            (journal / str(partition)).write_bytes(marks)

    def _told(self, offsets: dict[TopicPartition, set[int]], error: KafkaException | None) -> None:
        for place, found in offsets.items():
            if error is not None:
                self.figures.late += len(found)
                continue
            marks = self._marks[place.partition]
            marks.extend(bytes(max(max(found) + 1 - len(marks), 0)))
            for offset in found:
                marks[offset] += 1


def main() -> None:
    """Work."""
    task = parent.task(Work)
    worker = Worker(task)
    claims.claim = _timed(claims.claim, worker.claimed)
    parent.ready()
    worker.figures = Figures()
    for left in reversed(range(task.rounds)):
        while not select.select([sys.stdin], [], [], 0)[0]:
            worker.poll()
        sys.stdin.readline()
        if not left:
            worker.close(Path(task.journal))
        told, worker.figures = worker.figures, Figures()
        parent.tell(told.document())


def _timed(function: Callable[..., Any], note: Callable[[float], object]) -> Callable[..., Any]:
    """The same function, which notes how many milliseconds each call takes."""

    def timed(*arguments: Any) -> Any:
        began = perf_counter()
        result = function(*arguments)
        note((perf_counter() - began) * 1000)
        return result

    return timed


if __name__ == "__main__":
    main()
