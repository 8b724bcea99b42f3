"""A run: workers under faults for a while, then the final polls, then the check."""

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from tests.histories import journal
from tests.histories.arena import ARENAS, PARTITIONS, TOPICS, Arena
from tests.histories.checker.verdict import Verdict, check
from tests.histories.crew import Crew, crew_in
from tests.histories.nemesis.deck import Fault, Nemesis
from tests.histories.nemesis.processes import ProcessFaults
from tests.histories.operation import Operation
from tests.histories.workload.plan import Client, Plan

_LONGEST_REST = 2.0
_DRAIN_SECONDS = 120.0
_FINAL_SECONDS = 180.0
_OWN_TRANSACTIONS = frozenset({"writer", "relay"})


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    Attributes:
        seed: with which its dice fell.
        seconds: how long faults were to strike.
        fired: how often each fault struck that could.
        failures: workers that ended otherwise than they should.
        verdict: the history's.
    """

    seed: int
    seconds: float
    fired: Mapping[Fault, int]
    failures: Sequence[str]
    verdict: Verdict

    @property
    def silent(self) -> list[Fault]:
        """The faults that never struck, and so proved nothing."""
        return [fault for fault, times in self.fired.items() if not times]

    @property
    def good(self) -> bool:
        """Whether every fault struck, and nothing came of it."""
        return not self.silent and not self.failures and not self.verdict.fatal

    def document(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "good": self.good,
            "seed": self.seed,
            "seconds": round(self.seconds),
            "faults": dict(self.fired),
            "never_fired": self.silent,
            "failures": list(self.failures),
            **self.verdict.document(),
        }


def run(folder: Path, seconds: float, seed: int, client: Client = "shim") -> Result:
    """Runs on a server of its own, and leaves histories and what workers said in the folder."""
    dice = random.Random(seed)  # noqa: S311
    with ARENAS[client](folder, dice) as arena, crew_in(folder) as crew:
        plan = _plan(arena, folder, seed)
        processes = ProcessFaults(crew, dice, pause_s=1.5 * arena.session_ms / 1000)
        nemesis = Nemesis({**processes.strikes, **arena.strikes}, dice)
        for part in _parts(plan):
            crew.add(part)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            Event().wait(dice.uniform(0, _LONGEST_REST))
            processes.go_on(time.monotonic())
            nemesis.strike()
            crew.tend()
        crew.kill_all()
        _read_to_the_end(crew, plan, folder)
    return Result(seed, seconds, nemesis.fired, crew.failures, check(journal.read(folder)))


def _plan(arena: Arena, folder: Path, seed: int) -> Plan:
    return Plan(arena.client, arena.servers, str(folder), TOPICS, PARTITIONS, seed, session_ms=arena.session_ms)


def _parts(plan: Plan) -> list[Plan]:
    """Everybody who works while faults strike."""
    every = [
        replace(plan, process="producer-a", role="producer"),
        replace(plan, process="producer-b", role="producer"),
        replace(plan, process="writer", role="writer", per_second=20),
        replace(plan, process="reader-a", role="reader"),
        replace(plan, process="reader-b", role="reader"),
        *(replace(one, process=f"{one.process}-{which}") for one in _groups(plan) for which in "ab"),
    ]
    return [one for one in every if plan.client == "shim" or one.role not in _OWN_TRANSACTIONS]


def _groups(plan: Plan) -> list[Plan]:
    """A member of each group."""
    every = [
        replace(plan, process="eager", role="member", group="eager", strategy="range"),
        replace(plan, process="cooperative", role="member", group="cooperative", strategy="cooperative-sticky"),
        replace(plan, process="relay", role="relay", group="relay", strategy="range"),
    ]
    return [one for one in every if plan.client == "shim" or one.role not in _OWN_TRANSACTIONS]


def _read_to_the_end(crew: Crew, plan: Plan, folder: Path) -> None:
    """Lets every group come to the end, and one reader read everything."""
    crew.add(replace(plan, process="witness", role="reader"))  # of when the last copies could be seen
    last = [replace(one, process=f"last-{one.process}", until_end=True) for one in _groups(plan)]
    crew.run_to_end(last, _DRAIN_SECONDS)
    crew.kill_all()
    required = folder / "required.json"
    required.write_text(json.dumps(_acknowledged(journal.read(folder))), encoding="utf-8")
    crew.run_to_end([replace(plan, process="final", role="final", required=str(required))], _FINAL_SECONDS)


def _acknowledged(history: Sequence[Operation]) -> list[str]:
    return [send.value for one in history if one.outcome == "ok" for send in one.facts.sends]
