"""Runs of the state machine."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.machine.machine import COMMANDS, Application, Tally
from tests.conformance.machine.scene import Scene
from tests.conformance.machine.stage import SECONDS, Stage
from tests.conformance.side import Side

STEPS = 30
_LOG = logging.getLogger("conformance.runs")


def run(
    sides: Sequence[Side],
    wrap: Callable[[Any], Any] = lambda consumer: consumer,
    patience: float = SECONDS,
    **chosen: Any,
) -> Tally:
    """Have the sides perform random commands; returns what was performed.

    Args:
        sides: whose producers and admin clients serve all examples.
        wrap: is given each consumer, and returns what is to be tried in its place.
        patience: how many seconds what has to come may take.
        chosen: settings of Hypothesis.

    Raises:
        Divergence: a client did not do what Kafka's rules say.
    """
    tally: Tally = Counter()
    lasting = [(side, side.producer()) for side in sides]

    def stages(scene: Scene) -> list[Stage]:
        return [Stage(side, producer, scene, wrap, patience) for side, producer in lasting]

    steps = settings(deadline=None, stateful_step_count=STEPS, print_blob=True, report_multiple_bugs=False)
    run_state_machine_as_test(
        lambda: Application(stages, tally),  # type: ignore[arg-type]  # it takes functions too
        settings=settings(steps, **chosen),
    )
    for line in described(tally):
        _LOG.info("%s", line)
    return tally


def described(tally: Tally) -> list[str]:
    """How often each command was done, refused and skipped; the most frequent first."""
    commands: Counter[str] = Counter()
    for (command, _), count in tally.items():
        commands[command] += count
    return [
        f"{command}: " + ", ".join(f"{count} {came}" for (one, came), count in sorted(tally.items()) if one == command)
        for command, _ in commands.most_common()
    ]


def never_done(tally: Tally) -> set[str]:
    """The commands that never had their way: what a run says nothing about."""
    done = {command for command, came in tally if came == "done"}
    return COMMANDS - done - {"misuse"}  # that is always refused
