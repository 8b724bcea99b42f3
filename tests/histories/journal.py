"""The files in which processes write down what they do, and the history that is read from all of them."""

import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import TextIO

from tests.histories.operation import NOTHING, Event, EventType, Facts, Kind, Operation, Outcome

_SUFFIX = ".jsonl"


class Entry:
    """An operation that has been invoked, and is to be completed once."""

    def __init__(self, journal: "Journal", number: int, kind: Kind) -> None:
        self._journal = journal
        self._number = number
        self._kind: Kind = kind

    def ok(self, facts: Facts = NOTHING) -> None:
        """It happened."""
        self._complete("ok", facts)

    def fail(self, facts: Facts = NOTHING) -> None:
        """It did not happen, and never will."""
        self._complete("fail", facts)

    def info(self, facts: Facts = NOTHING) -> None:
        """Nobody knows."""
        self._complete("info", facts)

    def _complete(self, outcome: Outcome, facts: Facts) -> None:
        self._journal.write(self._number, self._kind, outcome, facts)


class Journal:
    """Writes down what one process does. A line that was written outlives the process, however that ends.

    Args:
        folder: where the process's own file is made.
        process: its name.
    """

    def __init__(self, folder: Path, process: str) -> None:
        self._process = process
        self._file: TextIO = (folder / f"{process}{_SUFFIX}").open("x", encoding="utf-8")
        self._numbers = count(1)
        self._lock = threading.Lock()

    def invoke(self, kind: Kind, facts: Facts = NOTHING) -> Entry:
        """Writes down that an operation begins; to be called before anything of it happens."""
        number = next(self._numbers)
        self.write(number, kind, "invoke", facts)
        return Entry(self, number, kind)

    def write(self, number: int, kind: Kind, type_: EventType, facts: Facts) -> None:
        """Writes one line, in one call of the operating system."""
        line = Event(self._process, number, kind, type_, time.monotonic(), facts).line()
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read(folder: Path) -> list[Operation]:
    """The history: the operations of all processes, as they were invoked."""
    found: list[Operation] = []
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        with file.open(encoding="utf-8") as lines:
            found += paired(parsed(lines))
    return sorted(found, key=lambda one: (one.invoked, one.process, one.number))


def parsed(lines: Iterable[str]) -> Iterator[Event]:
    """Reads events; the last one may be torn where a process was killed while it wrote.

    Raises:
        ValueError: another line than the last is torn.
    """
    torn: ValueError | None = None
    for line in lines:
        if torn is not None:
            raise torn
        try:
            yield Event.parse(line)
        except ValueError as error:
            torn = error


def paired(events: Iterable[Event]) -> Iterator[Operation]:
    """Joins the beginnings and the ends of one process's operations; what never ended comes last."""
    begun: dict[int, Event] = {}
    for event in events:
        if event.type == "invoke":
            begun[event.number] = event
        else:
            yield Operation.of(begun.pop(event.number), event)
    for event in begun.values():
        yield Operation.of(event, None)
