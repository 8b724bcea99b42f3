"""What the benchmarks of the clients share: one run of one side, and the tables of many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from tests.benchmarks.measuring import Spread, note, table
from tests.benchmarks.metering import Costs
from tests.benchmarks.processes import Answers

HEAD = ("side", "messages/s", "client us", "backend us", "postgres us", "broker us", "WAL B", "messages/commit")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one side.

    Attributes:
        messages: how many were handed over, to all readers together.
        seconds: wall clock.
        client_cpu: CPU seconds of the clients' processes.
        costs: what the servers used.
        faults: lost, doubled and out of order, as they were counted.
    """

    messages: int
    seconds: float
    client_cpu: float
    costs: Costs
    faults: dict[str, int]

    @classmethod
    def of(cls, messages: int, answers: Answers, costs: Costs, faults: Mapping[str, int]) -> "Run":
        """A run as its clients and the servers tell of it."""
        return cls(messages, answers.seconds, answers.cpu, costs, dict(faults))

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.messages / self.seconds


Runs = Mapping[str, Sequence[Run]]


def figures(runs: Runs) -> str:
    """The table of all sides."""
    return table(HEAD, [(side, *_cells(passes)) for side, passes in runs.items() if passes])


def ratios(runs: Runs, side: str, limit: str) -> str:
    """The line that tells how much of its limit a side reaches, pair by pair."""
    pairs = Spread.of(ours.rate / most.rate for ours, most in zip(runs[side], runs[limit], strict=True))
    return f"{side} / {limit}, per pair: {pairs.text()}"


def correctness(runs: Runs) -> str:
    """The line that tells what was wrong with what came out."""
    every = [run.faults for passes in runs.values() for run in passes]
    kinds = list(dict.fromkeys(kind for faults in every for kind in faults))
    counts = ", ".join(f"{kind} {sum(faults.get(kind, 0) for faults in every)}" for kind in kinds)
    return f"correctness, over {len(every)} runs: {counts}"


def installed(*modules: str) -> bool:
    """Whether a peer is installed; says so when it is not."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        note(f"left out, since {' and '.join(missing)} is not installed: see tests/benchmarks/README.md")
    return not missing


def _cells(passes: Sequence[Run]) -> list[str]:
    costs = [run.costs for run in passes]
    seconds = (
        [run.client_cpu for run in passes],
        [one.backend_cpu for one in costs],
        [one.server_cpu for one in costs],
        [one.broker_cpu for one in costs],
    )
    messages = passes[0].messages
    rate = Spread.of(run.rate for run in passes).text(0)
    used = [Spread.of(one / messages * 1e6 for one in side).text() for side in seconds]
    wal = Spread.of(one.wal_bytes / messages for one in costs).median
    per_commit = Spread.of(messages / max(one.commits, 1) for one in costs).median
    return [rate, *used, f"{wal:,.0f}", f"{per_commit:,.0f}"]
