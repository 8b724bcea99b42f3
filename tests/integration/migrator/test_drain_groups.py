"""Where a drain starts and ends, what it refuses, how it is stopped and resumed: by the command as people run it."""

import json
import re
import shlex
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from migrator.embedded.parts import Broker
from migrator.embedded.process import wait_until
from migrator.kafka.mock import MockCluster
from tests.fixtures.cli import Cli, Done, Running, create_tables
from tests.fixtures.kafka import create_topic_on, topic_name
from tests.fixtures.oracle import Produced, Recorder, check, count_rows, expected, rows_of
from tests.fixtures.postgres import Databases

pytestmark = pytest.mark.real_kafka

_SECONDS = 60.0
_HOUR_MS = 3_600_000
Commits = Mapping[int, int | tuple[int, str]]


class Topic:
    """A topic that is filled as a test goes on, and a database to drain it into."""

    def __init__(self, servers: str, url: str, partitions: int = 2) -> None:
        self.servers = servers
        self.url = url
        self.partitions = partitions
        self.name = topic_name("emails")
        self.recorder = Recorder(servers)
        self.cli = Cli.on(url, servers)
        create_topic_on(servers, self.name, partitions)

    @property
    def records(self) -> list[Produced]:
        return self.recorder.records

    @property
    def ends(self) -> dict[int, int]:
        return {n: sum(record.partition == n for record in self.records) for n in range(self.partitions)}

    def fill(self, count: int, *, timestamp_ms: int | None = None) -> "Topic":
        """Produce so many records to every partition, a second apart where a time is given."""
        for n in range(count):
            for partition in range(self.partitions):
                stamp = None if timestamp_ms is None else timestamp_ms + 1000 * n
                self.recorder.send(self.name, b'{"n": %d}' % n, b"key", partition=partition, timestamp_ms=stamp)
        self.recorder.flush()
        return self

    def commit(self, group: str, commits: Commits) -> str:
        """Commit offsets for a group without members."""
        settings = {"bootstrap.servers": self.servers, "group.id": group, "enable.auto.commit": False}
        offsets = []
        for partition, commit in commits.items():
            offset, metadata = commit if isinstance(commit, tuple) else (commit, "")
            offsets.append(TopicPartition(self.name, partition, offset, metadata=metadata))
        with Consumer(settings) as consumer:
            for done in consumer.commit(offsets=offsets, asynchronous=False) or ():
                assert done.error is None
        return group

    @contextmanager
    def member(self, group: str) -> Iterator[None]:
        """A living consumer of the group."""
        settings = {"bootstrap.servers": self.servers, "group.id": group, "enable.auto.commit": False}
        with Consumer(settings) as consumer:
            consumer.subscribe([self.name])
            assert wait_until(lambda: consumer.poll(0.1) is not None or bool(consumer.assignment()), _SECONDS)
            yield

    def delete_before(self, partition: int, offset: int) -> None:
        admin: Any = AdminClient({"bootstrap.servers": self.servers})
        for deleted in admin.delete_records([TopicPartition(self.name, partition, offset)]).values():
            assert deleted.result().low_watermark == offset

    def drain(self, *options: str) -> Done:
        return self.cli.drain(self.name, options=options)

    def bare(self) -> Done:
        """What most people type."""
        return self.cli.run("drain", "--topic", self.name)

    def start_offsets(self) -> dict[int, int]:
        with psycopg.connect(self.url) as conn:
            found = conn.execute("select partition, start_offset from kafka_migrator.drain_offset order by 1")
            return dict(found.fetchall())

    def state(self) -> tuple[str, str, str | None]:
        """Who numbers it, its gate, and the group that owns it."""
        with psycopg.connect(self.url) as conn:
            statement = "select sequencer, gate, owner_group from job_topic where topic = %s"
            found = conn.execute(statement, (self.name,)).fetchone()
        assert found is not None
        sequencer, gate, owner = found
        return str(sequencer), str(gate), owner

    def copied_offsets(self) -> set[tuple[str, int, int]]:
        with psycopg.connect(self.url) as conn:
            statement = "select group_id, partition, committed_offset from job_group_offset where topic = %s"
            return {(str(g), int(p), int(o)) for g, p, o in conn.execute(statement, (self.name,))}


@pytest.fixture
def servers(broker: Broker) -> str:
    return broker.bootstrap_servers


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


@pytest.fixture
def topic(servers: str, url: str) -> Topic:
    return Topic(servers, url)


def group_name() -> str:
    return topic_name("mailers")


def commands(done: Done) -> list[tuple[str, ...]]:
    """The ``migrator`` commands that an error suggests, as arguments."""
    lines = [line.strip() for line in re.sub(r"^hint: ", "", done.stderr, flags=re.MULTILINE).splitlines()]
    return [tuple(shlex.split(line)[1:]) for line in lines if line.startswith("migrator ")]


def resume_command(done: Done) -> tuple[str, ...]:
    (line,) = [line for line in done.stderr.splitlines() if "resume: " in line]
    words = shlex.split(line.partition("resume: ")[2])
    assert words[0] == "migrator"
    return tuple(words[1:])


def in_another_database(topic: Topic, databases: Databases, arguments: tuple[str, ...]) -> tuple[Done, dict[int, int]]:
    """Run a command on a database of its own; returns how it ended and where it started."""
    other = databases.create(create_tables)
    try:
        done = Cli.on(other, topic.servers).run(*arguments)
        with psycopg.connect(other) as conn:
            found = conn.execute("select partition, start_offset from kafka_migrator.drain_offset").fetchall()
        return done, dict(found)
    finally:
        databases.drop(other)


# --- the bare command -----------------------------------------------------------------------------------------------


def test_without_a_group_everything_is_copied(topic: Topic) -> None:
    topic.fill(20)
    done = topic.bare().expect(0)
    assert f"{topic.name}: complete, 40 rows" in done.stdout
    assert "from earliest" in done.stderr
    assert f"migrator gate open --topic {topic.name}" in done.stderr
    assert "\x1b" not in done.output
    assert "Traceback" not in done.output
    assert check(topic.url, expected(topic.name, topic.records, at_least=40)).rows == 40
    assert topic.state() == ("kafka", "closed", None)


def test_with_one_empty_group_its_position_is_the_start(topic: Topic) -> None:
    topic.fill(20)
    group = topic.commit(group_name(), {0: 5, 1: 20})
    done = topic.bare().expect(0)
    assert f"from group:{group}" in done.stderr
    assert "will run again" in done.stderr
    wanted = expected(topic.name, topic.records, topic.ends, start={0: 5, 1: 20})
    assert check(topic.url, wanted).rows == 15
    assert topic.copied_offsets() == {(group, 0, 5), (group, 1, 20)}


def test_with_one_active_group_it_refuses_and_says_how_to_copy_beside_it(topic: Topic) -> None:
    topic.fill(3)
    group = topic.commit(group_name(), {0: 1, 1: 1})
    with topic.member(group):
        done = topic.bare().expect(4)
        assert f"'{group}' (1 member)" in done.stderr
        assert ("drain", "--topic", topic.name, "--from", f"group:{group}", "--follow") in commands(done)
    assert count_rows(topic.url, topic.name) == 0


def test_an_active_group_without_a_commit_is_refused_too(topic: Topic) -> None:
    topic.fill(3)
    group = group_name()
    with topic.member(group):
        assert f"'{group}'" in topic.bare().expect(4).stderr


def test_with_two_groups_it_refuses_and_every_command_that_it_prints_works(topic: Topic, databases: Databases) -> None:
    topic.fill(10)
    first, second = sorted((group_name(), group_name()))
    topic.commit(first, {0: 2, 1: 7})
    topic.commit(second, {0: 4, 1: 3})
    done = topic.bare().expect(4)
    assert done.stderr.startswith("Kafka ")
    base = ("drain", "--topic", topic.name, "--from")
    starts = {
        (*base, f"group:{first}"): {0: 2, 1: 7},
        (*base, f"group:{second}"): {0: 4, 1: 3},
        (*base, "groups"): {0: 2, 1: 3},
        (*base, "earliest"): {0: 0, 1: 0},
    }
    assert set(commands(done)) == starts.keys()
    for command, start in starts.items():
        chosen, found = in_another_database(topic, databases, command)
        chosen.expect(0)
        assert found == start


def test_with_a_group_that_committed_half_the_partitions_it_asks_what_its_consumers_would_have_done(
    topic: Topic, databases: Databases
) -> None:
    topic.fill(10)
    topic.commit(group_name(), {0: 4})
    done = topic.bare().expect(4)
    assert "partition 1" in done.stderr
    base = ("drain", "--topic", topic.name, "--no-commit")
    assert commands(done) == [(*base, "earliest"), (*base, "end")]
    assert in_another_database(topic, databases, (*base, "earliest"))[1] == {0: 4, 1: 0}
    topic.drain("--no-commit", "end").expect(0)
    assert check(topic.url, expected(topic.name, topic.records, topic.ends, start={0: 4, 1: 10})).rows == 6


def test_a_commit_above_the_end_is_refused(topic: Topic, databases: Databases) -> None:
    topic.fill(3)
    topic.commit(group_name(), {0: 2, 1: 4000})
    done = topic.drain().expect(4)
    assert done.error["code"] == "commit-above-end"
    assert "partition 1" in done.error["message"]
    (command,) = commands(done)
    assert in_another_database(topic, databases, command)[1] == {0: 0, 1: 0}


def test_metadata_of_a_commit_is_refused_and_offsets_of_ones_own_go_on(topic: Topic, tmp_path: Path) -> None:
    topic.fill(10)
    topic.commit(group_name(), {0: (2, "bQAAgA=="), 1: 4})
    done = topic.drain().expect(4)
    assert done.error["code"] == "commit-metadata"
    assert "bQAAgA" not in done.output
    path = tmp_path / "offsets.json"
    path.write_text(json.dumps({"0": 3, "1": 4}))
    done = topic.drain("--from", f"offsets:{path}").expect(0)
    assert check(topic.url, expected(topic.name, topic.records, start={0: 3, 1: 4}), done).rows == 13


def test_a_commit_below_the_log_is_loss_which_must_be_accepted(topic: Topic) -> None:
    topic.fill(10)
    topic.commit(group_name(), {0: 2, 1: 4})
    topic.delete_before(0, 7)
    refused = topic.drain().expect(1)
    assert refused.error["code"] == "records-lost"
    assert "5 records" in refused.error["message"]
    assert "partition 0: 2 to 6" in refused.error["message"]
    assert commands(refused) == [("drain", "--topic", topic.name, "--accept-loss")]
    assert count_rows(topic.url, topic.name) == 0
    done = topic.drain("--accept-loss").expect(0)
    kept = [record for record in topic.records if record.partition == 1 or record.offset >= 7]
    counts = check(topic.url, expected(topic.name, kept, start={0: 2, 1: 4}, gaps={"lost": 5}), done)
    assert counts.rows == 9
    assert done.document["lost"] == 5
    with psycopg.connect(topic.url) as conn:
        found = conn.execute(
            "select partition, from_offset, lost from kafka_migrator.drain_batch where lost > 0"
        ).fetchall()
    assert found == [(0, 2, 5)]
    bare = topic.bare().expect(0)
    assert "5 lost" in bare.stdout


# --- --from ---------------------------------------------------------------------------------------------------------


def test_named_groups_start_at_the_lowest_position_and_the_first_one_owns_the_topic(topic: Topic) -> None:
    topic.fill(10)
    groups = [group_name() for _ in range(3)]
    for group, commits in zip(groups, ({0: 2, 1: 7}, {0: 4, 1: 3}, {0: 0, 1: 0}), strict=True):
        topic.commit(group, commits)
    done = topic.drain("--from", f"group:{groups[1]}", "--from", f"group:{groups[0]}").expect(0)
    assert check(topic.url, expected(topic.name, topic.records, start={0: 2, 1: 3}), done).rows == 15
    assert topic.state() == ("kafka", "closed", groups[1])
    first, second, third = groups
    assert topic.copied_offsets() == {
        *((first, 0, 2), (first, 1, 7)),
        *((second, 0, 4), (second, 1, 3)),
        *((third, 0, 0), (third, 1, 0)),
    }


def test_all_groups_start_at_the_lowest_position_of_all(topic: Topic) -> None:
    topic.fill(10)
    topic.commit(group_name(), {0: 2, 1: 7})
    topic.commit(group_name(), {0: 4, 1: 3})
    topic.drain("--from", "groups").expect(0)
    assert topic.start_offsets() == {0: 2, 1: 3}
    assert topic.state()[2] is None


def test_a_group_without_a_commit_on_the_topic_is_refused(topic: Topic) -> None:
    topic.fill(1)
    group = topic.commit(group_name(), {0: 1, 1: 1})
    done = topic.drain("--from", "group:nobody").expect(4)
    assert done.error["code"] == "group-unknown"
    assert group in done.error["message"]


def test_a_time_starts_at_the_first_record_of_that_time_or_later(topic: Topic) -> None:
    begin = time.time_ns() // 1_000_000 - _HOUR_MS
    topic.fill(10, timestamp_ms=begin)
    moment = datetime.fromtimestamp((begin + 5_500) / 1000, UTC).isoformat()
    done = topic.drain("--from", f"timestamp:{moment}").expect(0)
    assert check(topic.url, expected(topic.name, topic.records, start={0: 6, 1: 6}), done).rows == 8


def test_from_latest_copies_nothing_of_what_is_there(topic: Topic) -> None:
    topic.fill(10)
    done = topic.drain("--from", "latest").expect(0)
    assert done.document["complete"]
    wanted = expected(topic.name, topic.records, topic.ends, start=topic.ends, at_least=0)
    assert check(topic.url, wanted, done).rows == 0


def test_another_start_is_refused_once_a_drain_has_begun(topic: Topic) -> None:
    topic.fill(10)
    topic.drain("--from", "latest").expect(0)
    assert topic.drain("--from", "earliest").expect(4).error["code"] == "start-changed"


# --- records in doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("choice", "skipped", "held"), [("enqueue", 0, 0), ("hold", 0, 7), ("skip", 7, 0)])
def test_the_uncertain_window_is_treated_as_asked(topic: Topic, choice: str, skipped: int, held: int) -> None:
    topic.fill(10)
    group = topic.commit(group_name(), {0: 2, 1: 7})
    done = topic.drain("--uncertain", choice, "--uncertain-window", "4").expect(0)
    assert (done.document["skipped"], done.document["held"]) == (skipped, held)
    window = {0: frozenset({2, 3, 4, 5}), 1: frozenset({7, 8, 9})}  # it would reach behind the end of partition 1
    left_out = window if skipped else {}
    wanted = expected(topic.name, topic.records, topic.ends, start={0: 2, 1: 7}, skipped=left_out)
    assert check(topic.url, wanted, done).rows == 11 - skipped
    rows = {place: row for place, row in rows_of(topic.url, topic.name).items() if row["last_error"]}
    assert rows.keys() == ({(part, n) for part, offsets in window.items() for n in offsets} if held else set())
    for row in rows.values():
        assert row["last_error"].startswith("held: ")
        assert group in row["last_error"]
        assert (row["status"], row["process_after"]) == ("pending", "infinity")


def test_holding_is_refused_where_a_consumer_group_will_own_the_topic(topic: Topic) -> None:
    topic.fill(3)
    group = topic.commit(group_name(), {0: 0, 1: 0})
    options = ("--from", f"group:{group}", "--uncertain", "hold", "--uncertain-window", "2")
    done = topic.drain(*options).expect(4)
    assert done.error["code"] == "hold-refused"
    (command,) = commands(done)
    topic.cli.run(*command).expect(0)


# --- the gate -------------------------------------------------------------------------------------------------------


def test_with_open_jobs_may_run_at_once_and_postgres_numbers_the_topic_at_the_end(topic: Topic) -> None:
    topic.fill(10)
    done = topic.drain("--open").expect(0)
    assert check(topic.url, expected(topic.name, topic.records, at_least=20), done).rows == 20
    assert topic.state() == ("postgres", "open", None)
    rows = rows_of(topic.url, topic.name).values()
    assert all(row["process_after"] == row["created_at"] for row in rows)


def test_behind_the_closed_gate_no_claim_finds_a_job_until_it_is_opened(topic: Topic) -> None:
    topic.fill(10)
    topic.drain().expect(0)
    claim = "select count(*) from job_queue where topic = %s and status = 'pending' and process_after <= now()"
    with psycopg.connect(topic.url, autocommit=True) as conn:
        assert conn.execute(claim, (topic.name,)).fetchone() == (0,)
        topic.cli.run("gate", "open", "--topic", topic.name).expect(0)
        assert conn.execute(claim, (topic.name,)).fetchone() == (20,)


# --- stopping, resuming, ends ---------------------------------------------------------------------------------------


def everything_copied(topic: Topic, drain: Running) -> None:
    drain.wait_for(lambda: count_rows(topic.url, topic.name) == len(topic.records))


def test_a_drain_that_follows_is_stopped_by_a_signal_and_resumed_by_the_line_that_it_prints(topic: Topic) -> None:
    topic.fill(5)
    group = topic.commit(group_name(), {0: 0, 1: 0})
    command: tuple[str, ...] = ("drain", "--topic", topic.name, "--follow", "--from", f"group:{group}")
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with topic.member(group), topic.cli.start(*command, "--json") as drain:
            everything_copied(topic, drain)
            topic.fill(5)
            everything_copied(topic, drain)
            drain.signal(number)
            done = drain.wait().expect(status)
        assert not done.document["complete"]
        assert check(topic.url, expected(topic.name, topic.records), done, complete=False).rows == len(topic.records)
        command = resume_command(done)
        assert "--follow" in command
        topic.fill(5)
    done = wait_for_empty(topic)
    assert check(topic.url, expected(topic.name, topic.records, at_least=50), done).rows == 50


def wait_for_empty(topic: Topic) -> Done:
    """Drain to an end, once the group's last member has gone."""
    ended: list[Done] = []

    def complete() -> bool:
        ended.append(topic.drain())
        return ended[-1].exit != 4

    assert wait_until(complete, _SECONDS)
    return ended[-1].expect(0)


def test_max_messages_stops_after_so_many_and_the_resume_line_goes_on(topic: Topic) -> None:
    topic.fill(25)
    done = topic.drain("--max-messages", "20").expect(5)
    for rows in (20, 40):
        assert check(topic.url, expected(topic.name, topic.records, topic.ends), done, complete=False).rows == rows
        command = resume_command(done)
        assert command[-2:] == ("--max-messages", "20")
        done = topic.cli.run(*command, "--json")
    done.expect(0)
    assert check(topic.url, expected(topic.name, topic.records, at_least=50), done).rows == 50


def test_a_complete_drain_says_so_and_until_end_goes_on_behind_it(topic: Topic) -> None:
    topic.fill(10)
    topic.drain().expect(0)
    topic.fill(5)
    again = topic.drain().expect(0)
    assert (again.document["complete"], again.document["rows_this_run"], again.document["rows"]) == (True, 0, 20)
    assert "10 newer offsets" in again.stderr
    extended = topic.drain("--until", "end").expect(0)
    assert check(topic.url, expected(topic.name, topic.records, at_least=30), extended).rows == 30


def test_partitions_are_drained_apart(servers: str, url: str) -> None:
    topic = Topic(servers, url, 4).fill(10)
    first = topic.drain("--partitions", "0,2-3").expect(0)
    assert not first.document["complete"]
    assert [part["rows"] for part in first.document["partitions"]] == [10, 0, 10, 10]
    check(url, expected(topic.name, topic.records), first, complete=False)
    second = topic.drain("--partitions", "1").expect(0)
    assert check(url, expected(topic.name, topic.records, at_least=40), second).rows == 40
    assert topic.drain("--partitions", "4").expect(2).error["code"] == "partitions"


def test_several_writers_copy_what_one_copies(servers: str, url: str) -> None:
    topic = Topic(servers, url, 4).fill(500)
    done = topic.drain("--writers", "2", "--batch-rows", "50").expect(0)
    counts = check(url, expected(topic.name, topic.records, at_least=2000), done)
    assert counts.rows == 2000
    assert counts.batches >= 40


def test_several_topics_are_drained_in_one_run(servers: str, url: str) -> None:
    topics = [Topic(servers, url, n).fill(50 * n) for n in (1, 2, 3)]
    topics[1].commit(group_name(), {0: 10, 1: 0})
    done = Cli.on(url, servers).drain(*(topic.name for topic in topics)).expect(0)
    assert done.document["complete"]
    for topic, start, rows in zip(topics, ({}, {0: 10}, {}), (50, 190, 450), strict=True):
        assert check(url, expected(topic.name, topic.records, start=start), done).rows == rows


# --- what has changed -----------------------------------------------------------------------------------------------


def test_a_topic_of_that_name_on_another_cluster_is_refused(topic: Topic) -> None:
    topic.fill(3)
    topic.drain().expect(0)
    with MockCluster() as other:
        AdminClient({"bootstrap.servers": other.bootstrap_servers}).list_topics(topic.name, _SECONDS)
        done = Cli.on(topic.url, other.bootstrap_servers).drain(topic.name, options=["--until", "end"]).expect(4)
    assert done.error["code"] == "topic-changed"
    assert "the cluster was" in done.error["message"]
    assert check(topic.url, expected(topic.name, topic.records)).rows == 6


def test_a_topic_that_was_deleted_and_made_again_is_refused(topic: Topic) -> None:
    topic.fill(3)
    topic.drain().expect(0)
    admin: Any = AdminClient({"bootstrap.servers": topic.servers})
    admin.delete_topics([topic.name])[topic.name].result()
    assert wait_until(lambda: topic.name not in admin.list_topics(timeout=_SECONDS).topics, _SECONDS)
    create_topic_on(topic.servers, topic.name, topic.partitions)
    done = topic.drain("--until", "end").expect(4)
    assert done.error["code"] == "topic-changed"
    assert "the topic id was" in done.error["message"]


def test_partitions_that_were_added_are_refused(topic: Topic) -> None:
    topic.fill(3)
    topic.drain("--max-messages", "2").expect(5)
    admin: Any = AdminClient({"bootstrap.servers": topic.servers})
    admin.create_partitions([NewPartitions(topic.name, 4)])[topic.name].result()
    assert wait_until(
        lambda: len(admin.list_topics(topic.name, timeout=_SECONDS).topics[topic.name].partitions) == 4, _SECONDS
    )
    done = topic.drain().expect(4)
    assert done.error["code"] == "topic-changed"
    assert "the number of partitions was 2, is 4" in done.error["message"]
