"""The queues on Postgres that the shim is measured beside: pgmq and PgQueuer, each by its own Python client.

They are in the dependency group ``benchmarks``, and are imported only where they are used.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.measuring import value
from tests.benchmarks.metering import Meter
from tests.benchmarks.parts import Parts
from tests.benchmarks.processes import Task, race
from tests.benchmarks.runs import Run


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them.

    Attributes:
        name: how reports call it.
        modules: what has to be installed.
        queue: its table.
        done: the SQL expression for how many jobs are done, of those that were sent.
        held: the same for how many a worker has and has not settled.
        install: prepares an empty database, given its URL.
        task: makes the task of an application, from URL, action, messages, batch, and seconds where it has an end.
    """

    name: str
    modules: tuple[str, ...]
    queue: str
    done: str
    held: str
    install: Callable[[str], None]
    task: Callable[..., Task]

    def send(self, on: Parts, messages: int, batch: int) -> Run:
        """Enqueues jobs, so many at once."""
        with on.database(self.install) as (url, conn):
            meter = Meter(on, conn)
            answers = race([self.task(url, "send", messages, batch)])
            excess = value(conn, f"select count(*) from {self.queue}") - messages
            faults = {"lost": max(-excess, 0), "doubled": max(excess, 0)}
            return Run.of(messages, answers, meter.costs(), faults)

    def receive(self, on: Parts, messages: int, batch: int) -> Run:
        """Works off jobs, so many at once."""
        with on.database(self.install) as (url, conn):
            race([self.task(url, "send", messages, 1000)])
            conn.execute("vacuum analyze")
            meter = Meter(on, conn)
            answers = race([self.task(url, "receive", messages, batch)])
            left = value(conn, f"select count(*) from {self.queue}")
            (told,) = answers.each
            faults = {"lost": told["lost"], "doubled": told["doubled"] + left}
            return Run.of(messages, answers, meter.costs(), faults)


def peers(names: Iterable[str]) -> list[Peer]:
    """The peers of these names."""
    known = {
        "pgmq": Peer(
            "pgmq",
            ("pgmq",),
            "pgmq.q_jobs",
            done="(select count(*) from pgmq.a_jobs)",
            held="(select count(*) from pgmq.q_jobs where vt > now())",
            install=_install_pgmq,
            task=_pgmq,
        ),
        "pgqueuer": Peer(
            "PgQueuer",
            ("pgqueuer", "asyncpg"),
            "pgqueuer",
            done="(select count(*) from pgqueuer_log where status = 'successful')",
            held="(select count(*) from pgqueuer where status = 'picked')",
            install=_install_pgqueuer,
            task=_pgqueuer,
        ),
    }
    return [known[name] for name in names]


def _install_pgmq(url: str) -> None:
    from tests.benchmarks.clients import pgmq_queue  # noqa: PLC0415  # it may not be installed

    pgmq_queue.install(url)


def _install_pgqueuer(url: str) -> None:
    from tests.benchmarks.clients import pgqueuer_queue  # noqa: PLC0415  # it may not be installed

    pgqueuer_queue.install(url)


def _pgmq(*arguments: Any) -> Task:
    from tests.benchmarks.clients.pgmq_queue import Pgmq  # noqa: PLC0415  # it may not be installed

    return Pgmq(*arguments)


def _pgqueuer(*arguments: Any) -> Task:
    from tests.benchmarks.clients.pgqueuer_queue import PgQueuer  # noqa: PLC0415  # it may not be installed

    return PgQueuer(*arguments)
