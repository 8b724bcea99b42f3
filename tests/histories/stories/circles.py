"""Transactions that depend on each other in a circle, and such that only depend on each other."""

from tests.histories.checker.anomaly import Anomaly
from tests.histories.stories.story import Pair, Story, records


def g1c(story: Story) -> None:
    story.transaction("p", "a", made_of=records("b", start=1))
    story.transaction("q", "b", made_of=records("a"))
    story.poll("final", *records("a", "b"))


def read_from_one_another_in_a_row(story: Story) -> None:
    story.transaction("p", "a")
    story.transaction("q", "b", made_of=records("a"))
    story.transaction("p", "c", made_of=records("b", start=1))
    story.poll("final", *records("a", "b", "c"))


def g1c_inferred(story: Story) -> None:
    story.transaction("p", "a", made_of=records("b", start=1))
    story.transaction("q", "b")
    story.poll("final", *records("a", "b"))


def g0(story: Story) -> None:
    story.transaction("p", "a", "b")
    story.transaction("q", "x", "y")
    story.poll("final", *records("a", "x"), *records("y", "b", partition=1))


def written_one_after_the_other(story: Story) -> None:
    story.transaction("p", "a", "b")
    story.transaction("q", "x", "y")
    story.poll("final", *records("a", "x"), *records("b", "y", partition=1))


PAIRS = (
    Pair(Anomaly.G1C, g1c, read_from_one_another_in_a_row),
    Pair(Anomaly.G1C_INFERRED, g1c_inferred, read_from_one_another_in_a_row),
    Pair(Anomaly.G0, g0, written_one_after_the_other),
)
