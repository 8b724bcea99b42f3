"""Members of a group that note their rebalance callbacks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.conformance.records import held, offsets, pairs, serve
from tests.conformance.side import WAIT_SECONDS, Side

Partitions = frozenset[tuple[str, int]]

EAGER = "range"
COOPERATIVE = "cooperative-sticky"


class Called(NamedTuple):
    """One rebalance callback.

    Attributes:
        kind: ``assign``, ``revoke`` or ``lost``.
        partitions: what it was called with.
        held: what the consumer was assigned at that moment.
    """

    kind: str
    partitions: Partitions
    held: Partitions


class Member:
    """A consumer that subscribes and notes each callback before anything else happens.

    Attributes:
        group: the group's id.
        consumer: the client's consumer.
        called: the callbacks so far, in order, without those about no partition at all.
        heard: how many callbacks there were, those included.
    """

    def __init__(
        self,
        side: Side,
        group: str,
        topics: Sequence[str],
        *,
        strategy: str = EAGER,
        lost: bool = True,
        **settings: Any,
    ) -> None:
        spelled = {key.replace("_", "."): value for key, value in settings.items()}
        self.consumer = side.consumer(group, {"partition.assignment.strategy": strategy, **spelled})
        self.group = group
        self._refusal = side.api.KafkaException
        self.called: list[Called] = []
        self.heard = 0
        self.subscribe(topics, lost=lost)

    def subscribe(self, topics: Sequence[str], *, lost: bool = True) -> None:
        """Subscribe with callbacks that take notes."""
        callbacks = {f"on_{kind}": self._noting(kind) for kind in ("assign", "revoke", *(["lost"] if lost else []))}
        self.consumer.subscribe(list(topics), **callbacks)

    @property
    def held(self) -> set[tuple[str, int]]:
        """What it is assigned now."""
        return held(self.consumer)

    def kinds(self) -> list[str]:
        """The kinds of the callbacks so far."""
        return [call.kind for call in self.called]

    def _held_now(self) -> Partitions:
        """What is assigned during a callback; nothing where the original's ``close`` can no longer tell."""
        try:
            return frozenset(self.held)
        except self._refusal as refusal:
            if refusal.args[0].name() != "_DESTROY":
                raise
            return frozenset()

    def _noting(self, kind: str) -> Any:
        def note(consumer: Any, partitions: list[Any]) -> None:
            assert consumer is self.consumer
            assert all(offset == -1001 for offset in offsets(partitions).values())
            self.heard += 1
            if partitions:
                self.called.append(Called(kind, frozenset(pairs(partitions)), self._held_now()))

        return note


def every(topic: str, partitions: int) -> Partitions:
    """All partitions of a topic."""
    return frozenset((topic, number) for number in range(partitions))


def settle(members: Sequence[Member], partitions: Partitions, timeout: float = WAIT_SECONDS) -> list[list[Any]]:
    """Poll until the members share the partitions out, each has some, and nobody has another's."""

    def shared_out() -> bool:
        parts = [member.held for member in members]
        return all(parts) and sum(map(len, parts)) == len(partitions) and set().union(*parts) == partitions

    return serve([member.consumer for member in members], shared_out, timeout)


def settled(side: Side, topic: str, partitions: int, count: int, **settings: Any) -> list[Member]:
    """Members that came one after the other, and have the topic's partitions among them."""
    group = side.name("group")
    members: list[Member] = []
    for _ in range(count):
        members.append(Member(side, group, [topic], **settings))
        settle(members, every(topic, partitions))
    return members
