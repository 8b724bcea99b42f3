"""The queue as a consumer sees it: its statements, and what runs beside all consumers of a process."""

from shim.client.database import Database as ClientDatabase
from shim.client.database import DatabaseError
from shim.config.settings import Settings
from shim.consuming.committer import Committer, committer_for
from shim.store import fetch, groups, isolation, offsets, topics
from shim.store.coordinator import Coordinator, coordinator_for
from shim.store.settle import Settler, settler_for

__all__ = ["Database", "DatabaseError"]


class Database(ClientDatabase):
    """Where one consumer's topics and groups are.

    Args:
        settings: the consumer's.

    Attributes:
        fetching: the statements of `shim.store.fetch`.
        grouping: those of `shim.store.groups`.
        committing: those of `shim.store.offsets` and `shim.store.isolation`.
        describing: those of `shim.store.topics`.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.fetching = fetch.load(self.schemas)
        self.grouping = groups.load(self.schemas)
        self.committing = {**offsets.load(self.schemas), **isolation.load(self.schemas)}
        self.describing = topics.load(self.schemas)

    @property
    def coordinator(self) -> Coordinator:
        """Keeps members in their groups."""
        return coordinator_for(self.pool, self.schemas)

    @property
    def settler(self) -> Settler:
        """Completes the rows of topics that a consumer group owns."""
        return settler_for(self.pool, self.schemas)

    @property
    def committer(self) -> Committer:
        """Commits in the background."""
        return committer_for(self.pool, self.schemas)
