"""The history checker sees each anomaly by its name, and none where there is none but almost one."""

import pytest

from tests.histories.checker.anomaly import Anomaly
from tests.histories.checker.cycles import components
from tests.histories.checker.verdict import Verdict, check
from tests.histories.operation import Operation
from tests.histories.stories import circles, groups, reads, writes
from tests.histories.stories.story import GROUP, Pair, Story, Telling, records

_PAIRS = (*writes.PAIRS, *reads.PAIRS, *groups.PAIRS, *circles.PAIRS)


def _verdict(telling: Telling) -> Verdict:
    story = Story()
    telling(story)
    return check(story.operations)


@pytest.mark.parametrize("pair", _PAIRS, ids=lambda pair: pair.wrong.__name__)
def test_an_anomaly_is_seen_and_named(pair: Pair) -> None:
    found = _verdict(pair.wrong).findings
    assert pair.anomaly in found
    assert list(found[pair.anomaly])


@pytest.mark.parametrize("pair", _PAIRS, ids=lambda pair: f"{pair.right.__name__}, not {pair.wrong.__name__}")
def test_what_comes_close_is_none(pair: Pair) -> None:
    verdict = _verdict(pair.right)
    assert pair.anomaly not in verdict.findings
    assert verdict.fatal == {}


def test_every_class_has_a_history() -> None:
    assert {pair.anomaly for pair in _PAIRS} == set(Anomaly)


def test_only_what_kafka_allows_is_not_fatal() -> None:
    allowed = {anomaly.label for anomaly in Anomaly if not anomaly.fatal}
    assert allowed == {"G0", "G1c-inferred", "repeated-consume"}


def test_an_anomaly_that_is_allowed_is_not_among_the_fatal() -> None:
    verdict = _verdict(circles.g0)
    assert Anomaly.G0 in verdict.findings
    assert verdict.fatal == {}


def test_components_are_those_of_the_graph() -> None:
    graph = {1: {2}, 2: {3}, 3: {1, 4}, 4: {5}, 5: {6}, 6: {4, 7}, 7: {8}, 9: {9}}
    assert sorted(map(sorted, components(graph))) == [[1, 2, 3], [4, 5, 6]]


def test_a_long_chain_needs_no_recursion() -> None:
    length = 20_000
    chain = {number: {number + 1} for number in range(length)}
    assert list(components(chain)) == []
    assert [len(circle) for circle in components({**chain, length: {0}})] == [length + 1]


def test_the_measures_count_what_happened() -> None:
    measures = _verdict(_relay_of_two).measures
    assert measures.sends == {"ok": 3, "info": 1}
    assert measures.recovered == 1
    assert measures.consumed == {GROUP: {1: 2}}
    assert measures.operations["transaction"] == {"info": 1, "ok": 1}


def _relay_of_two(story: Story) -> None:
    groups.relay(story, "a", "b", outcomes="there ok")


def test_lag_is_what_an_empty_poll_kept_from_its_reader() -> None:
    lag = _verdict(_late).measures.lag
    assert lag.longest == 1.0
    assert lag.median == 0.0


def _late(story: Story) -> None:
    story.sent("a", "b")  # acknowledged at 1 and 2
    story.poll("q", *records("a"))  # until 3; b comes next, and is there
    story.poll("q")
    story.poll("q")  # from 4 on: for a second it could have been read
    story.poll("q", *records("b", start=1))
    for _ in range(3):
        story.poll("q")


def test_a_history_of_nothing_has_no_anomaly() -> None:
    nothing: list[Operation] = []
    assert check(nothing).findings == {}
