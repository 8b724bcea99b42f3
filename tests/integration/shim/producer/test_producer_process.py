"""Forks, the end of the process, signals, and producers that are forgotten: each in a program of its own."""

import gc
import json
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.producer import Producer
from tests.integration.shim.producer.scene import WAIT_SECONDS, MakeProducer, Reports, make_topic, stored

ROOT = Path(__file__).parents[4]
NOBODY = "postgresql://nobody@127.0.0.1:9/none"
LOST = "still in queue or transit: use flush() to wait for outstanding message delivery"
BEGIN = """
import os, signal, sys
from shim.producer import Producer
def child_ended(pid):
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""


def run(program: str, url: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + program, url]
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


def complaints(program: str, url: str, status: int = 0) -> str:
    """Runs a program to its end, and returns what it wrote to standard error."""
    process = run(program, url)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    return errors


def own_threads() -> int:
    """How many threads the producers of this process have."""
    return sum(thread.name in {"shim-packer", "shim-sender", "shim-end"} for thread in threading.enumerate())


def values(conn: Connection, topic: str = "topic") -> list[bytes]:
    return sorted(row.value or b"" for row in stored(conn, topic))


def test_a_forked_child_has_a_producer_of_its_own(migrated: Connection, migrated_url: str) -> None:
    program = """
producer = Producer({"shim.dsn": sys.argv[1], "linger.ms": 60000})
reported = []
for number in range(3):
    producer.produce("topic", f"parent {number}", on_delivery=lambda error, message: reported.append(message.value()))
pid = os.fork()
if pid == 0:
    assert len(producer) == 0
    assert producer.flush(30) == 0
    producer.produce("topic", "child", on_delivery=lambda error, message: reported.append(message.value()))
    assert producer.flush(30) == 0
    assert reported == [b"child"], reported
    os._exit(0)
child_ended(pid)
assert len(producer) == 3
assert producer.flush(30) == 0
assert reported == [b"parent 0", b"parent 1", b"parent 2"], reported
"""
    assert complaints(program, migrated_url) == ""
    assert values(migrated) == [b"child", b"parent 0", b"parent 1", b"parent 2"]


def test_a_child_forked_while_messages_are_being_sent(migrated: Connection, migrated_url: str) -> None:
    """The child ends as programs do, with whatever runs at their end; several of them, one from the other."""
    program = """
producer = Producer({"shim.dsn": sys.argv[1], "linger.ms": 0})
def work(who):
    for number in range(300):
        producer.produce("topic", f"{who} {number}")
        producer.poll(0)
work("parent")
pids = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        work(f"child {child}")
        assert producer.flush(30) == 0
        sys.exit(0)
    pids.append(pid)
    work(f"parent after {child}")
for pid in pids:
    child_ended(pid)
assert producer.flush(30) == 0
"""
    assert complaints(program, migrated_url) == ""
    names = ["parent", *(f"{who} {child}" for who in ("child", "parent after") for child in range(3))]
    assert values(migrated) == sorted(b"%s %d" % (name.encode(), number) for name in names for number in range(300))


def test_a_child_forked_while_an_append_waits(migrated: Connection, migrated_url: str) -> None:
    make_topic(migrated, "topic")
    program = """
import psycopg
producer = Producer({"shim.dsn": sys.argv[1], "linger.ms": 0})
with psycopg.connect(sys.argv[1]) as conn, conn.transaction():
    conn.execute("select from job_partition for update")
    producer.produce("topic", "parent")
    waits = "select 1 from pg_locks where not granted"
    with psycopg.connect(sys.argv[1], autocommit=True, prepare_threshold=None) as other:
        while not other.execute(waits).fetchone():
            pass
    pid = os.fork()
    if pid == 0:
        producer.produce("other", "child")
        assert producer.flush(30) == 0
        os._exit(0)
    child_ended(pid)
assert producer.flush(30) == 0
"""
    assert complaints(program, migrated_url) == ""
    assert values(migrated) == [b"parent"]
    assert values(migrated, "other") == [b"child"]


def test_a_program_that_ends_without_a_flush_is_told_what_it_loses(migrated: Connection, migrated_url: str) -> None:
    program = """
producer = Producer({"shim.dsn": sys.argv[1], "linger.ms": 60000})
producer.produce("topic", "1234")
producer.produce("topic", "56", "78")
"""
    assert LOST in complaints(program, migrated_url)
    assert "2 messages (8 bytes)" in complaints(program, migrated_url)
    assert values(migrated) == []


def test_a_program_that_flushed_is_told_nothing(migrated: Connection, migrated_url: str) -> None:
    program = """
producer = Producer({"shim.dsn": sys.argv[1]})
producer.produce("topic", "1")
assert producer.flush(30) == 0
producer.produce("topic", "2")
while len(producer):
    producer.poll(1)
"""
    assert complaints(program, migrated_url) == ""
    assert values(migrated) == [b"1", b"2"]


def test_a_program_that_never_polled_but_was_delivered_is_told_nothing(migrated: Connection, migrated_url: str) -> None:
    program = """
producer = Producer({"shim.dsn": sys.argv[1], "linger.ms": 0})
producer.produce("topic", "1")
sys.stdout.write("produced\\n")
sys.stdout.flush()
sys.stdin.readline()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + program, migrated_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert wait_until(lambda: values(migrated) == [b"1"], WAIT_SECONDS)
    _, errors = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("call", ["flush()", "poll()", "close()"])
def test_ctrl_c_ends_a_wait(call: str) -> None:
    program = f"""
producer = Producer({{"shim.dsn": sys.argv[1], "log_level": 0}})
producer.produce("topic", "1")
sys.stdout.write("waits\\n")
sys.stdout.flush()
while True:
    producer.{call}
"""
    process = run(program, NOBODY)
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors


def test_ctrl_c_at_any_moment_leaves_whole_messages_and_a_working_producer(
    migrated: Connection, migrated_url: str
) -> None:
    make_topic(migrated, "topic", 3)
    program = """
import json, random
signal.signal(signal.SIGALRM, signal.default_int_handler)
producer = Producer({"shim.dsn": sys.argv[1], "linger.ms": 1, "queue.buffering.max.messages": 1000000})
told, sure, strikes, number = [], ["0"], 0, 0
producer.produce("topic", "0", "0", headers={"h": "0"})
assert producer.flush(30) == 0
while strikes < 300:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.001))
        while True:
            number += 1
            text = str(number)
            report = lambda error, message, text=text: told.append((text, message.value().decode()))
            producer.produce("topic", text, text, headers={"h": text}, on_delivery=report)
            sure.append(text)
            producer.poll(0)
    except KeyboardInterrupt:
        strikes += 1
assert producer.flush(30) == 0, len(producer)
assert producer.close()
assert all(text == value for text, value in told)
assert len(told) == len(set(told))
sys.stdout.write(json.dumps(sure))
"""
    process = run(program, migrated_url)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    rows = stored(migrated, "topic")
    assert all(row.key == row.value and row.headers == [b"h", row.value] for row in rows)
    found = [(row.value or b"").decode() for row in rows]
    assert len(found) == len(set(found))
    assert set(json.loads(output)) <= set(found)


def test_a_forgotten_producer_ends_and_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    before = own_threads()
    producer = Producer({"shim.dsn": NOBODY})
    producer.produce("topic", "12")
    assert own_threads() > before
    with caplog.at_level(logging.WARNING, "shim"):
        del producer
        gc.collect()
        assert wait_until(lambda: "1 message (2 bytes)" in caplog.text, WAIT_SECONDS)
    assert LOST in caplog.text
    assert wait_until(lambda: own_threads() == before, WAIT_SECONDS)


def test_a_closed_producer_leaves_no_thread(producer_of: MakeProducer, migrated_url: str, reports: Reports) -> None:
    before = own_threads()
    producer = producer_of(migrated_url)
    producer.produce("topic", "1", callback=reports)
    assert producer.close()
    assert reports.errors == [None]
    assert wait_until(lambda: own_threads() == before, WAIT_SECONDS)


def test_a_producer_that_is_not_used_costs_no_thread(producer_of: MakeProducer, migrated_url: str) -> None:
    before = own_threads()
    producer = producer_of(migrated_url)
    assert producer.poll(0) == 0
    assert own_threads() == before
