"""What ``migrator drain`` does once its options are known: connect both sides, copy, and say how it ended."""

import gc
import json
import shlex
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import stamina
import typer

from migrator import postgres
from migrator.choices import parse_timestamp
from migrator.cli.drain_view import drain_view, outcome_lines
from migrator.cli.output import Output
from migrator.cli.stopping import Interruption, interruptible
from migrator.drain.budget import BudgetExceededError
from migrator.drain.gaps import GapLookup
from migrator.drain.options import DrainOptions, Until
from migrator.drain.outcome import SCHEMA_VERSION, Outcome, TopicOutcome
from migrator.drain.patience import patiently
from migrator.drain.run import drain, look
from migrator.drain.surroundings import Surroundings
from migrator.errors import MigratorError, StoppedError, UsageError
from migrator.events import Listener, Notice
from migrator.kafka.facts import Cluster
from migrator.kafka.gaps import readable_offsets
from migrator.kafka.properties import KafkaProperties, kafka_properties
from migrator.kafka.records import TopicFacts
from migrator.kafka.source import ConfluentSource
from migrator.plan import TopicPlan
from migrator.settings import Settings
from shim.store import schema

_COLLECT_SELDOM = (100_000, 20, 100)
"""Thresholds of the garbage collector: a drain makes millions of tuples and no cycles."""


def parse_until(text: str | None, *, follow: bool) -> Until:
    """Takes ``--until`` and ``--follow`` apart.

    Raises:
        UsageError: they contradict each other, or the text is not understood.
    """
    if follow and text is not None:
        raise UsageError("--follow has no end, and --until names one", code="until")
    kind, _, moment = (text or "end").partition(":")
    if follow:
        return Until("follow")
    if kind == "timestamp" and moment:
        return Until("timestamp", parse_timestamp(moment), explicit=True)
    if kind == "end" and not moment:
        return Until("end", explicit=text is not None)
    raise UsageError(f"--until {text!r} is not understood", code="until", hint="end, or timestamp:2026-11-20T08:00:00Z")


def perform(out: Output, settings: Settings, options: DrainOptions, *, dry_run: bool) -> None:
    """Runs a drain, or looks at what it would do.

    Raises:
        MigratorError: it was refused, could not start, or stopped part-way.
        typer.Exit: with the status of an outcome that is not plain success.
    """
    _check(options)
    if options.start.kind == "offsets":
        options = replace(options, start_offsets=_offsets_file(options))
    properties = kafka_properties(settings.bootstrap_servers, settings.kafka_config, settings.kafka_options)
    target = postgres.Target.of(settings.dsn)
    out.note(f"Kafka {properties.describe()}")
    out.note(f"Postgres {target}, schema {settings.schema}")
    for note in properties.notes:
        out.note(note)
    _require_schema(settings)
    stamina.instrumentation.set_on_retry_hooks([])  # outages are told as events
    gc.freeze()
    gc.set_threshold(*_COLLECT_SELDOM)
    with interruptible() as interruption, Cluster(properties) as cluster, drain_view(out) as listener:
        around = _surroundings(settings, properties, cluster, listener, interruption, options.max_wait)
        try:
            with postgres.explained(target):
                if dry_run:
                    return _show_plans(out, cluster, look(around, options))
                outcome = drain(around, options)
        except MigratorError as error:
            for notice in cluster.notices:
                listener(Notice(notice))
            if not isinstance(error, StoppedError):
                raise
            if interruption.asked.is_set():
                out.note(f"resume: {resume_command(settings, options)}")
                raise typer.Exit(int(interruption.status)) from error
            raise _with_resume(error, settings, options) from error
    _report(out, settings, options, outcome, interruption)
    return None


def _check(options: DrainOptions) -> None:
    if not options.topics:
        raise UsageError("which topic?", code="topic-missing", hint="add --topic NAME")
    follow = options.until.kind == "follow"
    if follow and options.open_gate:
        raise UsageError(
            "--open is for a drain that ends: jobs would run here while Kafka still numbers the topic",
            code="open-follow",
            hint="leave one of --follow and --open out",
        )
    if options.policy.uncertain is not None and not options.policy.window:
        raise UsageError(
            f"--uncertain {options.policy.uncertain} without a window covers no record",
            code="uncertain-window",
            hint="add --uncertain-window N: how many records per partition the old workers may have had in hand",
        )


def _offsets_file(options: DrainOptions) -> dict[str, dict[int, int]]:
    path = Path(options.start.text.partition(":")[2])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        by_topic = content if any(isinstance(one, dict) for one in content.values()) else {options.topics[0]: content}
        return {
            topic: {int(partition): int(offset) for partition, offset in offsets.items()}
            for topic, offsets in by_topic.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"cannot use {path}: {type(error).__name__}",
            code="offsets-file",
            hint='a JSON object of offsets by partition, {"0": 1200, "1": 1187}, or of such objects by topic',
        ) from None


def _require_schema(settings: Settings) -> None:
    target = postgres.Target.of(settings.dsn)
    with postgres.connect(settings.dsn, "drain") as conn, postgres.explained(target):
        schema.require(conn, schema.store_line(settings.schema))
        schema.require(conn, postgres.migrator_line(settings.schema))


def _surroundings(
    settings: Settings,
    properties: KafkaProperties,
    cluster: Cluster,
    listener: Listener,
    interruption: Interruption,
    max_wait: float,
) -> Surroundings:
    def readable(topic: str, partition: int, start: int, stop: int) -> Container[int]:
        return readable_offsets(properties, topic, partition, start, stop)

    def low_watermark(topic: str, partition: int) -> int:
        facts = patiently(lambda: cluster.topic_facts(topic), listener, interruption.asked, max_wait)
        return facts.partitions[partition].low

    return Surroundings(
        connect=lambda: postgres.connect(settings.dsn, "drain"),
        schemas=postgres.schemas(settings.schema),
        cluster=cluster,
        open_source=lambda: ConfluentSource(properties),
        gaps=GapLookup(readable, low_watermark),
        listener=listener,
        stop=interruption.asked,
    )


def _report(
    out: Output, settings: Settings, options: DrainOptions, outcome: Outcome, interruption: Interruption
) -> None:
    out.result(outcome.document(), (line for topic in outcome.topics for line in outcome_lines(topic)))
    status = interruption.status if outcome.interrupted else outcome.exit
    resume = resume_command(settings, options)
    if outcome.stopped == "others-hold-partitions":
        out.note("the partitions that are left are held by another drain, which goes on with them")
    if outcome.interrupted or outcome.stopped:
        out.note(f"resume: {resume}")
    for step in dict.fromkeys(_next(topic, resume) for topic in outcome.topics):
        out.next_step(step)
    if status:
        raise typer.Exit(int(status))


def _next(topic: TopicOutcome, resume: str) -> str:
    name = topic.source.topic
    if topic.dead_now:
        return f"migrator dead-letters list --topic {name}"
    if topic.held_now:
        return f"migrator held list --topic {name}"
    if not topic.source.complete:
        return resume
    return f"migrator gate status --topic {name}" if topic.gate == "open" else f"migrator gate open --topic {name}"


def _with_resume(stopped: StoppedError, settings: Settings, options: DrainOptions) -> MigratorError:
    if isinstance(stopped, BudgetExceededError):
        options = replace(options, dead_letter_budget=stopped.needed)
    resume = f"resume: {resume_command(settings, options)}"
    hint = f"{stopped.hint}\n{resume}" if stopped.hint else resume
    return StoppedError(stopped.message, code=stopped.code, hint=hint)


def resume_command(settings: Settings, options: DrainOptions) -> str:
    """Returns the command that goes on; connection strings may hold secrets and are left to the environment."""
    words = ["migrator", "drain"]
    for topic in options.topics:
        words += ["--topic", topic]
    if options.until.kind == "follow":
        words.append("--follow")
    for flag, value in {**_connection(settings), **_kept(options)}.items():
        words += [flag, str(value)]
    words += [flag for flag, said in _said(options).items() if said]
    return shlex.join(words) + ("  (with the same -X)" if settings.kafka_options else "")


def _connection(settings: Settings) -> Mapping[str, object]:
    return {
        **({"--schema": settings.schema} if settings.schema != "public" else {}),
        **({"--bootstrap-servers": settings.bootstrap_servers} if settings.bootstrap_servers else {}),
        **({"--kafka-config": settings.kafka_config} if settings.kafka_config else {}),
    }


def _kept(options: DrainOptions) -> Mapping[str, object]:
    default = DrainOptions(options.topics)
    values = {
        "--writers": (options.writers, default.writers),
        "--batch-rows": (options.batch_rows, default.batch_rows),
        "--batch-bytes": (options.batch_bytes, default.batch_bytes),
        "--max-wait": (options.max_wait, default.max_wait),
        "--transaction-wait": (options.transaction_wait, default.transaction_wait),
        "--dead-letter-budget": (options.dead_letter_budget, default.dead_letter_budget),
        "--max-messages": (options.max_messages, default.max_messages),
        "--max-rate": (options.max_rate, default.max_rate),
        "--format": (options.format, default.format),
    }
    kept: dict[str, object] = {flag: value for flag, (value, usual) in values.items() if value != usual}
    if options.partitions is not None:
        kept["--partitions"] = ",".join(map(str, sorted(options.partitions)))
    return kept


def _said(options: DrainOptions) -> Mapping[str, bool]:
    return {"--accept-loss": options.policy.accept_loss, "--open": options.open_gate}


def _show_plans(out: Output, cluster: Cluster, plans: list[tuple[TopicFacts, TopicPlan]]) -> None:
    documents = [_plan_document(cluster, facts, plan) for facts, plan in plans]
    document = documents[0] if len(documents) == 1 else {"command": "drain", "dry_run": True, "topics": documents}
    out.result({"schema_version": SCHEMA_VERSION, **document}, [])
    if not out.as_json:
        for facts, plan in plans:
            _show_plan(out, facts, plan)
    for notice in cluster.notices:
        out.note(notice)


def _plan_document(cluster: Cluster, facts: TopicFacts, plan: TopicPlan) -> dict[str, Any]:
    return {
        "command": "drain",
        "dry_run": True,
        "topic": facts.topic,
        "cluster_id": facts.cluster_id,
        "topic_id": facts.topic_id,
        "from": plan.origin,
        "offsets": sum((part.end or part.start) - part.start for part in plan.partitions),
        "groups": [
            {"group": group.group_id, "state": group.state, "members": group.members}
            for group in cluster.groups_of(facts.topic)
        ],
        "notes": list(plan.notes),
        "partitions": [
            {"partition": part.partition, "start": part.start, "end": part.end, "lost": part.lost}
            for part in plan.partitions
        ],
    }


def _show_plan(out: Output, facts: TopicFacts, plan: TopicPlan) -> None:
    out.text(f"{facts.topic}: from {plan.origin}, {facts.cleanup_policy}, cluster {facts.cluster_id}")
    rows = (
        [part.partition, part.start, "follow" if part.end is None else part.end, part.lost] for part in plan.partitions
    )
    out.table(("partition", "start", "end", "lost"), rows)
    for note in plan.notes:
        out.note(note)
    out.next_step(f"migrator drain --topic {facts.topic}")
