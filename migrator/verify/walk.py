"""A single pass over the log with sums from Postgres beside it; leaves that differ are read again, on both sides."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import NamedTuple

from migrator.digest import Sums
from migrator.verify.classes import Class, Place, unread
from migrator.verify.examine import Examined, explain
from migrator.verify.leaf import Evidence, Found, Leaf, Marks, Verdict, judge
from migrator.verify.ledger import LEAF_OFFSETS, Ledger
from migrator.verify.options import Level, VerifyOptions
from migrator.verify.scope import Cluster, Part, Scope, marks
from migrator.verify.table import Table
from migrator.verify.tally import Tally
from migrator.verify.topic import Held, Topic


class Window(NamedTuple):
    """Some leaves of a partition, and what Postgres holds of them, once it has said so."""

    part: Part
    leaves: list[Leaf]
    found: "Future[tuple[list[Found], list[Found]]]"


@dataclass(frozen=True, slots=True)
class Walk:
    """Compares every leaf of a scope.

    Attributes:
        scope: what is compared.
        options: how.
        topic: Kafka's side.
        table: Postgres' side, for single rows.
        ledger: what was written.
        cluster: says where the log begins by now.
        tally: what has been found.
        progress: is told how many offsets have been compared since it was last told.
    """

    scope: Scope
    options: VerifyOptions
    topic: Topic
    table: Table
    ledger: Ledger
    cluster: Cluster
    tally: Tally
    progress: Callable[[int], None]

    def run(self, beside: Executor, table: Table) -> Iterator[Place]:
        """Walks through all leaves; yields, behind each window, the offset up to which a partition is compared.

        Args:
            beside: where Postgres is asked for its sums, a window ahead.
            table: Postgres' side for that, on a connection of its own.
        """
        for window in _ahead(self._windows(beside, table)):
            held = [self._hold(window.part, leaf) for leaf in window.leaves]
            found, whole = window.found.result()
            for leaf, kafka, rows, dead in zip(window.leaves, held, found, whole, strict=True):
                self._compare(window.part, leaf, Evidence(kafka.compared, rows, kafka.whole, dead.dead))
            yield Place(window.part.partition, window.leaves[-1].stop)

    def _windows(self, beside: Executor, table: Table) -> Iterator[Window]:
        for part in self.scope.parts:
            for leaves in self.ledger.windows(self.scope.source, part.partition, part.start, part.stop):
                yield Window(part, leaves, beside.submit(self._sums, table, leaves))

    def _sums(self, table: Table, leaves: Sequence[Leaf]) -> tuple[list[Found], list[Found]]:
        digests = self.options.level is not Level.COUNT
        found = table.sums(leaves, digests=digests)
        return found, found if table.values or not digests else table.whole().sums(leaves)

    def _hold(self, part: Part, leaf: Leaf) -> Held:
        held = self.topic.sums(part, leaf)
        self.tally.counts[Class.SKIPPED] += held.skipped
        self.progress(leaf.stop - leaf.start)
        return held

    def _compare(self, part: Part, leaf: Leaf, evidence: Evidence) -> None:
        witness, begun = self._witness(leaf), part.marks
        verdict = judge(witness, evidence, begun)
        if verdict is Verdict.DIFFERENT:
            begun = self._marks(part.partition)
            verdict = judge(witness, evidence, begun)
        match verdict:
            case Verdict.SAME:
                self.tally.compared += evidence.kafka.count
            case Verdict.PURGED:
                self.tally.compared += evidence.found.dead.count
                self.tally.counts[Class.PURGED] += evidence.kafka.count - evidence.found.dead.count
            case Verdict.EXPIRED:
                self.tally.counts[Class.EXPIRED] += evidence.found.rows.count
            case Verdict.DIFFERENT:
                self._differ(part, leaf, evidence, begun)
        self.tally.counts[Class.DEAD_LETTER] += evidence.found.dead.count

    def _differ(self, part: Part, leaf: Leaf, evidence: Evidence, begun: Marks) -> None:
        named = self.options.level is Level.FULL and not self.tally.full
        straddled = leaf.start < max(begun.kafka, begun.table)
        if named or straddled or self.scope.source.compacted:
            self._examine(part, leaf, begun)
            return
        kafka, found = evidence.kafka.count, evidence.found.rows.count + evidence.found.dead.count
        self.tally.compared += max(kafka, found)
        self.tally.differences.append(unread(Place(leaf.partition, leaf.start), leaf.stop, kafka, found))

    def _examine(self, part: Part, leaf: Leaf, begun: Marks) -> None:
        examined = Examined()
        for start in range(leaf.start, leaf.stop, LEAF_OFFSETS):
            stop = min(leaf.stop, start + LEAF_OFFSETS)
            kafka = self.topic.fingerprints(part, start, stop)
            table = self.table.fingerprints(leaf.partition, start, stop)
            if kafka.keys() != table.keys():
                # Asked after the reading: what retention removed meanwhile lies below its new mark.
                begun = self._marks(part.partition)
            examined.take(leaf.partition, kafka, table, begun, compacted=self.scope.source.compacted)
        unknown = self.options.modulus > 1 or not self.topic.values
        self.tally.add(examined, explain(replace(leaf, written=None) if unknown else leaf, examined, begun))

    def _marks(self, partition: int) -> Marks:
        return marks(self.ledger, self.cluster, self.topic.name, partition)

    def _witness(self, leaf: Leaf) -> Leaf:
        """The leaf with as much of the ledger's word as can be compared."""
        if leaf.written is None or self.options.modulus > 1:
            return replace(leaf, written=None)
        return replace(leaf, written=Sums(leaf.written.count)) if self.options.level is Level.COUNT else leaf


def _ahead(windows: Iterator[Window]) -> Iterator[Window]:
    """Yields each window when the next one has been asked for."""
    before = None
    for window in windows:
        if before is not None:
            yield before
        before = window
    if before is not None:
        yield before
