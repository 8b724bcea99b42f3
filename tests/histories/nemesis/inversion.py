"""Two transactions that overlap, of which the later one commits, and is numbered, first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

import shim
from migrator.embedded.process import wait_until
from tests.histories.journal import Journal
from tests.histories.nemesis.deck import Fault, Strike
from tests.histories.operation import Facts, Send
from tests.histories.workload.transaction import Transaction
from tests.histories.workload.values import Values, encoded

_SECONDS = 2.0
_NUMBERED = "select log_offset is not null from job_queue where id = %s"


class Inversions:
    """Writes values of its own; a reader that passes over what was begun first and is not there yet is found by them.

    Args:
        url: Postgres, past the proxy.
        topic: where values go.
        folder: where they are written down, as those of two processes: they may stand in any order.

    Attributes:
        strikes: what it does.
    """

    def __init__(self, url: str, topic: str, folder: Path) -> None:
        self._url = url
        self._topic = topic
        self._values = Values("inversion")
        self._early, self._late = Journal(folder, "inversion-early"), Journal(folder, "inversion-late")
        self._producer = shim.Producer({"bootstrap.servers": url})
        self.strikes: Mapping[Fault, Strike] = {Fault.INVERSION: self._invert}

    def close(self) -> None:
        """Closes what it wrote with."""
        self._producer.close()
        self._early.close()
        self._late.close()

    def _invert(self) -> bool:
        early, late = self._values.next(), self._values.next()
        with (
            psycopg.connect(self._url) as first,
            psycopg.connect(self._url) as second,
            self._transaction(self._early, first, early),
        ):
            self._write(first, early)
            with self._transaction(self._late, second, late):
                row = self._write(second, late)
            return wait_until(lambda: self._is_numbered(row), _SECONDS)
        return False  # an error ended it early

    def _transaction(self, journal: Journal, connection: psycopg.Connection[Any], value: str) -> Transaction:
        return Transaction(journal, connection, Facts(sends=(Send(value, self._topic),)), shim.KafkaException)

    def _write(self, connection: psycopg.Connection[Any], value: str) -> int:
        """Writes a value, and returns its row's id."""
        self._producer.produce_in(connection, self._topic, encoded(value), partition=0)
        (row,) = connection.execute("select lastval()").fetchone() or (0,)
        return int(row)

    def _is_numbered(self, row: int) -> bool:
        with psycopg.connect(self._url) as connection:
            (numbered,) = connection.execute(_NUMBERED, (row,)).fetchone() or (False,)
        return bool(numbered)
