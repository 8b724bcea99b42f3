"""What is written: lost, doubled, torn, undone and yet there, out of order; and what only looks like that."""

from tests.histories.checker.anomaly import Anomaly
from tests.histories.stories.story import Pair, Story, records, two_values


def lost_write(story: Story) -> None:
    story.sent("a", "b")
    story.final(*records("b", start=1))


def an_unknown_write_that_is_not_there(story: Story) -> None:
    story.send("p", "a", outcome="info")
    story.send("p", "b", at=0)
    story.final(*records("b"))


def unseen(story: Story) -> None:
    story.sent("a", "b")
    story.final(*records("a"))


def seen_by_another_one(story: Story) -> None:
    story.sent("a", "b")
    story.poll("q", *records("a", "b"))
    story.final(*records("a"))


def duplicate(story: Story) -> None:
    story.sent("a")
    story.final(*records("a", "a"))


def read_twice_at_one_offset(story: Story) -> None:
    two_values(story)
    story.assign("q", 0)
    story.poll("q", *records("a", "b"))


def inconsistent_offsets(story: Story) -> None:
    story.send("p", "a", at=0)
    story.send("q", "b", at=1)
    story.poll("x", *records("a", "b"))
    story.poll("y", *records("b"))


def one_offset_in_two_logs(story: Story) -> None:
    story.send("p", "a", at=0)
    story.send("p", "b", at=0, partition=1)
    story.final(*records("a"), *records("b", partition=1))


def phantom(story: Story) -> None:
    story.final(*records("a"))


def g1a(story: Story) -> None:
    story.send("p", "a", outcome="fail")
    story.final(*records("a"))


def an_unknown_write_that_is_there(story: Story) -> None:
    story.send("p", "a", outcome="info")
    story.final(*records("a"))


def g1a_of_a_transaction(story: Story) -> None:
    story.transaction("p", "a", "b", outcome="fail")
    story.final(*records("a", "b"))


def precommitted_read(story: Story) -> None:
    story.transaction("p", "a", committing=5.0)
    story.final(*records("a"))


def read_while_it_is_committed(story: Story) -> None:
    story.transaction("p", "a", committing=0.5)
    story.final(*records("a"))


def torn_transaction(story: Story) -> None:
    story.transaction("p", "a", "b", outcome="info")
    story.final(*records("a"))


def an_unknown_transaction_that_is_not_there(story: Story) -> None:
    story.transaction("p", "a", "b", outcome="info")
    story.transaction("p", "c", "d", outcome="info")
    story.final(*records("c", "d"))


def nonmonotonic_send(story: Story) -> None:
    story.send("p", "a", at=1)
    story.send("p", "b", at=0)
    story.final(*records("b", "a"))


def nonmonotonic_send_of_unknown_outcome(story: Story) -> None:
    story.send("p", "a", outcome="info")
    story.send("p", "b", at=0)
    story.final(*records("b", "a"))


def two_producers_out_of_order(story: Story) -> None:
    story.send("p", "a", at=1)
    story.send("q", "b", at=0)
    story.final(*records("b", "a"))


def int_nonmonotonic_send(story: Story) -> None:
    story.transaction("p", "a", "b")
    story.final(*records("b", "a"))


def int_send_skip(story: Story) -> None:
    story.transaction("p", "a", "b")
    story.transaction("q", "x")
    story.final(*records("a", "x", "b"))


PAIRS = (
    Pair(Anomaly.LOST_WRITE, lost_write, an_unknown_write_that_is_not_there),
    Pair(Anomaly.UNSEEN, unseen, seen_by_another_one),
    Pair(Anomaly.DUPLICATE, duplicate, read_twice_at_one_offset),
    Pair(Anomaly.INCONSISTENT_OFFSETS, inconsistent_offsets, one_offset_in_two_logs),
    Pair(Anomaly.PHANTOM, phantom, an_unknown_write_that_is_there),
    Pair(Anomaly.G1A, g1a, an_unknown_write_that_is_there),
    Pair(Anomaly.G1A, g1a_of_a_transaction, an_unknown_transaction_that_is_not_there),
    Pair(Anomaly.PRECOMMITTED_READ, precommitted_read, read_while_it_is_committed),
    Pair(Anomaly.TORN_TRANSACTION, torn_transaction, an_unknown_transaction_that_is_not_there),
    Pair(Anomaly.NONMONOTONIC_SEND, nonmonotonic_send, two_producers_out_of_order),
    Pair(Anomaly.NONMONOTONIC_SEND, nonmonotonic_send_of_unknown_outcome, two_producers_out_of_order),
    Pair(Anomaly.INT_NONMONOTONIC_SEND, int_nonmonotonic_send, int_send_skip),
)
