"""Consumers that are assigned their partitions by hand: one that wanders about, and the one that reads all at last."""

import json
import time
from pathlib import Path
from random import Random

from tests.histories.journal import Journal
from tests.histories.operation import Log, Position
from tests.histories.workload.consuming import Consuming
from tests.histories.workload.plan import Plan

_BATCH = 100
_POLL_SECONDS = 0.3
_BACK = 200
"""How far from the end it goes at most, lest every new life read everything again."""
_ANSWER_MS = 5_000
_QUIET_SECONDS = 3.0
_FINAL_SECONDS = 120.0


def _open(plan: Plan, journal: Journal) -> Consuming:
    nobody = f"nobody-{plan.process}"
    settings = plan.settings(
        group_id=nobody, enable_auto_commit=False, auto_offset_reset="earliest", socket_timeout_ms=_ANSWER_MS
    )
    return Consuming(plan, journal, settings)


def _logs(plan: Plan) -> list[Log]:
    return [(topic, partition) for topic in plan.topics for partition in range(plan.partitions)]


class Reading:
    """Reads near the end of all logs; seeks, pauses and assigns itself anew at random.

    Args:
        plan: what it was told.
    """

    def __init__(self, plan: Plan) -> None:
        self._dice: Random = plan.dice
        self._logs = _logs(plan)
        self._consuming = _open(plan, plan.journal())

    def run(self) -> None:
        """Reads until it is killed."""
        while True:
            self._assign()
            for _ in range(self._dice.randint(20, 200)):
                self._consuming.read(self._dice.randint(1, _BATCH), _POLL_SECONDS)
                self._fidget()

    def _assign(self) -> None:
        while (ends := self._consuming.ends(self._logs)) is None:
            pass  # each attempt takes its time
        self._consuming.assign([Position(*log, self._near(end)) for log, end in ends.items()])

    def _fidget(self) -> None:
        chance = self._dice.random()
        log = self._dice.choice(self._logs)
        here = self._consuming.positions.get(log, 0)
        if chance < 0.02:
            self._consuming.seek(Position(*log, self._near(here)))
        elif chance < 0.04:
            self._consuming.pause(log, self._dice.randint(1, 5), _BATCH, _POLL_SECONDS)

    def _near(self, offset: int) -> int:
        return max(0, offset - self._dice.randint(0, _BACK))


class FinalReading:
    """Reads all logs from their beginnings until everything that is required was found, and nothing more comes.

    Args:
        plan: what it was told.
    """

    def __init__(self, plan: Plan) -> None:
        self._logs = _logs(plan)
        self._missing: set[str] = set(json.loads(Path(plan.required).read_text(encoding="utf-8")))
        self._consuming = _open(plan, plan.journal())

    def run(self) -> None:
        """Reads to the end; what is missing then, the checker will see."""
        self._consuming.assign([Position(*log, 0) for log in self._logs])
        began = heard = time.monotonic()
        while (now := time.monotonic()) < began + _FINAL_SECONDS:
            records = self._consuming.read(_BATCH, _POLL_SECONDS)
            if records:
                heard = now
                self._missing.difference_update(record.value for record in records)
            elif now > heard + _QUIET_SECONDS and not self._missing:
                break
        self._consuming.close()
