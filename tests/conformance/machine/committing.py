"""Commands that say how far a consumer, or its group, has come."""

from collections.abc import Sequence
from typing import Any

from tests.conformance.machine.actor import Actor
from tests.conformance.machine.answers import Place
from tests.conformance.machine.cursor import INVALID
from tests.conformance.machine.scene import Spot
from tests.conformance.machine.stage import SKIPPED, Stage


def commit(stage: Stage, who: int) -> Any:
    """Commit all that is stored."""
    actor = stage.choose(who, lambda model: model.has_to_commit)
    return SKIPPED if _open(stage, actor, []) else actor.commit(None)


def commit_offsets(stage: Stage, who: int, spots: Sequence[Spot], offset: int) -> Any:
    """Commit offsets."""
    actor = stage.choose(who)
    places = stage.places(actor, spots, offset if offset >= 0 else INVALID)
    return SKIPPED if _open(stage, actor, places) else actor.commit(places)


def commit_message(stage: Stage, who: int) -> Any:
    """Commit the last record that was handed out."""
    actor = stage.choose(who, lambda model: model.last is not None)
    place = actor.model.last
    return SKIPPED if place is None or _open(stage, actor, [place]) else actor.commit_taken()


def store_message(stage: Stage, who: int) -> Any:
    """Store the last record that was handed out."""
    actor = stage.choose(who, lambda model: model.last is not None)
    return SKIPPED if actor.model.last is None else actor.store_taken()


def store_offsets(stage: Stage, who: int, spot: Spot, offset: int) -> Any:
    """Store an offset."""
    actor = stage.choose(who, lambda model: model.cursors)
    model, place = actor.model, stage.place(actor, spot, offset)
    return actor.store(place) if model.closed or model.knows(place[:2]) else SKIPPED


def _open(stage: Stage, actor: Actor, places: Sequence[Place]) -> bool:
    """Whether it is open what a commit would do.

    It is while somebody looks where the group stands. And the clients differ where another member holds one of the
    partitions (``commit-for-another``), and where the consumer left its group (``commit-after-leaving``).
    """
    model = actor.model
    others = [one for one in stage.models if one is not model and one.group is model.group and one.member]
    foreign = any(one[:2] in other.cursors for other in others for one in places)
    return model.left or (model.member and foreign) or not stage.anchor(model.group)
