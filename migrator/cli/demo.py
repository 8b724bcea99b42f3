"""``migrator demo``: the whole story on throw-away servers."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from migrator import postgres
from migrator.cli.options import reporting
from migrator.cli.output import Line, Output
from migrator.demo.commands import Commands, environment
from migrator.demo.oracle import Finding
from migrator.demo.servers import Servers, servers
from migrator.demo.steps import Steps, Story, StoryEndedError
from migrator.errors import Exit

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
@reporting
def demo(
    out: Output,
    records: Annotated[int, typer.Option("--records", min=400, max=1_000_000, help="how many are produced")] = 5_000,
    keep: Annotated[bool, typer.Option("--keep", help="leave both servers running until Ctrl-C")] = False,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option("--bootstrap-servers", metavar="HOST:PORT,...", help="a Kafka of yours, without a login"),
    ] = None,
) -> None:
    """See the whole story on throw-away servers, checked by itself: exit 0 only when all of it held.

    Before anything else; it touches nothing of yours and leaves nothing behind. It starts a Postgres and a Kafka, runs
    the real commands between them, and compares every byte with what was produced. A minute at most, but for the
    first time, when Maven downloads Kafka.

    Examples:
    - migrator demo
    - migrator demo --records 100000 --keep

    Environment: nothing is looked at that names servers of yours, and there is no --config.
    """
    steps = Steps(_Narrator(out))
    with _ended_by_signals(), servers(steps, bootstrap_servers) as where:
        _tell(steps, where, records)
        _report(out, steps, where, keep=keep)
        if keep:
            _wait()
    if not steps.ok:
        raise typer.Exit(Exit.ANSWER_IS_NO)


def _tell(steps: Steps, where: Servers, records: int) -> None:
    kafka = where.kafka
    commands = Commands(environment(where.dsn, kafka.bootstrap_servers, where.folder))
    with postgres.connect(where.dsn, "demo") as conn:
        try:
            Story(steps, commands, conn, kafka.bootstrap_servers, kafka.make).tell(records)
        except StoryEndedError:
            return


def _report(out: Output, steps: Steps, where: Servers, *, keep: bool) -> None:
    seconds = sum(step.seconds for step in steps.done)
    verdict = "all of it held" if steps.ok else "IT DID NOT HOLD"
    addresses = {"DATABASE_URL": where.dsn, "bootstrap.servers": where.kafka.bootstrap_servers} if keep else {}
    document = {"ok": steps.ok, "steps": [step.document() for step in steps.done], "servers": addresses or None}
    line = out.mark(ok=steps.ok).append(f" {verdict}: {len(steps.done)} steps, {seconds:.0f} s", style="bold")
    out.result(document, ["", line, *(f"{name}={address}" for name, address in addresses.items())])
    if keep:
        out.note(f"they run on; to stop them and remove all they wrote: Ctrl-C, or kill {os.getpid()}")
    else:
        out.next_step("migrator doctor, then migrator init on a database of yours")


def _wait() -> None:
    """Returns at Ctrl-C, which here is the ordinary end."""
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Has SIGTERM unwind the stack as Ctrl-C does, so that both servers are ended."""
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise typer.Exit(Exit.TERMINATED)


class _Narrator:
    """Tells people on standard output; beside a JSON document, on standard error."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def title(self, number: int, title: str) -> None:
        self._line("")
        self._line(Text(f"{number}. {title}", "bold"))

    def command(self, line: str) -> None:
        prompt = "$ " if line.startswith("migrator ") else ""
        for part in line.splitlines():
            self._line(Text(f"    {prompt}{part}", "cyan"))

    def say(self, line: str) -> None:
        self._line(f"    {line}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if self._out.as_json or self._out.quiet:
            return
        if rows:
            self._out.table(columns, rows)
        else:
            self.say("(0 rows)")

    def finding(self, finding: Finding) -> None:
        self._line(Text("    ").append_text(self._out.mark(ok=finding.ok)).append(f" {finding.promise}", "default"))
        self._line(Text(f"      {finding.found}", "dim"))

    def _line(self, line: Line) -> None:
        if self._out.as_json:
            self._out.note(line)
        elif not self._out.quiet:
            self._out.result({}, [line])
