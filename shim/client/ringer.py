"""Wakes those consumers of a process that wait, when there is something new in their topics."""

import threading
from collections.abc import Set as AbstractSet

from shim.client.bell import Bell
from shim.store.part import Part
from shim.store.pool import Pool
from shim.store.statements import Schemas
from shim.store.watcher import Snapshot, Watcher, watcher_for

_SLICE_SECONDS = 5.0


def ringer_for(pool: Pool, schemas: Schemas) -> "Ringer":
    """Returns this process's ringer for a queue; the first call makes it."""
    watcher = watcher_for(pool, schemas)
    return pool.part(Ringer, lambda: Ringer(watcher), schemas.names["queue"])


class Ringer(Part):
    """Waits for the watcher in place of all consumers, each of which can so be woken for other reasons too.

    While nobody waits it does nothing, and neither has the watcher a reason to look. Get it by `ringer_for`.

    Args:
        watcher: sees what is new.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        super().__init__("shim-ringer")

    def renew(self) -> None:
        """Begins anew in this process, with nobody waiting."""
        self._lock = threading.Lock()
        self._waiting: dict[Bell, AbstractSet[str]] = {}
        self._seen = Snapshot()
        super().renew()

    def wait(self, bell: Bell, topics: AbstractSet[str], seen: Snapshot, seconds: float) -> None:
        """Waits until a bell is rung, for something new in some topics or for another reason, or the time is over.

        Args:
            bell: the consumer's.
            topics: the consumer's.
            seen: what it knows.
            seconds: how long to wait at most. Signals interrupt it.
        """
        self.start()
        with self._lock:
            alone = not self._waiting
            self._waiting[bell] = topics
        try:
            if alone:
                self.wake()
            if self._watcher.snapshot() is seen:
                bell.wait(seconds)
        finally:
            with self._lock:
                self._waiting.pop(bell, None)

    def round(self) -> float | None:
        """Waits for something new, while anybody waits for it."""
        if not self._waiting:
            return None
        before, self._seen = self._seen, self._watcher.wait(self._seen.version, _SLICE_SECONDS)
        if self._seen is not before:
            news = _news(before, self._seen)
            with self._lock:
                waiting = list(self._waiting.items())
            for bell, topics in waiting:
                if news is None or not news.isdisjoint(topics):
                    bell.ring()
        return 0.0

    def failed(self, error: Exception) -> None:
        """Does nothing: the next round comes by itself."""

    def close(self) -> None:
        """Ends the thread, which need not be waited for: it holds nothing."""
        self._closed = True


def _news(before: Snapshot, now: Snapshot) -> set[str] | None:
    """The topics of which something is new; None for all."""
    if now.error is not before.error:
        return None
    topics = set(now.topics ^ before.topics)
    topics |= {topic for topic, _ in dict(now.heads.items() ^ before.heads.items())}
    topics |= (now.claimable - before.claimable) | (now.expired - before.expired)
    return topics | {topic for topic, _ in now.gates.items() ^ before.gates.items()}
