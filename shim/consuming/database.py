"""The queue as a consumer sees it: its connections, its statements, and what runs beside all consumers of a process."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from shim import environment
from shim.config.settings import Settings
from shim.consuming.committer import Committer, committer_for
from shim.consuming.ringer import Ringer, ringer_for
from shim.store import fetch, groups, isolation, offsets, topics
from shim.store.coordinator import Coordinator, coordinator_for
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
    """Where one consumer's topics and groups are.

    Args:
        settings: the consumer's.

    Attributes:
        pool: where connections come from.
        schemas: where the queue's tables are.
        fetching: the statements of `shim.store.fetch`.
        grouping: those of `shim.store.groups`.
        committing: those of `shim.store.offsets` and `shim.store.isolation`.
        describing: those of `shim.store.topics`.
    """

    def __init__(self, settings: Settings) -> None:
        name = settings.client_id or None
        self._patience = settings.statement_timeout_s
        self.pool = pool_for(environment.dsn(settings), size=settings.pool_size, application_name=name)
        self.schemas = Schemas({"queue": settings.schema})
        self.fetching = fetch.load(self.schemas)
        self.grouping = groups.load(self.schemas)
        self.committing = {**offsets.load(self.schemas), **isolation.load(self.schemas)}
        self.describing = topics.load(self.schemas)

    @property
    def watcher(self) -> Watcher:
        """Sees where logs end and which gates are open."""
        return watcher_for(self.pool, self.schemas)

    @property
    def coordinator(self) -> Coordinator:
        """Keeps members in their groups."""
        return coordinator_for(self.pool, self.schemas)

    @property
    def ringer(self) -> Ringer:
        """Wakes consumers that wait."""
        return ringer_for(self.pool, self.schemas)

    @property
    def committer(self) -> Committer:
        """Commits in the background."""
        return committer_for(self.pool, self.schemas)

    @contextmanager
    def connection(self, seconds: float = _CONNECTION_SECONDS) -> Iterator[Connection]:
        """Lends a connection, on which no application's code may run.

        Raises:
            DatabaseError: there is none, or a statement failed.
        """
        try:
            with self.pool.connection(seconds, patience=self._patience) as conn:
                yield conn
        except psycopg.Error as failure:
            raise DatabaseError(failure) from failure
