"""What is to be compared: each partition from where its drain began to where it stands, and what lies beyond."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from migrator.errors import CannotStartError, RefusedError, UsageError
from migrator.events import Listener, Notice
from migrator.kafka.records import TopicFacts
from migrator.verify.leaf import Marks
from migrator.verify.ledger import Ledger, Position, Source
from migrator.verify.options import VerifyOptions

_LOOK_SECONDS = 0.2


class Cluster(Protocol):
    """What is asked of Kafka beside the records."""

    def topic_facts(self, topic: str) -> TopicFacts:
        """Identity and extent of a topic."""


@dataclass(frozen=True, slots=True)
class Part:
    """One partition's share.

    Attributes:
        partition: the partition.
        start: the first offset.
        stop: the offset behind the last.
        skip_below: the drain was told not to write records below it.
        marks: where log and table began when the run did.
    """

    partition: int
    start: int
    stop: int
    skip_below: int
    marks: Marks


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run compares.

    Attributes:
        source: the topic.
        parts: by partition.
        gone: offsets that Kafka had dropped before the drain came to them.
        unexplained: offsets of which the drain could not say why they hold no record.
        in_flight: offsets that the drain has still to come to.
        beyond: offsets behind the end that was frozen for the drain.
    """

    source: Source
    parts: tuple[Part, ...]
    gone: int
    unexplained: int
    in_flight: int
    beyond: int

    @property
    def offsets(self) -> int:
        """How many offsets are compared."""
        return sum(part.stop - part.start for part in self.parts)


def survey(ledger: Ledger, cluster: Cluster, options: VerifyOptions, stop: Event, listener: Listener) -> Scope:
    """Finds out what can be compared, and waits until the drain has come to where the log ends now, or for the grace.

    Raises:
        CannotStartError: ``not-drained``.
        RefusedError: ``topic-changed``, ``log-truncated``.
        UsageError: a partition that is not there.
    """
    source = ledger.source(options.topic)
    if source is None:
        raise CannotStartError(
            f"topic {options.topic!r} was never drained into schema {ledger.queue_schema!r}",
            code="not-drained",
            hint=f"migrator drain --topic {options.topic}",
        )
    facts = cluster.topic_facts(options.topic)
    refuse_changed(source, facts)
    _refuse_unknown(options, facts)
    targets = {part.partition: part.last_stable for part in facts.partitions}
    positions = _await(lambda: ledger.positions(source), targets, options.grace, stop, listener)
    facts = cluster.topic_facts(options.topic)
    chosen = [one for one in positions if options.partitions is None or one.partition in options.partitions]
    _refuse_truncated(options.topic, chosen, facts)
    tables = ledger.low_watermarks(options.topic)
    begun = {part.partition: Marks(part.low, tables.get(part.partition, 0)) for part in facts.partitions}
    return Scope(
        source,
        tuple(_part(ledger, source, one, begun[one.partition], options) for one in chosen),
        gone=sum(one.lost for one in chosen),
        unexplained=sum(one.unexplained for one in chosen),
        in_flight=sum(_behind(chosen, targets).values()) + _untouched(positions, facts, options),
        beyond=sum(max(0, targets[one.partition] - one.end_offset) for one in chosen if one.end_offset is not None),
    )


def marks(ledger: Ledger, cluster: Cluster, topic: str, partition: int) -> Marks:
    """Returns where log and table of a partition begin by now: retention goes on while a run looks."""
    table = ledger.low_watermarks(topic).get(partition, 0)
    facts = cluster.topic_facts(topic)
    return Marks(facts.partitions[partition].low, table)


def refuse_changed(source: Source, facts: TopicFacts) -> None:
    """Refuses a topic that is not the one that was drained.

    Raises:
        RefusedError: ``topic-changed``.
    """
    changes = facts.changes_since(source.cluster_id, source.topic_id, source.partitions)
    if changes:
        raise RefusedError(
            f"topic {source.topic!r} is not the one that was drained: {changes}",
            code="topic-changed",
            hint="check --bootstrap-servers; rows of another topic prove nothing about this one",
        )


def _refuse_unknown(options: VerifyOptions, facts: TopicFacts) -> None:
    unknown = sorted(set(options.partitions or ()) - {part.partition for part in facts.partitions})
    if unknown:
        raise UsageError(
            f"topic {facts.topic!r} has partitions 0 to {len(facts.partitions) - 1}, "
            f"not {', '.join(map(str, unknown))}",
            code="partitions",
        )


def _refuse_truncated(topic: str, positions: Sequence[Position], facts: TopicFacts) -> None:
    highs = {part.partition: part.high for part in facts.partitions}
    for one in positions:
        if highs[one.partition] < one.next_offset:
            raise RefusedError(
                f"the log of {topic}/{one.partition} ends at {highs[one.partition]:,}, and the drain has read up to "
                f"{one.next_offset:,}: it was truncated or replaced",
                code="log-truncated",
                hint=f"migrator drain --topic {topic} --dry-run",
            )


def _await(
    look: Callable[[], list[Position]], targets: dict[int, int], grace: float, stop: Event, listener: Listener
) -> list[Position]:
    deadline = time.monotonic() + grace
    positions = look()
    if (behind := sum(_behind(positions, targets).values())) and grace:
        listener(Notice(f"waiting for the drain, which has {behind:,} offsets to go, for {grace:g} s at most"))
    while any(_behind(positions, targets).values()):
        left = deadline - time.monotonic()
        if left <= 0 or stop.wait(min(_LOOK_SECONDS, left)):
            break
        positions = look()
    return positions


def _behind(positions: Sequence[Position], targets: dict[int, int]) -> dict[int, int]:
    """How far each drain is from its frozen end; one that follows, from where the log ended."""
    return {
        one.partition: max(0, (targets[one.partition] if one.end_offset is None else one.end_offset) - one.next_offset)
        for one in positions
    }


def _untouched(positions: Sequence[Position], facts: TopicFacts, options: VerifyOptions) -> int:
    known = {one.partition for one in positions}
    wanted = [part for part in facts.partitions if options.partitions is None or part.partition in options.partitions]
    return sum(part.last_stable - part.low for part in wanted if part.partition not in known)


def _part(ledger: Ledger, source: Source, one: Position, begun: Marks, options: VerifyOptions) -> Part:
    """A part begins and ends with a batch of the drain, since the ledger knows whole batches only."""
    start, stop = one.start_offset, one.next_offset
    if options.start is not None and options.start > start:
        start = min(stop, ledger.batch(source, one.partition, options.start).start)
    if options.stop is not None and options.stop < stop:
        stop = max(start, ledger.batch(source, one.partition, options.stop - 1).stop)
    return Part(one.partition, start, stop, one.window_end if source.uncertain == "skip" else 0, begun)
