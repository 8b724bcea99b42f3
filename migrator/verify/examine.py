"""One leaf, record by record: what each offset is on both sides, and what the ledger proves of the rest. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from migrator.digest import NOTHING, Fingerprint, Sums
from migrator.verify.classes import Class, Difference, Mismatch, Place, Row
from migrator.verify.leaf import Leaf, Marks


@dataclass(slots=True)
class Examined:
    """What a leaf's records came to, so far.

    Attributes:
        same: how many are the same on both sides.
        absent: records that the log holds and Postgres does not, above the table's low watermark.
        purged: the same below it, where retention has been.
        unheld: rows that the log does not hold, though it may have.
        stray: rows at offsets where the log can never have held what the drain was to write.
        unequal: offsets that both sides hold, with different contents.
        unreadable: how many records could not be taken apart.
        union: the sums of what was to be written, as far as either side still holds it.
    """

    same: int = 0
    absent: list[Mismatch] = field(default_factory=list)
    purged: int = 0
    unheld: list[Mismatch] = field(default_factory=list)
    stray: list[Mismatch] = field(default_factory=list)
    unequal: list[Mismatch] = field(default_factory=list)
    unreadable: int = 0
    union: Sums = NOTHING

    def take(
        self,
        partition: int,
        kafka: Mapping[int, Fingerprint | None],
        table: Mapping[int, Sequence[Row]],
        marks: Marks,
        *,
        compacted: bool,
    ) -> None:
        """Takes in a range of offsets.

        Args:
            partition: the partition.
            kafka: the log's records; None for one that could not be taken apart.
            table: rows and dead letters.
            marks: where log and table begin.
            compacted: whether the log may have dropped records from its middle.
        """
        for offset in sorted(kafka.keys() | table.keys()):
            place = Place(partition, offset)
            rows = list(table.get(offset, ()))
            if offset in kafka:
                self._compare(place, kafka[offset], rows, marks)
            elif offset < marks.kafka or compacted:
                self._unheld(place, rows)
            else:
                self.stray += [Mismatch(place, None, row) for row in rows]

    def _compare(self, place: Place, record: Fingerprint | None, rows: list[Row], marks: Marks) -> None:
        if record is None:
            self.unreadable += 1
            return
        equal = next((row for row in rows if row.print == record), None)
        row = equal or next(iter(rows), None)
        if row is None or row.id is not None:
            self.union += record.sums
        if row is None and place.offset < marks.table:
            self.purged += 1
        elif row is None:
            self.absent.append(Mismatch(place, record, None))
        elif equal is None:
            self.unequal.append(Mismatch(place, record, row))
        else:
            self.same += 1
        self.stray += [Mismatch(place, None, other) for other in rows if other is not row]

    def _unheld(self, place: Place, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.id is not None:
                self.union += row.print.sums
                self.unheld.append(Mismatch(place, None, row))


@dataclass(slots=True)
class Findings:
    """What is to be said of a leaf.

    Attributes:
        counts: messages by class that are no differences.
        mismatches: what differs, still to be named.
        differences: what differs, and of which no more is known than the range.
        doubts: what could not be proven; one sentence each.
    """

    counts: Counter[Class] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def explain(leaf: Leaf, examined: Examined, marks: Marks) -> Findings:
    """Returns what an examined leaf comes to; the ledger decides on what only one side holds any more."""
    findings = Findings(mismatches=examined.absent + examined.stray + examined.unequal)
    findings.counts[Class.UNREADABLE] += examined.unreadable
    findings.counts[Class.PURGED] += examined.purged
    if leaf.written in (None, examined.union) or examined.unreadable:
        findings.counts[Class.EXPIRED] += len(examined.unheld)
    elif leaf.written is not None:
        _weigh(leaf, leaf.written, examined, marks, findings)
    return findings


def _weigh(leaf: Leaf, written: Sums, examined: Examined, marks: Marks, findings: Findings) -> None:
    """Says what is wrong where the ledger wrote down something else than both sides together hold."""
    place, unheld = Place(leaf.partition, leaf.start), len(examined.unheld)
    surplus = examined.union.count - written.count
    deficit = -surplus - len(examined.stray)
    counts, differences = findings.counts, findings.differences
    counts[Class.EXPIRED] += unheld
    if surplus < 0 < deficit and marks.table > leaf.start:
        counts[Class.PURGED] += deficit
        findings.doubts.append(f"neither side holds {deficit:,} of the records that were written to {_said(leaf)}")
    elif surplus < 0 < deficit:
        differences.append(Difference(Class.MISSING, place, leaf.stop, deficit))
    elif surplus >= 0 and unheld:
        differences.append(Difference(Class.EXTRA if surplus else Class.ALTERED, place, leaf.stop, surplus or 1))
        counts[Class.EXPIRED] -= surplus or 1
    elif (never := surplus - len(examined.absent)) > 0 and examined.purged >= never:
        differences.append(Difference(Class.MISSING, place, leaf.stop, never))
        counts[Class.PURGED] -= never
    elif not (examined.absent or examined.stray):
        findings.doubts.append(f"the ledger's digest of {_said(leaf)} is not that of what Kafka holds")


def _said(leaf: Leaf) -> str:
    return f"partition {leaf.partition}, offsets {leaf.start:,} to {leaf.stop - 1:,}"
