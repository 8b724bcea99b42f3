"""Whatever a correct log and its clients do is clean, and whatever is changed in what they saw is found."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.histories.checker.anomaly import Anomaly
from tests.histories.checker.verdict import check
from tests.histories.model import ACTIONS, Model, Step
from tests.histories.operation import Operation, Record

_STEPS = st.lists(st.builds(Step, st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 59)), max_size=60)


def _history(steps: Sequence[Step]) -> list[Operation]:
    model = Model()
    for step in steps:
        model.take(step)
    return model.finish()


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_every_interleaving_of_a_correct_log_is_clean(steps: list[Step]) -> None:
    assert check(_history(steps)).fatal == {}


Mutation = Callable[[list[Record], int], list[Record]]


def _dropped(records: list[Record], place: int) -> list[Record]:
    return records[:place] + records[place + 1 :]


def _repeated(records: list[Record], place: int) -> list[Record]:
    return [*records[: place + 1], *records[place:]]


def _swapped(records: list[Record], place: int) -> list[Record]:
    other = (place + 1) % len(records)
    changed = list(records)
    changed[place], changed[other] = changed[other], changed[place]
    return changed


def _exchanged(records: list[Record], _place: int) -> list[Record]:
    """The first two, whose offsets were acknowledged, have each other's values."""
    one, other, *rest = records
    return [one._replace(value=other.value), other._replace(value=one.value), *rest]


def _moved(records: list[Record], place: int) -> list[Record]:
    """One stands at the end of its log once more."""
    again = records[place]._replace(offset=max(one.offset for one in records) + 1)
    return [*records, again]


_MUTATIONS: dict[Mutation, set[Anomaly]] = {
    _dropped: {Anomaly.LOST_WRITE, Anomaly.POLL_SKIP, Anomaly.INT_POLL_SKIP},
    _repeated: {Anomaly.INT_NONMONOTONIC_POLL},
    _swapped: {Anomaly.POLL_SKIP, Anomaly.INT_POLL_SKIP},
    _exchanged: {Anomaly.INCONSISTENT_OFFSETS, Anomaly.DUPLICATE},
    _moved: {Anomaly.DUPLICATE},
}


@pytest.mark.parametrize("mutation", _MUTATIONS)
@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 999), steps=_STEPS)
def test_a_change_in_what_was_read_is_found(mutation: Mutation, number: int, steps: list[Step]) -> None:
    *before, final = _history([Step("send", 0, 0), Step("send", 1, 10), Step("read", 0, 3), Step("send", 2, 0), *steps])
    first = [record for record in final.facts.records if record.partition == 0]
    rest = [record for record in final.facts.records if record.partition != 0]
    place = number % 2  # what was acknowledged first; of others nobody else may know where they stood
    changed = replace(final, facts=replace(final.facts, records=(*mutation(first, place), *rest)))
    assert check([*before, changed]).fatal.keys() & _MUTATIONS[mutation]


@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 999), steps=_STEPS)
def test_a_read_value_whose_send_is_struck_out_is_found(number: int, steps: list[Step]) -> None:
    history = _history([Step("send", 0, 0), *steps])
    read = {record.value for record in history[-1].facts.records}
    writers = [one for one in history if one.kind == "send" and one.facts.sends[0].value in read]
    struck = writers[number % len(writers)]
    assert Anomaly.PHANTOM in check([one for one in history if one is not struck]).fatal
    failed = replace(struck, outcome="fail")
    assert Anomaly.G1A in check([failed if one is struck else one for one in history]).fatal


@settings(max_examples=100, deadline=None)
@given(steps=_STEPS)
def test_a_group_that_falls_back_is_found(steps: list[Step]) -> None:
    history = _history([Step("send", 0, 0), Step("take", 0, 2), Step("settle", 0, 0), *steps])
    first = next(one for one in history if one.kind == "commit" and one.outcome == "ok")
    fallen = tuple(position._replace(offset=position.offset - 1) for position in first.facts.positions)
    facts = replace(first.facts, positions=fallen)
    asked = Operation("x", 0, "committed", "ok", facts, first.ended + 999, first.ended + 1000)
    assert Anomaly.LOST_COMMIT in check([*history, asked]).fatal
