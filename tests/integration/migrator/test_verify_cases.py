"""What a verifier says where one side no longer holds everything, does not yet, or never did."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition, admin

from migrator import events, postgres
from migrator.cli import app
from migrator.embedded.parts import Broker
from migrator.embedded.process import wait_until
from migrator.errors import MigratorError, RefusedError, StoppedError, UsageError
from migrator.events import Compared, Listener
from migrator.kafka.facts import Cluster
from migrator.kafka.log import LogReader
from migrator.kafka.properties import kafka_properties
from migrator.kafka.records import TopicFacts
from migrator.verify.classes import Class
from migrator.verify.options import Level, VerifyOptions
from migrator.verify.outcome import Outcome, Result
from migrator.verify.run import Surroundings, verify
from migrator.verify.scope import Cluster as Asked
from tests.fixtures.cli import Cli, create_tables
from tests.fixtures.kafka import create_topic_on, topic_name
from tests.fixtures.postgres import Databases
from tests.integration.migrator.producing import (
    Sent,
    delete_records_below,
    delete_topic,
    numbered,
    produce,
    produce_raw,
    transactions,
    within,
)

pytestmark = [pytest.mark.real_kafka]

SECONDS = 60.0
Compare = Callable[..., Outcome]
Drain = Callable[..., None]


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    made = databases.create(create_tables)
    yield made
    databases.drop(made)


@pytest.fixture
def servers(broker: Broker) -> str:
    return broker.bootstrap_servers


@pytest.fixture
def topic(servers: str) -> str:
    name = topic_name("verify")
    create_topic_on(servers, name, 2)
    return name


@pytest.fixture
def cli(url: str, servers: str) -> Cli:
    return Cli.on(url, servers)


@pytest.fixture
def drain(url: str, servers: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> Drain:
    """Drains the topic in this process, which costs no start of another."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)

    def run(*options: str, status: int = 0) -> None:
        assert app.run(["drain", "--topic", topic, "--quiet", *options]) == status

    return run


@pytest.fixture
def compare(url: str, servers: str, topic: str) -> Compare:
    """Verifies the topic in this process."""
    properties = kafka_properties(servers, None, {})

    def run(
        meddle: Callable[[Cluster], Asked] = lambda cluster: cluster,
        listener: Listener = events.ignore,
        stop_event: Event | None = None,
        **options: Any,
    ) -> Outcome:
        with Cluster(properties) as cluster:
            around = Surroundings(
                connect=lambda: postgres.connect(url, "verified"),
                schemas=postgres.schemas("public"),
                cluster=meddle(cluster),
                open_log=lambda: LogReader(properties),
                listener=listener,
                stop=stop_event or Event(),
            )
            return verify(around, VerifyOptions(topic, **{"grace": 0.0, **options}))

    return run


@pytest.fixture
def execute(url: str) -> Iterator[Callable[..., int]]:
    with ExitStack() as opened:
        conn = opened.enter_context(psycopg.connect(url, autocommit=True))
        yield lambda statement, *arguments: conn.execute(statement, arguments).rowcount


def counts(outcome: Outcome) -> dict[str, int]:
    return {kind.value: count for kind, count in outcome.classes.items() if count}


def named(outcome: Outcome) -> list[tuple[str, int, int]]:
    return [(one.kind.value, one.place.partition, one.place.offset) for one in outcome.differences]


def test_an_empty_topic_is_no_proof(drain: Drain, compare: Compare) -> None:
    drain()
    outcome = compare()
    assert (outcome.result, outcome.reasons) == (Result.INCONCLUSIVE, ("nothing was compared",))


def test_a_topic_that_was_never_drained_cannot_be_compared(cli: Cli, topic: str) -> None:
    assert cli.run("verify", "--topic", topic, "--json").expect(3).error["code"] == "not-drained"


def test_a_topic_that_was_made_anew_is_refused(drain: Drain, servers: str, topic: str, compare: Compare) -> None:
    produce(servers, topic, numbered(3))
    drain()
    delete_topic(servers, topic)
    assert wait_until(lambda: _made(servers, topic), SECONDS)
    produce(servers, topic, numbered(3))
    with pytest.raises(MigratorError) as refused:
        compare()
    assert refused.value.code == "topic-changed"
    assert refused.value.exit == 4


def _made(servers: str, topic: str) -> bool:
    try:
        create_topic_on(servers, topic, 2)
    except Exception:  # noqa: BLE001  the broker still deletes it
        return False
    return True


def test_offsets_that_the_drain_has_not_come_to_are_in_flight(
    drain: Drain, servers: str, topic: str, compare: Compare
) -> None:
    produce(servers, topic, numbered(30))
    drain("--max-messages", "10", status=5)
    outcome = compare()
    assert outcome.result is Result.INCONCLUSIVE
    assert outcome.compared == 10
    assert counts(outcome) == {"in_flight": 20}


def test_the_drain_is_given_grace_to_come_to_the_end(
    cli: Cli, drain: Drain, servers: str, topic: str, compare: Compare
) -> None:
    produce(servers, topic, numbered(30))
    drain("--follow", "--max-messages", "10", status=5)
    with cli.start("drain", "--topic", topic, "--follow"):
        outcome = compare(grace=SECONDS)
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.PASS, 30, {})


def test_what_came_behind_the_frozen_end_is_told_and_no_difference(
    drain: Drain, servers: str, topic: str, compare: Compare
) -> None:
    produce(servers, topic, numbered(5))
    drain()
    produce(servers, topic, numbered(7, partition=1))
    outcome = compare()
    assert (outcome.result, outcome.compared, outcome.beyond) == (Result.PASS, 5, 7)


def test_records_that_kafka_has_dropped_since_are_proven_by_the_ledger(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(40))
    drain()
    delete_records_below(servers, topic, 15)
    outcome = compare()
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.PASS, 25, {"expired": 15})
    assert execute("update job_queue set value = 'x' where log_offset = 3") == 1
    outcome = compare()
    assert (outcome.result, named(outcome)) == (Result.FAIL, [("altered", 0, 0)])
    assert execute("delete from job_queue where log_offset = 3") == 1
    assert named(compare()) == [("missing", 0, 0)]


def test_all_of_a_topic_may_have_gone_from_kafka(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(40))
    drain()
    delete_records_below(servers, topic, 40)
    outcome = compare()
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.INCONCLUSIVE, 0, {"expired": 40})
    assert execute("delete from job_queue where log_offset = 3") == 1
    assert counts(compare()) == {"expired": 39, "missing": 1}


def test_records_lost_before_the_drain_read_them_are_gone(
    drain: Drain, servers: str, topic: str, compare: Compare
) -> None:
    produce(servers, topic, numbered(20))
    drain("--max-messages", "5", status=5)
    delete_records_below(servers, topic, 12)
    drain("--accept-loss")
    outcome = compare()
    assert (outcome.result, counts(outcome)) == (Result.PASS, {"gone": 7, "expired": 5})
    assert compare(fail_on=frozenset({"gone"})).result is Result.FAIL


def test_dead_letters_stand_for_their_records_byte_for_byte(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [Sent(b"{}"), Sent(b"no json", headers=[("h", b"1")]), Sent(b"{}"), Sent(b"nor this")])
    drain("--format", "json")
    outcome = compare()
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.PASS, 4, {"dead_letter": 2})
    assert execute("update kafka_migrator.drain_dead_letter set value = 'other' where log_offset = 1") == 1
    assert named(compare()) == [("altered", 0, 1)]
    assert execute("delete from kafka_migrator.drain_dead_letter where log_offset = 1") == 1
    assert named(compare()) == [("missing", 0, 1)]


def test_aborted_transactions_and_markers_are_no_records(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    with transactions(servers, topic) as producer:
        within(producer, topic, 3)
        producer.abort_transaction()
        within(producer, topic, 2)
        producer.commit_transaction()
    drain()
    outcome = compare()
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.PASS, 2, {})
    add = "insert into job_queue (payload, topic, partition, log_offset, value) values ('{}', %s, 0, 1, 't1')"
    assert execute(add, topic) == 1
    assert named(compare()) == [("extra", 0, 1)]


def test_a_header_that_the_client_cannot_decode_is_never_called_the_same(
    drain: Drain, servers: str, topic: str, compare: Compare
) -> None:
    produce(servers, topic, numbered(3))
    produce_raw(servers, topic, [(b"\xff\xfe", b"1")])
    drain()
    outcome = compare()
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.INCONCLUSIVE, 3, {"unreadable": 1})


def test_what_the_drain_was_told_to_skip_is_not_missing(
    drain: Drain, servers: str, topic: str, compare: Compare
) -> None:
    produce(servers, topic, numbered(10))
    commit(servers, topic, "workers", 4)
    skip = ("--from", "group:workers", "--no-commit", "earliest", "--uncertain", "skip", "--uncertain-window", "3")
    drain(*skip)
    outcome = compare()
    assert (outcome.result, outcome.compared, counts(outcome)) == (Result.PASS, 3, {"skipped": 3})


def commit(servers: str, topic: str, group: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": 0})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_values_that_are_not_kept_are_not_called_proven(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [Sent(b'{"a": 1}', b"k"), Sent(b"text", b"k"), Sent(b"\x00\xff", b"k")])
    drain("--max-messages", "1", status=5)
    assert execute("update job_topic set keep_value = false where topic = %s", topic) == 1
    drain()
    outcome = compare()
    assert outcome.result is Result.INCONCLUSIVE
    assert "keep_value" in outcome.reasons[0]
    assert compare(without_values=True).result is Result.PASS
    assert execute("update job_queue set key = 'K' where log_offset = 1") == 1
    assert named(compare(without_values=True)) == [("altered", 0, 1)]


def test_rows_that_never_were_in_kafka_are_native(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(5))
    drain("--open")
    assert execute("insert into job_queue (payload, topic) values ('{}', %s)", topic) == 1
    numbers = "insert into job_queue (payload, topic, partition, log_offset) values ('{}', %s, 0, 5)"
    assert execute("update job_partition set next_offset = 6 where topic = %s and partition = 0", topic) == 1
    assert execute(numbers, topic) == 1
    outcome = compare()
    assert (outcome.result, counts(outcome)) == (Result.PASS, {"native": 2})


@pytest.mark.parametrize("level", [Level.COUNT, Level.LEAF])
def test_a_coarser_look_names_ranges(
    level: Level, drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [*numbered(50), *numbered(50, partition=1)])
    drain()
    assert compare(level=level).result is Result.PASS
    assert execute("delete from job_queue where partition = 1 and log_offset in (3, 30)") == 2
    assert execute("update job_queue set value = 'x' where partition = 0 and log_offset = 7") == 1
    outcome = compare(level=level)
    seen = [(one.kind.value, one.place.partition, one.place.offset, one.stop, one.count) for one in outcome.differences]
    by_count = [("missing", 1, 0, 50, 2)]
    assert seen == (by_count if level is Level.COUNT else [("altered", 0, 0, 50, 1), *by_count])


def test_partitions_and_ranges_bound_what_is_compared(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [*numbered(50), *numbered(30, partition=1)])
    drain("--batch-rows", "10")
    assert execute("delete from job_queue where partition = 1 and log_offset = 29") == 1
    assert compare(partitions={0}).compared == 50
    assert compare(partitions={1}).result is Result.FAIL
    early = compare(stop=5)
    assert early.result is Result.PASS
    assert 0 < early.compared < 80
    assert compare(start=1_000).reasons == ("nothing was compared",)
    with pytest.raises(MigratorError, match="not 7"):
        compare(partitions={7})


def test_a_sample_is_the_same_on_both_sides(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(4_000))
    drain()
    outcome = compare(modulus=16)
    assert outcome.result is Result.PASS
    assert 100 < outcome.compared < 500
    execute("delete from job_queue")
    assert counts(compare(modulus=16)) == {"missing": outcome.compared}


def test_differences_beyond_the_limit_are_counted(
    drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(100))
    drain("--batch-rows", "10")
    assert execute("delete from job_queue where log_offset < 90") == 90
    outcome = compare(max_diffs=10)
    assert (len(outcome.differences), counts(outcome)) == (10, {"missing": 90})


def test_a_command_line_shows_names_and_no_payload(
    cli: Cli, drain: Drain, servers: str, topic: str, execute: Callable[..., int]
) -> None:
    canary = "canary-4711"
    secret = canary.encode()
    produce(servers, topic, [Sent(secret, secret, [(canary, secret)]) for _ in range(1_000)])
    drain()
    assert execute("update job_queue set value = value || '!'::bytea where log_offset in (5, 6)") == 2
    assert execute("delete from job_queue where log_offset = 7") == 1
    for options in (("-v",), ("--json",)):
        done = cli.run("verify", "--topic", topic, *options).expect(1)
        assert canary not in done.output
        assert "altered" in done.stdout
        assert "missing" in done.stdout


@pytest.mark.parametrize("options", [(), ("--batch-rows", "12")], ids=["one batch", "many batches"])
def test_a_drill_finds_what_it_planted_and_leaves_nothing(
    options: tuple[str, ...], cli: Cli, drain: Drain, servers: str, topic: str, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [Sent(b"%d" % n, b"k", [("n", b"1")]) for n in range(60)])
    drain(*options)
    document = cli.run("verify", "--topic", topic, "--drill", "--json").expect(0).document
    assert document["result"] == "pass"
    assert document["planted"] == document["found"]
    planted = {one["class"] for one in document["planted"]["differences"]}
    assert planted == {"missing", "extra", "altered", "duplicate", "reordered"}
    assert document["planted"]["classes"] == {"purged": 1, "in_flight": 1}
    assert execute("select from pg_namespace where nspname like 'kafka_migrator_drill%%'") == 0
    assert execute("select from job_queue") == 60


def test_a_drill_on_damaged_rows_is_refused(
    cli: Cli, drain: Drain, servers: str, topic: str, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(60))
    drain()
    assert execute("delete from job_queue where log_offset = 7") == 1
    assert cli.run("verify", "--topic", topic, "--drill", "--json").expect(4).error["code"] == "drill-unclean"


def test_a_drill_needs_a_few_rows(cli: Cli, drain: Drain, servers: str, topic: str) -> None:
    produce(servers, topic, numbered(3))
    drain()
    assert cli.run("verify", "--topic", topic, "--drill", "--json").expect(3).error["code"] == "drill-too-small"


@pytest.mark.parametrize("options", [{}, {"level": Level.COUNT}], ids=["full", "count"])
def test_what_compaction_has_removed_since_is_proven_by_the_ledger(
    options: dict[str, Any],
    drain: Drain,
    servers: str,
    topic: str,
    compare: Compare,
    execute: Callable[..., int],
) -> None:
    compact(servers, topic)
    again = [Sent(b"%d" % n, b"again" if n % 10 else b"once-%d" % n) for n in range(60)]
    produce(servers, topic, again, linger_ms=0)
    drain()
    rows = execute("select from job_queue where topic = %s", topic)
    assert rows == 60
    assert wait_until(lambda: cleaned(servers, topic), SECONDS, interval=0.5)
    outcome = compare(**options)
    assert outcome.result is Result.PASS
    assert outcome.classes[Class.EXPIRED] >= 50
    assert outcome.compared + outcome.classes[Class.EXPIRED] == 60
    assert execute("delete from job_queue where topic = %s and log_offset = 7", topic) == 1
    assert counts(compare(**options))["missing"] == 1


def compact(servers: str, topic: str) -> None:
    names: Any = admin
    wanted = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.001"}
    entries: Any = [
        names.ConfigEntry(name, value, incremental_operation=names.AlterConfigOpType.SET)
        for name, value in wanted.items()
    ]
    resource = names.ConfigResource(names.ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    client: Any = names.AdminClient({"bootstrap.servers": servers})
    client.incremental_alter_configs([resource])[resource].result()


def cleaned(servers: str, topic: str) -> bool:
    """Whether the cleaner has been there; each look adds a record behind the frozen end, which may roll the segment."""
    produce(servers, topic, [Sent(b"more", b"more")], linger_ms=0)
    with LogReader(kafka_properties(servers, None, {})) as log:
        return sum(len(chunk.records) for chunk in log.read(topic, 0, 0, 60)) <= 10


class Meddling:
    """A cluster that, asked for the second time and later, lets something happen before it answers."""

    def __init__(self, cluster: Cluster, happen: Callable[[], object]) -> None:
        self._cluster = cluster
        self._happen = happen
        self.asked = 0

    def topic_facts(self, topic: str) -> TopicFacts:
        self.asked += 1
        if self.asked == BEHIND_THE_SURVEY:
            self._happen()
        return self._cluster.topic_facts(topic)


BEHIND_THE_SURVEY = 3


def test_retention_may_go_on_while_a_leaf_is_read_again(
    url: str, drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, numbered(60))
    drain("--open")
    assert execute("delete from job_queue where log_offset = 50") == 1
    purged: list[int] = []

    def purge() -> None:
        with psycopg.connect(url) as conn:
            purged.append(conn.execute("delete from job_queue where log_offset < 20").rowcount)
            conn.execute("update job_partition set start_offset = 20 where topic = %s and partition = 0", [topic])

    outcome = compare(meddle=lambda cluster: Meddling(cluster, purge))
    assert purged == [20]
    assert named(outcome) == [("missing", 0, 50)]
    assert counts(outcome) == {"missing": 1, "purged": 20}


def test_an_outage_of_postgres_stops_it_with_a_reason(
    url: str, drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [*numbered(60), *numbered(60, partition=1)])
    drain()
    cut: list[int] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, Compared) and not cut:
            cut.append(
                execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", NAME)
            )

    with pytest.raises(StoppedError) as stopped, postgres.explained(postgres.Target.of(url)):
        compare(listener=hear)
    assert cut == [2]
    assert stopped.value.code == "postgres-outage"


NAME = "migrator-verified"


def test_ctrl_c_ends_it_with_its_own_status(cli: Cli, drain: Drain, servers: str, topic: str) -> None:
    produce(servers, topic, numbered(30))
    drain("--max-messages", "10", status=5)
    with cli.start("verify", "--topic", topic, "--grace", "50") as running:
        running.wait_for(lambda: "waiting for the drain" in running.said())
        running.signal(signal.SIGINT)
        running.wait().expect(130)


def test_a_run_goes_on_where_it_was_stopped(
    tmp_path: Path, drain: Drain, servers: str, topic: str, compare: Compare, execute: Callable[..., int]
) -> None:
    produce(servers, topic, [*numbered(50), *numbered(40, partition=1)])
    drain()
    assert execute("delete from job_queue where partition = 0 and log_offset = 7") == 1
    assert execute("delete from job_queue where partition = 1 and log_offset = 8") == 1
    file, stop, heard = tmp_path / "checkpoint", Event(), list[Compared]()

    def hear(event: events.Event) -> None:
        if isinstance(event, Compared):
            stop.set()
            heard.append(event)

    with pytest.raises(StoppedError) as stopped:
        compare(listener=hear, resume=file, stop_event=stop)
    assert (stopped.value.code, [(event.done, event.total) for event in heard]) == ("interrupted", [(50, 90)])
    with pytest.raises(RefusedError) as refused:
        compare(resume=file, level=Level.LEAF)
    assert refused.value.code == "resume-other"
    heard.clear()
    outcome = compare(listener=hear, resume=file)
    assert [(event.done, event.total) for event in heard] == [(40, 40)]
    assert named(outcome) == [("missing", 0, 7), ("missing", 1, 8)]
    assert outcome.compared == 90
    assert not file.exists()
    file.write_text("nothing of ours")
    with pytest.raises(UsageError):
        compare(resume=file)
