"""Where a drain starts and where it ends: decided from facts alone. Pure.

A topic that carries jobs has a history (what its group has processed) and a backlog (what it has not). The start is
therefore the group's committed offsets, and every doubt about them is a question to the user, never a guess.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from migrator.choices import NoCommit, Policy, StartChoice, Uncertain
from migrator.errors import Exit, MigratorError, RefusedError, UsageError
from migrator.kafka.records import GroupFacts, PartitionFacts, TopicFacts


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """One partition's range. ``end`` None follows for ever; below ``window_end`` records are uncertain.

    ``lost`` counts offsets from ``start`` on that the log no longer holds.
    """

    partition: int
    start: int
    end: int | None
    window_end: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """The whole plan of one topic.

    Attributes:
        topic: its name.
        partitions: in order.
        origin: what the start was taken from, such as ``earliest`` or ``group:workers``.
        owner: the consumer group whose progress the topic's status tells, where the user named one.
        notes: what the user should know before the first record is copied; one sentence each.
    """

    topic: str
    partitions: tuple[PartitionPlan, ...]
    origin: str
    owner: str | None
    notes: tuple[str, ...] = ()


def check_groups(topic: str, groups: Sequence[GroupFacts], *, bounded: bool) -> None:
    """Refuses a bounded drain while somebody may be processing the topic's records.

    Raises:
        RefusedError: a group has members.
    """
    active = [group for group in groups if group.active]
    if bounded and active:
        names = ", ".join(f"{group.group_id!r} ({group.members} member{'s'[: group.members != 1]})" for group in active)
        raise RefusedError(
            f"topic {topic!r} is being consumed by {names}: a job drained now could run on both sides",
            code="group-active",
            hint="\n".join(
                (
                    "stop the consumers and run the same command again, or copy beside them, behind the closed gate:",
                    *(f"  migrator drain --topic {topic} --from group:{group.group_id} --follow" for group in active),
                    f"  migrator drain --topic {topic} --from earliest --follow",
                )
            ),
        )


def plan_topic(
    facts: TopicFacts,
    groups: Sequence[GroupFacts],
    choice: StartChoice,
    policy: Policy,
    ends: Mapping[int, int] | None = None,
) -> TopicPlan:
    """Decides start and end of every partition.

    Args:
        facts: the topic as it stands.
        groups: every group with commits or members on the topic.
        choice: the user's ``--from``.
        policy: the user's answers.
        ends: the end of each partition where ``--until`` named a time; None freezes the high watermark.

    Raises:
        RefusedError: the groups are active or ambiguous, a partition has no commit, a commit lies above the log's
            end or carries metadata that is not ours, or held rows would be read by a consumer group all the same.
        MigratorError: records that should be drained are gone, and loss was not accepted.
        UsageError: the named offsets or groups are not the topic's.
    """
    check_groups(facts.topic, groups, bounded=policy.bounded)
    chosen = _chosen_groups(facts, groups, choice, policy)
    _check_window(facts.topic, choice, chosen, policy)
    for group in chosen:
        _check_commits(facts, group)
    start_of = _start(facts, choice, chosen, policy)
    plans = tuple(_plan_partition(part, start_of(part), chosen, policy, ends) for part in facts.partitions)
    _check_loss(facts.topic, plans, policy)
    return TopicPlan(
        topic=facts.topic,
        partitions=plans,
        origin=_origin(choice, chosen),
        owner=choice.groups[0] if choice.groups else None,
        notes=tuple(_notes(chosen, policy, plans)),
    )


def _chosen_groups(
    facts: TopicFacts, groups: Sequence[GroupFacts], choice: StartChoice, policy: Policy
) -> tuple[GroupFacts, ...]:
    committed = [group for group in groups if group.offsets]
    if choice.kind == "default":
        return _only_group(facts.topic, committed, policy)
    if choice.kind == "groups":
        return tuple(committed)
    by_name = {group.group_id: group for group in committed}
    for name in choice.groups:
        if name not in by_name:
            raise RefusedError(
                f"group {name!r} has no committed offset on topic {facts.topic!r}"
                + (f" (groups that have: {', '.join(sorted(by_name))})" if by_name else " (no group has)"),
                code="group-unknown",
                hint=f"migrator drain --topic {facts.topic} --from earliest",
            )
    return tuple(by_name[name] for name in choice.groups)


def _only_group(topic: str, committed: Sequence[GroupFacts], policy: Policy) -> tuple[GroupFacts, ...]:
    if len(committed) > 1 or any(group.active for group in committed):
        names = sorted(group.group_id for group in committed)
        follow = "" if policy.bounded else " --follow"
        raise RefusedError(
            f"topic {topic!r} has {'groups' if len(names) > 1 else 'an active group'} with commits: "
            f"{', '.join(names)}; where the drain starts is your decision",
            code="group-ambiguous",
            hint="\n".join(
                (
                    "from one group's position (its progress is then the topic's):",
                    *(f"  migrator drain --topic {topic} --from group:{name}{follow}" for name in names),
                    "from the lowest position of all groups:",
                    f"  migrator drain --topic {topic} --from groups{follow}",
                    "everything the log still holds:",
                    f"  migrator drain --topic {topic} --from earliest{follow}",
                )
            ),
        )
    return tuple(committed)


def _check_window(topic: str, choice: StartChoice, chosen: Sequence[GroupFacts], policy: Policy) -> None:
    if policy.uncertain is Uncertain.SKIP and len(chosen) > 1:
        raise RefusedError(
            f"topic {topic!r} has {len(chosen)} groups: a record that one of them may have processed is still to be "
            "processed by another, and would be skipped for both",
            code="skip-refused",
            hint=_again(topic, choice, policy, "--uncertain", "enqueue", "--uncertain-window", str(policy.window)),
        )
    if policy.uncertain is Uncertain.HOLD and choice.groups:
        raise RefusedError(
            f"held rows of topic {topic!r} would not wait: consumer group {choice.groups[0]!r} is to own the topic, "
            "and a consumer group reads by offset, whatever a row's state",
            code="hold-refused",
            hint=_again(topic, choice, policy, "--uncertain", "skip", "--uncertain-window", str(policy.window)),
        )


def _again(topic: str, choice: StartChoice, policy: Policy, *more: str) -> str:
    """The user's own command with what was missing, ready to paste."""
    starts = [word for start in choice.text.split() if choice.kind != "default" for word in ("--from", start)]
    follow = [] if policy.bounded else ["--follow"]
    return shlex.join(["migrator", "drain", "--topic", topic, *starts, *follow, *more])


def _check_commits(facts: TopicFacts, group: GroupFacts) -> None:
    if group.kind == "share":
        raise RefusedError(
            f"group {group.group_id!r} is a share group: it has a state per record, and no offset to start from",
            code="share-group",
            hint=f"migrator drain --topic {facts.topic} --from earliest",
        )
    for part in facts.partitions:
        commit = group.offsets.get(part.partition)
        if commit is not None and commit.offset > part.high:
            raise RefusedError(
                f"group {group.group_id!r} committed offset {commit.offset} in partition {part.partition} of topic "
                f"{facts.topic!r}, above the log's end {part.high}: the topic was recreated or truncated",
                code="commit-above-end",
                hint=f"migrator drain --topic {facts.topic} --from earliest",
            )
        if commit is not None and commit.metadata:
            raise RefusedError(
                f"group {group.group_id!r} committed {len(commit.metadata)} characters of metadata in partition "
                f"{part.partition} of topic {facts.topic!r}: some parallel consumers keep there which records beyond "
                "the offset are done, and draining from the offset alone would run those twice",
                code="commit-metadata",
                hint="let that consumer finish and commit without metadata, or decide yourself:\n"
                f"  migrator drain --topic {facts.topic} --from offsets:FILE",
            )


def _start(
    facts: TopicFacts, choice: StartChoice, chosen: Sequence[GroupFacts], policy: Policy
) -> Callable[[PartitionFacts], int]:
    if chosen:
        return lambda part: min(_committed(facts.topic, part, group, choice, policy) for group in chosen)
    if choice.kind == "latest":
        return lambda part: part.high
    if choice.offsets is not None:
        return _named_offsets(facts, choice.offsets)
    return lambda part: part.low


def _named_offsets(facts: TopicFacts, offsets: Mapping[int, int]) -> Callable[[PartitionFacts], int]:
    missing = sorted({part.partition for part in facts.partitions} ^ offsets.keys())
    if missing:
        raise UsageError(
            f"the offsets given and the partitions of topic {facts.topic!r} differ in partition "
            f"{', '.join(map(str, missing))}",
            code="offsets-partitions",
            hint='give every partition once, such as {"0": 1200, "1": 1187}',
        )
    for part in facts.partitions:
        if not 0 <= offsets[part.partition] <= part.high:
            raise UsageError(
                f"offset {offsets[part.partition]} of partition {part.partition} lies outside the log of topic "
                f"{facts.topic!r} ({part.low} to {part.high})",
                code="offset-out-of-range",
            )
    return lambda part: offsets[part.partition]


def _committed(topic: str, part: PartitionFacts, group: GroupFacts, choice: StartChoice, policy: Policy) -> int:
    commit = group.offsets.get(part.partition)
    if commit is not None:
        return commit.offset
    if policy.no_commit is None:
        raise RefusedError(
            f"group {group.group_id!r} has no committed offset for partition {part.partition} of topic {topic!r}; "
            "where its consumers would have started there, only their configuration knows",
            code="no-commit",
            hint="if they were set to auto.offset.reset=earliest:\n"
            f"  {_again(topic, choice, policy, '--no-commit', 'earliest')}\n"
            "if latest:\n"
            f"  {_again(topic, choice, policy, '--no-commit', 'end')}",
        )
    return part.low if policy.no_commit is NoCommit.EARLIEST else part.high


def _plan_partition(
    part: PartitionFacts,
    start: int,
    chosen: Sequence[GroupFacts],
    policy: Policy,
    ends: Mapping[int, int] | None,
) -> PartitionPlan:
    end = (part.high if ends is None else ends[part.partition]) if policy.bounded else None
    window_end = start + policy.window if any(part.partition in group.offsets for group in chosen) else start
    return PartitionPlan(
        partition=part.partition,
        start=start,
        end=None if end is None else max(end, start),
        window_end=window_end,
        lost=max(0, part.low - start),
    )


def _check_loss(topic: str, plans: Sequence[PartitionPlan], policy: Policy) -> None:
    lost = [plan for plan in plans if plan.lost]
    if lost and not policy.accept_loss:
        raise LossError(topic, {plan.partition: (plan.start, plan.start + plan.lost) for plan in lost})


class LossError(MigratorError):
    """Records that should be drained are no longer in the log."""

    exit = Exit.ANSWER_IS_NO

    def __init__(self, topic: str, ranges: Mapping[int, tuple[int, int]]) -> None:
        total = sum(stop - start for start, stop in ranges.values())
        listed = ", ".join(f"partition {part}: {start} to {stop - 1}" for part, (start, stop) in ranges.items())
        super().__init__(
            f"{total} records of topic {topic!r} are gone from Kafka (retention or delete-records): {listed}",
            code="records-lost",
            hint=f"to go on without them, with the ranges on record:\n  migrator drain --topic {topic} --accept-loss",
        )
        self.ranges = dict(ranges)


def _origin(choice: StartChoice, chosen: Sequence[GroupFacts]) -> str:
    if choice.kind == "default":
        return f"group:{chosen[0].group_id}" if chosen else "earliest"
    return choice.text


def _notes(chosen: Sequence[GroupFacts], policy: Policy, plans: Sequence[PartitionPlan]) -> list[str]:
    notes = []
    if chosen and policy.uncertain is None:
        notes.append(
            "what the old workers processed after their last commit will run again here; "
            "--uncertain hold --uncertain-window N sets those records aside for review"
        )
    lost = sum(plan.lost for plan in plans)
    if lost:
        notes.append(f"{lost} records between the group's position and the start of the log are lost, as accepted")
    return notes
