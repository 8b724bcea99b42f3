"""Before the first record: what is to be copied is frozen, checked against what was frozen before, and taken hold of.

A drain that is resumed finds its cluster, topic id, partitions and ends in Postgres. Any of them that has changed in
Kafka is a reason to refuse, never to reset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from migrator.choices import Uncertain
from migrator.drain.options import DrainOptions
from migrator.drain.sources import Offset, Source, Sources, Table
from migrator.errors import CannotStartError, RefusedError, UsageError
from migrator.kafka.facts import Cluster
from migrator.kafka.records import GroupFacts, TopicFacts
from migrator.plan import PartitionPlan, TopicPlan, check_groups, plan_topic
from migrator.postgres import Connection
from shim.store import gate, topics
from shim.store.statements import Schemas
from shim.store.topics import GroupOffset
from shim.store.topics import Texts as TopicTexts


@dataclass(frozen=True, slots=True)
class Prepared:
    """A topic that is ready to be read.

    Attributes:
        source: what was frozen.
        facts: the topic as it stands now.
        origin: what the start was taken from.
        resumed: whether an earlier run had begun.
        dead: how many dead letters earlier runs have committed that were not retried since.
        notes: what the user should know; one sentence each.
    """

    source: Source
    facts: TopicFacts
    origin: str
    resumed: bool
    dead: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preparation:
    """Prepares topics for one drain.

    Attributes:
        conn: a connection in autocommit.
        cluster: Kafka, as facts.
        sources: the drain's own tables.
        schemas: where the tables lie.
        topic_texts: the statements of the queue's topic tables.
        options: what the user asked for.
    """

    conn: Connection
    cluster: Cluster
    sources: Sources
    schemas: Schemas
    topic_texts: TopicTexts
    options: DrainOptions

    def look(self, topic: str) -> tuple[TopicFacts, TopicPlan]:
        """Returns what a first drain of the topic would do; writes nothing.

        Raises:
            MigratorError: it would be refused.
        """
        facts = self.cluster.topic_facts(topic)
        source = self.sources.find(self.conn, topic)
        if source is None:
            return facts, self._plan(facts, self.cluster.groups_of(topic))
        check_identity(source, facts)
        return facts, self._rest(source)

    def _rest(self, source: Source) -> TopicPlan:
        parts = tuple(
            PartitionPlan(one.partition, one.next_offset, one.end_offset, one.window_end)
            for one in self.sources.offsets(self.conn, source.id)
        )
        note = "it has begun already; these are the offsets that are left"
        return TopicPlan(source.topic, parts, source.start_choice, owner=None, notes=(note,))

    def prepare(self, topic: str) -> Prepared:
        """Freezes a topic, or checks that what was frozen still holds.

        Raises:
            RefusedError: something changed, or somebody works on the topic, or the start is ambiguous.
            CannotStartError: the topic or the table is missing.
        """
        table = self._table()
        facts = self.cluster.topic_facts(topic)
        self._check_partitions(facts)
        source = self.sources.find(self.conn, topic)
        if source is None:
            return self._begin(facts, table)
        check_identity(source, facts)
        self._check_table(source, table)
        return self._resume(source, facts)

    def _table(self) -> Table:
        table = self.sources.table(self.conn)
        schema = self.sources.queue_schema
        if table is None:
            raise CannotStartError(
                f"there is no table {schema}.job_queue", code="schema-missing", hint=f"migrator init --schema {schema}"
            )
        if table.persistence != "p":
            raise RefusedError(
                f"{schema}.job_queue is unlogged: a crash of Postgres would empty it while the drain's position stays",
                code="table-unlogged",
                hint=f"alter table {schema}.job_queue set logged;",
            )
        return table

    def _check_partitions(self, facts: TopicFacts) -> None:
        unknown = (self.options.partitions or frozenset()) - {part.partition for part in facts.partitions}
        if unknown:
            raise UsageError(
                f"topic {facts.topic!r} has partitions 0 to {len(facts.partitions) - 1}, "
                f"not {', '.join(map(str, sorted(unknown)))}",
                code="partitions",
            )

    def _begin(self, facts: TopicFacts, table: Table) -> Prepared:
        self._check_sequencer(facts.topic)
        groups = self.cluster.groups_of(facts.topic)
        plan = self._plan(facts, groups)
        with self.conn.transaction():
            self._register(facts, plan, groups)
            self.sources.freeze(
                self.conn,
                facts,
                plan,
                table,
                until=self.options.until.text,
                fmt=(self.options.format or "auto"),
                uncertain=(self.options.policy.uncertain or Uncertain.ENQUEUE),
                window=self.options.policy.window,
            )
        source = self._found(facts.topic)
        return Prepared(source, facts, plan.origin, resumed=False, notes=(*plan.notes, *self.cluster.notices))

    def _check_sequencer(self, topic: str) -> None:
        registered = topics.read_topic(self.conn, self.topic_texts, topic)
        if registered is not None and registered.sequencer != "kafka":
            raise RefusedError(
                f"Postgres numbers topic {topic!r}: offsets from Kafka would collide with its own",
                code="sequencer",
                hint=f"migrator gate status --topic {topic}",
            )

    def _plan(self, facts: TopicFacts, groups: Sequence[GroupFacts]) -> TopicPlan:
        choice = self.options.start
        if choice.timestamp_ms is not None:
            choice = replace(choice, offsets=self.cluster.offsets_for_time(facts.topic, choice.timestamp_ms))
        elif choice.kind == "offsets":
            choice = replace(choice, offsets=(self.options.start_offsets or {}).get(facts.topic, {}))
        return plan_topic(facts, groups, choice, self.options.policy, self._ends(facts))

    def _ends(self, facts: TopicFacts) -> Mapping[int, int] | None:
        moment = self.options.until.timestamp_ms
        return None if moment is None else self.cluster.offsets_for_time(facts.topic, moment)

    def _register(self, facts: TopicFacts, plan: TopicPlan, groups: Sequence[GroupFacts]) -> None:
        topic = facts.topic
        topics.register_topic(self.conn, self.topic_texts, topic, len(facts.partitions))
        heads = {part.partition: part.start for part in plan.partitions}
        topics.register_partitions(self.conn, self.topic_texts, topic, heads)
        for group in groups:
            if group.kind != "share":
                offsets = [
                    GroupOffset(partition, commit.offset, commit.leader_epoch, commit.metadata)
                    for partition, commit in sorted(group.offsets.items())
                ]
                topics.copy_group_offsets(self.conn, self.topic_texts, group.group_id, topic, offsets)
        if plan.owner is not None:
            topics.own_topic(self.conn, self.topic_texts, topic, plan.owner)
        if self.options.open_gate:
            topics.set_gate(self.conn, self.topic_texts, topic, "open")

    def _resume(self, source: Source, facts: TopicFacts) -> Prepared:
        options = self.options
        self._check_answers(source)
        offsets = self.sources.offsets(self.conn, source.id)
        ends = self._new_ends(source, offsets, facts)
        bounded = options.until.kind != "follow"
        if bounded and (ends is not None or options.open_gate or not source.complete):
            check_groups(source.topic, self.cluster.groups_of(source.topic), bounded=True)
        if ends is not None:
            self._check_sequencer(source.topic)
            with self.conn.transaction():
                self.sources.extend(self.conn, source.id, ends, options.until.text)
        if options.open_gate:
            gate.open_gate(self.conn, gate.load(self.schemas), source.topic, lambda _done: None)
        return Prepared(
            self._found(source.topic),
            facts,
            source.start_choice,
            resumed=True,
            dead=self.sources.count_dead_letters(self.conn, source.id),
            notes=_newer(source, offsets, facts),
        )

    def _check_answers(self, source: Source) -> None:
        """Refuses answers that differ from those with which the drain began: they would leave holes or doubles."""
        start, policy, until = self.options.start, self.options.policy, self.options.until
        unfinished = not source.complete and source.end_choice != "follow"
        given = (
            ("start", "--from", source.start_choice, start.text if start.kind != "default" else None),
            ("uncertain", "--uncertain", source.uncertain, policy.uncertain),
            ("window", "--uncertain-window", source.uncertain_window, policy.window or None),
            ("end", "--until", source.end_choice, until.text if until.explicit and unfinished else None),
        )
        for what, flag, before, now in given:
            if now is not None and now != before:
                raise RefusedError(
                    f"the drain of topic {source.topic!r} began with {flag} {before}, not {now}; a second answer would "
                    "leave holes or doubles",
                    code=f"{what}-changed",
                    hint=f"migrator drain --topic {source.topic}",
                )

    def _new_ends(
        self, source: Source, offsets: Sequence[Offset], facts: TopicFacts
    ) -> Mapping[int, int | None] | None:
        following = any(offset.end_offset is None for offset in offsets)
        if self.options.until.kind == "follow":
            return None if following else dict.fromkeys((offset.partition for offset in offsets), None)
        if not (following or (source.complete and self.options.until.explicit)):
            return None
        ends = self._ends(facts)
        return ends if ends is not None else {part.partition: part.high for part in facts.partitions}

    def _check_table(self, source: Source, table: Table) -> None:
        topic = source.topic
        registered = topics.read_topic(self.conn, self.topic_texts, topic)
        untouched = registered is not None and registered.opened_at is None and registered.sequencer == "kafka"
        written, present = self.sources.count_rows(self.conn, source) if untouched else (0, 0)
        if registered is None or source.queue_oid != table.oid or present != written:
            raise RefusedError(
                f"{self.sources.queue_schema}.job_queue is not as the drain of topic {topic!r} left it: "
                f"{written} rows were written, {present} are there"
                + (", and the table is another one" if source.queue_oid != table.oid else ""),
                code="table-changed",
                hint="restore the table, or begin anew: delete what is left of the topic and forget its drain:\n"
                f"  delete from {self.sources.queue_schema}.job_queue where topic = '{topic}';\n"
                f"  delete from kafka_migrator.drain_source where topic = '{topic}';\n"
                f"  migrator drain --topic {topic}",
            )

    def _found(self, topic: str) -> Source:
        source = self.sources.find(self.conn, topic)
        if source is None:
            raise RefusedError(
                f"the drain of topic {topic!r} was forgotten while it began", code="source-gone", hint="migrator doctor"
            )
        return source


def check_identity(source: Source, facts: TopicFacts) -> None:
    """Refuses a topic that is no longer the one whose drain began.

    Raises:
        RefusedError: cluster, topic id or partitions differ from what was frozen.
    """
    changes = facts.changes_since(source.cluster_id, source.topic_id, source.partitions)
    if changes:
        raise RefusedError(
            f"topic {source.topic!r} is not the one whose drain began: {changes}",
            code="topic-changed",
            hint="check --bootstrap-servers; a topic that was recreated is drained under a new name, or after\n"
            f"  delete from kafka_migrator.drain_source where topic = '{source.topic}';",
        )


def _newer(source: Source, offsets: Sequence[Offset], facts: TopicFacts) -> tuple[str, ...]:
    high = {part.partition: part.high for part in facts.partitions}
    newer = sum(max(0, high[one.partition] - one.end_offset) for one in offsets if one.end_offset is not None)
    if not (source.complete and newer):
        return ()
    extend = f"migrator drain --topic {source.topic} --until end"
    return (f"{newer} newer offsets lie behind the end that was frozen; `{extend}` freezes a new one",)
