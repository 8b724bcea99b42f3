"""Where a drain starts: every question that facts leave open is asked, none is guessed."""

import pytest

from migrator.choices import (
    NoCommit,
    Policy,
    StartChoice,
    Uncertain,
    parse_partitions,
    parse_start,
    parse_timestamp,
)
from migrator.errors import Exit, MigratorError, RefusedError, UsageError
from migrator.kafka.records import Commit, GroupFacts, PartitionFacts, TopicFacts
from migrator.plan import LossError, plan_topic

FACTS = TopicFacts(
    cluster_id="cluster",
    topic="emails",
    topic_id="topic-id",
    partitions=(PartitionFacts(0, 10, 100, 100), PartitionFacts(1, 0, 50, 50)),
    cleanup_policy="delete",
    retention_ms=-1,
)


def group(name: str, offsets: dict[int, int], *, members: int = 0, kind: str = "classic") -> GroupFacts:
    commits = {partition: Commit(offset) for partition, offset in offsets.items()}
    return GroupFacts(name, kind, "STABLE" if members else "EMPTY", members, commits)


def starts(*groups: GroupFacts, choice: StartChoice | None = None, policy: Policy | None = None) -> dict[int, int]:
    plan = plan_topic(FACTS, groups, choice or StartChoice("default"), policy or Policy())
    return {part.partition: part.start for part in plan.partitions}


def test_without_groups_everything_that_the_log_holds_is_drained() -> None:
    plan = plan_topic(FACTS, (), StartChoice("default"), Policy())

    assert [(part.start, part.end) for part in plan.partitions] == [(10, 100), (0, 50)]
    assert plan.origin == "earliest"
    assert plan.owner is None


def test_one_empty_group_is_taken_up_where_it_stood() -> None:
    plan = plan_topic(FACTS, (group("workers", {0: 40, 1: 7}),), StartChoice("default"), Policy())

    assert [part.start for part in plan.partitions] == [40, 7]
    assert plan.origin == "group:workers"
    assert plan.owner is None
    assert "will run again" in plan.notes[0]


def test_an_active_group_is_refused_with_the_commands_to_choose_from() -> None:
    with pytest.raises(RefusedError) as refused:
        starts(group("workers", {0: 40, 1: 7}, members=2))

    assert refused.value.code == "group-active"
    assert refused.value.exit is Exit.REFUSED
    assert "--from group:workers --follow" in refused.value.hint


def test_a_following_drain_may_run_beside_an_active_group_that_was_named() -> None:
    choice = StartChoice("group", groups=("workers",), text="group:workers")
    active = group("workers", {0: 40, 1: 7}, members=2)

    plan = plan_topic(FACTS, (active,), choice, Policy(bounded=False))

    assert [(part.start, part.end) for part in plan.partitions] == [(40, None), (7, None)]
    assert plan.owner == "workers"


def test_several_groups_are_a_question_that_lists_every_choice() -> None:
    with pytest.raises(RefusedError) as refused:
        starts(group("workers", {0: 40, 1: 7}), group("audit", {0: 60, 1: 2}))

    assert refused.value.code == "group-ambiguous"
    for choice in ("--from group:audit", "--from group:workers", "--from groups", "--from earliest"):
        assert choice in refused.value.hint


@pytest.mark.parametrize("choice", ["group:workers group:audit", "groups"])
def test_several_groups_start_at_the_lowest_commit_of_each_partition(choice: str) -> None:
    assert starts(
        group("workers", {0: 40, 1: 7}),
        group("audit", {0: 60, 1: 2}),
        choice=parse_start(choice.split()),
    ) == {0: 40, 1: 2}


def test_the_first_group_named_owns_the_topic() -> None:
    groups = (group("audit", {0: 60, 1: 2}), group("workers", {0: 40, 1: 7}))

    plan = plan_topic(FACTS, groups, parse_start(["group:workers", "group:audit"]), Policy())

    assert plan.owner == "workers"


def test_a_partition_without_a_commit_is_a_question() -> None:
    with pytest.raises(RefusedError) as refused:
        starts(group("workers", {0: 40}))

    assert refused.value.code == "no-commit"
    assert "--no-commit earliest" in refused.value.hint
    assert "--no-commit end" in refused.value.hint


@pytest.mark.parametrize(("answer", "start"), [(NoCommit.EARLIEST, 0), (NoCommit.END, 50)])
def test_the_answer_to_a_missing_commit_is_followed(answer: NoCommit, start: int) -> None:
    assert starts(group("workers", {0: 40}), policy=Policy(no_commit=answer)) == {0: 40, 1: start}


def test_a_commit_above_the_log_means_another_topic() -> None:
    with pytest.raises(RefusedError, match="above the log's end 50"):
        starts(group("workers", {0: 40, 1: 51}))


def test_a_commit_below_the_log_is_a_loss_with_its_exact_range() -> None:
    with pytest.raises(LossError) as lost:
        starts(group("workers", {0: 4, 1: 7}))

    assert lost.value.exit is Exit.ANSWER_IS_NO
    assert lost.value.ranges == {0: (4, 10)}
    assert "4 to 9" in lost.value.message


def test_an_accepted_loss_keeps_the_range_in_the_plan() -> None:
    plan = plan_topic(FACTS, (group("workers", {0: 4, 1: 7}),), StartChoice("default"), Policy(accept_loss=True))

    assert (plan.partitions[0].start, plan.partitions[0].lost) == (4, 6)


def test_unknown_commit_metadata_is_refused_without_being_shown() -> None:
    secret = GroupFacts("workers", "classic", "EMPTY", 0, {0: Commit(40, "bitmap-canary"), 1: Commit(7)})

    with pytest.raises(RefusedError) as refused:
        starts(secret)

    assert refused.value.code == "commit-metadata"
    assert "canary" not in refused.value.message + refused.value.hint


def test_a_share_group_has_no_offset_to_start_from() -> None:
    with pytest.raises(RefusedError, match="share group"):
        starts(group("workers", {0: 40, 1: 7}, kind="share"))


def test_an_unknown_group_is_refused_with_those_that_exist() -> None:
    with pytest.raises(RefusedError, match="workers") as refused:
        starts(group("workers", {0: 40, 1: 7}), choice=parse_start(["group:wokers"]))

    assert refused.value.code == "group-unknown"


def test_the_uncertain_window_begins_at_each_partitions_commit() -> None:
    policy = Policy(uncertain=Uncertain.HOLD, window=5)

    plan = plan_topic(FACTS, (group("workers", {0: 40, 1: 7}),), StartChoice("default"), policy)

    assert [part.window_end for part in plan.partitions] == [45, 12]


def test_rows_are_not_held_from_a_consumer_group_that_owns_the_topic() -> None:
    with pytest.raises(RefusedError) as refused:
        starts(
            group("workers", {0: 40, 1: 7}),
            choice=parse_start(["group:workers"]),
            policy=Policy(uncertain=Uncertain.HOLD, window=5),
        )

    assert refused.value.code == "hold-refused"


def test_latest_has_nothing_to_drain_yet() -> None:
    assert starts(choice=parse_start(["latest"])) == {0: 100, 1: 50}


def test_named_offsets_must_name_every_partition_once() -> None:
    with pytest.raises(UsageError, match="partition 1"):
        starts(choice=StartChoice("offsets", offsets={0: 40}))


def test_named_offsets_lie_within_the_log() -> None:
    with pytest.raises(UsageError, match="51"):
        starts(choice=StartChoice("offsets", offsets={0: 40, 1: 51}))


def test_an_end_before_the_start_drains_nothing() -> None:
    choice = StartChoice("offsets", offsets={0: 40, 1: 7})

    plan = plan_topic(FACTS, (), choice, Policy(), ends={0: 20, 1: 30})

    assert [(part.start, part.end) for part in plan.partitions] == [(40, 40), (7, 30)]


@pytest.mark.parametrize("texts", [["group:"], ["earliest", "latest"], ["everything"], ["group:a", "groups"]])
def test_a_start_that_is_not_understood_names_the_forms(texts: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        parse_start(texts)

    assert "group:NAME" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-11-20T08:00:00Z", 1_795_161_600_000),
        ("2026-11-20T08:00:00", 1_795_161_600_000),
        ("2026-11-20T09:00:00+01:00", 1_795_161_600_000),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, milliseconds: int) -> None:
    assert parse_timestamp(text) == milliseconds


def test_partitions_are_ranges_and_numbers() -> None:
    assert parse_partitions("0-2, 7") == {0, 1, 2, 7}


@pytest.mark.parametrize("text", ["", "a", "1-", "1,,2"])
def test_other_spellings_of_partitions_are_refused(text: str) -> None:
    with pytest.raises(MigratorError):
        parse_partitions(text)


def test_skipping_is_refused_where_another_group_still_needs_the_record() -> None:
    with pytest.raises(RefusedError) as refused:
        starts(
            group("workers", {0: 40, 1: 7}),
            group("audit", {0: 60, 1: 2}),
            choice=parse_start(["groups"]),
            policy=Policy(uncertain=Uncertain.SKIP, window=5),
        )

    assert refused.value.code == "skip-refused"


def test_the_window_of_several_groups_begins_where_the_drain_does() -> None:
    groups = (group("workers", {0: 40, 1: 7}), group("audit", {0: 60, 1: 2}))
    policy = Policy(uncertain=Uncertain.HOLD, window=5)

    plan = plan_topic(FACTS, groups, parse_start(["groups"]), policy)

    assert [part.window_end for part in plan.partitions] == [45, 7]


def test_the_command_in_a_hint_keeps_what_the_user_said() -> None:
    with pytest.raises(RefusedError) as refused:
        starts(
            group("workers", {0: 40}),
            choice=parse_start(["group:workers"]),
            policy=Policy(bounded=False),
        )

    assert "--from group:workers --follow --no-commit earliest" in refused.value.hint
