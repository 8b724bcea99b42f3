"""Where the admin client's requests run: two daemon threads at most, and futures for their answers."""

import os
import queue
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Local

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_THREADS = 2


class Background:
    """Runs requests beside the caller. Threads are started by need, in each process anew, and end with the client."""

    def __init__(self) -> None:
        self._renew()

    def each(self, keys: Iterable[K], answer: Callable[[], Mapping[K, object]]) -> dict[K, Future[Any]]:
        """Runs a request that has an answer for each key.

        Args:
            keys: what is asked about.
            answer: returns a value or an exception for each key, or raises one for all.

        Returns:
            a future for each key, which is running already: it cannot be cancelled.
        """
        futures = {key: _running() for key in keys}
        if futures:
            self._run(lambda: _settle(futures, answer))
        return futures

    def one(self, answer: Callable[[], T]) -> "Future[T]":
        """Runs a request with one answer, and returns a future for that."""
        return self.each([None], lambda: {None: answer()})[None]

    def close(self) -> None:
        """Lets the threads end after what has been asked for."""
        if self._pid == os.getpid():
            _dismiss(self._work, self._threads)

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._end = weakref.finalize(self, _dismiss, self._work, self._threads)
        self._end.atexit = False

    def _run(self, task: Callable[[], None]) -> None:
        if self._pid != os.getpid():
            self._end.detach()
            self._renew()
        self._work.put(task)
        with self._lock:
            if len(self._threads) < _THREADS:
                thread = threading.Thread(target=_serve, args=(self._work,), name="shim-admin", daemon=True)
                self._threads.append(thread)
                thread.start()


def refused(reason: str) -> "Future[Any]":
    """Returns a future that has failed: what was asked for has no meaning in Postgres."""
    future = _running()
    future.set_exception(KafkaException(unsupported(reason)))
    return future


def unsupported(reason: str) -> KafkaError:
    """Returns the error of what has no meaning in Postgres."""
    return KafkaError(Local.UNSUPPORTED_FEATURE, f"{Local.UNSUPPORTED_FEATURE.text}: {reason}")


def _running() -> "Future[Any]":
    future = Future[Any]()
    future.set_running_or_notify_cancel()
    return future


def _settle(futures: Mapping[K, "Future[Any]"], answer: Callable[[], Mapping[K, object]]) -> None:
    try:
        answered = answer()
        answers = [answered[key] for key in futures]
    except BaseException as failure:  # noqa: BLE001  whatever it is, the caller waits for it
        for future in futures.values():
            future.set_exception(failure)
        return
    for future, found in zip(futures.values(), answers, strict=True):
        if isinstance(found, BaseException):
            future.set_exception(KafkaException(found) if isinstance(found, KafkaError) else found)
        else:
            future.set_result(found)


def _serve(work: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    while (task := work.get()) is not None:
        task()
        del task


def _dismiss(work: "queue.SimpleQueue[Callable[[], None] | None]", threads: list[threading.Thread]) -> None:
    for _ in range(len(threads)):
        work.put(None)
    threads.clear()
