"""One drain from its first look at Kafka to its outcome.

The thread that calls reads; writers commit beside it. What ends a bounded drain is that every partition has reached
its frozen end, and nothing else: not silence, not an empty poll, not the last stable offset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from migrator.choices import Uncertain
from migrator.drain.batch import NO_HOLD, Hold, Place
from migrator.drain.budget import Budget
from migrator.drain.claiming import Claimer
from migrator.drain.keeping import Keeper, remaining
from migrator.drain.ledger import Ledger, Limits
from migrator.drain.loop import Loop
from migrator.drain.options import DrainOptions
from migrator.drain.outcome import Outcome, TopicOutcome
from migrator.drain.owner import new_owner
from migrator.drain.pool import Totals, WriterPool
from migrator.drain.prepare import Preparation, Prepared
from migrator.drain.reading import Reader, Track
from migrator.drain.sources import Offset, Sources
from migrator.drain.surroundings import Surroundings
from migrator.drain.writing import BatchWriter, Texts
from migrator.errors import CannotStartError, StoppedError
from migrator.events import Started
from migrator.failpoints import Failpoint, reach
from migrator.kafka.records import TopicFacts
from migrator.kafka.source import Source
from migrator.plan import TopicPlan
from migrator.postgres import Connection
from shim.store import append, dual_inbox, topics
from shim.store.values import Format

Tracks = Mapping[tuple[str, int], Track]


def look(around: Surroundings, options: DrainOptions) -> list[tuple[TopicFacts, TopicPlan]]:
    """Returns what a first drain of the topics would do; writes nothing on either side."""
    with around.connect() as conn:
        preparation = _preparation(around, options, conn)
        return [preparation.look(topic) for topic in options.topics]


def drain(around: Surroundings, options: DrainOptions) -> Outcome:
    """Copies topics into ``job_queue``.

    Raises:
        MigratorError: it was refused, could not start, or stopped part-way; whatever was committed stands.
        psycopg.Error: Postgres failed in a way that waiting does not mend.
    """
    began = around.clock()
    with around.connect() as conn:
        preparation = _preparation(around, options, conn)
        prepared = [preparation.prepare(topic) for topic in options.topics]
        reach(Failpoint.PREPARED)
        run = _Run(around, options, preparation.sources, prepared)
        tracks = run.claim(conn)
    try:
        stopped = run.copy(tracks) if tracks else None
        with around.connect() as conn:
            return run.finish(conn, stopped, around.clock() - began)
    except CannotStartError as error:
        if error.code != "postgres-unreachable":
            raise
        raise StoppedError(error.message, code="postgres-outage", hint=error.hint) from error


def _preparation(around: Surroundings, options: DrainOptions, conn: Connection) -> Preparation:
    sources = Sources.load(around.schemas)
    schemas = around.schemas
    return Preparation(conn, around.cluster, sources, schemas, topics.load(schemas), options)


@dataclass(slots=True)
class _Run:
    around: Surroundings
    options: DrainOptions
    sources: Sources
    prepared: Sequence[Prepared]
    owner: str = field(default_factory=new_owner)
    totals: Totals = field(default_factory=Totals)

    def claim(self, conn: Connection) -> Tracks:
        """Takes hold of every partition that has not reached its end."""
        around = self.around
        claimer = Claimer(conn, self.sources, self.owner, self.options, around.listener, around.stop)
        tracks: dict[tuple[str, int], Track] = {}
        for prepared in self.prepared:
            topic = prepared.source.topic
            held = {} if prepared.source.complete else claimer.claim(prepared)
            tracks |= {(topic, partition): _track(prepared, offset) for partition, offset in held.items()}
            ahead = remaining(tracks, topic)
            around.listener(Started(topic, prepared.origin, prepared.resumed, ahead, prepared.notes))
        return tracks

    def copy(self, tracks: Tracks) -> str | None:
        """Copies what the tracks cover; the partitions are let go whatever happens."""
        ids = [prepared.source.id for prepared in self.prepared]
        keeper = Keeper(self.around, self.sources, ids, self.owner, self.options.lease_seconds, tracks, self.totals)
        source = self.around.open_source()
        try:
            return self._loop(tracks, keeper, source).turn()
        finally:
            source.close()
            keeper.let_go()

    def finish(self, conn: Connection, stopped: str | None, seconds: float) -> Outcome:
        """Marks what is complete, and says how it ended."""
        outcomes = tuple(self._finish_topic(conn, prepared, seconds) for prepared in self.prepared)
        interrupted = self.around.stop.is_set()
        if stopped is None and not interrupted and any(map(self._is_left, chain(*(one.offsets for one in outcomes)))):
            stopped = "others-hold-partitions"
        return Outcome(outcomes, stopped, interrupted)

    def _is_left(self, offset: Offset) -> bool:
        only = self.options.partitions
        return not offset.done and (only is None or offset.partition in only)

    def _loop(self, tracks: Tracks, keeper: Keeper, source: Source) -> Loop:
        options, writers = self.options, max(1, min(self.options.writers, len(tracks)))
        reader = Reader(
            tracks,
            self.around.gaps.judge,
            writers=writers,
            batch_rows=options.batch_rows,
            batch_bytes=options.batch_bytes,
        )
        budget = Budget(options.dead_letter_budget, {one.source.topic: one.dead for one in self.prepared})
        pool = WriterPool(
            self.around.connect,
            [self._writer(tracks, budget) for _ in range(writers)],
            self.totals,
            self.around.listener,
            max_wait=options.max_wait,
            stop=self.around.stop,
        )
        return Loop(self.around, options, self.prepared, tracks, source, reader, pool, keeper)

    def _writer(self, tracks: Tracks, budget: Budget) -> BatchWriter:
        schemas = self.around.schemas
        return BatchWriter(
            Ledger.load(schemas, Limits(self.options.lease_seconds)),
            Texts(append.load(schemas), topics.load(schemas), dual_inbox.load(schemas)),
            {one.source.topic: Format(self.options.format or one.source.format) for one in self.prepared},
            {track.place: track.hold for track in tracks.values()},
            budget,
        )

    def _finish_topic(self, conn: Connection, prepared: Prepared, seconds: float) -> TopicOutcome:
        source = prepared.source
        with conn.transaction():
            if self.sources.complete(conn, source.id) and self.options.open_gate:
                topics.number_in_postgres(conn, topics.load(self.around.schemas), source.topic)
        dual_inbox.sweep(conn, dual_inbox.load(self.around.schemas), source.topic)
        rows = self.totals.rows.get(source.topic, 0)
        if rows:
            conn.execute(self.sources.statements["analyze_queue"])
        offsets = tuple(self.sources.offsets(conn, source.id))
        held = any(offset.held for offset in offsets)
        registered = topics.read_topic(conn, topics.load(self.around.schemas), source.topic)
        return TopicOutcome(
            self.sources.find(conn, source.topic) or source,
            offsets,
            rows,
            seconds,
            dead_now=self.sources.count_dead_letters(conn, source.id),
            held_now=self.sources.count_held(conn, source.topic) if held else 0,
            gate=registered.gate if registered else "closed",
        )


def _track(prepared: Prepared, offset: Offset) -> Track:
    source = prepared.source
    uncertain = Uncertain(source.uncertain)
    below = offset.window_end
    return Track(
        place=Place(source.id, source.topic, offset.partition),
        epoch=offset.epoch,
        next=offset.next_offset,
        end=offset.end_offset,
        skip_below=below if uncertain is Uncertain.SKIP else 0,
        hold=_hold(source.start_choice, below) if uncertain is Uncertain.HOLD else NO_HOLD,
        compacted="compact" in source.cleanup_policy,
    )


def _hold(origin: str, below: int) -> Hold:
    return Hold(below, f"held: the workers of {origin} may have processed it after their last commit")
