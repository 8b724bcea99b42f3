"""The writers: each a thread with a connection of its own, committing batches one after the other.

An outage is waited out with the same batch in hand: its compare-and-set makes a second try harmless, whether or not
the first had been committed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread

import psycopg
import stamina

from migrator.drain.batch import Batch
from migrator.drain.copying import Account
from migrator.drain.writing import BatchWriter
from migrator.errors import CannotStartError, MigratorError
from migrator.events import Listener, Waiting
from migrator.postgres import Connection, classify, told

_AHEAD = 2
_POLL_SECONDS = 0.2
_LONGEST_PAUSE = 2.0


@dataclass(slots=True)
class Totals:
    """What this run has committed, by topic; guarded by its lock."""

    rows: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def add(self, batch: Batch, accounts: list[Account]) -> None:
        """Counts a committed batch."""
        with self.lock:
            for span, account in zip(batch.spans, accounts, strict=True):
                topic = span.place.topic
                self.rows[topic] = self.rows.get(topic, 0) + account.rows
                self.dead[topic] = self.dead.get(topic, 0) + len(account.dead)
                self.offsets[topic] = self.offsets.get(topic, 0) + span.stop - span.start


class WriterPool:
    """Hands batches to writers, and holds the first failure of any of them.

    Args:
        connect: opens a connection.
        writers: one per thread.
        totals: what was committed, kept current.
        listener: is told of outages.
        max_wait: seconds to wait for Postgres to come back.
        stop: set when the user wants to stop; an outage is then not waited out.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        writers: list[BatchWriter],
        totals: Totals,
        listener: Listener,
        *,
        max_wait: float,
        stop: Event,
    ) -> None:
        self.error: BaseException | None = None
        self._totals = totals
        self._closing = Event()
        self._abandoned = Event()
        self._queues: list[Queue[Batch]] = [Queue(_AHEAD) for _ in writers]
        self._threads = [
            Thread(
                target=self._serve,
                args=(_Desk(connect, writer, listener, max_wait, stop), queue),
                name=f"drain-writer-{number}",
                daemon=True,
            )
            for number, (writer, queue) in enumerate(zip(writers, self._queues, strict=True))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, writer: int, batch: Batch, meanwhile: Callable[[], None]) -> None:
        """Gives a batch to a writer; while its queue is full, calls ``meanwhile`` several times a second.

        Raises:
            BaseException: what any writer failed with.
        """
        while True:
            self.check()
            try:
                self._queues[writer].put(batch, timeout=_POLL_SECONDS)
            except Full:
                meanwhile()
            else:
                return

    def check(self) -> None:
        """Raises what any writer failed with."""
        if self.error is not None:
            raise self.error

    def finish(self, meanwhile: Callable[[], None]) -> None:
        """Waits until every batch is committed, calling ``meanwhile`` several times a second, and ends the threads.

        Raises:
            BaseException: what any writer failed with.
        """
        self._closing.set()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
                meanwhile()
        self.check()

    def abandon(self) -> None:
        """Ends the threads after the batch that each has in hand; what is still queued is left for another run."""
        self._closing.set()
        self._abandoned.set()
        for thread in self._threads:
            thread.join()

    def _serve(self, desk: "_Desk", queue: Queue[Batch]) -> None:
        try:
            while self.error is None and not self._abandoned.is_set():
                try:
                    batch = queue.get(timeout=_POLL_SECONDS)
                except Empty:
                    if self._closing.is_set():
                        return
                    continue
                self._totals.add(batch, desk.write(batch))
        except BaseException as error:  # noqa: BLE001  # carried to the thread that waits
            self.error = self.error or error
        finally:
            desk.close()


@dataclass(slots=True)
class _Desk:
    """One writer with its connection, which it opens again after an outage."""

    connect: Callable[[], Connection]
    writer: BatchWriter
    listener: Listener
    max_wait: float
    stop: Event
    conn: Connection | None = None
    since: float | None = None

    def write(self, batch: Batch) -> list[Account]:
        for attempt in stamina.retry_context(
            on=self._wait_out,
            attempts=None,
            timeout=self.max_wait,
            wait_initial=0.1,
            wait_max=_LONGEST_PAUSE,
            wait_jitter=0.1,
        ):
            with attempt:
                accounts = self._try(batch)
        self.since = None
        return accounts

    def close(self) -> None:
        if self.conn is not None:
            self.conn.close()
            self.conn = None

    def _try(self, batch: Batch) -> list[Account]:
        if self.conn is None or self.conn.closed:
            self.conn = self.connect()
        return self.writer.write(self.conn, batch)

    def _wait_out(self, error: Exception) -> bool:
        if self.stop.is_set() or not _is_outage(error):
            return False
        self.close()
        self.since = self.since or time.monotonic()
        self.listener(Waiting(f"Postgres: {_reason(error)}", time.monotonic() - self.since))
        return True


def _reason(error: Exception) -> str:
    if isinstance(error, psycopg.Error):
        return told(error)
    return error.message if isinstance(error, MigratorError) else type(error).__name__


def _is_outage(error: Exception) -> bool:
    if isinstance(error, psycopg.Error):
        return classify(error) == "environment"
    return isinstance(error, CannotStartError) and error.code == "postgres-unreachable"
