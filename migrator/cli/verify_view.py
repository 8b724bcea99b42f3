"""What people see of a verification: a line that lives on a terminal, plain lines elsewhere, and the answer."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from migrator.cli.output import Output
from migrator.events import Compared, Event, Listener, Notice
from migrator.verify.classes import Class, Difference
from migrator.verify.drill import Drilled
from migrator.verify.outcome import Outcome, Result

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def verify_view(out: Output) -> Iterator[Listener]:
    """Shows a verification while it runs; yields what is to be told of its events."""
    if out.quiet:
        yield lambda _event: None
    elif out.stderr.is_terminal:
        with _live(out) as bar:
            task = bar.add_task("", total=None, said="")
            yield lambda event: _drawn(out, bar, task, event)
    else:
        yield _now_and_then(out.note)


def outcome_lines(out: Output, outcome: Outcome) -> list[str | Text]:
    """Returns the answer in a few lines."""
    ok = outcome.result is Result.PASS
    counts = [f"{outcome.classes[kind]:,} {kind.replace('_', ' ')}" for kind in Class if outcome.classes[kind]]
    pace = f"{outcome.seconds:.1f} s, {outcome.compared / max(outcome.seconds, 1e-6):,.0f}/s"
    level = outcome.level if outcome.modulus == 1 else f"{outcome.level}, one message in {outcome.modulus:,}"
    head = Text.assemble(
        out.mark(ok=ok), f" {outcome.topic}: {outcome.result}, {outcome.compared:,} compared ({level}; {pace})"
    )
    lines: list[str | Text] = [head]
    if counts:
        lines.append(f"  {', '.join(counts)}")
    lines += [f"  {reason}" for reason in outcome.reasons]
    if outcome.beyond:
        lines.append(f"  {outcome.beyond:,} newer offsets lie behind the end that was frozen for the drain")
    return lines


def drill_lines(out: Output, drilled: Drilled) -> list[str | Text]:
    """Returns what a drill came to: each fault, and whether it was found."""
    lines: list[str | Text] = []
    for kind, partition, offset in sorted(drilled.planted | drilled.found):
        fault = (kind, partition, offset)
        said = "found" if fault in drilled.found else "NOT FOUND"
        if fault not in drilled.planted:
            said = "found, and never planted"
        lines.append(Text.assemble(out.mark(ok=said == "found"), f" {kind} at {partition}/{offset}: {said}"))
    for kind in sorted(drilled.planted_counts | drilled.counts):
        planted, found = drilled.planted_counts[kind], drilled.counts[kind]
        lines.append(Text.assemble(out.mark(ok=planted == found), f" {kind}: {found} of {planted}"))
    return lines


def difference_rows(differences: Sequence[Difference]) -> Iterable[tuple[object, ...]]:
    """Yields a row for each difference, without anything that was produced."""
    for one in differences:
        stop = "" if one.stop is None else f" to {one.stop - 1} ({one.count})"
        of = "" if one.of is None else f"{one.of.partition}/{one.of.offset}"
        yield one.kind.value, str(one.place.partition), f"{one.place.offset}{stop}", str(one.job or ""), of


def _live(out: Output) -> Progress:
    return Progress(BarColumn(bar_width=20), TextColumn("{task.fields[said]}"), console=out.stderr, transient=True)


def _drawn(out: Output, bar: Progress, task: TaskID, event: Event) -> None:
    if isinstance(event, Notice):
        out.note(event.text)
    elif isinstance(event, Compared):
        bar.update(task, total=event.total, completed=event.done, said=_said(event))


def _now_and_then(say: Callable[[str], None]) -> Listener:
    last = time.monotonic()

    def hear(event: Event) -> None:
        nonlocal last
        if isinstance(event, Notice):
            say(event.text)
        elif isinstance(event, Compared) and time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(_said(event))

    return hear


def _said(event: Compared) -> str:
    parts = [f"{event.topic}: {event.done:,} of {event.total:,} offsets", f"{event.per_second:,.0f}/s"]
    if event.seconds_left is not None:
        parts.append(f"{timedelta(seconds=round(event.seconds_left))} left")
    if event.differences:
        parts.append(f"{event.differences:,} differ")
    return ", ".join(parts)
