"""One verification, from what can be compared to the answer."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event

from migrator.errors import StoppedError
from migrator.events import Compared, Listener
from migrator.kafka.log import LogReader
from migrator.postgres import Connection
from migrator.verify.checkpoint import identity
from migrator.verify.classes import Class, Difference, Mismatch, classify, totals
from migrator.verify.keeping import Keeper
from migrator.verify.ledger import Ledger
from migrator.verify.options import Level, VerifyOptions
from migrator.verify.outcome import Outcome, decide
from migrator.verify.scope import Cluster, Scope, refuse_changed, survey
from migrator.verify.table import Table
from migrator.verify.tally import Tally
from migrator.verify.topic import Topic
from migrator.verify.walk import Walk
from shim.store.statements import Schemas

_PURGED_ELSEWHERE = (
    "finished jobs that were removed above the low watermark, as by `migrator jobs purge`, count as missing: "
    "nothing tells them from others"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs from outside.

    Attributes:
        connect: opens a connection to Postgres, in autocommit.
        schemas: what the markers in our statements stand for.
        cluster: answers questions about the topic.
        open_log: makes a reader of the log.
        listener: is told how things go.
        stop: set when the run is to end.
    """

    connect: Callable[[], Connection]
    schemas: Schemas
    cluster: Cluster
    open_log: Callable[[], LogReader]
    listener: Listener
    stop: Event


def verify(around: Surroundings, options: VerifyOptions) -> Outcome:
    """Compares a topic and its rows.

    Raises:
        MigratorError: it was refused, could not start, or was stopped.
        psycopg.Error: Postgres refused, or is gone.
    """
    started = time.monotonic()
    with closing(around.connect()) as conn:
        ledger = Ledger.open(conn, around.schemas)
        scope = survey(ledger, around.cluster, options, around.stop, around.listener)
        table = _table(conn, around, options, scope)
        keeper = Keeper(options.resume, identity(scope.source, options), Tally(options.max_diffs))
        _walk(around, options, ledger, keeper.begin(scope), table, keeper)
        refuse_changed(scope.source, around.cluster.topic_facts(options.topic))
        tally = keeper.tally
        differences = _named(table, scope, options, tally)
        native = table.native() if options.whole and options.partitions is None else 0
    keeper.finish()
    if not table.values and not options.without_values:
        tally.doubts.append("the table keeps no values (keep_value is off): that they are the same cannot be proven")
    classes = tally.counts + totals(differences)
    classes[Class.GONE] += scope.gone
    classes[Class.UNEXPLAINED] += scope.unexplained
    classes[Class.IN_FLIGHT] += scope.in_flight
    classes[Class.NATIVE] += native
    if classes[Class.MISSING] and scope.source.sequencer == "postgres":
        tally.doubts.append(_PURGED_ELSEWHERE)
    result, reasons = decide(classes, tally.compared, tally.doubts, options.fail_on)
    return Outcome(
        topic=options.topic,
        level=options.level,
        result=result,
        reasons=reasons,
        compared=tally.compared,
        classes=classes,
        differences=tuple(differences[: options.max_diffs]),
        ranges={part.partition: range(part.start, keeper.reached[part.partition][1]) for part in scope.parts},
        modulus=options.modulus,
        beyond=scope.beyond,
        seconds=time.monotonic() - started,
    )


def _walk(
    around: Surroundings, options: VerifyOptions, ledger: Ledger, left: Scope, table: Table, keeper: Keeper
) -> None:
    progress = _Progress(around, options.topic, left.offsets, keeper.tally)
    digests = options.level is not Level.COUNT
    with (
        closing(around.connect()) as beside,
        around.open_log() as reader,
        ThreadPoolExecutor(1, "verify-sums") as executor,
    ):
        topic = Topic(reader, options.topic, table.values, options.modulus, digests)
        walk = Walk(left, options, topic, table, ledger, around.cluster, keeper.tally, progress.advance)
        for partition, offset in walk.run(executor, _table(beside, around, options, left)):
            keeper.advance(partition, offset)


def _table(conn: Connection, around: Surroundings, options: VerifyOptions, scope: Scope) -> Table:
    values = scope.source.keep_value and not options.without_values
    return Table.open(conn, around.schemas, scope.source, values=values, modulus=options.modulus)


def _named(table: Table, scope: Scope, options: VerifyOptions, tally: Tally) -> list[Difference]:
    """Every difference with its name, strangers included, in the order of their places."""
    mismatches = tally.mismatches + _strangers(table, scope, options, tally)
    foreign = [one.table for one in mismatches if one.kafka is None and one.table is not None]
    copies = table.copies(foreign) if foreign else {}
    return sorted(classify(mismatches, copies) + tally.differences, key=lambda one: one.place)


def _strangers(table: Table, scope: Scope, options: VerifyOptions, tally: Tally) -> list[Mismatch]:
    """Rows outside of what the drain wrote; a bounded look at a range of offsets is not about them."""
    if not options.whole:
        return []
    chosen = None if options.partitions is None else {part.partition for part in scope.parts}
    found = table.strangers(options.max_diffs + 1)
    if len(found) > options.max_diffs:
        tally.doubts.append(
            f"more than {options.max_diffs:,} rows lie where the drain wrote none, and were not counted"
        )
    return [Mismatch(one.place, None, one.row) for one in found if chosen is None or one.place.partition in chosen]


@dataclass(slots=True)
class _Progress:
    """Tells how far the walk is, and ends it when it is to stop."""

    around: Surroundings
    topic: str
    total: int
    tally: Tally
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, offsets: int) -> None:
        if self.around.stop.is_set():
            raise StoppedError(
                f"stopped after {self.done:,} of {self.total:,} offsets, which is no answer",
                code="interrupted",
                hint="the same command goes on if it has --resume FILE, and begins anew if it has not",
            )
        self.done += offsets
        rate = self.done / max(time.monotonic() - self.started, 1e-6)
        left = (self.total - self.done) / rate if rate else None
        self.around.listener(Compared(self.topic, self.done, self.total, self.tally.differing, rate, left))
