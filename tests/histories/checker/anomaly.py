"""The classes of anomalies, by the names of Jepsen's Kafka test where it has one, and which of them are fatal."""

from dataclasses import dataclass
from enum import Enum


class Anomaly(Enum):
    """A class: its name, whether it is fatal, and its definition."""

    LOST_WRITE = "lost-write", True, "acknowledged before the last record that anybody read, and read by nobody"
    UNSEEN = "unseen", True, "acknowledged, and not read by the end of the final polls"
    DUPLICATE = "duplicate", True, "one value at more than one offset"
    INCONSISTENT_OFFSETS = "inconsistent-offsets", True, "one offset with several values"
    PHANTOM = "phantom", True, "a value that nobody ever sent"
    G1A = "G1a", True, "a send or a transaction that certainly failed was read"
    PRECOMMITTED_READ = "precommitted-read", True, "read before the COMMIT of its transaction was sent"
    TORN_TRANSACTION = "torn-transaction", True, "a part of a transaction was read, and another part never"
    NONMONOTONIC_SEND = "nonmonotonic-send", True, "one process's sends to a log stand there in another order"
    INT_NONMONOTONIC_SEND = "int-nonmonotonic-send", True, "the same within one transaction"
    NONMONOTONIC_POLL = "nonmonotonic-poll", True, "from poll to poll an assigned consumer goes back or repeats"
    POLL_SKIP = "poll-skip", True, "from poll to poll an assigned consumer passes over a record"
    INT_NONMONOTONIC_POLL = "int-nonmonotonic-poll", True, "the same in one poll, or in what one rebalance assigned"
    INT_POLL_SKIP = "int-poll-skip", True, "the same in one poll, or in what one rebalance assigned"
    FOREIGN_POLL = "foreign-poll", True, "a member was given a record of a log that had been taken from it"
    LOST_COMMIT = "lost-commit", True, "a group stands, or starts, before an offset that was committed by then"
    INVENTED_COMMIT = "invented-commit", True, "a group stands at an offset that nobody ever committed"
    GROUP_SKIP = "group-skip", True, "a group committed past a record that none of its members was given"
    DOUBLE_EFFECT = "double-effect", True, "a record's effect, in one transaction with its offset, happened twice"
    MISSING_EFFECT = "missing-effect", True, "the offset was committed with an effect that never appeared"
    G1C = "G1c", True, "transactions read each other's writes in a circle"
    G1C_INFERRED = "G1c-inferred", False, "the same by way of the order of writes; Kafka allows it"
    G0 = "G0", False, "transactions wrote in a circle; Kafka allows it"
    REPEATED_CONSUME = "repeated-consume", False, "a subscribed process was given a record twice, over a rebalance"

    def __init__(self, label: str, fatal: bool, definition: str) -> None:
        self.label = label
        self.fatal = fatal
        self.definition = definition


@dataclass(frozen=True, slots=True)
class Finding:
    """One anomaly, in words by which it is found in the history."""

    anomaly: Anomaly
    words: str

    def __str__(self) -> str:
        return f"{self.anomaly.label}: {self.words}"
