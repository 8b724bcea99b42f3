"""Producing with a deduplication key: of each key of a topic one unfinished job, whoever produces, whatever breaks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.model import AcknowledgeType
from shim.producer import Producer
from shim.share_consumer import ShareConsumer
from shim.store import gate
from shim.store.schema import Line
from tests.fixtures.pgbouncer import client_settings
from tests.fixtures.proxy import OpenProxy
from tests.integration.shim.consumer.scene import values
from tests.integration.shim.producer.scene import WAIT_SECONDS, MakeProducer, Reports, make_topic
from tests.integration.shim.producer.test_producer_faults import cut_commit_reply
from tests.integration.shim.sharing.scene import statuses, taken

LONG_SECONDS = 60.0
KEYS = "select deduplication_key, count(*) from job_queue group by 1 order by 1"
ROWS = "select count(*) from job_queue"
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'with clock as %'"


@pytest.fixture
def topic(migrated: Connection) -> str:
    make_topic(migrated, "topic")
    return "topic"


@pytest.fixture(params=["implicit"])
def worker(migrated_url: str, topic: str, request: pytest.FixtureRequest) -> Iterator[ShareConsumer]:
    conf = {"shim.dsn": migrated_url, "group.id": "workers", "share.acknowledgement.mode": request.param}
    with closing(ShareConsumer({**conf, **client_settings()})) as made:
        made.subscribe([topic])
        yield made


acknowledges_itself = pytest.mark.parametrize("worker", ["explicit"], indirect=True)


@pytest.fixture
def other(migrated_url: str) -> Iterator["psycopg.Connection[Any]"]:
    """An application's own connection."""
    with closing(psycopg.connect(migrated_url)) as conn:
        yield conn


Produce = Callable[..., list[bool]]


@pytest.fixture
def produce(producer: Producer, topic: str) -> Produce:
    """Produces jobs with these keys, and returns which of them were not added."""

    def deduplicated(*keys: str) -> list[bool]:
        reports = Reports()
        for key in keys:
            producer.produce(topic, f"value of {key}", deduplication_key=key, on_delivery=reports)
        assert producer.flush(WAIT_SECONDS) == 0
        assert reports.errors == [None] * len(keys)
        assert [message.offset() for message in reports.messages] == [None] * len(keys)
        return [message.deduplicated() for message in reports.messages]

    return deduplicated


def test_a_second_job_with_the_key_is_a_success_that_adds_nothing(
    produce: Produce, producer: Producer, migrated: Connection, topic: str
) -> None:
    assert produce("a", "b", "a") == [False, False, True]
    assert produce("b", "c") == [True, False]
    make_topic(migrated, "elsewhere")
    reports = Reports()
    producer.produce("elsewhere", "v", deduplication_key="a", on_delivery=reports)
    producer.produce(topic, "has none", on_delivery=reports)
    producer.produce(topic, "has none", on_delivery=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert not any(message.deduplicated() for message in reports.messages)
    assert migrated.execute(KEYS).fetchall() == [("a", 2), ("b", 1), ("c", 1), (None, 2)]


@acknowledges_itself
@pytest.mark.parametrize(("ack_type", "left"), [("ACCEPT", "completed"), ("REJECT", "failed")])
def test_the_key_is_free_again_when_the_job_is_done(
    produce: Produce, worker: ShareConsumer, migrated: Connection, ack_type: str, left: str
) -> None:
    assert produce("a") == [False]
    (job,) = taken(worker, 1)
    assert produce("a") == [True]  # while it is being worked on
    worker.acknowledge(job, AcknowledgeType[ack_type])
    worker.commit_sync()
    assert produce("a") == [False]
    assert statuses(migrated) == [left, "pending"]


@acknowledges_itself
def test_a_job_that_comes_again_keeps_its_key(produce: Produce, worker: ShareConsumer, migrated: Connection) -> None:
    assert produce("a") == [False]
    (job,) = taken(worker, 1)
    worker.acknowledge(job, AcknowledgeType.RELEASE)
    worker.commit_sync()
    assert produce("a") == [True]
    migrated.execute("update job_queue set status = 'processing', locked_at = now() - interval '1 hour'")
    assert produce("a") == [True]
    migrated.execute("update job_queue set process_after = now()")
    (again,) = taken(worker, 1)
    assert again.delivery_count() == 3
    assert migrated.execute(ROWS).fetchone() == (1,)


def test_all_of_a_message_arrives(producer: Producer, worker: ShareConsumer, migrated: Connection, topic: str) -> None:
    contents: list[dict[str, Any]] = [
        {"value": b'{"a": [1, "\\u00e4"]}', "key": b"\xff\x00", "headers": [("h", b"\x00\\"), ("h", None), ("", b"")]},
        {"value": None, "key": None, "headers": None},
        {"value": b"\xff", "key": b"", "headers": []},
        {"value": b'{"broken": ', "key": "k", "headers": {"h": "{\"'}"}},
        {"value": b'{"\\u0000": 1}', "key": "k", "headers": None},
        {"value": "tëxt", "key": "k", "headers": None},
    ]
    for number, content in enumerate(contents):
        producer.produce(topic, **content, timestamp=70 + number, deduplication_key=f"{number}")
    assert producer.flush(WAIT_SECONDS) == 0
    twins = Reports()
    for number, content in enumerate(contents):
        producer.produce(topic, **content, timestamp=70 + number, on_delivery=twins)
    assert producer.flush(WAIT_SECONDS) == 0
    jobs = taken(worker, 2 * len(contents))
    told = sorted((job.timestamp()[1], job.key() or b"", job.value() or b"", repr(job.headers())) for job in jobs)
    assert told[::2] == told[1::2]
    assert migrated.execute(
        "select count(distinct (encoding, payload, value)) from job_queue group by timestamp_ms order by timestamp_ms"
    ).fetchall() == [(1,)] * len(contents)


def test_where_values_are_not_kept_they_are_not(produce: Produce, migrated: Connection) -> None:
    migrated.execute("update job_topic set keep_value = false")
    produce("a")
    assert migrated.execute("select value, payload from job_queue").fetchall() == [(None, "value of a")]


def test_with_a_delay_and_behind_a_closed_gate(
    producer: Producer, worker: ShareConsumer, migrated: Connection, topic: str, line: Line
) -> None:
    texts = gate.load(line.schemas)
    gate.close_gate(migrated, texts, topic)
    for delay in (None, 0.5, 3600):
        producer.produce(topic, f"{delay}", delay=delay, deduplication_key=f"{delay}")
    assert producer.flush(WAIT_SECONDS) == 0
    assert gate.gate_status(migrated, texts, topic).parked == 3
    assert not worker.poll(0)
    gate.open_gate(migrated, texts, topic)
    assert values(taken(worker, 2)) == [b"None", b"0.5"]
    assert migrated.execute(
        "select count(*) from job_queue where status = 'pending' and process_after = created_at + interval '1 hour'"
    ).fetchone() == (1,)


@pytest.mark.parametrize("key", ["", "a" * 1025, "ä" * 513, "nul\0", "\ud800"], ids=repr)
def test_a_key_that_no_index_holds(producer: Producer, topic: str, key: str) -> None:
    with pytest.raises(ValueError, match="a deduplication key has 1 to 1024 bytes of UTF-8, and no NUL"):
        producer.produce(topic, "v", deduplication_key=key)
    wrong: Any = key.encode(errors="replace")
    with pytest.raises(TypeError, match="deduplication_key must be str, not bytes"):
        producer.produce(topic, "v", deduplication_key=wrong)


def test_the_longest_key_of_the_longest_topic(producer: Producer, migrated: Connection) -> None:
    topic = "t" * 249
    make_topic(migrated, topic)
    reports = Reports()
    for key in ("ä" * 512, "".join(chr(0x4E00 + n) for n in range(341))):
        producer.produce(topic, "v", deduplication_key=key, on_delivery=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.errors == [None, None]


def test_in_a_batch(producer: Producer, migrated: Connection, topic: str) -> None:
    reports = Reports()
    messages: list[dict[str, Any]] = [{"value": b"%d" % n, "deduplication_key": f"{n % 2}"} for n in range(4)]
    assert producer.produce_batch(topic, messages, on_delivery=reports) == 4
    assert producer.flush(WAIT_SECONDS) == 0
    assert [message.deduplicated() for message in reports.messages] == [False, False, True, True]
    assert [row[0] for row in migrated.execute("select value from job_queue order by id")] == [b"0", b"1"]


def test_in_a_transaction_of_the_applications_own(
    producer: Producer, produce: Produce, other: "psycopg.Connection[Any]", migrated: Connection, topic: str
) -> None:
    assert producer.produce_in(other, topic, "v", deduplication_key="a", delay=3600)
    assert not producer.produce_in(other, topic, "v", deduplication_key="a")
    assert producer.produce_in(other, topic, "has none")
    other.rollback()
    assert migrated.execute(ROWS).fetchone() == (0,)
    assert produce("a") == [False]
    assert not producer.produce_in(other, topic, "v", deduplication_key="a")
    other.commit()
    assert migrated.execute(KEYS).fetchall() == [("a", 1)]


@pytest.mark.parametrize("commits", [True, False])
def test_a_key_in_an_open_transaction_keeps_only_itself_waiting(
    producer: Producer, other: "psycopg.Connection[Any]", migrated: Connection, topic: str, *, commits: bool
) -> None:
    """Messages without a key go on, in their order and with their offsets; so do those with other keys."""
    producer.produce_in(other, topic, "held", deduplication_key="held")
    held, free, plain = Reports(), Reports(), Reports()
    for number in range(40):
        key = "held" if number == 20 else f"free {number}"
        producer.produce(topic, "v", deduplication_key=key, on_delivery=held if number == 20 else free)
        producer.produce(topic, f"{number}", on_delivery=plain)

    def arrived(reports: Reports, count: int) -> bool:
        producer.poll(0)
        return len(reports) == count

    assert wait_until(lambda: arrived(plain, 40), LONG_SECONDS)
    assert [message.offset() for message in plain.messages] == list(range(40))
    assert wait_until(lambda: migrated.execute(WAITING).fetchone() == (1,), LONG_SECONDS)
    assert wait_until(lambda: arrived(free, 39), LONG_SECONDS)
    assert not held
    other.commit() if commits else other.rollback()
    assert wait_until(lambda: arrived(held, 1), LONG_SECONDS)
    assert {*free.errors, *plain.errors, *held.errors} == {None}
    assert held.messages[0].deduplicated() is commits
    assert migrated.execute(ROWS).fetchone() == (80,)


def test_producers_of_the_same_keys_never_meet_in_a_circle(
    producer_of: MakeProducer, migrated_url: str, migrated: Connection, topic: str
) -> None:
    """Each in an order of its own, many times; every report is a success, and of each key one of them added it."""
    count = 200
    start = threading.Barrier(3)
    reports = [Reports() for _ in range(3)]

    def work(own: Reports, order: int) -> None:
        producer = producer_of(migrated_url, batch_num_messages=50)
        start.wait()
        for number in range(count)[::order]:
            producer.produce(topic, "v", deduplication_key=f"{number}", on_delivery=own)
        producer.flush(LONG_SECONDS)

    threads = [threading.Thread(target=work, args=[own, order]) for own, order in zip(reports, (1, -1, 1), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.errors for one in reports] == [[None] * count] * 3
    added = [message for one in reports for message in one.messages if not message.deduplicated()]
    assert len(added) == count
    assert migrated.execute("select count(*), count(distinct deduplication_key) from job_queue").fetchone() == (
        count,
        count,
    )
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert migrated.execute(deadlocks).fetchone() == (0,)


def test_a_lost_reply_to_commit_is_asked_after(
    producer_of: MakeProducer, open_proxy: OpenProxy, migrated_url: str, migrated: Connection, topic: str
) -> None:
    """The job is done before the producer knows that it was added; it is not added a second time."""
    proxy = open_proxy(migrated_url)
    producer = producer_of(proxy.url_of(migrated_url))
    reports = Reports()
    producer.produce(topic, "warm", deduplication_key="warm", on_delivery=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    migrated.execute(
        "create function done() returns trigger language plpgsql as"
        " $$ begin update job_queue set status = 'completed' where id = new.id; return null; end $$;"
        "create constraint trigger done after insert on job_queue deferrable initially deferred"
        " for each row execute function done()"
    )
    cut_commit_reply(proxy)
    producer.produce(topic, "v", deduplication_key="a", on_delivery=reports)
    assert wait_until(lambda: producer.flush(1) == 0, LONG_SECONDS)
    assert proxy.faults["reply-cut"] == 1
    assert reports.errors == [None, None]
    assert [message.deduplicated() for message in reports.messages] == [False, False]
    assert migrated.execute("select count(*) from job_queue where deduplication_key = 'a'").fetchone() == (1,)


def test_an_ordinary_producer_starts_no_thread_for_it(producer: Producer, topic: str) -> None:
    def names() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    producer.produce(topic, "v")
    producer.flush(WAIT_SECONDS)
    assert "shim-unique-sender" not in names()
    producer.produce(topic, "v", deduplication_key="a")
    producer.flush(WAIT_SECONDS)
    assert "shim-unique-sender" in names()
    producer.close()
    assert wait_until(lambda: "shim-unique-sender" not in names(), WAIT_SECONDS)


def test_a_producers_role_may_do_it(
    producer_of: MakeProducer, migrated_url: str, migrated: Connection, roles: tuple[str, ...], topic: str
) -> None:
    assert roles
    with closing(postgres.connect(migrated_url, "test")) as conn:
        conn.execute("set role job_queue_producer")
        producer = producer_of(migrated_url)
        assert producer.produce_in(conn, topic, "v", deduplication_key="a")
        assert not producer.produce_in(conn, topic, "v", deduplication_key="a")
    assert migrated.execute(KEYS).fetchall() == [("a", 1)]
