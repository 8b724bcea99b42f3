"""When reports come, what the queue holds, and what else the application is told."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.errors import KafkaError
from shim.producer import Producer
from shim.producing.delivery import Reporter
from shim.protocol.codes import Broker, Local
from tests.integration.shim.producer.scene import WAIT_SECONDS, MakeProducer, Reports, make_topic, stored

NOBODY = "postgresql://nobody@127.0.0.1:9/none"
FOR_EVER_MS = 900_000


def count(conn: Connection) -> int:
    row = conn.execute("select count(*) from job_queue").fetchone()
    assert row is not None
    return int(row[0])


def test_reports_come_from_poll_alone(producer: Producer, migrated: Connection, reports: Reports) -> None:
    caller: list[int] = []
    producer.produce("topic", b"1", callback=lambda *_: caller.append(threading.get_ident()))
    producer.produce("topic", b"2", callback=reports)
    producer.produce("topic", b"3")
    assert wait_until(lambda: count(migrated) == 3, WAIT_SECONDS)
    assert (caller, reports.values, len(producer)) == ([], [], 3)
    while len(producer):
        assert producer.poll(WAIT_SECONDS) > 0
    assert caller == [threading.get_ident()]
    assert reports.values == [b"2"]
    assert producer.poll(0) == 0


def test_flush_waits_for_reports_that_are_just_being_made(
    producer: Producer, migrated: Connection, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue holds the message no more, and nothing has arrived yet."""
    settled, go_on = threading.Event(), threading.Event()
    heard = Reporter._heard  # noqa: SLF001  # the moment between the two is nowhere else to be had

    def heard_late(reporter: Reporter, rows: Any) -> Any:
        if rows:
            settled.set()
            assert go_on.wait(WAIT_SECONDS)
        return heard(reporter, rows)

    monkeypatch.setattr(Reporter, "_heard", heard_late)
    producer.produce("topic", b"1", callback=reports)
    assert settled.wait(WAIT_SECONDS)
    assert (len(producer), producer.flush(0.2), count(migrated)) == (1, 1, 1)
    go_on.set()
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values == [b"1"]


def test_poll_returns_as_soon_as_something_was_served(producer: Producer, reports: Reports) -> None:
    producer.produce("topic", b"1", callback=reports)
    started = time.monotonic()
    assert producer.poll(WAIT_SECONDS) == 1
    assert time.monotonic() - started < WAIT_SECONDS / 2
    assert reports.values == [b"1"]


def test_poll_returns_when_the_time_is_over(producer: Producer) -> None:
    started = time.monotonic()
    assert producer.poll(0.2) == 0
    assert 0.2 <= time.monotonic() - started < WAIT_SECONDS


def test_callback_wins_over_on_delivery_and_that_over_the_default(producer_of: MakeProducer, migrated_url: str) -> None:
    called: list[str] = []
    producer = producer_of(migrated_url, on_delivery=lambda *_: called.append("default"))
    producer.produce("topic", callback=lambda *_: called.append("callback"), on_delivery=lambda *_: called.append("on"))
    producer.produce("topic", callback=None, on_delivery=lambda *_: called.append("on_delivery"))
    producer.produce("topic")
    assert producer.flush(WAIT_SECONDS) == 0
    assert called == ["callback", "on_delivery", "default"]


def test_only_errors_are_reported_if_asked(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    make_topic(migrated, "topic")
    producer = producer_of(migrated_url, delivery_report_only_error=True, on_delivery=reports)
    producer.produce("topic", b"good")
    producer.produce("topic", b"bad", partition=7)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.UNKNOWN_PARTITION]
    assert len(stored(migrated, "topic")) == 1


def test_an_exception_in_a_callback_comes_out_and_the_rest_goes_on(producer: Producer, reports: Reports) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("the application's own")

    producer.produce("topic", b"1", callback=reports)
    producer.produce("topic", b"2", callback=fail)
    producer.produce("topic", b"3", callback=reports)
    with pytest.raises(ZeroDivisionError, match="the application's own"):
        producer.flush(WAIT_SECONDS)
    assert reports.values[0] == b"1"
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values == [b"1", b"3"]


def test_what_a_callback_produces_is_flushed_too(producer: Producer, reports: Reports) -> None:
    def again(*_: object) -> None:
        producer.produce("topic", b"second", callback=reports)

    producer.produce("topic", b"first", callback=again)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values == [b"second"]


def test_a_callback_may_flush_and_close(producer: Producer, reports: Reports) -> None:
    def finish(*_: object) -> None:
        assert producer.flush(WAIT_SECONDS) == 0
        assert producer.close()

    producer.produce("topic", b"1", callback=finish)
    producer.produce("topic", b"2", callback=reports)
    producer.poll(WAIT_SECONDS)
    assert reports.values == [b"2"]


def test_flush_does_not_linger(producer_of: MakeProducer, migrated_url: str, reports: Reports) -> None:
    producer = producer_of(migrated_url, linger_ms=FOR_EVER_MS, message_timeout_ms=0)
    producer.produce("topic", b"1", callback=reports)
    assert producer.poll(0.3) == 0
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values == [b"1"]


@pytest.mark.parametrize("settings", [{"batch.num.messages": 3}, {"batch.size": 300}], ids=str)
def test_a_full_batch_does_not_linger(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, settings: dict[str, Any]
) -> None:
    producer = producer_of(migrated_url, linger_ms=FOR_EVER_MS, message_timeout_ms=0, **settings)
    producer.produce("topic", b"v" * 100)
    producer.produce("topic", b"v" * 100)
    assert producer.poll(0.3) == 0
    assert count(migrated) == 0
    producer.produce("topic", b"v" * 100)
    assert wait_until(lambda: count(migrated) == 3, WAIT_SECONDS)


def transactions(conn: Connection) -> list[int]:
    """How many rows each transaction wrote, in order."""
    rows = conn.execute("select count(*) from job_queue group by xmin::text::bigint order by min(id)")
    return [row[0] for row in rows]


@pytest.mark.parametrize("settings", [{"batch.num.messages": 10}, {"batch.size": 1000}], ids=str)
def test_a_batch_bounds_a_transaction(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, settings: dict[str, Any]
) -> None:
    producer = producer_of(migrated_url, linger_ms=FOR_EVER_MS, message_timeout_ms=0, **settings)
    for number in range(35):
        producer.produce("topic", b"%d" % (10**99 + number))
    producer.produce("topic", b"v" * 5000)
    assert producer.flush(WAIT_SECONDS) == 0
    found = transactions(migrated)
    assert sum(found) == 36
    assert max(found) == 10


def test_the_queue_is_full(producer_of: MakeProducer, reports: Reports) -> None:
    producer = producer_of(NOBODY, queue_buffering_max_messages=3)
    for _ in range(3):
        producer.produce("topic", b"v", callback=reports)
    with pytest.raises(BufferError, match=r"^Local: Queue full$"):
        producer.produce("topic", b"v", callback=reports)
    assert len(producer) == 3
    messages: list[dict[str, Any]] = [{"value": b"v", "callback": reports}]
    assert producer.produce_batch("topic", messages) == 0
    assert messages[0]["_error"].code() == Local.QUEUE_FULL
    assert messages[0]["_error"].str() == "Message failed: Local: Queue full"
    producer.purge()
    producer.flush(WAIT_SECONDS)
    assert len(reports.messages) == 3


def test_the_queue_is_full_by_bytes(producer_of: MakeProducer) -> None:
    producer = producer_of(NOBODY, queue_buffering_max_kbytes=1)
    producer.produce("topic", b"v" * 600)
    with pytest.raises(BufferError, match="Local: Queue full"):
        producer.produce("topic", b"v" * 600)
    producer.produce("topic", b"v" * 400)


def test_the_queue_is_full_until_reports_are_served(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str
) -> None:
    producer = producer_of(migrated_url, queue_buffering_max_messages=2)
    producer.produce("topic", b"1")
    producer.produce("topic", b"2")
    assert wait_until(lambda: count(migrated) == 2, WAIT_SECONDS)
    with pytest.raises(BufferError):
        producer.produce("topic", b"3")
    while len(producer) > 1:
        producer.poll(WAIT_SECONDS)
    producer.produce("topic", b"3")


def test_producing_waits_for_room_if_asked(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    producer = producer_of(
        migrated_url,
        queue_buffering_max_messages=2,
        linger_ms=FOR_EVER_MS,
        message_timeout_ms=0,
        shim_block_on_full=True,
    )
    for number in range(9):
        producer.produce("topic", b"%d" % number, callback=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values == [b"%d" % number for number in range(9)]
    assert [row.value for row in stored(migrated, "topic")] == reports.values


def test_messages_time_out(producer_of: MakeProducer, reports: Reports) -> None:
    producer = producer_of(NOBODY, message_timeout_ms=400)
    for number in range(3):
        producer.produce("topic", b"%d" % number, callback=reports)
    assert producer.flush(0.05) == 3
    started = time.monotonic()
    assert producer.flush(WAIT_SECONDS) == 0
    assert time.monotonic() - started < WAIT_SECONDS / 2
    assert reports.codes == [Local.MSG_TIMED_OUT] * 3
    assert reports.values == [b"0", b"1", b"2"]
    assert reports.errors[0].str() == "Local: Message timed out"
    assert (reports.messages[0].partition(), reports.messages[0].offset()) == (None, None)
    assert reports.messages[0].latency() >= 0.4


def test_each_message_has_its_own_time(producer_of: MakeProducer, reports: Reports) -> None:
    producer = producer_of(NOBODY, message_timeout_ms=1500)
    producer.produce("topic", b"old", callback=reports)
    assert producer.poll(1.0) == 0
    producer.produce("topic", b"young", callback=reports)
    producer.poll(WAIT_SECONDS)
    assert reports.values == [b"old"]
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.values == [b"old", b"young"]


@contextmanager
def heads_held(url: str) -> Iterator[None]:
    """Lets no append go on."""
    with psycopg.connect(url) as conn, conn.transaction():
        conn.execute("select from job_partition for update")
        yield


def test_a_message_times_out_while_its_append_waits(
    producer_of: MakeProducer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    make_topic(migrated, "topic")
    producer = producer_of(migrated_url, message_timeout_ms=500)
    with heads_held(migrated_url):
        producer.produce("topic", b"v", callback=reports)
        assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.MSG_TIMED_OUT]


def test_purge_of_what_waits(producer_of: MakeProducer, reports: Reports) -> None:
    producer = producer_of(NOBODY)
    producer.produce("topic", b"1", callback=reports)
    producer.produce("topic", b"2", callback=reports)
    producer.purge(in_queue=False)
    assert len(producer) == 2
    producer.purge()
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.PURGE_QUEUE] * 2


def test_purge_of_what_is_being_sent(
    producer: Producer, migrated: Connection, migrated_url: str, reports: Reports
) -> None:
    make_topic(migrated, "topic")
    with heads_held(migrated_url):
        producer.produce("topic", b"1", callback=reports)
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        assert wait_until(lambda: migrated.execute(waits).fetchone() == (1,), WAIT_SECONDS)
        producer.purge(in_flight=False)
        assert producer.poll(0) == 0
        producer.purge(in_queue=False)
        assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.PURGE_INFLIGHT]
    producer.produce("topic", b"2", callback=reports)
    assert producer.flush(WAIT_SECONDS) == 0
    assert reports.codes == [Local.PURGE_INFLIGHT, None]


def test_a_batch(producer: Producer, migrated: Connection, reports: Reports) -> None:
    make_topic(migrated, "topic", 4)
    own = Reports()
    messages: list[dict[str, Any]] = [
        {"value": b"1", "partition": 3},
        {"value": "2", "key": "k", "headers": {"h": b"1"}, "timestamp": 77, "callback": own},
        {"value": b"x" * 1_000_001},
        {},
    ]
    assert producer.produce_batch("topic", messages, partition=1, on_delivery=reports) == 3
    assert producer.flush(WAIT_SECONDS) == 0
    assert [(row.partition, row.value) for row in stored(migrated, "topic")] == [(1, b"2"), (1, None), (3, b"1")]
    found = stored(migrated, "topic")[0]
    assert (found.key, found.headers, found.timestamp_ms) == (b"k", [b"h", b"1"], 77)
    assert messages[2]["_error"].code() == Broker.MSG_SIZE_TOO_LARGE
    assert messages[2]["_error"].str() == "Message failed: Broker: Message size too large"
    assert [name for message in messages for name in message if name == "_error"] == ["_error"]
    assert sorted(reports.values, key=str) == [None, b"1"]
    assert own.values == [b"2"]
    assert producer.produce_batch("topic", []) == 0


def test_statistics(producer_of: MakeProducer, migrated_url: str) -> None:
    documents: list[dict[str, Any]] = []
    producer = producer_of(
        migrated_url,
        statistics_interval_ms=100,
        client_id="me",
        stats_cb=lambda text: documents.append(json.loads(text)),
    )
    for number in range(3):
        producer.produce("topic", b"%d" % number)
    assert producer.flush(WAIT_SECONDS) == 0
    known = len(documents)
    while len(documents) < known + 2:
        assert producer.poll(WAIT_SECONDS) == 1
    first, last = documents[0], documents[-1]
    assert last["name"].startswith("me#producer-")
    assert (last["client_id"], last["type"], last["brokers"]) == ("me", "producer", {})
    assert (last["msg_cnt"], last["msg_size"], last["txmsgs"], last["txmsg_bytes"]) == (0, 0, 3, 3)
    assert (last["msg_max"], last["msg_size_max"]) == (100_000, 1_048_576 * 1024)
    assert list(last["topics"]) == ["topic"]
    assert first["age"] < last["age"]
    assert abs(last["time"] - time.time()) < WAIT_SECONDS


def test_errors_are_told_once_by_poll(producer_of: MakeProducer) -> None:
    told: list[KafkaError] = []
    producer = producer_of(NOBODY, error_cb=told.append)
    producer.produce("topic", b"v")
    while len(told) < 2:
        assert producer.poll(WAIT_SECONDS) > 0
    assert producer.poll(0.5) == 0
    assert [error.code() for error in told] == [Local.TRANSPORT, Local.ALL_BROKERS_DOWN]
    assert told[1].str() == "1/1 brokers are down"
    assert len(producer) == 1


class Foreman(logging.Logger):
    """A logger of the application's own."""

    def __init__(self) -> None:
        super().__init__("foreman")
        self.lines: list[str] = []
        self.threads: set[int] = set()

    def log(self, level: int, msg: object, *args: object, **_: Any) -> None:
        assert level == logging.ERROR
        self.lines.append(str(msg) % args)
        self.threads.add(threading.get_ident())


def test_the_applications_logger_is_called_by_poll(producer_of: MakeProducer) -> None:
    foreman = Foreman()
    producer = producer_of(NOBODY, logger=foreman, client_id="me")
    producer.produce("topic", b"v")
    assert producer.poll(WAIT_SECONDS) == 1
    assert foreman.threads == {threading.get_ident()}
    assert foreman.lines[0].startswith("FAIL [me#producer-")
    assert foreman.lines[0].endswith("] Local: Broker transport failure: no connection to Postgres")


def test_metadata(producer: Producer, migrated: Connection) -> None:
    make_topic(migrated, "topic", 3)
    found = producer.list_topics(timeout=WAIT_SECONDS)
    assert list(found.topics["topic"].partitions) == [0, 1, 2]
    assert producer.cluster_id(WAIT_SECONDS) == found.cluster_id


def test_many_threads(producer: Producer, migrated: Connection) -> None:
    def work(worker: int) -> None:
        for number in range(200):
            producer.produce("topic", b"%d" % number, b"%d" % worker)
            producer.poll(0)

    threads = [threading.Thread(target=work, args=[worker]) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(WAIT_SECONDS) == 0
    assert len(producer) == 0
    for worker in range(8):
        own = [row.value for row in stored(migrated, "topic") if row.key == b"%d" % worker]
        assert own == [b"%d" % number for number in range(200)]
