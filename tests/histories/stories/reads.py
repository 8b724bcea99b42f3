"""What is read: back, twice, or past a record; and what only looks like that."""

from tests.histories.checker.anomaly import Anomaly
from tests.histories.operation import Rebalance
from tests.histories.stories.story import GROUP, TOPIC, Pair, Story, records, two_values

_REVOKED = Rebalance("revoke", ((TOPIC, 0),))


def nonmonotonic_poll(story: Story) -> None:
    two_values(story)
    story.poll("q", *records("a", "b"))
    story.poll("q", *records("b", start=1))


def nonmonotonic_poll_after_a_seek(story: Story) -> None:
    two_values(story)
    story.assign("q", 1)
    story.poll("q", *records("a"))


def sought_and_read_again(story: Story) -> None:
    two_values(story)
    story.poll("q", *records("a", "b"))
    story.assign("q", 1)
    story.poll("q", *records("b", start=1))


def sought_with_unknown_outcome(story: Story) -> None:
    two_values(story)
    story.poll("q", *records("a"))
    story.assign("q", 0, outcome="info")
    story.poll("q", *records("b", start=1))


def poll_skip(story: Story) -> None:
    story.sent("a", "b", "c")
    story.final(*records("a", "b", "c"))
    story.poll("q", *records("a"))
    story.poll("q", *records("c", start=2))


def poll_skip_after_an_assignment(story: Story) -> None:
    two_values(story)
    story.assign("q", 0)
    story.poll("q", *records("b", start=1))


def a_gap_where_nothing_stands(story: Story) -> None:
    story.send("p", "a", at=0)
    story.send("p", "b", at=7)
    story.final(*records("a"), *records("b", start=7))


def int_nonmonotonic_poll(story: Story) -> None:
    two_values(story)
    story.poll("q", *records("b", start=1), *records("a"))


def int_nonmonotonic_poll_of_a_member(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.poll("q", *records("a"), group=GROUP)


def read_again_over_a_rebalance(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.poll("q", group=GROUP, moved=[_REVOKED])
    story.join("r", *records("a", "b"))


def int_poll_skip(story: Story) -> None:
    story.sent("a", "b", "c")
    story.final(*records("a", "b", "c"))
    story.poll("q", *records("a"), *records("c", start=2))


def int_poll_skip_of_a_member(story: Story) -> None:
    story.sent("a", "b", "c")
    story.final(*records("a", "b", "c"))
    story.join("q", *records("a"))
    story.poll("q", *records("c", start=2), group=GROUP)


def passed_over_by_a_rebalance(story: Story) -> None:
    story.sent("a", "b", "c")
    story.final(*records("a", "b", "c"))
    story.join("q", *records("a"))
    story.poll("q", group=GROUP, moved=[_REVOKED])
    story.join("r", *records("b", start=1))
    story.commit("r", 2)
    story.join("q", *records("c", start=2))


def foreign_poll(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a"))
    story.poll("q", *records("b", start=1), group=GROUP, moved=[_REVOKED])


def read_before_it_is_taken_away(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a"))
    story.poll("q", *records("b", start=1), group=GROUP)
    story.poll("q", group=GROUP, moved=[_REVOKED])


def repeated_consume(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.join("q", *records("a", "b"))


PAIRS = (
    Pair(Anomaly.NONMONOTONIC_POLL, nonmonotonic_poll, sought_and_read_again),
    Pair(Anomaly.NONMONOTONIC_POLL, nonmonotonic_poll_after_a_seek, sought_with_unknown_outcome),
    Pair(Anomaly.POLL_SKIP, poll_skip, a_gap_where_nothing_stands),
    Pair(Anomaly.POLL_SKIP, poll_skip_after_an_assignment, sought_with_unknown_outcome),
    Pair(Anomaly.INT_NONMONOTONIC_POLL, int_nonmonotonic_poll, sought_and_read_again),
    Pair(Anomaly.INT_NONMONOTONIC_POLL, int_nonmonotonic_poll_of_a_member, read_again_over_a_rebalance),
    Pair(Anomaly.INT_POLL_SKIP, int_poll_skip, a_gap_where_nothing_stands),
    Pair(Anomaly.INT_POLL_SKIP, int_poll_skip_of_a_member, passed_over_by_a_rebalance),
    Pair(Anomaly.FOREIGN_POLL, foreign_poll, read_before_it_is_taken_away),
    Pair(Anomaly.REPEATED_CONSUME, repeated_consume, read_again_over_a_rebalance),
)
