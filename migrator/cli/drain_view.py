"""What people see of a drain: a line per topic that lives on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from migrator import events
from migrator.cli.output import Output
from migrator.drain.outcome import TopicOutcome
from migrator.events import Event, Listener, Notice, Started, Waiting

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def drain_view(out: Output) -> Iterator[Listener]:
    """Shows a drain while it runs; yields what is to be told of its events."""
    if out.quiet:
        yield _errors_only
    elif out.stderr.is_terminal:
        with _live(out) as bar:
            yield _OnTerminal(out, bar).hear
    else:
        yield _InLines(out.note, time.monotonic).hear


def outcome_lines(topic: TopicOutcome) -> list[str]:
    """Returns how one topic's drain ended, in one or two lines."""
    counts = [f"{topic.total('rows'):,} rows"]
    counts += [
        f"{topic.total(name):,} {label}"
        for name, label in (
            ("dead", "dead letters"),
            ("held", "held"),
            ("skipped", "skipped"),
            ("lost", "lost, as accepted"),
            ("unexplained", "UNEXPLAINED"),
        )
        if topic.total(name)
    ]
    state = "complete" if topic.source.complete else "not complete"
    if topic.source.complete and not topic.rows_this_run:
        return [f"{topic.source.topic}: {state}, {', '.join(counts)} (nothing was left to do)"]
    pace = f"{topic.rows_this_run:,} in this run, {topic.seconds:.1f} s, {topic.rows_per_second:,.0f} rows/s"
    return [f"{topic.source.topic}: {state}, {', '.join(counts)} ({pace})"]


def _errors_only(_event: Event) -> None:
    return


def _live(out: Output) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}"),
        console=out.stderr,
        transient=True,
    )


class _InLines:
    """Says what changes at once, and how far things are every few seconds."""

    def __init__(self, say: Callable[[str | Text], None], clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._last: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        match event:
            case Started():
                _introduce(self._say, event)
            case events.Progress() if self._due(event.topic):
                self._say(f"{event.topic}: {_said(event)}")
            case Waiting() if self._due("waiting"):
                self._say(f"waiting for {event.seconds:.0f} s: {event.reason}")
            case Notice():
                self._say(event.text)

    def _due(self, what: str) -> bool:
        now = self._clock()
        if now - self._last.setdefault(what, now if what != "waiting" else 0.0) < _SECONDS_BETWEEN_LINES:
            return False
        self._last[what] = now
        return True


class _OnTerminal:
    """Keeps a line per topic."""

    def __init__(self, out: Output, bar: Progress) -> None:
        self._out = out
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def hear(self, event: Event) -> None:
        match event:
            case Started():
                _introduce(self._out.note, event)
                self._tasks[event.topic] = self._bar.add_task(event.topic, total=event.total, said="")
            case events.Progress():
                self._bar.update(self._tasks[event.topic], completed=event.done, said=_said(event))
            case Waiting():
                for task in self._tasks.values():
                    self._bar.update(task, said=f"waiting {event.seconds:.0f} s: {event.reason}")
            case Notice():
                self._out.note(event.text)


def _introduce(say: Callable[[str | Text], None], event: Started) -> None:
    ahead = "following" if event.total is None else f"{event.total:,} offsets to go"
    say(f"{event.topic}: from {event.origin}{', resumed' if event.resumed else ''}, {ahead}")
    for note in event.notes:
        say(f"{event.topic}: {note}")


def _said(event: events.Progress) -> str:
    parts = [f"{event.rows:,} rows", f"{event.rows_per_second:,.0f}/s"]
    if event.remaining is not None:
        parts.append(f"{event.remaining:,} to go")
    if event.seconds_left is not None:
        parts.append(f"{timedelta(seconds=round(event.seconds_left))} left")
    if event.dead:
        parts.append(f"{event.dead:,} dead")
    return ", ".join(parts)
