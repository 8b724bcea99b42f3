"""Threads, forks, signals and the end of the process; what a consumer costs and tells while it runs."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.client.turn import reentry_identity
from shim.consumer import Consumer
from shim.store.pool import pool_for
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import (
    WAIT_SECONDS,
    MakeConsumer,
    assigned,
    committed,
    fill,
    lag,
    make_topic,
    members,
    take,
    until,
    values,
)

ROOT = Path(__file__).parents[4]
BEGIN = """
import os, signal, sys, time
from shim.consumer import Consumer
conf = {"shim.dsn": sys.argv[1], "group.id": sys.argv[3], "auto.offset.reset": "earliest", "heartbeat.interval.ms": 100}
topic = sys.argv[2]
def take(consumer, count):
    taken = []
    while len(taken) < count:
        message = consumer.poll(10)
        assert message is not None and message.error() is None, message
        taken.append(message.value())
    return taken
def child_ended(pid):
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def run(program: str, *arguments: str, status: int = 0) -> str:
    """Runs a program to its end, and returns what it wrote to standard error."""
    process = start(program, *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    return errors


def test_a_second_thread_waits_for_its_turn(consumer: Consumer, migrated: Connection) -> None:
    topic = make_topic(migrated)
    consumer.assign([TopicPartition(topic, 0, 0)])
    with ThreadPoolExecutor() as pool:
        polling = pool.submit(consumer.poll, WAIT_SECONDS)
        assert wait_until(lambda: not polling.done() and not consumer._turn.seize(False), WAIT_SECONDS)  # noqa: SLF001
        position = pool.submit(consumer.position, [TopicPartition(topic, 0)])
        assert not position.done()
        fill(migrated, topic, 1)
        message = polling.result(WAIT_SECONDS)
        assert message is not None
        assert position.result(WAIT_SECONDS)[0].offset == 1


def test_a_callback_may_hand_its_turn_to_another_thread(consumer: Consumer, migrated: Connection) -> None:
    """As a client with coroutines does: the call bears the identity of the one that it was made for."""
    topic = make_topic(migrated)
    with ThreadPoolExecutor() as pool:

        def as_somebody(identity: int, call: Callable[[], Any]) -> Any:
            reentry_identity.set(identity)
            return call()

        def on_assign(polled: Consumer, partitions: list[TopicPartition]) -> None:
            pool.submit(as_somebody, 7, lambda: polled.assign(partitions)).result(WAIT_SECONDS)
            stranger = pool.submit(as_somebody, 8, polled.assignment)
            strangers.append(stranger)
            assert not stranger.done()

        strangers: list[Any] = []
        consumer.subscribe([topic], on_assign=on_assign)
        pool.submit(as_somebody, 7, lambda: until(consumer, lambda: strangers)).result(WAIT_SECONDS)
        assert [one.partition for one in strangers[0].result(WAIT_SECONDS)] == [0]


def test_a_handler_of_a_signal_may_close_the_consumer(migrated: Connection, migrated_url: str, group: str) -> None:
    topic = make_topic(migrated)
    program = """
consumer = Consumer(conf)
signal.signal(signal.SIGTERM, lambda *_: consumer.close())
consumer.subscribe([topic], on_assign=lambda *_: print("assigned", flush=True))
try:
    consumer.poll()
except RuntimeError as closed:
    assert str(closed) == "Consumer closed"
    sys.exit(7)
"""
    process = start(program, migrated_url, topic, group)
    assert process.stdout is not None
    assert process.stdout.readline() == "assigned\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, errors) == (7, "")
    assert members(migrated, group) == []


@pytest.mark.parametrize("call", ["poll()", "consume(100)", "consume(100, 60.0)"])
def test_ctrl_c_interrupts_a_wait_and_loses_nothing(
    migrated: Connection, migrated_url: str, group: str, call: str
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 3)
    program = f"""
consumer = Consumer(conf)
consumer.subscribe([topic])
taken = take(consumer, 1)
try:
    print("ready", flush=True)
    while True:
        message = consumer.{call}
        taken += [message.value()] if hasattr(message, "value") else [one.value() for one in message]
except KeyboardInterrupt:
    taken += take(consumer, 3 - len(taken))
    assert taken == [b"0", b"1", b"2"], taken
    consumer.close()
"""
    process = start(program, migrated_url, topic, group)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert committed(migrated, group) == {0: 3}


def test_a_forked_child_is_another_member(migrated: Connection, migrated_url: str, group: str) -> None:
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3, 0)
    fill(migrated, topic, 3, 1)
    program = """
consumer = Consumer({**conf, "enable.auto.commit": False})
consumer.subscribe([topic])
take(consumer, 1)
mine = consumer.memberid()
pid = os.fork()
if pid == 0:
    assert consumer.memberid() is None and consumer.assignment() == []
    while len(consumer.assignment()) != 1:
        consumer.poll(0.1)
    assert consumer.memberid() not in (None, mine)
    consumer.close()
    os._exit(0)
while len(consumer.assignment()) != 1:
    consumer.poll(0.1)
while len(consumer.assignment()) != 2:
    consumer.poll(0.1)
child_ended(pid)
assert consumer.memberid() == mine
consumer.close()
"""
    errors = run(program, migrated_url, topic, group)
    assert errors.count("the process was forked: this consumer goes on as another one") == 1
    assert members(migrated, group) == []


def test_a_forked_child_goes_on_with_what_was_assigned_by_hand(
    migrated: Connection, migrated_url: str, group: str
) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 4)
    program = """
from shim.topic_partition import TopicPartition
consumer = Consumer({**conf, "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, 0, 0)])
assert take(consumer, 2) == [b"0", b"1"]
pid = os.fork()
assert take(consumer, 2) == [b"2", b"3"]
consumer.close()
if pid == 0:
    sys.exit(0)
child_ended(pid)
"""
    run(program, migrated_url, topic, group)


def test_a_forked_child_commits_nothing_of_its_parents(migrated: Connection, migrated_url: str, group: str) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 4)
    program = """
from shim.topic_partition import TopicPartition
consumer = Consumer({**conf, "auto.commit.interval.ms": 0})
consumer.assign([TopicPartition(topic, 0, 0)])
take(consumer, 2)
leave, wait = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(leave, 1)  # the parent has come further, and committed that
    consumer.close()
    sys.exit(0)
take(consumer, 2)
consumer.commit(asynchronous=False)
os.write(wait, b".")
child_ended(pid)
"""
    run(program, migrated_url, topic, group)
    assert committed(migrated, group) == {0: 4}


def test_a_program_that_ends_without_closing(migrated: Connection, migrated_url: str, group: str) -> None:
    topic = make_topic(migrated)
    fill(migrated, topic, 1)
    program = """
consumer = Consumer(conf)
consumer.subscribe([topic])
take(consumer, 1)
"""
    assert run(program, migrated_url, topic, group) == ""


def test_with_closes(consumer: Consumer, migrated: Connection, group: str) -> None:
    topic = make_topic(migrated)
    with consumer as entered:
        assert entered is consumer
        consumer.subscribe([topic])
        until(consumer, consumer.assignment)
    assert members(migrated, group) == []
    consumer.close()


def test_no_connection_is_held_while_the_application_works(consumer: Consumer, migrated_url: str) -> None:
    """One connection serves all consumers of a process: had a callback or a message held it, this would not end."""
    held: list[bool] = []
    pool = pool_for(migrated_url)

    def both_are_free() -> None:
        with pool.connection(5), pool.connection(5):
            held.append(False)

    with pool.connection() as conn:
        topic = make_topic(conn)
        fill(conn, topic, 3)
    consumer.subscribe([topic], on_assign=lambda *_: both_are_free(), on_revoke=lambda *_: both_are_free())
    for _ in take(consumer, 3):
        both_are_free()
    consumer.close()
    assert len(held) == 5


def test_consumers_have_no_threads_of_their_own(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated, partitions=4)
    first = consumer_of(migrated_url, group)
    first.subscribe([topic])
    until(first, first.assignment)
    assert first.poll(0.1) is None  # what runs beside all consumers begins with the first wait, if not before
    before = set(threading.enumerate())
    others = [consumer_of(migrated_url, group) for _ in range(3)]
    for one in others:
        one.subscribe([topic])
    until([first, *others], lambda: all(one.assignment() for one in others))
    assert set(threading.enumerate()) <= before  # another test's may end meanwhile, none begins


def test_statistics(consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str) -> None:
    documents: list[str] = []
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 5)
    consumer = consumer_of(
        migrated_url, group, statistics_interval_ms=50, stats_cb=documents.append, enable_auto_commit=False
    )
    consumer.subscribe([topic])
    take(consumer, 5)
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    documents.clear()
    until(consumer, lambda: documents)
    whole = json.loads(documents[-1])
    assert (whole["type"], whole["rxmsgs"], whole["cgrp"]["assignment_size"]) == ("consumer", 5, 2)
    assert {"name", "client_id", "ts", "time", "age", "msg_cnt", "msg_size", "brokers", "topics"} <= whole.keys()
    read = lag(documents[-1], topic)
    assert (read["app_offset"], read["stored_offset"], read["committed_offset"]) == (5, 5, 2)
    assert (read["lo_offset"], read["hi_offset"], read["consumer_lag"], read["consumer_lag_stored"]) == (0, 5, 3, 0)
    assert lag(documents[-1], topic, 1)["consumer_lag"] == -1
    count = len(documents)
    time_of = time.monotonic()
    until(consumer, lambda: len(documents) >= count + 3)
    assert time.monotonic() - time_of >= 0.1


def test_a_logger_of_the_applications_is_called_in_poll(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    lines: list[tuple[str, str]] = []

    class Logger:
        def log(self, _: int, text: str, *facts: object) -> None:
            lines.append((threading.current_thread().name, text % facts))

    topic = make_topic(migrated)
    fill(migrated, topic, 1)
    consumer = consumer_of(migrated_url, group, logger=Logger())
    consumer.assign([TopicPartition(topic, 0, 1000)])
    take(consumer, 1)
    until(consumer, lambda: lines)
    assert {thread for thread, _ in lines} == {threading.current_thread().name}
    assert any("offset reset (at offset 1000) to offset BEGINNING" in text for _, text in lines)


def test_many_consumers_share_two_connections(
    consumer_of: MakeConsumer, migrated_url: str, migrated: Connection, group: str
) -> None:
    topic = make_topic(migrated, partitions=20)
    consumers = [consumer_of(migrated_url, group) for _ in range(20)]
    for one in consumers:
        one.subscribe([topic])
    with ThreadPoolExecutor(20) as pool:

        def settle(one: Consumer) -> None:
            until(one, lambda: len(one.assignment()) == 1)

        list(pool.map(settle, consumers))
    assert sorted(tp for one in consumers for tp in assigned(one)) == [(topic, number) for number in range(20)]
    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    row = migrated.execute(others).fetchone()
    assert row is not None
    assert row[0] <= 3  # and one that listens


def test_through_a_pooler_in_transaction_mode(
    consumer_of: MakeConsumer, pgbouncer: Any, migrated_url: str, migrated: Connection, group: str
) -> None:
    url = pgbouncer.url_of(migrated_url)
    topic = make_topic(migrated, partitions=2)
    fill(migrated, topic, 3)
    a, b = consumer_of(url, group), consumer_of(url, group)
    a.subscribe([topic])
    assert values(take(a, 3)) == [b"0", b"1", b"2"]
    b.subscribe([topic])
    until([a, b], lambda: a.assignment() and b.assignment())
    a.close()
    b.close()
    assert committed(migrated, group) == {0: 3}
