"""Metrics: what the exposition says is exactly what was done; nothing of it is secret, and a fork begins at zero."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.admin import AdminClient, NewTopic
from shim.consumer import Consumer
from shim.message import Message
from shim.metrics import ClientCollector, QueueCollector
from shim.model import AcknowledgeType
from shim.producer import Producer
from shim.share_consumer import ShareConsumer
from tests.fixtures.pgbouncer import client_settings
from tests.fixtures.proxy import OpenProxy

ROOT = Path(__file__).parents[3]
SECONDS = 60.0
UNITS = ("_total", "_seconds", "_bytes", "_messages", "_jobs", "_rows", "_offsets", "_connections", "_threads", "_up")
BARE = ("shim_pool_connections_limit", "shim_share_jobs_in_flight")

Sample = tuple[str, tuple[tuple[str, str], ...]]
Samples = dict[Sample, float]


def exposed(*collectors: ClientCollector | QueueCollector) -> str:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def samples(text: str) -> Samples:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def counted() -> Samples:
    return samples(exposed(ClientCollector()))


def moved(before: Samples, name: str) -> dict[str, float]:
    """By how much the samples of a name have grown, by their label; those that have not are left out."""
    grown = {key: value - before.get(key, 0.0) for key, value in counted().items() if key[0] == name}
    return {",".join(value for _, value in labels): by for (_, labels), by in grown.items() if by}


def histogram(before: Samples, operation: str) -> float:
    return moved(before, "shim_operation_duration_seconds_count").get(operation, 0.0)


@pytest.fixture
def conf(migrated_url: str) -> dict[str, object]:
    conf = {"shim.dsn": migrated_url, **client_settings()}
    futures = AdminClient(conf).create_topics([NewTopic("emails", 2), NewTopic("reports", 1)])
    for future in futures.values():
        future.result(SECONDS)
    return conf


def produce(conf: dict[str, object], topic: str, count: int) -> None:
    with Producer(conf) as producer:
        for number in range(count):
            producer.produce(topic, b"hush %d" % number, b"whispered")
        assert producer.flush(SECONDS) == 0


def share(conf: dict[str, object], group: str = "workers") -> ShareConsumer:
    consumer = ShareConsumer({**conf, "group.id": group, "share.acknowledgement.mode": "explicit"})
    consumer.subscribe(["emails"])
    return consumer


def poll(consumer: ShareConsumer, count: int) -> list[Message]:
    messages = list(consumer.poll(SECONDS))
    assert len(messages) == count, "they are claimed together"
    return messages


def test_producers_and_consumers_are_counted(conf: dict[str, object]) -> None:
    before = counted()
    produce(conf, "emails", 10)
    produce(conf, "reports", 5)
    assert moved(before, "shim_producer_messages_total") == {"emails": 10, "reports": 5}
    assert moved(before, "shim_producer_errors_total") == {}
    assert histogram(before, "append") >= 2
    with Consumer({**conf, "group.id": "readers", "auto.offset.reset": "earliest", "enable.auto.commit": False}) as one:
        one.subscribe(["emails", "reports"])
        messages = [message for _ in range(15) if (message := one.poll(SECONDS))]
        one.commit(asynchronous=False)
    assert len(messages) == 15
    assert moved(before, "shim_consumer_messages_total") == {"emails": 10, "reports": 5}
    assert moved(before, "shim_consumer_commits_total") == {"ok": 1}
    assert histogram(before, "commit") == 1
    assert histogram(before, "fetch") >= 1


def test_what_waits_and_what_is_given_up(conf: dict[str, object]) -> None:
    before = counted()
    producer = Producer({**conf, "linger.ms": 60_000})
    for _ in range(3):
        producer.produce("emails", b"1")
    assert moved(before, "shim_producer_queue_messages") == {"": 3}
    producer.purge()
    assert producer.flush(SECONDS) == 0
    assert moved(before, "shim_producer_queue_messages") == {}
    assert moved(before, "shim_producer_errors_total") == {"_PURGE_QUEUE": 3}
    assert moved(before, "shim_producer_messages_total") == {}
    producer.close()


def test_every_way_in_which_a_job_can_be_settled(conf: dict[str, object], migrated: Connection) -> None:
    produce(conf, "emails", 8)
    before = counted()
    consumer = share(conf)
    jobs = poll(consumer, 8)
    assert moved(before, "shim_share_jobs_claimed_total") == {"emails": 8}
    for job in jobs[:4]:
        consumer.acknowledge(job)
    for job in jobs[4:6]:
        consumer.acknowledge(job, AcknowledgeType.RELEASE, delay=3600)
    for job in jobs[6:]:
        consumer.acknowledge(job, AcknowledgeType.REJECT)
    migrated.execute(
        "update job_queue set lease = 0 where (partition, log_offset) = (%s, %s)",
        [jobs[0].partition(), jobs[0].offset()],
    )
    consumer.commit_sync()
    assert moved(before, "shim_share_jobs_total") == {"accepted": 3, "released": 2, "rejected": 2, "late": 1}
    assert moved(before, "shim_share_jobs_in_flight") == {}
    consumer.close()


def test_jobs_of_a_worker_that_is_gone(conf: dict[str, object], migrated: Connection) -> None:
    produce(conf, "emails", 3)
    migrated.execute("update job_topic set max_deliveries = 2, retry_backoff_ms = 0")
    migrated.execute("update job_queue set retry_count = 1 where id = (select min(id) from job_queue)")
    migrated.execute("update job_queue set status = 'processing', locked_at = now() - interval '1 h', lease = 7")
    before = counted()
    consumer = share(conf)
    assert len(poll(consumer, 2)) == 2
    assert moved(before, "shim_jobs_recovered_total") == {"pending": 2, "failed": 1}
    assert moved(before, "shim_share_jobs_in_flight") == {"": 2}
    consumer.close()
    assert moved(before, "shim_share_jobs_total") == {"released": 2}


def test_an_outage_is_seen(conf: dict[str, object], migrated_url: str, open_proxy: OpenProxy) -> None:
    proxy = open_proxy(migrated_url)
    before = counted()
    with Producer({**conf, "shim.dsn": proxy.url_of(migrated_url)}) as producer:
        producer.produce("emails", b"1")
        assert producer.flush(SECONDS) == 0
        assert moved(before, "shim_pool_connections_opened_total")[""] >= 1
        assert moved(before, "shim_client_errors_total") == {}
        proxy.refuse()
        assert proxy.cut_all() > 0
        producer.produce("emails", b"2")
        assert wait_until(lambda: bool(moved(before, "shim_pool_connection_errors_total")), SECONDS)
        assert wait_until(lambda: bool(moved(before, "shim_client_errors_total")), SECONDS)
        assert proxy.faults["refused"] > 0
        assert moved(before, "shim_client_last_error_timestamp_seconds") != {}
        proxy.heal()
        assert producer.flush(SECONDS) == 0
    assert moved(before, "shim_producer_messages_total") == {"emails": 2}


@pytest.mark.direct("hints are off behind a pooler")
def test_the_watcher_and_the_pool(conf: dict[str, object]) -> None:
    with Consumer({**conf, "group.id": "readers"}) as consumer:
        consumer.subscribe(["emails"])
        consumer.poll(0.1)
        found = counted()
        assert found["shim_watcher_up", ()] == 1
        assert found["shim_pool_connections_limit", ()] >= 2
        assert found["shim_pool_connections", (("state", "idle"),)] >= 0
        assert wait_until(lambda: counted()["shim_notify_up", ()] == 1, SECONDS)


def queue(url: str, **how: float) -> QueueCollector:
    return QueueCollector(url, **how)  # type: ignore[arg-type]  # numbers of seconds


ROWS = """
insert into job_queue (payload, topic, partition, log_offset, status, process_after) values
  ('1', 'emails', 0, 0, 'pending', now() - interval '1 h'),
  ('1', 'emails', 0, 1, 'pending', now() + interval '1 h'),
  ('1', 'emails', 0, 2, 'pending', 'infinity'),
  ('1', 'emails', 0, 3, 'processing', now()),
  ('1', 'emails', 0, 4, 'failed', now()),
  ('1', 'emails', 0, 5, 'completed', now());
update job_partition set next_offset = 6 where topic = 'emails' and partition = 0;
insert into job_group_offset (group_id, topic, partition, committed_offset) values ('readers', 'emails', 0, 2);
"""


@pytest.mark.usefixtures("conf")
def test_queues_as_they_stand(migrated: Connection, migrated_url: str) -> None:
    migrated.execute(ROWS)
    found = samples(exposed(queue(migrated_url)))
    states = {"due": 1, "delayed": 1, "parked": 1, "processing": 1, "failed": 1}
    told = {
        dict(labels)["state"]: value
        for (name, labels), value in found.items()
        if ("topic", "emails") in labels and name == "shim_queue_jobs"
    }
    assert told == states
    assert found["shim_queue_oldest_due_seconds", (("topic", "emails"),)] >= 3600
    assert found["shim_queue_oldest_due_seconds", (("topic", "reports"),)] == 0
    assert found["shim_group_lag_offsets", (("group", "readers"), ("topic", "emails"))] == 4
    assert found["shim_queue_up", ()] == 1
    assert found["shim_queue_dead_rows", ()] >= 0


@pytest.mark.usefixtures("conf")
def test_the_database_is_asked_by_the_first_scrape_and_not_by_each(migrated: Connection, migrated_url: str) -> None:
    registry = CollectorRegistry()
    registry.register(queue("postgresql://nobody@127.0.0.1:9/none"))
    slow, quick = queue(migrated_url, interval=3600), queue(migrated_url, interval=0)
    before = samples(exposed(slow)), samples(exposed(quick))
    migrated.execute(ROWS)
    due: Sample = ("shim_queue_jobs", (("state", "due"), ("topic", "emails")))
    assert (before[0][due], before[1][due]) == (0, 0)
    assert (samples(exposed(slow))[due], samples(exposed(quick))[due]) == (0, 1)


def test_a_database_that_does_not_answer(migrated: Connection, migrated_url: str) -> None:
    assert samples(exposed(queue("postgresql://nobody@127.0.0.1:9/none"))) == {("shim_queue_up", ()): 0}
    with migrated.transaction():
        migrated.execute("lock table job_queue")
        assert samples(exposed(queue(migrated_url, timeout=1))) == {("shim_queue_up", ()): 0}


@pytest.mark.direct("logs in as somebody else")
def test_whoever_may_read_may_ask(conf: dict[str, object], migrated: Connection, roles: tuple[str, ...]) -> None:
    assert "job_queue_reader" in roles
    migrated.execute("do $$ begin create role scraper login; exception when duplicate_object then null; end $$")
    migrated.execute("grant job_queue_reader to scraper")
    url = str(conf["shim.dsn"]).replace("postgres@", "scraper@")
    assert samples(exposed(queue(url)))["shim_queue_up", ()] == 1


def test_names_say_what_they_are_and_nothing_is_told_that_is_secret(conf: dict[str, object], migrated_url: str) -> None:
    produce({**conf, "client.id": "billing"}, "emails", 2)
    text = exposed(ClientCollector(), queue(migrated_url))
    for family in text_string_to_metric_families(text):
        assert re.fullmatch(r"shim_[a-z_]+", family.name), family.name
        assert family.documentation.endswith(".")
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name.endswith(UNITS) or name in BARE, name
        labels = {label for one in family.samples for label in one.labels}
        assert labels <= {"topic", "group", "code", "result", "status", "state", "operation", "le"}
    for secret in ("hush", "whispered", migrated_url, "127.0.0.1", "billing"):
        assert secret not in text


def test_a_forked_child_begins_at_zero(conf: dict[str, object]) -> None:
    program = """
import os, sys
from shim.metrics import ClientCollector
from shim.producer import Producer
def stored():
    families = {family.name: family for family in ClientCollector().collect()}
    return sum(one.value for one in families["shim_producer_messages"].samples)
producer = Producer({"shim.dsn": sys.argv[1]})
def produce(count):
    for _ in range(count):
        producer.produce("emails", b"1")
    assert producer.flush(60) == 0
produce(3)
assert stored() == 3, stored()
pid = os.fork()
produce(2)
assert stored() == (5 if pid else 2), stored()
if pid:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    run_program(program, str(conf["shim.dsn"]))


def test_without_the_extra() -> None:
    program = """
import sys
import shim, shim.admin
assert "prometheus_client" not in sys.modules
sys.modules["prometheus_client"] = None
try:
    import shim.metrics
except ImportError as error:
    assert "pip install 'kafka-to-postgres[metrics]'" in str(error), error
else:
    sys.exit("it was imported")
"""
    run_program(program)


def run_program(program: str, *arguments: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
