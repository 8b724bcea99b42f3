"""Counts, over a run, what holds on both sides, what differs as declared, and what nobody has explained."""

from collections.abc import Iterable
from typing import NamedTuple

import pytest

from tests.conformance.differences import DIFFERENCES
from tests.conformance.side import FamilyName

PROPERTY = "conformance"


class Case(NamedTuple):
    """One test on one side, as its report carries it.

    Attributes:
        test: the node's id without the side.
        family: which side.
        differs: the line of ``DIFFERENCES`` that it expects, or ``""``.
    """

    test: str
    family: FamilyName
    differs: str


def case_of(item: pytest.Item) -> Case | None:
    """What an item compares; None for a test that has no sides.

    Raises:
        pytest.UsageError: it names a difference that is not in the table.
    """
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    family: FamilyName | None = parameters.get("family")
    if family is None:
        return None
    name = differs(item)
    if name and name not in DIFFERENCES:
        raise pytest.UsageError(f"{item.nodeid}: no such line in DIFFERENCES: {name!r}")
    function, _, ids = item.nodeid.partition("[")
    others = ids.removesuffix("]").split("-")
    others.remove(family)
    return Case("-".join([function, *others]), family, name)


def differs(item: pytest.Item) -> str:
    """The name in an item's marker ``differs``, or ``""``."""
    marker = item.get_closest_marker("differs")
    return str(marker.args[0]) if marker else ""


class Comparison:
    """The outcomes of a run, by test and side."""

    def __init__(self, reports: Iterable[pytest.TestReport]) -> None:
        self._outcomes: dict[str, dict[FamilyName, str]] = {}
        self._differs: dict[str, str] = {}
        for report in reports:
            self._add(report)

    def lines(self) -> list[str]:
        """The counts, then each test that nobody has explained."""
        same = [test for test in self._both() if not self._differs[test]]
        different = [test for test in self._both() if self._differs[test]]
        unexplained = sorted(test for test, sides in self._outcomes.items() if "failed" in sides.values())
        alone = len(self._outcomes) - len(same) - len(different) - len(unexplained)
        counts = f"conformance: {len(same)} same, {len(different)} different, {len(unexplained)} unexplained"
        return [counts + (f", {alone} on one side only" if alone else ""), *map(self._describe, unexplained)]

    def __bool__(self) -> bool:
        return bool(self._outcomes)

    def _add(self, report: pytest.TestReport) -> None:
        carried = dict(report.user_properties).get(PROPERTY)
        if carried is None or (report.when != "call" and report.outcome == "passed"):
            return
        case = Case(*carried)  # type: ignore[misc]  # what crossed the worker's wire is a list
        sides = self._outcomes.setdefault(case.test, {})
        if sides.get(case.family) != "failed":
            sides[case.family] = report.outcome
        self._differs[case.test] = case.differs

    def _both(self) -> list[str]:
        passed = {"kafka": "passed", "shim": "passed"}
        return [test for test, sides in self._outcomes.items() if sides == passed]

    def _describe(self, test: str) -> str:
        sides = self._outcomes[test]
        return f"  unexplained: {test} ({', '.join(f'{side} {outcome}' for side, outcome in sorted(sides.items()))})"
