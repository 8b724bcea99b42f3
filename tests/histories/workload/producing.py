"""A producer that sends bursts of single values, with ever new settings, and now and then purges or closes."""

import time
from functools import partial
from random import Random
from typing import Any

from tests.histories.journal import Entry
from tests.histories.operation import Facts, Send
from tests.histories.workload.certainty import unwritten
from tests.histories.workload.plan import Plan
from tests.histories.workload.values import Values, encoded

_MOST_WAITING = 400
_LONGEST_BURST = 20
_FLUSH_SECONDS = 5


class Producing:
    """The worker.

    Args:
        plan: what it was told.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._api = plan.api
        self._dice = plan.dice
        self._journal = plan.journal()
        self._values = Values(plan.process)

    def run(self) -> None:
        """Sends until it is killed."""
        while True:
            producer = self._api.Producer(_settings(self._plan, self._dice))
            for _ in range(self._dice.randint(20, 200)):
                self._burst(producer)
                self._fidget(producer)
            producer.flush(_FLUSH_SECONDS)

    def _burst(self, producer: Any) -> None:
        count = self._dice.randint(1, _LONGEST_BURST) if len(producer) < _MOST_WAITING else 0
        for _ in range(count):
            self._send(producer)
        self._serve(producer, self._dice.uniform(0.2, 1.8) * max(count, 1) / self._plan.per_second)

    def _serve(self, producer: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            producer.poll(left)

    def _send(self, producer: Any) -> None:
        value, topic = self._values.next(), self._plan.topics[0]
        where: dict[str, Any] = {"partition": self._dice.randrange(self._plan.partitions)}
        if self._dice.random() < 0.3:
            where = {"key": f"key-{self._dice.randrange(20)}"}
        entry = self._journal.invoke("send", Facts(sends=(Send(value, topic),)))
        report = partial(_reported, entry, value)
        try:
            producer.produce(topic, encoded(value), on_delivery=report, **where)
        except BufferError:
            entry.fail(Facts(error="BufferError"))
        except self._api.KafkaException as refusal:
            entry.fail(Facts(error=str(refusal)))

    def _fidget(self, producer: Any) -> None:
        chance = self._dice.random()
        if chance < 0.02:
            producer.flush(_FLUSH_SECONDS)
        elif chance < 0.03 and self._plan.client == "shim":
            producer.purge(in_flight=self._dice.random() < 0.5)


def _reported(entry: Entry, value: str, error: Any, message: Any) -> None:
    if error is None:
        entry.ok(Facts(sends=(Send(value, message.topic(), message.partition(), message.offset()),)))
    elif unwritten(error):
        entry.fail(Facts(error=error.name()))
    else:
        entry.info(Facts(error=error.name()))


def _settings(plan: Plan, dice: Random) -> dict[str, Any]:
    return plan.settings(
        acks="all",
        enable_idempotence=True,
        linger_ms=dice.choice((0, 5, 50)),
        batch_num_messages=dice.choice((1, 10, 1000)),
        socket_timeout_ms=dice.choice((1_000, 10_000)),
        message_timeout_ms=dice.choice((2_000, 10_000, 60_000)),
        queue_buffering_max_messages=dice.choice((100, 100_000)),
    )
