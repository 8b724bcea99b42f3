"""A drill passes when all that was planted is found, and nothing else."""

from collections import Counter

from migrator.verify.classes import Class, Difference, Place
from migrator.verify.drill import Drilled
from migrator.verify.outcome import Outcome, Result

PLANTED = frozenset({(Class.MISSING, 0, 3), (Class.ALTERED, 0, 5)})
MISSING, ALTERED = Difference(Class.MISSING, Place(0, 3)), Difference(Class.ALTERED, Place(0, 5))


def drilled(*differences: Difference, purged: int = 1, result: Result = Result.FAIL) -> Drilled:
    classes = Counter({Class.PURGED: purged, **Counter(one.kind for one in differences)})
    outcome = Outcome("emails", "full", result, (), 9, classes, differences, {}, 1, 0, 1.0)
    return Drilled(PLANTED, Counter({Class.PURGED: 1}), outcome)


def test_all_that_was_planted_is_found() -> None:
    assert drilled(MISSING, ALTERED).passed


def test_what_was_not_found_fails() -> None:
    assert not drilled(MISSING).passed


def test_what_was_never_planted_fails() -> None:
    assert not drilled(MISSING, ALTERED, Difference(Class.EXTRA, Place(0, 9))).passed


def test_a_wrong_name_fails() -> None:
    assert not drilled(MISSING, Difference(Class.REORDERED, Place(0, 5))).passed


def test_a_wrong_count_fails() -> None:
    assert not drilled(MISSING, ALTERED, purged=2).passed


def test_a_verifier_that_lets_it_pass_fails() -> None:
    assert not drilled(MISSING, ALTERED, result=Result.PASS).passed


def test_the_document_holds_both_lists() -> None:
    document = drilled(MISSING).document()
    assert (document["result"], document["drill"]) == ("fail", True)
    assert document["planted"] == {
        "differences": [
            {"class": "missing", "partition": 0, "offset": 3},
            {"class": "altered", "partition": 0, "offset": 5},
        ],
        "classes": {"purged": 1},
    }
    assert document["found"]["differences"] == [{"class": "missing", "partition": 0, "offset": 3}]
