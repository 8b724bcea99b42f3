"""An order desk on ``confluent_kafka``: one producer, a group of three workers, an audit. It is a test's subject.

It is written for the original client alone and knows nothing of any other; what it prints depends on neither time nor
chance, so that its output can be compared.

    application.py run SERVERS TOPIC     the whole story; starts its workers itself
    application.py work SERVERS TOPIC    one worker, until its standard input ends
"""

# ruff: noqa: T201, SLF001  # it is a script, and prints; Kafka's local error codes begin with an underscore

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

PARTITIONS = 6
CUSTOMERS = [f"customer-{number}" for number in range(12)]
ROUNDS = 3
WAIT_SECONDS = 90


def complain(error: KafkaError) -> None:
    """What the clients report about their connection."""
    print("error", error.name(), file=sys.stderr)


class Desk:
    """Takes orders down, and keeps the reports of their delivery."""

    def __init__(self, servers: str, topic: str) -> None:
        self.topic = topic
        self.producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "error_cb": complain})
        self.delivered: Counter[int] = Counter()
        self.failed: list[str] = []

    def take_down(self, round_number: int) -> None:
        """One order of every customer; every fourth customer also takes an order back."""
        for number, customer in enumerate(CUSTOMERS):
            order = {"customer": customer, "round": round_number, "amount": number * 10 + round_number}
            headers: list[tuple[str, str | bytes | None]] = [
                ("round", str(round_number)),
                ("trace", b"\x00\xff"),
                ("none", None),
            ]
            self.producer.produce(self.topic, json.dumps(order), key=customer, headers=headers, on_delivery=self.report)
            if number % 4 == 3:
                self.producer.produce(self.topic, None, key=customer, on_delivery=self.report)
            self.producer.poll(0)
        left = self.producer.flush(30)
        assert left == 0, f"{left} orders were not delivered"

    def report(self, error: KafkaError | None, message: Any) -> None:
        """Count a delivery."""
        if error is not None:
            self.failed.append(error.name())
        else:
            self.delivered[message.partition()] += 1


class Worker:
    """A member of the group ``TOPIC-workers``: works orders off and commits each."""

    def __init__(self, servers: str, topic: str) -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": f"{topic}-workers",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 200,
                "error_cb": complain,
            }
        )
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Say what we were given, and where its group stands."""
        committed = consumer.committed(partitions, timeout=30)
        say(
            "assigned",
            partitions=sorted(tp.partition for tp in partitions),
            standing=sum(max(tp.offset, 0) for tp in committed),
        )

    def on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Say what we gave back."""
        say("revoked", partitions=sorted(tp.partition for tp in partitions))

    def work(self, stopping: threading.Event) -> None:
        """Poll until told to stop."""
        try:
            while not stopping.is_set():
                message = self.consumer.poll(0.1)
                if message is None:
                    continue
                if message.error():
                    raise SystemExit(str(message.error()))
                self.settle(message)
        finally:
            self.consumer.close()
            say("closed")

    def settle(self, message: Any) -> None:
        """Do one order's work, then commit it."""
        order = json.loads(message.value()) if message.value() is not None else None
        headers = [[name, value.hex() if value is not None else None] for name, value in message.headers() or []]
        say(
            "settled",
            partition=message.partition(),
            offset=message.offset(),
            key=message.key().decode(),
            order=order,
            headers=headers,
        )
        (committed,) = self.consumer.commit(message=message, asynchronous=False)
        assert committed.offset == message.offset() + 1


def say(event: str, **facts: Any) -> None:
    """Tell the parent process what happened."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Colleague:
    """A worker's process, as its parent sees it."""

    def __init__(self, servers: str, topic: str) -> None:
        command = [sys.executable, str(Path(__file__)), "work", servers, topic]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events: list[dict[str, Any]] = []
        self.held: set[int] = set()
        self.changed = threading.Condition()
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()

    def listen(self) -> None:
        """Note what the worker says."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            with self.changed:
                self.events.append(event)
                if event["event"] == "assigned":
                    self.held |= set(event["partitions"])
                elif event["event"] == "revoked":
                    self.held -= set(event["partitions"])
                self.changed.notify_all()

    def leave(self) -> int:
        """Have it close its consumer and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.listener.join()
        return self.process.wait()

    def settled(self) -> Iterator[dict[str, Any]]:
        """The orders that it worked off so far."""
        with self.changed:
            return iter([event for event in self.events if event["event"] == "settled"])


def wait(colleagues: list[Colleague], condition: Any, what: str) -> None:
    """Wait until the workers' reports satisfy a condition."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if condition():
            return
        with colleagues[0].changed:
            colleagues[0].changed.wait(0.1)
    for colleague in colleagues:
        colleague.process.kill()
    raise SystemExit(f"gave up waiting: {what}")


def shared(colleagues: list[Colleague]) -> bool:
    """Whether every partition has one holder, and every worker the same number of them."""
    parts = [colleague.held for colleague in colleagues]
    return sum(map(len, parts)) == PARTITIONS == len(set().union(*parts)) and len(set(map(len, parts))) == 1


def audit(servers: str, topic: str, delivered: Counter[int]) -> None:
    """Read everything again by assignment, to the ends; then seek back once."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{topic}-audit",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    history = read_to_the_ends(consumer)
    for customer in CUSTOMERS:
        print("audit", customer, history[customer])
    for number in range(PARTITIONS):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
        (position,) = consumer.position([TopicPartition(topic, number)])
        facts = {"low": low, "high": high, "delivered": delivered[number], "read to": max(position.offset, 0)}
        print("partition", number, facts)
    busiest = min(range(PARTITIONS), key=lambda number: (-delivered[number], number))
    consumer.pause([TopicPartition(topic, number) for number in range(PARTITIONS) if number != busiest])
    consumer.seek(TopicPartition(topic, busiest, 2))
    again: Any = None
    while again is None or again.error():
        again = consumer.poll(1)
    print("again", again.partition(), again.offset(), again.key().decode())
    consumer.close()


def read_to_the_ends(consumer: Consumer) -> dict[str, list[int | None]]:
    """Each customer's amounts, None where an order was taken back."""
    history: dict[str, list[int | None]] = defaultdict(list)
    ended: set[int] = set()
    while len(ended) < PARTITIONS:
        batch: list[Any] = consumer.consume(50, timeout=0.2)
        for message in batch:
            if message.error() is None:
                value = message.value()
                history[message.key().decode()].append(json.loads(value)["amount"] if value is not None else None)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise SystemExit(str(message.error()))
    return history


def run(servers: str, topic: str) -> None:
    """The whole story."""
    desk = Desk(servers, topic)
    colleagues = [Colleague(servers, topic), Colleague(servers, topic)]
    wait(colleagues, lambda: shared(colleagues), "two workers share the partitions")
    print("two workers hold", [len(colleague.held) for colleague in colleagues])
    desk.take_down(0)
    wait(colleagues, lambda: total(colleagues) == sum(desk.delivered.values()), "the first round is settled")
    print("settled", total(colleagues))

    colleagues.append(Colleague(servers, topic))
    desk.take_down(1)  # in the middle of the rebalance
    wait(colleagues, lambda: shared(colleagues), "three workers share the partitions")
    print("three workers hold", [len(colleague.held) for colleague in colleagues])
    wait(colleagues, lambda: total(colleagues) == sum(desk.delivered.values()), "the second round is settled")
    print("settled", total(colleagues))

    print("one leaves with status", colleagues[0].leave())
    wait(colleagues, lambda: shared(colleagues[1:]), "two workers are left")
    print("two workers hold", [len(colleague.held) for colleague in colleagues[1:]])
    desk.take_down(2)
    wait(colleagues, lambda: total(colleagues) == sum(desk.delivered.values()), "the last round is settled")
    print("the others leave with", [colleague.leave() for colleague in colleagues[1:]])

    summarize(colleagues, desk)
    audit(servers, topic, desk.delivered)
    standing(servers, topic)


def total(colleagues: list[Colleague]) -> int:
    """How many orders were settled."""
    return sum(len(list(colleague.settled())) for colleague in colleagues)


def summarize(colleagues: list[Colleague], desk: Desk) -> None:
    """Each order, in its partition's order, and how often it was settled."""
    orders = [order for colleague in colleagues for order in colleague.settled()]
    times = Counter((order["partition"], order["offset"]) for order in orders)
    print("failed deliveries", desk.failed, "settled twice", sum(count - 1 for count in times.values()))
    for order in sorted(orders, key=lambda order: (order["key"], order["partition"], order["offset"])):
        print("order", order["key"], "in", order["partition"], order["order"], order["headers"])
    ends = ["revoked" in {event["event"] for event in colleague.events} for colleague in colleagues]
    print("gave back", ends, "closed", [colleague.events[-1]["event"] for colleague in colleagues])


def standing(servers: str, topic: str) -> None:
    """Where the group stands after all."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": f"{topic}-workers"})
    for tp in consumer.committed([TopicPartition(topic, number) for number in range(PARTITIONS)], timeout=30):
        print("group stands in", tp.partition, "at", tp.offset)
    consumer.close()


def main(verb: str, servers: str, topic: str) -> None:
    """Run the story, or one of its workers."""
    if verb == "run":
        run(servers, topic)
        return
    stopping = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=watch, daemon=True).start()
    Worker(servers, topic).work(stopping)


if __name__ == "__main__":
    main(*sys.argv[1:])
