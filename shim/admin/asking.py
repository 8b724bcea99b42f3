"""How every call of the admin client reaches Postgres: checked at once, answered by futures."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from functools import cached_property
from typing import Any, TypeVar

from shim import environment
from shim.admin.arguments import limit
from shim.admin.background import Background
from shim.admin.events import Events
from shim.client import request
from shim.client.request import Deadline
from shim.config.settings import Settings
from shim.errors import KafkaException
from shim.store import fetch, groups, keep_times, offsets, rights, topics
from shim.store.pool import Connection, Pool, pool_for
from shim.store.statements import Schemas

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Asking:
    """What the calls about topics, groups, offsets and configurations share.

    Args:
        settings: the client's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events = Events(settings)
        self._background = Background()
        self._closed = False

    @cached_property
    def _schemas(self) -> Schemas:
        return Schemas({"queue": self._settings.schema})

    @cached_property
    def _texts(self) -> "Texts":
        return Texts(self._schemas)

    @property
    def _pool(self) -> Pool:
        """Asked for each time: after a fork it is another one."""
        settings = self._settings
        return pool_for(environment.dsn(settings), size=settings.pool_size, application_name=settings.client_id or None)

    def _require_open(self, who: str = "AdminClient") -> None:
        if self._closed:
            raise RuntimeError(f"{who} has been closed")

    def _change_each(
        self, keys: Iterable[K], deadline: Deadline, change: Callable[[Connection], Mapping[K, object]]
    ) -> dict[K, Future[Any]]:
        """Lets something be done with each key, outside of any transaction; returns futures of what became of it."""
        self._require_open()
        return self._background.each(keys, lambda: self._told(lambda: request.ask(self._pool, deadline, change)))

    def _read_each(
        self, keys: Iterable[K], deadline: Deadline, read: Callable[[Connection], Mapping[K, object]]
    ) -> dict[K, Future[Any]]:
        """Lets something be read for each key, in one transaction; returns futures of the answers."""
        self._require_open()
        return self._background.each(keys, lambda: self._told(lambda: request.read(self._pool, deadline, read)))

    def _read_one(self, deadline: Deadline, read: Callable[[Connection], T]) -> "Future[T]":
        """Lets something be read, in one transaction; returns a future of the answer."""
        self._require_open()
        return self._background.one(lambda: self._told(lambda: request.read(self._pool, deadline, read)))

    def _told(self, asked: Callable[[], T]) -> T:
        """Keeps errors of the connection for ``error_cb`` on their way."""
        try:
            return asked()
        except KafkaException as failure:
            self._events.tell(failure.args[0])
            raise

    def _deadline(self, request_timeout: float | None) -> Deadline:
        return Deadline(limit("request_timeout", request_timeout, self._settings.statement_timeout_s))


class Texts:
    """The statements of the store's modules, filled in by need."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    @cached_property
    def topics(self) -> topics.Texts:
        """Those of `shim.store.topics`."""
        return topics.load(self._schemas)

    @cached_property
    def keep_times(self) -> keep_times.Texts:
        """Those of `shim.store.keep_times`."""
        return keep_times.load(self._schemas)

    @cached_property
    def groups(self) -> groups.Texts:
        """Those of `shim.store.groups`."""
        return groups.load(self._schemas)

    @cached_property
    def offsets(self) -> offsets.Texts:
        """Those of `shim.store.offsets`."""
        return offsets.load(self._schemas)

    @cached_property
    def log(self) -> fetch.Texts:
        """Those of `shim.store.fetch`."""
        return fetch.load(self._schemas)

    @cached_property
    def rights(self) -> rights.Texts:
        """Those of `shim.store.rights`."""
        return rights.load(self._schemas)
