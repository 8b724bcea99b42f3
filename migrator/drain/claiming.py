"""Taking hold of partitions: by epoch, so that whoever held them before can write nothing more.

A partition whose holder is known to be dead, or silent for longer than its lease, is taken at once. A holder that
renews its lease while we look is alive, and is left alone.
"""

from dataclasses import dataclass
from datetime import datetime
from threading import Event

from migrator.drain.options import DrainOptions
from migrator.drain.owner import dead_owners, display
from migrator.drain.prepare import Prepared
from migrator.drain.sources import Offset, Sources
from migrator.errors import RefusedError
from migrator.events import Listener, Waiting
from migrator.postgres import Connection

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Claimer:
    """Takes hold of partitions for one process.

    Attributes:
        conn: a connection in autocommit.
        sources: the drain's own tables.
        owner: this process.
        options: what the user asked for.
        listener: is told what is waited for.
        stop: set when the user wants to stop.
    """

    conn: Connection
    sources: Sources
    owner: str
    options: DrainOptions
    listener: Listener
    stop: Event

    def claim(self, prepared: Prepared) -> dict[int, Offset]:
        """Takes hold of a topic's partitions that have not reached their end; returns where they stand.

        Partitions that a living drain holds are left to it, if others are free and none was asked for by number.

        Raises:
            RefusedError: a living drain holds all of them, or one that was asked for.
        """
        seen: dict[int, datetime | None] = {}
        waited = 0.0
        while True:
            blocked = self._blocked(prepared)
            alive = [one for one in blocked if seen.setdefault(one.partition, one.lease_until) != one.lease_until]
            if alive or self.stop.is_set():
                return self._make_do(prepared, blocked)
            held = self._try(prepared)
            blocked = self._blocked(prepared)
            if not blocked:
                return held
            owners = ", ".join(sorted({display(one.owner) for one in blocked if one.owner})) or "nobody"
            self.listener(Waiting(f"{owners} held partitions last; they are taken over without a sign of life", waited))
            self.sources.renew(self.conn, [prepared.source.id], self.owner, self.options.lease_seconds)
            self.stop.wait(_POLL_SECONDS)
            waited += _POLL_SECONDS

    def _make_do(self, prepared: Prepared, blocked: list[Offset]) -> dict[int, Offset]:
        held = {one.partition: one for one in self._wanted(prepared) if one.owner == self.owner}
        if held and self.options.partitions is None:
            return held
        self.sources.release(self.conn, [prepared.source.id], self.owner)
        raise _already_running(prepared.source.topic, blocked)

    def _blocked(self, prepared: Prepared) -> list[Offset]:
        return [one for one in self._wanted(prepared) if one.owner != self.owner]

    def _wanted(self, prepared: Prepared) -> list[Offset]:
        only = self.options.partitions
        return [
            one
            for one in self.sources.offsets(self.conn, prepared.source.id)
            if (only is None or one.partition in only) and not one.done
        ]

    def _try(self, prepared: Prepared) -> dict[int, Offset]:
        source_id = prepared.source.id
        with self.conn.transaction():
            self.sources.lock(self.conn, source_id)
            wanted = self._wanted(prepared)
            partitions = [one.partition for one in wanted if one.owner != self.owner]
            dead = dead_owners(one.owner for one in wanted)
            self.sources.claim(self.conn, source_id, partitions, self.owner, dead, self.options.lease_seconds)
            return {one.partition: one for one in self._wanted(prepared) if one.owner == self.owner}


def _already_running(topic: str, blocked: list[Offset]) -> RefusedError:
    owners = sorted({one.owner for one in blocked if one.owner})
    return RefusedError(
        f"topic {topic!r} is being drained already by {', '.join(map(display, owners))}",
        code="already-running",
        hint="let it run, or stop it (Ctrl-C finishes its batch) and run the same command again",
    )
