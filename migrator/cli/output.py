"""What people and scripts get to see: the result on stdout, everything else on stderr.

The one place that knows about terminals, colour, width and JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from migrator.errors import MigratorError

SCHEMA_VERSION = 1
_UNBOUNDED = 100_000
_SECONDS_BETWEEN_LINES = 10.0

Line = str | Text


class Output:
    """Where a command's words go.

    Args:
        as_json: one JSON document on stdout instead of lines for people.
        quiet: nothing on stderr but errors.
        no_color: no colour, as with ``NO_COLOR``.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, no_color: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._stdout = _console(stderr=False, no_color=no_color)
        self._stderr = _console(stderr=True, no_color=no_color)

    @property
    def stderr(self) -> Console:
        """The console of everything that is no result, for those who draw on it themselves."""
        return self._stderr

    def result(self, document: Mapping[str, object], lines: Iterable[Line]) -> None:
        """Shows what the command came to: the document to scripts, the lines to people."""
        if self.as_json:
            self.text(json.dumps({"schema_version": SCHEMA_VERSION, **document}, default=str))
            return
        for line in lines:
            _print(self._stdout, line)

    def text(self, text: str) -> None:
        """Puts a text on stdout as it stands, such as SQL for psql."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
        """Shows rows to people; on a terminal too narrow for them, one value a line."""
        cells = [[_cell(value) for value in row] for row in rows]
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*row)
        unbounded = self._stdout.options.update(max_width=_UNBOUNDED)
        width = self._stdout.measure(table, options=unbounded).maximum
        if width <= self._stdout.width or not self._stdout.is_terminal:
            self._stdout.print(table, width=width, crop=False)
            return
        for row in cells:
            for name, cell in zip(columns, row, strict=True):
                _print(self._stdout, Text.assemble((f"{name}: ", "bold"), cell.plain))
            _print(self._stdout, "")

    def note(self, line: Line) -> None:
        """Says something in passing, such as what is connected to."""
        if not self.quiet:
            _print(self._stderr, line)

    def next_step(self, command: str) -> None:
        """Says what to run next."""
        self.note(Text.assemble(("next: ", "bold"), command))

    def error(self, error: MigratorError) -> None:
        """Says what went wrong and what to do; with JSON, on stdout as well."""
        if self.as_json:
            fields = {"code": error.code, "message": error.message, "hint": error.hint, "exit": error.exit}
            self.result({"error": fields}, ())
        _print(self._stderr, Text.assemble(("error: ", "bold red"), error.message))
        for line in error.hint.splitlines():
            _print(self._stderr, Text.assemble(("hint: ", "bold cyan"), line))

    def mark(self, *, ok: bool) -> Text:
        """Returns a tick or a cross, or words where the terminal has no such signs."""
        signs = ("✓", "✗") if self._stdout.encoding.startswith("utf") else ("ok", "NO")
        return Text(signs[0], "green") if ok else Text(signs[1], "bold red")

    @contextmanager
    def progress(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Shows how far something is: a bar on a terminal, a line now and then elsewhere.

        Yields:
            a function to be told how much is done so far.
        """
        if self.quiet:
            yield lambda _done: None
        elif self._stderr.is_terminal:
            with _bar(self._stderr) as bar:
                task = bar.add_task(title, total=total)
                yield lambda done: bar.update(task, completed=done)
        else:
            yield _now_and_then(self.note, title, total)


def _console(*, stderr: bool, no_color: bool) -> Console:
    # None leaves NO_COLOR to rich; False would overrule it.
    console = Console(
        stderr=stderr, no_color=no_color or None, highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    if not console.is_terminal:
        console.width = _UNBOUNDED  # a pipe has no width: nothing is squeezed there
    return console


def _print(console: Console, line: Line) -> None:
    console.print(line, soft_wrap=True)


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    number = isinstance(value, int) and not isinstance(value, bool)
    return Text(f"{value:,}" if number else str(value), justify="right" if number else "left")


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _now_and_then(say: Callable[[str], None], title: str, total: int | None) -> Callable[[int], None]:
    of_total = "" if total is None else f" of {total:,}"
    last = started = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            say(f"{title}: {done:,}{of_total} after {now - started:.0f} s")

    return tell
