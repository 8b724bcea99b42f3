"""A writer of transactions of its own: values by ``produce_in`` or plain SQL, some rolled back."""

from threading import Event
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.histories.journal import Journal
from tests.histories.operation import Facts, Send
from tests.histories.workload.plan import Plan
from tests.histories.workload.transaction import Transaction
from tests.histories.workload.values import Values, encoded

_CONNECT_SECONDS = 5
_MOST_VALUES = 4
_INSERT = "insert into job_queue (topic, partition, payload) values (%s, %s, %s)"


class Writing:
    """The worker.

    Args:
        plan: what it was told.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._api = plan.api
        self._dice = plan.dice
        self._journal: Journal = plan.journal()
        self._values = Values(plan.process)
        self._producer = self._api.Producer(plan.settings())

    def run(self) -> None:
        """Writes until it is killed."""
        while True:
            try:
                connection = psycopg.connect(self._plan.servers, connect_timeout=_CONNECT_SECONDS)
            except psycopg.OperationalError:
                Event().wait(self._dice.uniform(0.1, 0.5))
                continue
            with connection:
                while not connection.closed:
                    self._transaction(connection)
                    self._rest(_MOST_VALUES / self._plan.per_second)

    def _transaction(self, connection: psycopg.Connection[Any]) -> None:
        topic = self._plan.topics[0]
        values = [self._values.next() for _ in range(self._dice.randint(1, _MOST_VALUES))]
        sends = tuple(Send(value, topic) for value in values)
        with Transaction(self._journal, connection, Facts(sends=sends), self._api.KafkaException) as transaction:
            write = self._insert if self._dice.random() < 0.3 else self._produce
            for value in values:
                write(connection, topic, value)
            self._rest(0.1)
            if self._dice.random() < 0.1:
                transaction.roll_back()

    def _produce(self, connection: psycopg.Connection[Any], topic: str, value: str) -> None:
        partition = self._dice.randrange(self._plan.partitions)
        self._producer.produce_in(connection, topic, encoded(value), partition=partition)

    def _insert(self, connection: psycopg.Connection[Any], topic: str, value: str) -> None:
        connection.execute(_INSERT, (topic, self._dice.randrange(self._plan.partitions), Jsonb(value)))

    def _rest(self, seconds: float) -> None:
        Event().wait(self._dice.uniform(0, 2 * seconds))
