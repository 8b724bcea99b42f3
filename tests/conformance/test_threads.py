"""Clients that several threads use at once, and clients in a forked child."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance.records import fill, serve, take, values
from tests.conformance.side import WAIT_SECONDS, Side


def test_a_producer_is_shared(side: Side) -> None:
    topic = side.topic()
    reports: list[Any] = []
    producer = side.producer({"on_delivery": lambda error, message: reports.append((error, message.value()))})

    def produce(thread: int) -> None:
        for number in range(100):
            producer.produce(topic, b"%d-%d" % (thread, number))
            producer.poll(0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(produce, range(4)))
    assert producer.flush(WAIT_SECONDS) == 0
    assert sorted(value for _, value in reports) == sorted(b"%d-%d" % (t, n) for t in range(4) for n in range(100))
    assert all(error is None for error, _ in reports)
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    found = values(take(consumer, 400))
    for thread in range(4):
        mine = [value for value in found if value is not None and value.startswith(b"%d-" % thread)]
        assert mine == [b"%d-%d" % (thread, number) for number in range(100)]


def test_a_thread_that_only_polls(side: Side) -> None:
    topic = side.topic()
    threads: set[int] = set()
    done = threading.Event()
    producer = side.producer()

    def reported(_error: Any, _message: Any) -> None:
        threads.add(threading.get_ident())
        done.set()

    def polls() -> None:
        while not done.is_set():
            producer.poll(0.05)

    poller = threading.Thread(target=polls)
    poller.start()
    producer.produce(topic, b"v", on_delivery=reported)
    poller.join(WAIT_SECONDS)
    assert threads == {poller.ident}


def test_a_consumer_in_a_thread_of_its_own(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(50)])
    consumer = side.consumer()
    callbacks: set[int] = set()
    consumer.subscribe([topic], on_assign=lambda *_: callbacks.add(threading.get_ident()))
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(take(consumer, 50)))
    reader.start()
    reader.join(WAIT_SECONDS)
    assert values(found) == [b"%d" % number for number in range(50)]
    assert callbacks == {reader.ident}


def test_calls_of_two_threads_take_turns(side: Side) -> None:
    """The second waits for the first, and nothing is handed out twice."""
    topic = side.topic()
    fill(side, topic, [b"%d" % number for number in range(200)])
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    found: list[bytes] = []
    lock = threading.Lock()

    def reads() -> None:
        while len(found) < 200:
            message = consumer.poll(0.05)
            if message is not None:
                with lock:
                    found.append(message.value())

    with ThreadPoolExecutor(2) as pool:
        for reading in [pool.submit(reads) for _ in range(2)]:
            reading.result(WAIT_SECONDS)
    assert sorted(found) == sorted(b"%d" % number for number in range(200))


def test_callbacks_may_call_their_client(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"v"])
    seen: list[Any] = []

    def looks_round(consumer: Any, partitions: list[Any]) -> None:
        seen.append(consumer.committed(partitions, WAIT_SECONDS)[0].offset)
        seen.append(consumer.get_watermark_offsets(partitions[0], WAIT_SECONDS))
        seen.append(consumer.position(partitions)[0].offset)

    consumer = side.consumer()
    consumer.subscribe([topic], on_assign=looks_round)
    take(consumer, 1)
    assert seen == [-1001, (0, 1), -1001]


def test_an_admin_client_is_shared(side: Side) -> None:
    names = [side.name("topic") for _ in range(6)]
    cluster = side.cluster

    def create(name: str) -> object:
        return cluster.create_topics([side.admin.NewTopic(name, 1, 1)])[name].result(WAIT_SECONDS)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(create, names)) == [None] * 6
    serve([], lambda: set(names) <= cluster.list_topics(timeout=WAIT_SECONDS).topics.keys())


INTERRUPTED = """
import os, signal, sys, threading, time
import {package} as client
consumer = client.Consumer({{"bootstrap.servers": {servers!r}, "group.id": "interrupted"}})
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    getattr(consumer, {method!r})({arguments})
except KeyboardInterrupt:
    print("interrupted", "early" if time.monotonic() - began < 2 else "late")
"""


def interrupted(side: Side, method: str, arguments: str) -> str:
    """What a program says that is sent SIGINT after half a second of waiting for at least three."""
    program = INTERRUPTED.format(
        package=side.family.package, servers=side.family.servers, method=method, arguments=arguments
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return ended.stdout.strip()


def test_poll_is_interruptible(side: Side) -> None:
    assert interrupted(side, "poll", "30") == "interrupted early"


@pytest.mark.differs("consume-is-interruptible")
def test_consume_is_interruptible(side: Side) -> None:
    assert interrupted(side, "consume", "1, 3") == side.either(kafka="interrupted late", shim="interrupted early")


FORKED = """
import os, sys
import {package} as client
producer = client.Producer({{"bootstrap.servers": {servers!r}, "linger.ms": 0}})
producer.produce({topic!r}, b"parent")
producer.flush()
child = os.fork()
if child == 0:
    producer.produce({topic!r}, b"child")
    os._exit(min(producer.flush(2), 1))
_, status = os.waitpid(child, 0)
producer.produce({topic!r}, b"parent again")
print(os.waitstatus_to_exitcode(status), producer.flush(15))
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.differs("fork")
def test_a_producer_in_a_forked_child(side: Side) -> None:
    topic = side.topic()
    program = FORKED.format(package=side.family.package, servers=side.family.servers, topic=topic)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.split() == side.either(kafka=["1", "0"], shim=["0", "0"]), ended.stderr
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    expected = side.either(kafka=[b"parent", b"parent again"], shim=[b"parent", b"child", b"parent again"])
    assert values(take(consumer, len(expected))) == expected
