"""Assignments: Kafka's own vectors, and for the sticky one what no vector can show: even, and nothing moved in vain."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.store.assignors import STRATEGIES, TP, Subscriber, assign, common_strategy, protocol_of

COUNTS = {"t0": 3, "t1": 3}


def members(**topics: str) -> list[Subscriber]:
    """Dynamic members, each with its topics in one string."""
    return [Subscriber(name, None, frozenset(wanted.split())) for name, wanted in topics.items()]


def by_member(target: Mapping[TP, str]) -> dict[str, list[str]]:
    owned: dict[str, list[str]] = {}
    for (topic, partition), owner in sorted(target.items()):
        owned.setdefault(owner, []).append(f"{topic}-{partition}")
    return owned


# The first two are the examples in Kafka's documentation of these assignors.
def test_range_gives_neighbours_topic_by_topic() -> None:
    assert by_member(assign("range", members(C1="t0 t1", C0="t0 t1"), COUNTS, {})) == {
        "C0": ["t0-0", "t0-1", "t1-0", "t1-1"],
        "C1": ["t0-2", "t1-2"],
    }


def test_round_robin_deals_all_topics_in_turn() -> None:
    assert by_member(assign("roundrobin", members(C0="t0 t1", C1="t0 t1"), COUNTS, {})) == {
        "C0": ["t0-0", "t0-2", "t1-1"],
        "C1": ["t0-1", "t1-0", "t1-2"],
    }


def test_round_robin_passes_over_who_does_not_subscribe() -> None:
    group = members(C0="t0", C1="t0 t1", C2="t0 t1 t2")
    assert by_member(assign("roundrobin", group, {"t0": 1, "t1": 2, "t2": 3}, {})) == {
        "C0": ["t0-0"],
        "C1": ["t1-0"],
        "C2": ["t1-1", "t2-0", "t2-1", "t2-2"],
    }


def test_range_with_more_members_than_partitions_leaves_the_last_ones_idle() -> None:
    assert by_member(assign("range", members(a="t0", b="t0", c="t0", d="t0"), COUNTS, {})) == {
        "a": ["t0-0"],
        "b": ["t0-1"],
        "c": ["t0-2"],
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_static_members_keep_their_rank_whatever_id_they_were_given(strategy: str) -> None:
    def owned(first: str, second: str) -> dict[str, list[str]]:
        group = [Subscriber(first, "i1", frozenset({"t0"})), Subscriber(second, "i2", frozenset({"t0"}))]
        target = assign(strategy, group, COUNTS, {})
        return {"i1" if owner == first else "i2": tps for owner, tps in by_member(target).items()}

    assert owned("x", "y") == owned("y", "x")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_and_nothing(strategy: str) -> None:
    assert assign(strategy, [], COUNTS, {}) == {}
    assert assign(strategy, members(a="unknown"), COUNTS, {}) == {}
    assert assign(strategy, members(a="t0 unknown"), COUNTS, {}).keys() == {("t0", 0), ("t0", 1), ("t0", 2)}


def test_sticky_moves_one_step_at_a_time_where_no_direct_way_is_open() -> None:
    # a and c share no topic: only through b does a's load get lighter.
    current = {("t0", 0): "a", ("t0", 1): "a", ("t0", 2): "a", ("t1", 0): "b", ("t1", 1): "b", ("t1", 2): "c"}
    target = assign("cooperative-sticky", members(a="t0", b="t0 t1", c="t1"), COUNTS, current)
    assert Counter(target.values()) == {"a": 2, "b": 2, "c": 2}
    assert sum(target[tp] != owner for tp, owner in current.items()) == 2


@st.composite
def wishes(draw: st.DrawFn) -> tuple[list[Subscriber], dict[str, int]]:
    counts = draw(st.dictionaries(st.sampled_from(["t0", "t1", "t2"]), st.integers(1, 3), min_size=1))
    subscription = st.frozensets(st.sampled_from(["t0", "t1", "t2", "t3"]))
    topics = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), subscription, min_size=1))
    statics = draw(st.frozensets(st.sampled_from(["a", "b", "c"])))
    group = [Subscriber(name, f"i-{name}" if name in statics else None, wanted) for name, wanted in topics.items()]
    return group, counts


owners = st.sampled_from(["a", "b", "c", "gone"])
former = st.dictionaries(st.tuples(st.sampled_from(["t0", "t1", "t2"]), st.integers(0, 3)), owners)


@given(wishes(), former, st.sampled_from(list(STRATEGIES)), st.randoms())
def test_every_partition_has_one_owner_that_subscribes(
    wish: tuple[list[Subscriber], dict[str, int]], current: dict[TP, str], strategy: str, order: Random
) -> None:
    group, counts = wish
    target = assign(strategy, group, counts, current)
    topics = {member.member_id: member.topics for member in group}
    wanted = frozenset[str]().union(*topics.values())
    assert target.keys() == {(t, p) for t, count in counts.items() if t in wanted for p in range(count)}
    assert all(topic in topics[owner] for (topic, _), owner in target.items())
    order.shuffle(group)
    assert assign(strategy, group, counts, current) == target


@given(wishes(), former)
def test_sticky_is_as_even_as_can_be_and_stays_where_it_is(
    wish: tuple[list[Subscriber], dict[str, int]], current: dict[TP, str]
) -> None:
    group, counts = wish
    target = assign("cooperative-sticky", group, counts, current)
    evenest = min(unevenness(one.values()) for one in possible(group, list(target)))
    assert unevenness(target.values()) == evenest
    assert assign("cooperative-sticky", group, counts, target) == target


@given(st.integers(1, 3), st.integers(1, 6), st.data())
def test_sticky_moves_no_more_than_evenness_takes(size: int, count: int, data: st.DataObject) -> None:
    group = [Subscriber(name, None, frozenset({"t"})) for name in "abc"[:size]]
    current = data.draw(st.dictionaries(st.tuples(st.just("t"), st.integers(0, count - 1)), owners))
    target = assign("cooperative-sticky", group, {"t": count}, current)
    even = [one for one in possible(group, list(target)) if unevenness(one.values()) == unevenness(target.values())]
    assert moved(target, current) == min(moved(one, current) for one in even)


def possible(group: Sequence[Subscriber], partitions: Sequence[TP]) -> list[dict[TP, str]]:
    """Every assignment that the subscriptions allow."""
    takers = [[member.member_id for member in group if topic in member.topics] for topic, _ in partitions]
    return [dict(zip(partitions, owners, strict=True)) for owners in product(*takers)]


def unevenness(owners: Iterable[str]) -> int:
    return sum(load * load for load in Counter(owners).values())


def moved(target: Mapping[TP, str], current: Mapping[TP, str]) -> int:
    return sum(owner != current.get(tp) for tp, owner in target.items())


def test_the_strategy_is_the_one_that_most_prefer_of_those_that_all_know() -> None:
    assert common_strategy([("range", "roundrobin"), ("roundrobin", "range"), ("roundrobin", "range")]) == "roundrobin"
    assert common_strategy([("range", "roundrobin"), ("roundrobin", "range")]) == "range"
    assert common_strategy([("range", "roundrobin"), ("roundrobin",)]) == "roundrobin"
    assert common_strategy([("range",), ("cooperative-sticky",)]) is None
    assert common_strategy([("unheard-of",)]) is None
    assert common_strategy([]) is None


def test_protocols() -> None:
    assert [protocol_of(strategy) for strategy in STRATEGIES] == ["eager", "eager", "cooperative"]
