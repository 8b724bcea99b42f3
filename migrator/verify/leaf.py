"""Leaves: ranges of offsets of which three witnesses give count and sums; where they agree, none is read again. Pure.

Kafka tells what was produced, the table what is there, and the drain's ledger what was written. The ledger outlives the
rows and Kafka's records alike, so it proves what one of the two no longer holds.
"""

from dataclasses import dataclass
from enum import Enum, auto

from migrator.digest import NOTHING, Sums


@dataclass(frozen=True, slots=True)
class Leaf:
    """A run of whole batches of the drain.

    Attributes:
        partition: the partition.
        start: its first offset.
        stop: the offset behind its last.
        written: what the ledger says was written to the table; None where that is not to be compared.
    """

    partition: int
    start: int
    stop: int
    written: Sums | None


@dataclass(frozen=True, slots=True)
class Found:
    """What Postgres holds of a leaf: rows, and records that no row can hold."""

    rows: Sums = NOTHING
    dead: Sums = NOTHING


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the witnesses say of one leaf.

    Attributes:
        kafka: what the log holds, and the drain was to write.
        found: what Postgres holds.
        kafka_whole: as ``kafka``, values included even where the table keeps none.
        dead_whole: the dead letters, values included.
    """

    kafka: Sums
    found: Found
    kafka_whole: Sums
    dead_whole: Sums


@dataclass(frozen=True, slots=True)
class Marks:
    """Low watermarks of a partition.

    Attributes:
        kafka: the log begins here.
        table: retention has removed the rows below it.
    """

    kafka: int
    table: int


class Verdict(Enum):
    """What becomes of a leaf."""

    SAME = auto()
    PURGED = auto()
    EXPIRED = auto()
    DIFFERENT = auto()


def judge(leaf: Leaf, evidence: Evidence, marks: Marks) -> Verdict:
    """Returns whether a leaf is as it should be, or must be read again record by record.

    ``PURGED`` says that retention removed all its rows, and the ledger proves that they were what Kafka holds.
    ``EXPIRED`` says that the log has dropped all its records, and the ledger proves that the rows are what it held.
    """
    kafka, rows = evidence.kafka, evidence.found.rows
    written = leaf.written is None or evidence.kafka_whole - evidence.dead_whole == leaf.written
    if written and kafka == rows + evidence.found.dead:
        return Verdict.SAME
    if leaf.written is None:
        return Verdict.DIFFERENT
    if written and rows == NOTHING and leaf.stop <= marks.table:
        return Verdict.PURGED
    if rows == leaf.written and kafka == NOTHING and leaf.stop <= marks.kafka:
        return Verdict.EXPIRED
    return Verdict.DIFFERENT
