"""A transaction of one's own that is written down: rolled back, committed, or nobody knows."""

import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.histories.journal import Journal
from tests.histories.operation import Facts
from tests.histories.workload.certainty import rolled_back


class Transaction:
    """A context that commits at its end, unless it was rolled back or something failed; errors of either end here.

    Args:
        journal: where it is written down.
        connection: where it happens; closed when it failed.
        facts: what is written.
        refusal: the client's ``KafkaException``.

    Attributes:
        committed: whether it certainly was, once the context is over.
    """

    def __init__(
        self, journal: Journal, connection: psycopg.Connection[Any], facts: Facts, refusal: type[Exception]
    ) -> None:
        self._connection = connection
        self._refusal = refusal
        self._wanted = True
        self._entry = journal.invoke("transaction", facts)
        self.committed = False

    def roll_back(self) -> None:
        """It is not to happen."""
        self._wanted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None and self._wanted:
            self._commit()
        else:  # COMMIT was never sent
            with suppress(psycopg.Error):
                self._connection.rollback()
            self._entry.fail(Facts(error="rolled back" if error is None else repr(error)))
        return error is None or isinstance(error, (psycopg.Error, self._refusal))

    def _commit(self) -> None:
        committing = time.monotonic()
        try:
            self._connection.commit()
        except psycopg.Error as failure:
            facts = Facts(committing=committing, error=repr(failure))
            (self._entry.fail if rolled_back(failure) else self._entry.info)(facts)
        else:
            self.committed = True
            self._entry.ok(Facts(committing=committing))
