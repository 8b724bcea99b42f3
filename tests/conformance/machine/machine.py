"""The state machine: draws an example's scene and its commands, and has every side perform them."""

from collections import Counter
from collections.abc import Callable, Sequence
from inspect import isfunction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.conformance.machine import asking, assigning, committing, membership, producing, reading
from tests.conformance.machine.actor import Divergence
from tests.conformance.machine.answers import Raised
from tests.conformance.machine.cursor import BEGINNING
from tests.conformance.machine.log import JUST_NOW
from tests.conformance.machine.misuse import MISUSES
from tests.conformance.machine.scene import (
    Draft,
    Scene,
    Spot,
    consumers,
    drafts,
    numbers,
    scenes,
    several_spots,
    spots,
    starts,
    targets,
    topics,
)
from tests.conformance.machine.stage import SKIPPED, Stage

Tally = Counter[tuple[str, str]]
"""How often each command was performed, by what came of it."""

COMMANDS = {
    name
    for module in (asking, assigning, committing, membership, producing, reading)
    for name, command in vars(module).items()
    if isfunction(command) and command.__module__ == module.__name__ and not name.startswith("_")
}
EVERYWHERE = [Spot(held=False, topic=topic, partition=partition) for topic in range(2) for partition in range(4)]


class Application(RuleBasedStateMachine):
    """An application's life.

    Args:
        stages: makes the sides of an example.
        tally: counts what was performed.
    """

    def __init__(self, stages: Callable[[Scene], list[Stage]], tally: Tally) -> None:
        super().__init__()
        self._make = stages
        self._tally = tally
        self._stages: list[Stage] = []
        self._done: list[str] = []

    @initialize(scene=scenes)
    def begin(self, scene: Scene) -> None:
        self._stages = self._make(scene)
        self._done.append(str(scene))
        for topic in range(len(scene.partitions)):
            self._perform(producing.produce, topic, scene.records)
        for who, cast in enumerate(scene.cast):
            if cast.role == "member":
                self._perform(membership.subscribe, who, range(len(scene.partitions)))
            elif cast.role == "reader":
                self._perform(assigning.assign, who, EVERYWHERE, BEGINNING)

    @rule(topic=topics, records=drafts)
    def produce(self, topic: int, records: Sequence[Draft]) -> None:
        self._perform(producing.produce, topic, records)

    @rule(spot=spots, offset=st.integers(0, 12))
    def delete_records(self, spot: Spot, offset: int) -> None:
        self._perform(producing.delete_records, spot, offset)

    @rule(who=consumers, wanted=st.sets(topics, min_size=1))
    def subscribe(self, who: int, wanted: set[int]) -> None:
        self._perform(membership.subscribe, who, sorted(wanted))

    @rule(who=consumers)
    def unsubscribe(self, who: int) -> None:
        self._perform(membership.unsubscribe, who)

    @rule(who=consumers)
    def close(self, who: int) -> None:
        self._perform(membership.close, who)

    @rule()
    def reopen(self) -> None:
        self._perform(membership.reopen)

    @rule(who=consumers, some=several_spots, offset=starts)
    def assign(self, who: int, some: Sequence[Spot], offset: int) -> None:
        self._perform(assigning.assign, who, some, offset)

    @rule(who=consumers)
    def unassign(self, who: int) -> None:
        self._perform(assigning.unassign, who)

    @rule(who=consumers, some=several_spots, offset=starts)
    def incremental_assign(self, who: int, some: Sequence[Spot], offset: int) -> None:
        self._perform(assigning.incremental_assign, who, some, offset)

    @rule(who=consumers, some=several_spots)
    def incremental_unassign(self, who: int, some: Sequence[Spot]) -> None:
        self._perform(assigning.incremental_unassign, who, some)

    @rule()
    def all_read(self) -> None:  # the first by name is the one that is drawn most
        self._perform(reading.all_read)

    @rule(who=consumers)
    def read(self, who: int) -> None:
        self._perform(reading.read, who)

    @rule(who=consumers, most=st.integers(1, 5))
    def consume(self, who: int, most: int) -> None:
        self._perform(reading.consume, who, most)

    @rule(who=consumers, count=st.integers(1, 5))
    def take(self, who: int, count: int) -> None:
        self._perform(reading.take, who, count)

    @rule(who=consumers)
    def listen(self, who: int) -> None:
        self._perform(reading.listen, who)

    @rule(who=consumers, spot=spots, offset=targets)
    def seek(self, who: int, spot: Spot, offset: int) -> None:
        self._perform(reading.seek, who, spot, offset)

    @rule(who=consumers, some=several_spots)
    def pause(self, who: int, some: Sequence[Spot]) -> None:
        self._perform(reading.pause, who, some)

    @rule(who=consumers, some=several_spots)
    def resume(self, who: int, some: Sequence[Spot]) -> None:
        self._perform(reading.resume, who, some)

    @rule(who=consumers)
    def commit(self, who: int) -> None:
        self._perform(committing.commit, who)

    @rule(who=consumers, some=several_spots, offset=starts)
    def commit_offsets(self, who: int, some: Sequence[Spot], offset: int) -> None:
        self._perform(committing.commit_offsets, who, some, offset)

    @rule(who=consumers)
    def commit_message(self, who: int) -> None:
        self._perform(committing.commit_message, who)

    @rule(who=consumers)
    def store_message(self, who: int) -> None:
        self._perform(committing.store_message, who)

    @rule(who=consumers, spot=spots, offset=numbers)
    def store_offsets(self, who: int, spot: Spot, offset: int) -> None:
        self._perform(committing.store_offsets, who, spot, offset)

    @rule(who=consumers)
    def position(self, who: int) -> None:
        self._perform(asking.position, who)

    @rule(who=consumers)
    def committed(self, who: int) -> None:
        self._perform(asking.committed, who)

    @rule(who=consumers)
    def assignment(self, who: int) -> None:
        self._perform(asking.assignment, who)

    @rule(who=consumers, spot=spots)
    def watermarks(self, who: int, spot: Spot) -> None:
        self._perform(asking.watermarks, who, spot)

    @rule(who=consumers, age=st.integers(0, 51) | st.just(10 * JUST_NOW))
    def times(self, who: int, age: int) -> None:
        self._perform(asking.times, who, age)

    @rule(who=consumers, what=st.sampled_from(sorted(MISUSES)))
    def misuse(self, who: int, what: str) -> None:
        self._perform(asking.misuse, who, what)

    def teardown(self) -> None:
        for stage in self._stages:
            stage.end()

    def _perform(self, command: Callable[..., Any], *arguments: Any) -> None:
        self._done.append(f"{command.__name__}{arguments}")
        for stage in self._stages:
            try:
                answer = command(stage, *arguments)
            except Divergence as divergence:
                # Of a divergence that comes and goes Hypothesis tells no example.
                divergence.add_note("\n".join(["what was done:", *self._done]))
                raise
            came = SKIPPED if answer is SKIPPED else "refused" if isinstance(answer, Raised) else "done"
            self._tally[command.__name__, came] += 1
