"""Commands that change nothing: questions, and calls that are wrong in every state."""

from typing import Any

from tests.conformance.machine.actor import Divergence
from tests.conformance.machine.answers import Place, outcome
from tests.conformance.machine.misuse import MISUSES
from tests.conformance.machine.scene import Spot
from tests.conformance.machine.stage import SECONDS, SKIPPED, Stage


def position(stage: Stage, who: int) -> Any:
    """Ask for the position in every partition."""
    return stage.choose(who, lambda model: model.cursors).ask("position", stage.everywhere)


def committed(stage: Stage, who: int) -> Any:
    """Ask for what is committed, everywhere."""
    return stage.choose(who).ask("committed", stage.everywhere, timeout=SECONDS)


def assignment(stage: Stage, who: int) -> Any:
    """Ask for what is assigned."""
    return stage.choose(who, lambda model: model.cursors).ask("assignment")


def watermarks(stage: Stage, who: int, spot: Spot) -> Any:
    """Ask where a partition begins and ends."""
    actor = stage.choose(who)
    return actor.ask("get_watermark_offsets", stage.place(actor, spot), timeout=SECONDS)


def times(stage: Stage, who: int, age: int) -> Any:
    """Ask everywhere for the first record that is not older."""
    places = [Place(*tp, stage.began + age) for tp in sorted(stage.logs)]
    return stage.choose(who).ask("offsets_for_times", places, timeout=SECONDS)


def misuse(stage: Stage, who: int, what: str) -> Any:
    """Make a call that is wrong in every state."""
    actor = stage.choose(who)
    if actor.model.closed:
        return SKIPPED
    call, raised = MISUSES[what]
    found = outcome(lambda: call(stage.spell, actor.client, stage.topics[0]))
    if found != raised:
        raise Divergence(f"{actor}: {what} came to {found!r}, and had to come to {raised!r}")
    return found
