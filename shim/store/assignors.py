"""Which member of a consumer group is to hold which partition: values in, values out.

``range`` and ``roundrobin`` give what Kafka's own assignors of these names give, partition for partition.
``cooperative-sticky`` is as even as the subscriptions allow, and moves no more than that takes. All three depend on
nothing but their arguments, so whoever computes an assignment computes the same one: a group needs no leader.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, cycle, pairwise, repeat
from typing import Literal, NamedTuple

TP = tuple[str, int]
Protocol = Literal["eager", "cooperative"]
Target = dict[TP, str]


class Subscriber(NamedTuple):
    """A member of a group, as an assignor sees it.

    Attributes:
        member_id: its id.
        instance_id: ``group.instance.id`` of a static member, else None.
        topics: what it subscribes to, patterns already resolved.
    """

    member_id: str
    instance_id: str | None
    topics: frozenset[str]


def assign(
    strategy: str, members: Sequence[Subscriber], partitions: Mapping[str, int], current: Mapping[TP, str]
) -> Target:
    """Gives every partition that somebody subscribes to one member.

    Args:
        strategy: a name out of `STRATEGIES`.
        members: the group, in any order.
        partitions: how many partitions each topic has; topics that nobody subscribes to are passed over.
        current: the member id that each partition belongs to so far; only a sticky strategy looks.

    Returns:
        the member id by partition.
    """
    ordered = sorted(members, key=_rank)
    wanted = frozenset[str]().union(*(member.topics for member in ordered))
    counts = {topic: partitions[topic] for topic in sorted(wanted & partitions.keys())}
    return STRATEGIES[strategy](ordered, counts, current)


def common_strategy(preferences: Sequence[Sequence[str]]) -> str | None:
    """Chooses the strategy of a group as Kafka's coordinator does: each member votes for the first that all know.

    Args:
        preferences: per member the strategies that it knows, the dearest first.

    Returns:
        the one with most votes, on a tie the one that was voted for first; None when the members have none in common.
    """
    if not preferences:
        return None
    known = set(STRATEGIES).intersection(*preferences)
    votes = Counter(next(name for name in names if name in known) for names in preferences if known)
    return votes.most_common(1)[0][0] if votes else None


def protocol_of(strategy: str) -> Protocol:
    """Tells whether members give up everything when the group changes, or only what moves."""
    return "cooperative" if strategy == "cooperative-sticky" else "eager"


def _rank(member: Subscriber) -> tuple[bool, str]:
    # Static members come first, by their instance id: so theirs stays the same partitions over a restart.
    return (member.instance_id is None, member.instance_id or member.member_id)


def _range(members: Sequence[Subscriber], partitions: Mapping[str, int], _current: Mapping[TP, str]) -> Target:
    target: Target = {}
    for topic, count in partitions.items():
        takers = [member.member_id for member in members if topic in member.topics]
        each, extra = divmod(count, len(takers))
        owners = chain.from_iterable(repeat(taker, each + (rank < extra)) for rank, taker in enumerate(takers))
        target.update(((topic, partition), owner) for partition, owner in enumerate(owners))
    return target


def _round_robin(members: Sequence[Subscriber], partitions: Mapping[str, int], _current: Mapping[TP, str]) -> Target:
    turns = cycle(members)
    return {
        (topic, partition): next(member.member_id for member in turns if topic in member.topics)
        for topic, count in partitions.items()
        for partition in range(count)
    }


def _sticky(members: Sequence[Subscriber], partitions: Mapping[str, int], current: Mapping[TP, str]) -> Target:
    board = _Board(members, partitions, current)
    board.house()
    while path := board.relief():
        board.shift(path)
    return {tp: owner for owner, owned in board.owned.items() for tp in owned}


class _Board:
    """A sticky assignment while it is being made.

    Attributes:
        owned: what each member has so far, members in the order of their rank.
    """

    def __init__(self, members: Sequence[Subscriber], partitions: Mapping[str, int], current: Mapping[TP, str]) -> None:
        self._current = current
        self._takers = {
            topic: [member.member_id for member in members if topic in member.topics] for topic in partitions
        }
        self._rank = {member.member_id: rank for rank, member in enumerate(members)}
        self.owned: dict[str, set[TP]] = {member.member_id: set() for member in members}
        self._homeless: list[TP] = []
        for topic, count in partitions.items():
            takers = set(self._takers[topic])
            for tp in zip(repeat(topic), range(count), strict=False):
                owner = current.get(tp)
                if owner in takers:
                    self.owned[owner].add(tp)
                else:
                    self._homeless.append(tp)

    def house(self) -> None:
        """Gives each partition without an owner to whoever has least; first those that few can take."""
        for tp in sorted(self._homeless, key=lambda tp: (len(self._takers[tp[0]]), tp)):
            self.owned[min(self._takers[tp[0]], key=self._load)].add(tp)

    def relief(self) -> list[str] | None:
        """Finds members along which one partition each can move on so that the load gets more even.

        Returns:
            from the member that gets rid of a partition to the one that gets one more; None when nothing evens the
            load any further.
        """
        seen: set[str] = set()
        for giver in sorted(self.owned, key=self._load, reverse=True):
            if giver in seen:
                # Somebody with no less to carry came by here and found nobody with room; nor would this one.
                continue
            came_from = self._reachable(giver, seen)
            taker = min(came_from, key=self._load)
            if len(self.owned[taker]) <= len(self.owned[giver]) - 2:
                return _path(came_from, giver, taker)
        return None

    def shift(self, path: Sequence[str]) -> None:
        """Moves one partition from each member of a path to the next."""
        moves = [(giver, taker, self._to_move(giver, taker)) for giver, taker in pairwise(path)]
        for giver, taker, tp in moves:
            self.owned[giver].remove(tp)
            self.owned[taker].add(tp)

    def _load(self, member_id: str) -> tuple[int, int]:
        return len(self.owned[member_id]), self._rank[member_id]

    def _reachable(self, giver: str, seen: set[str]) -> dict[str, str]:
        """Walks breadth first to everybody to whom the giver can pass load; returns who each was reached from."""
        seen.add(giver)
        came_from = {giver: giver}
        queue = deque([giver])
        topics: set[str] = set()
        while queue:
            member_id = queue.popleft()
            for topic in sorted({topic for topic, _ in self.owned[member_id]} - topics):
                topics.add(topic)
                fresh = [taker for taker in self._takers[topic] if taker not in seen]
                seen.update(fresh)
                came_from.update(zip(fresh, repeat(member_id), strict=False))
                queue.extend(fresh)
        return came_from

    def _to_move(self, giver: str, taker: str) -> TP:
        # What the giver did not have before moves first: nobody has to let go of it.
        movable = [tp for tp in self.owned[giver] if taker in self._takers[tp[0]]]
        return max(movable, key=lambda tp: (self._current.get(tp) != giver, tp))


def _path(came_from: Mapping[str, str], start: str, end: str) -> list[str]:
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


_Assignor = Callable[[Sequence[Subscriber], Mapping[str, int], Mapping[TP, str]], Target]

STRATEGIES: Mapping[str, _Assignor] = {
    "range": _range,
    "roundrobin": _round_robin,
    "cooperative-sticky": _sticky,
}
