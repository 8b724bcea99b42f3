"""How a member is lost, and what becomes of its partitions and its commits."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from tests.conformance.members import COOPERATIVE, EAGER, Called, Member, every, settle, settled
from tests.conformance.records import fill, offsets, serve, take, take_event, values
from tests.conformance.side import QUICK_MEMBER, WAIT_SECONDS, Side

NOTHING: frozenset[tuple[str, int]] = frozenset()
HASTY: dict[str, Any] = {"session_timeout_ms": 1000, "max_poll_interval_ms": 1000, "enable_auto_commit": False}

both_protocols = pytest.mark.parametrize("strategy", [EAGER, COOPERATIVE])

# A member in a process of its own: says what happens to it, a line each.
PROGRAM = """
import json, sys
import {package} as client

def says(kind):
    def say(_consumer, partitions):
        if partitions:
            print(kind, *sorted(tp.partition for tp in partitions), flush=True)
    return say

consumer = client.Consumer(json.loads(sys.argv[1]), logger=__import__("logging").getLogger())
consumer.subscribe([sys.argv[2]], **{{f"on_{{kind}}": says(kind) for kind in ("assign", "revoke", "lost")}})
while True:
    consumer.poll(0.05)
"""


@contextmanager
def elsewhere(side: Side, group: str, topic: str, strategy: str) -> Iterator[subprocess.Popen[str]]:
    """A member in another process, with a session of one second."""
    settings = {"group.id": group, "session.timeout.ms": 1000, "partition.assignment.strategy": strategy}
    configuration = json.dumps({**side.connection, **QUICK_MEMBER, **settings})
    program = PROGRAM.format(package=side.family.package)
    command = [sys.executable, "-c", program, configuration, topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a member says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@both_protocols
def test_who_polls_too_seldom_is_told_loses_and_comes_back(side: Side, strategy: str) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"0", b"1"])
    member = Member(side, side.name("group"), [topic], strategy=strategy, logger=side.silence, **HASTY)
    take(member.consumer, 2)
    assert wait_until(lambda: not members_of(side, member.group), WAIT_SECONDS)
    event = member.consumer.poll(WAIT_SECONDS)
    assert event.error().code() == side.code("_MAX_POLL_EXCEEDED")
    assert event.error().str().startswith("Application maximum poll interval (1000ms) exceeded by ")
    assert (event.error().fatal(), event.topic(), event.partition()) == (False, None, 0)
    assert values(take(member.consumer, 2)) == [b"0", b"1"]
    assert member.called == [
        Called("assign", every(topic, 2), NOTHING),
        Called("lost", every(topic, 2), every(topic, 2)),
        Called("assign", every(topic, 2), NOTHING),
    ]


def members_of(side: Side, group: str) -> list[Any]:
    """The members of a group, as the admin client sees them."""
    described = side.cluster.describe_consumer_groups([group])[group].result(WAIT_SECONDS)
    return list(described.members)


def test_lost_is_revoked_where_nobody_listens_for_lost(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"0"])
    member = Member(side, side.name("group"), [topic], lost=False, logger=side.silence, **HASTY)
    take(member.consumer, 1)
    assert wait_until(lambda: not members_of(side, member.group), WAIT_SECONDS)
    take_event(member.consumer)
    assert values(take(member.consumer, 1)) == [b"0"]
    assert member.kinds() == ["assign", "revoke", "assign"]


@both_protocols
def test_a_late_commit_is_fenced(side: Side, strategy: str) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"0", b"1", b"2"])
    late = Member(side, side.name("group"), [topic], strategy=strategy, logger=side.silence, **HASTY)
    messages = take(late.consumer, 3)
    heir = Member(side, late.group, [topic], strategy=strategy, enable_auto_commit=False)
    (handed,) = settle([heir], every(topic, 2))
    again = [*handed, *take(heir.consumer, 3 - len(handed))]
    assert values(again) == [b"0", b"1", b"2"]
    heir.consumer.commit(message=again[0], asynchronous=False)
    for form in ({"message": messages[2]}, {"offsets": [side.tp(topic, 0, 3)]}, {}):
        code, _ = side.refusal(partial(late.consumer.commit, asynchronous=False, **form))
        assert code == side.error.UNKNOWN_MEMBER_ID
    (found,) = heir.consumer.committed([side.tp(topic, 0)], WAIT_SECONDS)
    assert found.offset == 1
    serve([late.consumer, heir.consumer], lambda: late.kinds()[1:2] in (["lost"], ["revoke"]))


@both_protocols
def test_a_killed_member_is_replaced_when_its_session_ends(side: Side, strategy: str) -> None:
    topic, group = side.topic(2), side.name("group")
    with elsewhere(side, group, topic, strategy) as process:
        assert line(process) == "assign 0 1"
        process.kill()
        member = Member(side, group, [topic], strategy=strategy)
        settle([member], every(topic, 2))


@both_protocols
def test_a_frozen_member_finds_its_partitions_lost(side: Side, strategy: str) -> None:
    topic, group = side.topic(2), side.name("group")
    with elsewhere(side, group, topic, strategy) as process:
        assert line(process) == "assign 0 1"
        process.send_signal(signal.SIGSTOP)
        member = Member(side, group, [topic], strategy=strategy)
        settle([member], every(topic, 2))
        process.send_signal(signal.SIGCONT)
        serve([member.consumer], lambda: len(member.held) == 1)
        ((_, left),) = every(topic, 2) - member.held
        assert [line(process), line(process)] == ["lost 0 1", f"assign {left}"]


def test_a_static_member_comes_back_without_a_rebalance(side: Side) -> None:
    topic, group = side.topic(2), side.name("group")
    first, second = (Member(side, group, [topic], group_instance_id=name) for name in ("one", "two"))
    settle([first, second], every(topic, 2))
    before, kept = frozenset(first.held), frozenset(second.held)
    assert first.consumer.memberid().startswith("one-")
    second.called.clear()
    first.consumer.close()
    assert first.called[-1] == Called("revoke", before, before)
    back = Member(side, group, [topic], group_instance_id="one")
    settle([back, second], every(topic, 2))
    assert back.held == before
    assert second.held == kept
    assert second.called == []


def test_a_static_member_that_stays_away_is_replaced(side: Side) -> None:
    topic, group = side.topic(2), side.name("group")
    away = Member(side, group, [topic], group_instance_id="one", session_timeout_ms=1000)
    stays = Member(side, group, [topic], group_instance_id="two")
    settle([away, stays], every(topic, 2))
    away.consumer.close()
    settle([stays], every(topic, 2))


def test_of_two_static_members_with_one_name_the_older_is_fenced(side: Side) -> None:
    topic, group = side.topic(), side.name("group")
    old = Member(side, group, [topic], group_instance_id="one", logger=side.silence)
    settle([old], every(topic, 1))
    new = Member(side, group, [topic], group_instance_id="one")
    settle([new], every(topic, 1))
    event = take_event(old.consumer)
    assert event.error().code() == side.code("_FATAL")
    assert "Static consumer fenced by other consumer with same group.instance.id" in event.error().str()
    assert old.held == set()
    code, _ = side.refusal(lambda: old.consumer.commit(offsets=[side.tp(topic, 0, 1)], asynchronous=False))
    assert code == side.code("_FATAL")
    assert old.consumer.close() is None
    assert old.kinds() == ["assign"]
    assert new.held == every(topic, 1)


def test_assignors_of_two_protocols_do_not_mix(side: Side) -> None:
    topic = side.topic()
    (member,) = settled(side, topic, 1, 1)
    other = Member(side, member.group, [topic], strategy=COOPERATIVE, logger=side.silence)
    event = take_event(other.consumer)
    assert event.error().code() == side.error.INCONSISTENT_GROUP_PROTOCOL
    assert event.error().str() == "JoinGroup failed: Broker: Inconsistent group protocol"
    assert member.held == every(topic, 1)


def test_the_strategy_that_all_have_is_used(side: Side) -> None:
    topics = [side.topic(3), side.topic(3)]
    group = side.name("group")
    first = Member(side, group, topics, strategy="range,roundrobin")
    second = Member(side, group, topics, strategy="roundrobin")
    serve([first.consumer, second.consumer], lambda: len(first.held) == 3 == len(second.held))


def test_groups_do_not_disturb_each_other(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"v"])
    first, second = Member(side, side.name("group"), [topic]), Member(side, side.name("group"), [topic])
    for member in (first, second):
        assert values(take(member.consumer, 1)) == [b"v"]
        assert member.held == every(topic, 2)
        assert member.kinds() == ["assign"]


@pytest.mark.differs("commit-for-another")
def test_a_commit_of_a_partition_that_is_another_members(side: Side) -> None:
    topic = side.topic(2)
    first, second = settled(side, topic, 2, 2, enable_auto_commit=False)
    ((_, other),) = second.held
    try:
        answer = offsets(first.consumer.commit(offsets=[side.tp(topic, other, 9)], asynchronous=False))
    except side.api.KafkaException as refused:
        answer = refused.args[0].code()
    assert answer == side.either(kafka={(topic, other): 9}, shim=side.error.ILLEGAL_GENERATION)


def test_memberids_differ(side: Side) -> None:
    members = settled(side, side.topic(2), 2, 2)
    ids = {member.consumer.memberid() for member in members}
    assert len(ids) == 2
    assert {member.member_id for member in members_of(side, members[0].group)} == ids
