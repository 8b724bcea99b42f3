"""What happens beside the copying, several times a minute: leases are renewed, progress is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from migrator.drain.pool import Totals
from migrator.drain.reading import Track
from migrator.drain.sources import Sources
from migrator.drain.surroundings import Surroundings
from migrator.errors import CannotStartError
from migrator.events import Progress
from migrator.postgres import Connection, classify
from shim.store import dual_inbox

_PROGRESS_SECONDS = 0.5


@dataclass(slots=True)
class Keeper:
    """Keeps partitions while nothing is written to them, over a connection that it mends itself.

    Attributes:
        around: what the drain works with.
        sources: the drain's own tables.
        source_ids: the topics.
        owner: this process.
        lease_seconds: how long a lease lasts; it is renewed three times as often.
        tracks: every partition that is read.
        totals: what was committed.
    """

    around: Surroundings
    sources: Sources
    source_ids: Sequence[int]
    owner: str
    lease_seconds: int
    tracks: Mapping[tuple[str, int], Track]
    totals: Totals
    _conn: Connection | None = None
    _swept: dict[str, UUID] = field(default_factory=dict)
    _began: float = field(init=False)
    _renewed: float = field(init=False)
    _told: float = field(init=False)
    _at_start: dict[str, int | None] = field(init=False)

    def __post_init__(self) -> None:
        self._began = self._renewed = self._told = self.around.clock()
        topics = sorted({topic for topic, _ in self.tracks})
        self._at_start = {topic: remaining(self.tracks, topic) for topic in topics}

    def beat(self) -> None:
        """Does what is due; cheap when nothing is."""
        now = self.around.clock()
        if now - self._renewed > self.lease_seconds / 3:
            self._renewed = now
            self._renew()
        if now - self._told > _PROGRESS_SECONDS:
            self._told = now
            self.tell()

    def tell(self) -> None:
        """Tells where every topic stands."""
        for topic, total in self._at_start.items():
            self.around.listener(self._progress(topic, total))

    def let_go(self) -> None:
        """Releases the partitions, so that the next drain need not wait for the lease, and closes the connection."""
        try:
            self._conn = self._conn or self.around.connect()
            self.sources.release(self._conn, self.source_ids, self.owner)
        except (CannotStartError, psycopg.OperationalError):
            pass  # the lease ends by itself
        finally:
            self._close()

    def _close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _progress(self, topic: str, total: int | None) -> Progress:
        with self.totals.lock:
            rows = self.totals.rows.get(topic, 0)
            dead = self.totals.dead.get(topic, 0)
            done = self.totals.offsets.get(topic, 0)
        seconds = max(self.around.clock() - self._began, 1e-6)
        left = None if total is None else max(0, total - done)
        eta = left * seconds / done if left is not None and done else None
        return Progress(topic, rows, dead, done, left, rows / seconds, eta)

    def _renew(self) -> None:
        # The writers wait for an outage to pass, and tell of it; a lease that runs out meanwhile costs nothing.
        try:
            if self._conn is None or self._conn.closed:
                self._conn = self.around.connect()
            self.sources.renew(self._conn, self.source_ids, self.owner, self.lease_seconds)
            self._sweep(self._conn)
        except CannotStartError:
            self._close()
        except psycopg.Error as error:
            self._close()
            if classify(error) != "environment":
                raise

    def _sweep(self, conn: Connection) -> None:
        """Removes some copies of dual writes that came when their messages had been drained already."""
        texts = dual_inbox.load(self.around.schemas)
        for topic in self._at_start:
            last = dual_inbox.sweep_batch(conn, texts, topic, self._swept.get(topic, dual_inbox.FIRST)).last
            self._swept[topic] = last or dual_inbox.FIRST


def remaining(tracks: Mapping[tuple[str, int], Track], topic: str) -> int | None:
    """Returns how many offsets of a topic lie ahead; None when it is followed."""
    mine = [track for (name, _), track in tracks.items() if name == topic]
    if any(track.end is None for track in mine):
        return None
    return sum(max(0, (track.end or 0) - track.next) for track in mine)
