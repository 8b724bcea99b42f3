"""One side of an example: a client's server, topics, groups and consumers, each beside its model."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.conformance.machine.actor import Actor
from tests.conformance.machine.answers import Place
from tests.conformance.machine.cursor import INVALID
from tests.conformance.machine.group import Group
from tests.conformance.machine.log import TP, Logs
from tests.conformance.machine.model import ModelConsumer
from tests.conformance.machine.scene import BEYOND, Scene, Spot
from tests.conformance.side import Side

SKIPPED = "skipped"
"""What a command answers when Kafka's rules leave open what would come of it."""

SECONDS = 60.0
_MEMBER: dict[str, object] = {
    "enable.partition.eof": True,
    "auto.commit.interval.ms": 3_600_000,
    "fetch.wait.max.ms": 10,
    "heartbeat.interval.ms": 20,
    "session.timeout.ms": 45_000,
}
_SILENCE = logging.getLogger("conformance.machine")
_SILENCE.setLevel(logging.CRITICAL + 1)  # offsets that are not there are part of the game


class Stage:
    """Where the commands of an example are performed.

    Args:
        lasting: the side, whose producer and admin client serve all examples.
        producer: that producer.
        scene: how the example begins.
        wrap: is given each consumer, and returns what is to be tried in its place.
        patience: how many seconds what has to come may take.

    Attributes:
        producer: the producer.
        patience: how many seconds what has to come may take.
        began: when the example began, or a little before, in milliseconds since 1970.
        logs: what the topics hold.
        topics: their names.
        actors: the consumers.
    """

    def __init__(
        self, lasting: Side, producer: Any, scene: Scene, wrap: Callable[[Any], Any], patience: float = SECONDS
    ) -> None:
        self._lasting = lasting
        self._own = Side(lasting.family, None)
        self._scene = scene
        self._wrap = wrap
        self.producer = producer
        self.patience = patience
        self.began = int(time.time() * 1000) - 60_000
        self.logs = Logs()
        self.topics = [self._create(rank, partitions) for rank, partitions in enumerate(scene.partitions)]
        self._groups = [Group(lasting.name(f"g{rank}"), one) for rank, one in enumerate(scene.strategies)]
        self.actors = [self.open(rank) for rank in range(len(scene.cast))]

    @property
    def admin(self) -> Any:
        """The admin client."""
        return self._lasting.cluster

    @property
    def models(self) -> list[ModelConsumer]:
        """The consumers' models."""
        return [actor.model for actor in self.actors]

    def spell(self, topic: str, partition: int = -1, offset: int = INVALID) -> Any:
        """The client's ``TopicPartition``."""
        return self._own.tp(topic, partition, offset)

    def open(self, rank: int) -> Actor:
        """A new consumer, as the scene wants it."""
        group, habits = self._groups[self._scene.cast[rank].group], self._scene.cast[rank].habits
        configuration = {
            "client.id": f"c{rank}",  # members' ids begin with it, so that their order is known
            "auto.offset.reset": habits.reset,
            "enable.auto.commit": habits.auto_commit,
            "enable.auto.offset.store": habits.auto_store,
            "partition.assignment.strategy": group.strategy,
        }
        consumer = self._own.consumer(group.name, {**_MEMBER, **configuration}, logger=_SILENCE)
        model = ModelConsumer(f"c{rank}", self.logs, group, habits)
        name = f"{self._own.family.name}'s c{rank}"
        original = self._own.family.name == "kafka"
        return Actor(name, self._wrap(consumer), model, self.logs, self.spell, self.patience, original=original)

    def end(self) -> None:
        """Close what is open, and let the topics go."""
        self._own.close()
        self.admin.delete_topics(self.topics)

    # What drawn numbers mean.

    def choose(self, who: int, suits: Callable[[ModelConsumer], object] = lambda _model: True) -> Actor:
        """The consumer of a number: rarely a closed one, else one that suits, if any does."""
        is_open = [actor for actor in self.actors if not actor.model.closed]
        closed = [actor for actor in self.actors if actor.model.closed]
        suitable = [actor for actor in is_open if suits(actor.model)]
        few = (closed if who == 0 else suitable) or is_open or closed
        return few[who % len(few)]

    def topic(self, rank: int) -> str:
        """The name of a topic."""
        return self.topics[rank % len(self.topics)]

    def partition(self, spot: Spot, held: Iterable[TP] = ()) -> TP:
        """The partition that is meant."""
        partitions = (sorted(held) if spot.held else []) or self.logs.of([self.topic(spot.topic)])
        return partitions[spot.partition % len(partitions)]

    def place(self, actor: Actor, spot: Spot, offset: int = INVALID, among: Iterable[TP] = ()) -> Place:
        """A place, among these if possible; its offset is one that can be, or one that surely cannot."""
        tp = self.partition(spot, among or actor.model.cursors)
        return Place(*tp, offset if offset < 0 or offset == BEYOND else offset % (self.logs[tp].end + 1))

    def places(self, actor: Actor, spots: Iterable[Spot], offset: int = INVALID) -> list[Place]:
        """Places in different partitions."""
        return list({one[:2]: one for one in (self.place(actor, spot, offset) for spot in spots)}.values())

    @property
    def everywhere(self) -> list[Place]:
        """Every partition."""
        return [Place(*tp) for tp in sorted(self.logs)]

    def anchor(self, group: Group) -> bool:
        """Let those who begin where the group stands find out before that changes; returns whether they could."""
        for actor in self.actors:
            if actor.model.group is group and actor.model.waits_for_group:
                actor.read(actor.poll)
        return not any(actor.model.group is group and actor.model.waits_for_group for actor in self.actors)

    def _create(self, rank: int, partitions: int) -> str:
        topic = self._lasting.topic(partitions, name=self._lasting.name(f"t{rank}"))
        self.logs.create(topic, partitions)
        return topic
