"""The queue as a client that waits for messages sees it: its connections, and what runs beside all such clients."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from shim import environment
from shim.client.ringer import Ringer, ringer_for
from shim.config.settings import Settings
from shim.store.pool import Connection, pool_for
from shim.store.statements import Schemas
from shim.store.watcher import Watcher, watcher_for

_CONNECTION_SECONDS = 2.0


class DatabaseError(Exception):
    """The database refused or is away; never raised for what an application's callback did.

    Attributes:
        failure: what psycopg raised.
    """

    def __init__(self, failure: psycopg.Error) -> None:
        super().__init__(type(failure).__name__)
        self.failure = failure


class Database:
    """Where one client's queue is.

    Args:
        settings: the client's.

    Attributes:
        pool: where connections come from.
        schemas: where the queue's tables are.
    """

    def __init__(self, settings: Settings) -> None:
        name = settings.client_id or None
        self._patience = settings.statement_timeout_s
        self.pool = pool_for(environment.dsn(settings), size=settings.pool_size, application_name=name)
        self.schemas = Schemas({"queue": settings.schema})

    @property
    def watcher(self) -> Watcher:
        """Sees where logs end, which gates are open and where jobs are due."""
        return watcher_for(self.pool, self.schemas)

    @property
    def ringer(self) -> Ringer:
        """Wakes clients that wait."""
        return ringer_for(self.pool, self.schemas)

    @contextmanager
    def connection(self, seconds: float = _CONNECTION_SECONDS, *, first: bool = False) -> Iterator[Connection]:
        """Lends a connection, on which no application's code may run.

        Args:
            seconds: how long to wait for a place and for the server.
            first: whether to go before all who wait for a place.

        Raises:
            DatabaseError: there is none, or a statement failed.
        """
        try:
            with self.pool.connection(seconds, patience=self._patience, first=first) as conn:
                yield conn
        except psycopg.Error as failure:
            raise DatabaseError(failure) from failure
