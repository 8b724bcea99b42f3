"""How far groups come: lost, invented and skipping commits, effects; and what only looks like that."""

from tests.histories.checker.anomaly import Anomaly
from tests.histories.operation import Outcome
from tests.histories.stories.story import Pair, Story, records, two_values


def lost_commit(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 1)
    story.commit("q", 2)
    story.committed("r", 1)


def lost_commit_at_the_start_of_a_member(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 2)
    story.join("r", *records("b", start=1))


def a_commit_that_ends_while_it_is_asked_for(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 1)
    story.commit("q", 2, last=9)
    story.committed("r", 1)


def a_group_that_forgot_everything(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 2)
    story.committed("q", -1001)


def a_group_that_stands_before_where_it_stood(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 1)
    story.commit("q", 2, outcome="info")
    story.committed("q", 2)
    story.committed("q", 1)


def asked_before_anything_was_committed(story: Story) -> None:
    two_values(story)
    story.committed("r", -1001)
    story.join("q", *records("a", "b"))
    story.commit("q", 2)


def a_commit_of_unknown_outcome_that_is_lost(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 1)
    story.commit("q", 2, outcome="info")
    story.join("r", *records("b", start=1))


def invented_commit(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 2, outcome="fail")
    story.committed("r", 2)


def a_commit_of_unknown_outcome_that_is_there(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a", "b"))
    story.commit("q", 2, outcome="info")
    story.committed("r", 2)


def group_skip(story: Story) -> None:
    two_values(story)
    story.join("q", *records("b", start=1))
    story.commit("q", 2)


def given_and_not_committed(story: Story) -> None:
    two_values(story)
    story.join("q", *records("a"))
    story.commit("q", 1)


def relay(story: Story, *made_of: str, outcomes: str = "ok ok") -> None:
    """A member whose effects are copies; each transaction commits behind the last record that it was made of."""
    two_values(story)
    story.join("q", *records("a", "b"))
    for number, (values, outcome) in enumerate(zip(made_of, outcomes.split(), strict=True)):
        start = "ab".index(values[0])
        known: Outcome = "ok" if outcome == "ok" else "info"
        sources, end = records(*values, start=start), start + len(values)
        story.transaction("q", f"copy-{number}", outcome=known, made_of=sources, commits=end)
    copies = [f"copy-{number}" for number, outcome in enumerate(outcomes.split()) if outcome != "lost"]
    story.poll("final", *records(*copies, partition=1))


def double_effect(story: Story) -> None:
    relay(story, "a", "ab")


def double_effect_of_an_unknown_outcome(story: Story) -> None:
    relay(story, "a", "ab", outcomes="there ok")


def an_effect_that_is_tried_again(story: Story) -> None:
    relay(story, "a", "ab", outcomes="lost ok")


def missing_effect(story: Story) -> None:
    relay(story, "b", outcomes="ok")


def each_effect_once(story: Story) -> None:
    relay(story, "a", "b")


PAIRS = (
    Pair(Anomaly.LOST_COMMIT, lost_commit, a_commit_that_ends_while_it_is_asked_for),
    Pair(Anomaly.LOST_COMMIT, lost_commit_at_the_start_of_a_member, a_commit_of_unknown_outcome_that_is_lost),
    Pair(Anomaly.LOST_COMMIT, a_group_that_forgot_everything, asked_before_anything_was_committed),
    Pair(Anomaly.LOST_COMMIT, a_group_that_stands_before_where_it_stood, a_commit_of_unknown_outcome_that_is_there),
    Pair(Anomaly.INVENTED_COMMIT, invented_commit, a_commit_of_unknown_outcome_that_is_there),
    Pair(Anomaly.GROUP_SKIP, group_skip, given_and_not_committed),
    Pair(Anomaly.DOUBLE_EFFECT, double_effect, each_effect_once),
    Pair(Anomaly.DOUBLE_EFFECT, double_effect_of_an_unknown_outcome, an_effect_that_is_tried_again),
    Pair(Anomaly.MISSING_EFFECT, missing_effect, each_effect_once),
)
