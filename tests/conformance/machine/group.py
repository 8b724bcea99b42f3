"""The model's consumer groups: where they stand, who is a member, and who is to hold what."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from tests.conformance.machine.cursor import INVALID
from tests.conformance.machine.log import TP

COOPERATIVE = "cooperative-sticky"


@dataclass
class Group:
    """One group.

    Attributes:
        name: its id.
        strategy: how partitions are shared out.
        committed: where it stands.
        members: what each member subscribes to.
    """

    name: str
    strategy: str
    committed: dict[TP, int] = field(default_factory=dict)
    members: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def cooperative(self) -> bool:
        """Whether members keep what does not move."""
        return self.strategy == COOPERATIVE

    def stands(self, tp: TP) -> int:
        """What is committed, INVALID for nothing."""
        return self.committed.get(tp, INVALID)

    def admits(self, name: str) -> bool:
        """Whether a consumer may commit: a member, or anybody where there are no members."""
        return name in self.members or not self.members

    def settled(self, partitions: Sequence[TP], held: Mapping[str, AbstractSet[TP]]) -> bool:
        """Whether the members hold what they are to hold.

        Args:
            partitions: those of all topics.
            held: what each member holds.
        """
        if not self.cooperative:
            return held == self.shares(partitions)
        wanted = {tp for tp in partitions if any(tp[0] in topics for topics in self.members.values())}
        sizes = [len(one) for one in held.values()]
        own = all(topic in self.members[name] for name, one in held.items() for topic, _ in one)
        even = len(set(self.members.values())) > 1 or max(sizes, default=0) - min(sizes, default=0) <= 1
        return own and even and sum(sizes) == len(wanted) and set().union(*held.values()) == wanted

    def shares(self, partitions: Sequence[TP]) -> dict[str, set[TP]]:
        """Who is to hold what, where that follows from the members' ids alone."""
        shares: dict[str, set[TP]] = {name: set() for name in self.members}
        share_out = _by_range if self.strategy == "range" else _in_turn
        for tp, name in share_out(partitions, self.members).items():
            shares[name].add(tp)
        return shares


def _by_range(partitions: Sequence[TP], members: Mapping[str, frozenset[str]]) -> dict[TP, str]:
    """Topic by topic: the first members have one more where it does not come out even."""
    owners = {}
    for topic in {topic for topic, _ in partitions}:
        wanting = sorted(name for name, topics in members.items() if topic in topics)
        own = sorted(tp for tp in partitions if tp[0] == topic)
        for rank, name in enumerate(wanting):
            size, more = divmod(len(own), len(wanting))
            begin = rank * size + min(rank, more)
            owners.update(dict.fromkeys(own[begin : begin + size + (rank < more)], name))
    return owners


def _in_turn(partitions: Sequence[TP], members: Mapping[str, frozenset[str]]) -> dict[TP, str]:
    """One partition after the other, to one member after the other, past those who do not want it."""
    owners, names, turn = {}, sorted(members), 0
    for tp in sorted(partitions):
        wanting = [turn + step for step in range(len(names)) if tp[0] in members[names[(turn + step) % len(names)]]]
        if wanting:
            owners[tp] = names[wanting[0] % len(names)]
            turn = wanting[0] + 1
    return owners
