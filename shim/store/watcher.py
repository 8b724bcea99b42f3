"""One look for all: where the logs of all topics end that any client of this process reads, and which gates are open.

The watcher is the only one that polls. Consumers wait for it, and fetch when it has seen something.
"""

import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from random import SystemRandom
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from shim.store import sequence
from shim.store.connection import Connection, repeat
from shim.store.errors import StoreError
from shim.store.fetch import TP, Head
from shim.store.hints import Hints, Seen
from shim.store.notify import Listener, channel_of
from shim.store.part import Part
from shim.store.pool import Pool, pools
from shim.store.statements import Schemas, Statements
from shim.store.topics import UnknownTopicError

_SHORTEST_PAUSE = 0.005
_LONGEST_PAUSE = 0.5
_QUIET_SECONDS = 30.0
_QUIET_PAUSE = 2.0
_HERD_SECONDS = 0.001
_LATE_SECONDS = 0.001
# The topic was deleted a moment ago, or somebody else holds it for a while.
_PASSING = (UnknownTopicError, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_LOOK_SECONDS = 10.0
_NUMBERING_SECONDS = 60.0
_SEEN = 8  # from this column on a look speaks to the hints, and to the watcher
_DUE_IN = 10


class Snapshot(NamedTuple):
    """What the watcher saw last. During an outage it stays, and ``error`` says why it is not newer.

    Attributes:
        version: grows when anything below changes; 0 before the first look.
        topics: what was looked for; a topic that is not here was asked for after the look.
        heads: the ends of every partition of the topics that are registered.
        gates: ``open`` or ``closed``, of the topics that are registered: one that is in ``topics`` and not here does
            not exist.
        unsequenced: topics with rows that are due and wait for an offset.
        claimable: topics with jobs to claim, of those that were watched for it.
        expired: the same with jobs to recover, whatever their gates say.
        error: why the last look failed, or why rows get no offsets; None when all is well.
        error_since: since when that is so, by ``time.monotonic``; None without an error.
    """

    version: int = 0
    topics: frozenset[str] = frozenset()
    heads: Mapping[TP, Head] = {}
    gates: Mapping[str, str] = {}
    unsequenced: frozenset[str] = frozenset()
    claimable: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()
    error: Exception | None = None
    error_since: float | None = None


def watcher_for(pool: Pool, schemas: Schemas) -> "Watcher":
    """Returns this process's watcher of a queue; the first call makes it."""
    return pool.part(Watcher, lambda: Watcher(pool, schemas), schemas.names["queue"])


def watchers() -> list["Watcher"]:
    """Returns this process's watchers, of all queues; makes none."""
    return [watcher for pool in pools() for watcher in pool.parts(Watcher)]


class Watcher(Part):
    """Looks at heads and gates: every 5 ms while something happens, then ever more rarely, at last every 500 ms.

    Where nothing has happened for half a minute and hints arrive, every 2 s will do: plain SQL alone gives no hint.
    When it has seen a row that is delayed, it looks again as soon as that is due.

    Between two of those it looks only if somebody waits or asks: consumers that are busy with what they have cost
    nothing. It gives offsets to rows that are due and have none. It survives any outage, and a fork. Get it by
    `watcher_for`.

    Args:
        pool: where its connections come from; it holds one only while it looks.
        schemas: which queue.

    Attributes:
        hints: where looks for jobs begin.
    """

    def __init__(self, pool: Pool, schemas: Schemas) -> None:
        self._pool = pool
        self._schema = schemas.names["queue"]
        self._look = Statements("shim.store.sql", "watcher.sql", schemas)["look"]
        self._sequencing = sequence.load(schemas)
        self._interests: weakref.WeakKeyDictionary[object, frozenset[str]] = weakref.WeakKeyDictionary()
        self._claimers: weakref.WeakSet[object] = weakref.WeakSet()
        super().__init__("job-queue-watcher")

    def renew(self) -> None:
        """Begins anew in this process; what its parent saw is forgotten, what is of interest is not."""
        super().renew()
        self._news_lock = threading.Lock()  # taken bare, as a part's own
        self._news = threading.Condition(self._news_lock)
        self._snapshot = Snapshot()
        self._rows: Sequence[TupleRow] = ()
        self.hints = Hints()
        self._unnumbered: Exception | None = None
        self._pause = _SHORTEST_PAUSE
        self._looked_at = self._news_at = 0.0
        self._listener: Listener | None = None
        self._waiting = 0
        self._asked = self._dozing = False

    def watch(self, topics: Iterable[str], client: object, *, claims: bool = False) -> None:
        """Makes these the topics that a client is interested in, in place of those of before; starts to look.

        Args:
            topics: names; those that do not exist are looked for too, and found when they are made.
            client: anything that can be hashed and weakly referenced; it is forgotten when it goes away.
            claims: whether it claims jobs, and wants to know where there are any.
        """
        self.start()
        with self._news_lock:
            self._interests[client] = frozenset(topics)
            if claims:
                self._claimers.add(client)
        self.nudge()

    def forget(self, client: object) -> None:
        """Drops a client's interest; one that is not known is no error."""
        self.start()
        with self._news_lock:
            self._interests.pop(client, None)
            self._claimers.discard(client)

    def listen(self, dsn: str | None = None) -> Listener:
        """Lets other processes' announcements wake it (see `shim.store.notify`); polling goes on all the same.

        Args:
            dsn: where to listen, past any pooler; None for the pool's own DSN, if that leads straight to the server.
                The first one named in a process counts.
        """
        pool, channel = self._pool, channel_of(self._schema)
        listener = pool.part(Listener, lambda: Listener(pool, dsn or pool.dsn, channel, self._hinted), self._schema)
        listener.start()
        self._listener = listener
        return listener

    def snapshot(self) -> Snapshot:
        """Returns what was seen last."""
        self._ask()
        return self._snapshot

    @property
    def well(self) -> bool:
        """Whether the last look went well; asks for none."""
        return self._snapshot.error is None

    @property
    def hinted(self) -> bool:
        """Whether other processes' announcements arrive."""
        return self._listener is not None and self._listener.believed

    def wait(self, version: int, timeout: float) -> Snapshot:
        """Waits until what is seen is no longer what it was at ``version``, and returns what was seen last.

        Args:
            version: of the snapshot that the caller knows.
            timeout: how many seconds to wait at most; the snapshot is then the old one. Signals interrupt the wait.
        """
        self._ask()
        with self._news_lock:
            self._waiting += 1
            try:
                self._news.wait_for(lambda: self._snapshot.version != version or self._closed, timeout)
            finally:
                self._waiting -= 1
            return self._snapshot

    def nudge(self) -> None:
        """Asks for a look now: something was produced, or something else makes a look worth while."""
        self._pause = _SHORTEST_PAUSE
        self.wake()

    def close(self) -> None:
        """Ends the thread, and the waits of others."""
        super().close()
        with self._news_lock:
            self._news.notify_all()

    def round(self) -> float | None:
        """Looks once, when somebody wants to know, and numbers what waits for an offset."""
        early = self._looked_at + _SHORTEST_PAUSE - time.monotonic()
        if early > 0:
            return early
        topics = self._topics()
        if not topics:
            return None
        self._doze()
        with self._pool.connection(patience=_LOOK_SECONDS) as conn:
            self._looked_at = time.monotonic()
            rows, due_in_s = self._rows_of(conn, topics)
            news = self._saw(topics, rows)
            news |= self._number(conn)
        if news:
            self._news_at = time.monotonic()
        self._pause = _SHORTEST_PAUSE if news else min(self._pause * 2.0, self._longest_pause())
        return min(self._pause * SystemRandom().uniform(0.9, 1.1), due_in_s + _LATE_SECONDS)

    def failed(self, error: Exception) -> None:
        """Lets the clients know; the next look comes after a pause."""
        self._looked_at = time.monotonic()
        self._pause = _SHORTEST_PAUSE
        self._publish(self._snapshot, error)

    def _longest_pause(self) -> float:
        quiet = time.monotonic() - self._news_at > _QUIET_SECONDS
        return max(_QUIET_PAUSE, _LONGEST_PAUSE) if self.hinted and quiet else _LONGEST_PAUSE

    def _topics(self) -> frozenset[str]:
        with self._news_lock:
            return frozenset[str]().union(*self._interests.values())

    def _claimed(self) -> frozenset[str]:
        with self._news_lock:
            return frozenset[str]().union(*(self._interests.get(client, ()) for client in self._claimers))

    def _ask(self) -> None:
        """Says that somebody wants to know, and ends the doze."""
        self.start()
        self._asked = True
        if self._dozing:
            with self._bell_lock:
                self._bell.notify_all()

    def _doze(self) -> None:
        """Leaves a look that is due to whoever asks for it first; looks all the same when half a second has gone by."""
        with self._bell_lock:
            self._dozing = True
            left = self._looked_at + _LONGEST_PAUSE - time.monotonic()
            self._bell.wait_for(lambda: self._asked or self._waiting or self._rung or self._closed, max(left, 0.0))
            self._dozing = self._asked = self._rung = False

    def _hinted(self, topic: str) -> None:
        """Is told by the listener; an empty name means that there may be something anywhere."""
        if not topic or topic in self._snapshot.topics:
            time.sleep(SystemRandom().uniform(0.0, _HERD_SECONDS))  # all processes hear it at the same moment
            self.nudge()

    def _rows_of(self, conn: Connection, topics: frozenset[str]) -> tuple[Sequence[TupleRow], float]:
        """Looks, no further back than it has to, and lets the claims of this process know what that showed.

        Returns:
            what clients are told of, and the seconds until a row is due that waits for its offset.
        """
        claimed = list(self._claimed())
        look, places, past = self.hints.begin_look(claimed, time.monotonic())
        after = {"after": [place.process_after for place in places], "after_ids": [place.id for place in places]}
        before = {"past": [place.process_after for place in past], "past_ids": [place.id for place in past]}
        wanted = {"topics": list(topics), "claimed": claimed, "window_ms": look.window_ms}
        rows = repeat(conn, self._look, {**wanted, **after, **before}, binary=True).fetchall()
        seen = {row[0]: Seen(row[0], row[3], row[_SEEN], row[4], row[_SEEN + 1]) for row in rows}
        far = self.hints.end_look(look, list(seen.values()), time.monotonic())
        told = [
            (*row[:3], row[3] or row[0] in far.behind, row[4] or row[0] in far.expired, *row[5:_SEEN]) for row in rows
        ]
        return told, min((row[_DUE_IN] for row in rows if row[_DUE_IN] is not None), default=inf)

    def _saw(self, topics: frozenset[str], rows: Sequence[TupleRow]) -> bool:
        seen = self._snapshot
        if rows != self._rows or topics != seen.topics:
            self._rows = rows
            seen = seen._replace(
                topics=topics,
                heads={(row[0], row[5]): Head(row[6], row[7]) for row in rows if row[5] is not None},
                gates={row[0]: row[1] for row in rows},
                unsequenced=frozenset(row[0] for row in rows if row[2]),
                claimable=frozenset(row[0] for row in rows if row[3]),
                expired=frozenset(row[0] for row in rows if row[4]),
            )
        return self._publish(seen, self._unnumbered if seen.unsequenced else None)

    def _number(self, conn: Connection) -> bool:
        """Gives offsets to what is due; a failure that leaves the connection alive keeps no heads from being seen."""
        conn.patience = _NUMBERING_SECONDS
        numbered = 0
        failure: Exception | None = None
        for topic in sorted(self._snapshot.unsequenced):
            try:
                numbered += sequence.sequence(conn, self._sequencing, topic)
            except _PASSING:
                continue
            except (psycopg.Error, StoreError) as error:
                if conn.closed:
                    raise
                failure = failure or error
        self._unnumbered = failure
        return numbered > 0

    def _publish(self, seen: Snapshot, error: Exception | None) -> bool:
        """Makes it the snapshot and wakes who waits, if it tells anything new."""
        before = self._snapshot
        if error is None:
            seen = seen._replace(error=None, error_since=None)
        elif before.error is None:
            seen = seen._replace(error=error, error_since=time.monotonic())
        elif str(error) != str(before.error):
            seen = seen._replace(error=error)
        if seen == before:
            return False
        with self._news_lock:
            self._snapshot = seen._replace(version=before.version + 1)
            self._news.notify_all()
        return True
