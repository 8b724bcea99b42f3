"""A checkpoint comes back as it was written, and shows no bytes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.digest import Fingerprint
from migrator.verify.checkpoint import Checkpoint
from migrator.verify.classes import Class, Difference, Mismatch, Place, Row
from migrator.verify.leaf import Marks
from migrator.verify.ledger import Source
from migrator.verify.scope import Part, Scope
from migrator.verify.tally import Tally

LIMIT = 100
numbers = st.integers(-(2**63), 2**63 - 1)
offsets = st.integers(0, 2**63 - 1)
places = st.builds(Place, st.integers(0, 2**31 - 1), offsets)
prints = st.builds(Fingerprint, numbers, numbers, st.binary(min_size=32, max_size=32))
rows = st.builds(Row, st.none() | offsets, st.none() | numbers, prints)
kinds = st.sampled_from(list(Class))
whole = st.none() | offsets
differences = st.builds(Difference, kinds, places, whole, offsets, whole, st.none() | st.text(), of=st.none() | places)
tallies = st.builds(
    Tally,
    st.just(LIMIT),
    compared=offsets,
    counts=st.dictionaries(kinds, st.integers(1, 2**40)).map(Counter),
    mismatches=st.lists(st.builds(Mismatch, places, st.none() | prints, st.none() | rows), max_size=3),
    differences=st.lists(differences, max_size=3),
    doubts=st.lists(st.text(), max_size=2),
)


@given(tallies, st.dictionaries(st.integers(0, 2**31 - 1), st.tuples(offsets, offsets), max_size=3))
def test_a_checkpoint_comes_back_as_it_was(tally: Tally, reached: dict[int, tuple[int, int]]) -> None:
    written = Checkpoint({"topic": "emails"}, reached, tally)
    assert Checkpoint.load(written.dump(), LIMIT) == written


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', "null"])
def test_another_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"checkpoint|Expecting"):
        Checkpoint.load(text, LIMIT)


def test_what_is_left_ends_where_the_run_was_to_end() -> None:
    source = Source(1, "emails", "c", None, 3, "delete", "enqueue", sequencer="kafka", keep_value=True)
    parts = tuple(Part(partition, 0, 90, 0, Marks(0, 0)) for partition in range(3))
    scope = Scope(source, parts, 0, 0, 0, 0)
    left = Checkpoint({}, {0: (50, 50), 1: (20, 60)}, Tally(LIMIT)).remaining(scope)
    assert [(part.partition, part.start, part.stop) for part in left.parts] == [(0, 50, 50), (1, 20, 60)]
