"""Commands by which an application assigns partitions itself."""

from collections.abc import Sequence
from typing import Any

from tests.conformance.machine.actor import Actor
from tests.conformance.machine.answers import Place, outcome
from tests.conformance.machine.log import TP
from tests.conformance.machine.model import ModelConsumer
from tests.conformance.machine.scene import Spot
from tests.conformance.machine.stage import SECONDS, SKIPPED, Stage


def assign(stage: Stage, who: int, spots: Sequence[Spot], offset: int) -> Any:
    """Assign partitions in place of others."""
    actor = stage.choose(who)
    return _change(stage, actor, "assign", stage.places(actor, spots, offset))


def unassign(stage: Stage, who: int) -> Any:
    """Take all away."""
    return _change(stage, stage.choose(who, _by_hand), "unassign")


def incremental_assign(stage: Stage, who: int, spots: Sequence[Spot], offset: int) -> Any:
    """Assign partitions beside others."""
    actor = stage.choose(who)
    return _change(stage, actor, "incremental_assign", stage.places(actor, spots, offset))


def incremental_unassign(stage: Stage, who: int, spots: Sequence[Spot]) -> Any:
    """Take some away."""
    actor = stage.choose(who, _by_hand)
    return _change(stage, actor, "incremental_unassign", stage.places(actor, spots))


def _by_hand(model: ModelConsumer) -> bool:
    return bool(model.cursors) and not model.member


def _change(stage: Stage, actor: Actor, method: str, *places: list[Place]) -> Any:
    """Change what is assigned. A member is asked to only where it has to refuse."""
    model = actor.model
    allowed = model.group.cooperative == method.startswith("incremental")
    undecided = not model.closed and allowed and (model.member or (model.left and model.commits_automatically))
    if undecided or not stage.anchor(model.group):
        return SKIPPED
    before = dict(model.group.committed)
    answer = actor.ask(method, *places)
    changed = [tp for tp, offset in model.group.committed.items() if before.get(tp) != offset]
    if changed:
        _await_committed(stage, actor, changed)
    return answer


def _await_committed(stage: Stage, actor: Actor, tps: Sequence[TP]) -> None:
    """Wait for what a client commits in the background when it is to let go."""
    places = [Place(*tp) for tp in tps]
    wanted = actor.model.committed(places)

    def missing() -> str:
        found = outcome(lambda: actor.client.committed([stage.spell(*one) for one in places], SECONDS))
        return "" if found == wanted else f"{wanted} committed, but {found}"

    actor.wait(missing, lambda: None)
