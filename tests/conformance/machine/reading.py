"""Commands by which a consumer reads, and goes elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.conformance.machine.actor import Actor
from tests.conformance.machine.model import ModelConsumer
from tests.conformance.machine.scene import Spot
from tests.conformance.machine.stage import SKIPPED, Stage

_LITTLE_SECONDS = 0.02


def read(stage: Stage, who: int) -> Any:
    """Poll until everything has come that has to; nothing else may."""
    actor = stage.choose(who, ModelConsumer.due)
    return _until_done(actor, actor.poll)


def all_read(stage: Stage) -> Any:
    """Have every consumer read."""
    for actor in stage.actors:
        if not actor.model.closed:
            _until_done(actor, actor.poll)


def consume(stage: Stage, who: int, most: int) -> Any:
    """Consume in portions until everything has come that has to."""
    actor = stage.choose(who, ModelConsumer.due)
    return _until_done(actor, lambda: actor.consume(most))


def take(stage: Stage, who: int, count: int) -> Any:
    """Poll for so many messages, or as many as have to come."""
    actor = stage.choose(who, ModelConsumer.due)
    if actor.model.closed:
        return SKIPPED
    left = count

    def step() -> None:
        nonlocal left
        left -= actor.poll()

    return actor.wait(lambda: actor.model.due() if left > 0 else "", step)


def listen(stage: Stage, who: int) -> Any:
    """Wait a little for what must not come: of paused partitions, say."""
    actor = stage.choose(who, lambda model: model.paused & model.cursors.keys())
    if actor.model.closed:
        return SKIPPED
    actor.poll(_LITTLE_SECONDS)
    return None


def seek(stage: Stage, who: int, spot: Spot, offset: int) -> Any:
    """Go elsewhere."""
    actor = stage.choose(who, lambda model: model.movable)
    model, place = actor.model, stage.place(actor, spot, offset, actor.model.movable)
    if not model.closed and place[:2] in model.cursors and model.cursors[place[:2]].failed:
        actor.poll(_LITTLE_SECONDS)  # the original tells that there is nowhere to begin, and stops a moment later
    return actor.ask("seek", place) if model.closed or model.knows(place[:2]) else SKIPPED


def pause(stage: Stage, who: int, spots: Sequence[Spot]) -> Any:
    """Pause partitions that are assigned."""
    return _of_held(stage, stage.choose(who, lambda model: model.cursors), "pause", spots)


def resume(stage: Stage, who: int, spots: Sequence[Spot]) -> Any:
    """Resume partitions that are assigned."""
    return _of_held(stage, stage.choose(who, lambda model: model.paused & model.cursors.keys()), "resume", spots)


def _until_done(actor: Actor, step: Callable[[], object]) -> Any:
    if actor.model.closed:
        return actor.compare("reading", actor.model.assignment, step)
    return actor.wait(actor.model.due, step)


def _of_held(stage: Stage, actor: Actor, method: str, spots: Sequence[Spot]) -> Any:
    model, places = actor.model, stage.places(actor, spots)
    return actor.ask(method, places if model.closed else [one for one in places if one[:2] in model.cursors])
