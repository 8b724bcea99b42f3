"""Commands by which consumers join, leave and come back; each waits until the group has come to rest."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.conformance.machine.actor import Actor, Divergence
from tests.conformance.machine.group import Group
from tests.conformance.machine.stage import SECONDS, SKIPPED, Stage

_AT_REST = {"STABLE", "EMPTY", "DEAD"}


def subscribe(stage: Stage, who: int, topics: Sequence[int]) -> Any:
    """Join, or change the subscription."""
    actor = stage.choose(who)
    model, names = actor.model, sorted({stage.topic(topic) for topic in topics})
    if model.closed:
        return actor.subscribe(names)
    by_hand = bool(model.cursors) and not model.member
    if by_hand or model.subscription == frozenset(names) or not stage.anchor(model.group):
        return SKIPPED
    with _rebalance(stage, actor):
        return actor.subscribe(names)


def unsubscribe(stage: Stage, who: int) -> Any:
    """Leave."""
    return _leave(stage, stage.choose(who, lambda model: model.member), "unsubscribe")


def close(stage: Stage, who: int) -> Any:
    """Close, and leave by that."""
    return _leave(stage, stage.choose(who), "close")


def reopen(stage: Stage) -> Any:
    """Have new consumers take the places of closed ones."""
    closed = [rank for rank, actor in enumerate(stage.actors) if actor.model.closed]
    for rank in closed:
        stage.actors[rank] = stage.open(rank)
    return None if closed else SKIPPED


def _leave(stage: Stage, actor: Actor, method: str) -> Any:
    if not stage.anchor(actor.model.group):
        return SKIPPED
    if not actor.model.member:
        return actor.ask(method)
    with _rebalance(stage, actor):
        return actor.ask(method)


@contextmanager
def _rebalance(stage: Stage, changing: Actor) -> Iterator[None]:
    """Wait, after a change of membership, until all members know what they hold."""
    group, newcomer = changing.model.group, not changing.model.member
    heard = {actor: actor.heard for actor in stage.actors}
    for model in stage.models:
        if model.group is group and model.member:
            model.disturbed(still=True)
    yield
    members = [actor for actor in stage.actors if actor.model.group is group and actor.model.member]
    leavers = [changing] if changing not in members and not changing.model.closed else []
    # Who is to give nothing back is not always told where the protocol is cooperative.
    waiting = [actor for actor in members if not group.cooperative or (actor is changing and newcomer)]

    def missing() -> str:
        held = {actor.model.name: actor.held() for actor in members}
        if any(actor.held() for actor in leavers):
            return f"what {changing} still holds: {changing.held()}"
        if uninformed := [str(actor) for actor in waiting if actor.heard == heard[actor]]:
            return f"news of the assignment to {uninformed}"
        if not group.settled(sorted(stage.logs), held):
            return f"the assignment for {group.members}; held is {held}"
        return "" if _rests(stage, group) else f"the rest of {group.name}"

    changing.wait(missing, lambda: [actor.poll() for actor in [*members, *leavers]])
    for actor in members:
        actor.model.disturbed(still=False)
        if actor.held() != actor.model.cursors.keys():
            raise Divergence(f"{actor} holds {actor.held()}, and was told of {set(actor.model.cursors)}")


def _rests(stage: Stage, group: Group) -> bool:
    (answer,) = stage.admin.describe_consumer_groups([group.name]).values()
    found = answer.result(SECONDS)
    return len(found.members) == len(group.members) and found.state.name in _AT_REST
