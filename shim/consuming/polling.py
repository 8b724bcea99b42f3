"""What happens inside a consumer's poll: callbacks, the group, reading ahead, and the wait for more.

All of it runs in the application's thread. Nothing holds a connection while the application's own code runs.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from math import inf
from time import monotonic

from shim.client.bell import Bell
from shim.client.inbox import Inbox, Notice
from shim.client.notices import Notices
from shim.config.settings import Settings, Severity
from shim.consuming.assigned import Assigned
from shim.consuming.committing import Commits
from shim.consuming.cursor import Cursor
from shim.consuming.database import Database, DatabaseError
from shim.consuming.group import Group
from shim.consuming.listener import RebalanceListener
from shim.consuming.member import Activity
from shim.consuming.reader import Reader
from shim.consuming.statistics import ConsumerStatistics
from shim.errors import KafkaError, from_postgres
from shim.message import Message
from shim.protocol.codes import Local
from shim.protocol.constants import OFFSET_INVALID
from shim.store.fetch import TP
from shim.store.part import backoff
from shim.store.retention import sweeper_for
from shim.store.watcher import Snapshot

_LOOK_SECONDS = 0.1
_LONGEST_WAIT = 30.0
_COMMIT_SECONDS = 3.0
_PASSING = frozenset({Local.TRANSPORT, Local.RESOLVE, Local.TIMED_OUT, Local.SSL, Local.AUTHENTICATION, Local.RETRY})


class Polling:
    """Everything of a consumer but its API.

    Args:
        settings: the consumer's.

    Attributes:
        database: where its topics and groups are.
        assigned: its partitions.
        commits: commits what it worked off.
        group: its membership.
        reader: reads its partitions.
        closing: whether it is to be closed.
        closed: whether it is closed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bell = Bell()
        self._inbox = Inbox()
        self._notices = Notices(settings, self._inbox)
        self._activity = Activity()
        self.database = Database(settings)
        self.assigned = Assigned(self._commit_removed, self._look_at_assigned)
        self.commits = Commits(settings, self.database, self.assigned, self._inbox, self._notices, self._bell)
        self.reader = Reader(
            settings, self.database, self.assigned, self._notices, self._activity, self._bell, self._tell_unknown
        )
        self._listener = RebalanceListener(self.assigned)
        self.group = Group(
            settings,
            self.database,
            self._listener,
            self.commits,
            self._notices,
            self.reader.events.append,
            self._activity,
            self._bell,
        )
        self._statistics = ConsumerStatistics(settings, self.assigned, self.group)
        self.closing = self.closed = False
        self._seen = Snapshot()
        self._started = self._forked = False
        self._retry_at = 0.0
        self._failures = 0
        self._refused: int | None = None

    def renew(self) -> None:
        """Begins anew in a forked child: as another member, and with what was assigned by hand where it stood."""
        self._inbox.renew()
        self.commits.renew()
        self.assigned.renew(kept=self.group.protocol is None)
        self.group.renew()
        self.reader.renew()
        self._seen = Snapshot()
        self._started, self._forked = False, True
        self._bell.renew()

    def message(self, consumer: object, seconds: float) -> Message | None:
        """Returns the next message or event; None when none came in time.

        Raises:
            RuntimeError: the consumer was closed meanwhile.
        """
        messages = self.messages(consumer, 1, seconds)
        return messages[0] if messages else None

    def messages(self, consumer: object, most: int, seconds: float) -> list[Message]:
        """Returns messages and events: so many, or what came in time, or before the group wanted something.

        Inside a rebalance callback there are none, whatever the time: the assignment is about to change.

        Raises:
            RuntimeError: the consumer was closed meanwhile.
        """
        end = inf if seconds < 0 else monotonic() + seconds
        messages: list[Message] = []
        if self._listener.telling:
            return messages
        self._activity.left_at = None
        try:
            while True:
                self._tend(consumer, in_hand=bool(messages))
                messages += self.reader.take(most - len(messages))
                left = end - monotonic()
                if len(messages) >= most or left <= 0:
                    return messages
                if not self.reader.hungry or self._retry_at > monotonic():
                    self._wait(left)
                    if not self._bell.rung and monotonic() >= end:
                        return messages  # what has to be done all the same, the next call does
                # A batch that is not full goes out before a rebalance, which would come between it and its commit.
                if messages and (self.group.restless or self.group.pause_s <= 0):
                    return messages
        except BaseException:  # a callback's, or a signal's: what was to be handed out comes next time
            self.reader.events.extendleft(reversed(messages))
            raise
        finally:
            self._activity.left_at = monotonic()
            if self.reader.events:
                self._bell.ring()  # they come before any record

    def end(self) -> None:
        """Lets the call that is under way end, after which it is to be closed."""
        self.closing = True
        self._bell.ring()

    def close(self, consumer: object) -> None:
        """Gives everything back, commits what is stored, leaves the group; within seconds, whatever is down.

        What callbacks raise comes out at the end.
        """
        self.commits.hurry(_COMMIT_SECONDS)
        with ExitStack() as last_first:
            last_first.callback(self.reader.events.clear)
            last_first.callback(setattr, self, "closed", True)
            if self._started:
                last_first.callback(self.database.watcher.forget, self)
                last_first.callback(self.database.committer.dismiss, self.commits)
            last_first.callback(self._inbox.serve)
            last_first.callback(self.commits.finish, _COMMIT_SECONDS)
            last_first.callback(self.assigned.replace, [])
            last_first.callback(self.group.close, consumer)

    def watermarks(self, tp: TP) -> tuple[int, int]:
        """Returns the ends of an assigned partition as they were last seen."""
        cursor = self.assigned.cursors.get(tp)
        low, high = (cursor and cursor.head) or (OFFSET_INVALID, OFFSET_INVALID)
        return low, high

    def rearrange(self) -> None:
        """Takes note that partitions were paused, resumed or sought."""
        self.reader.rearrange()
        self._bell.ring()

    def _wait(self, left: float) -> None:
        """Waits for something to come, or to be done. Signals interrupt it."""
        retry = self._retry_at - monotonic()
        pause = min(left, retry if retry > 0 else self.group.pause_s, self._statistics.pause_s, _LONGEST_WAIT)
        if pause > 0 and not self._bell.rung:
            self.database.ringer.wait(self._bell, self.assigned.topics(), self._seen, pause)

    def _tend(self, consumer: object, *, in_hand: bool) -> None:
        """Does whatever there is to do besides handing out messages; about the group only with none in hand."""
        self._require_open()
        self._bell.answer()
        self._start()
        self._statistics.tell(self._notices)
        self._inbox.serve()
        self._see()
        if self._retry_at <= monotonic():
            self._go_on(consumer, in_hand=in_hand)
        self._inbox.serve()
        self._require_open()
        self._bell.due = monotonic() + _LOOK_SECONDS

    def _require_open(self) -> None:
        if self.closing or self.closed:
            raise RuntimeError("Consumer closed")

    def _start(self) -> None:
        """Starts what runs beside all consumers, once in each process."""
        if self._started:
            return
        self._started = True
        settings, database = self._settings, self.database
        if self._forked:
            settings.log(Severity.WARNING, "FORK", "the process was forked: this consumer goes on as another one")
        if settings.retention:
            sweeper_for(database.pool, database.schemas).start()
        if settings.notify != "off":
            database.watcher.listen(settings.notify_dsn)
        if settings.enable_auto_commit and settings.auto_commit_interval_s > 0:
            database.committer.attend(self.commits)
        self._look_at_assigned()

    def _see(self) -> None:
        """Takes note of what the watcher saw; it is often the first to learn that the database is away."""
        snapshot = self.database.watcher.snapshot()
        if snapshot is not self._seen:
            self._seen = snapshot
            self.reader.see(snapshot)
            if snapshot.error is not None:
                self._notices.trouble(from_postgres(snapshot.error))

    def _go_on(self, consumer: object, *, in_hand: bool) -> None:
        """Does what the group and the reader want of the database."""
        try:
            if not in_hand:
                self.group.tend(consumer)
            if self.reader.idle:
                self._refill()
        except DatabaseError as trouble:
            self._failures += 1
            self._retry_at = monotonic() + backoff(self._failures)
            error = from_postgres(trouble.failure)
            self._notices.trouble(error)
            if error.code() not in _PASSING and error.code() != self._refused:
                self._refused = error.code()
                self.reader.events.append(Message.from_event(error))
        else:
            self._failures, self._refused = 0, None
            if self._seen.error is None:
                self._notices.well()

    def _refill(self) -> None:
        if self.commits.under_way and any(one.start is not None for one in self.assigned.cursors.values()):
            self.commits.finish(_COMMIT_SECONDS)  # what they say may be where to start
        self.reader.refill()

    def _commit_removed(self, cursors: Sequence[Cursor]) -> None:
        if self._settings.enable_auto_commit and not self._listener.losing:
            self.commits.of_removed(cursors, _COMMIT_SECONDS)

    def _look_at_assigned(self) -> None:
        """Takes note that other partitions are assigned."""
        self.reader.rearrange()
        if self._started:
            self.database.watcher.watch(self.assigned.topics(), self)
        self._bell.ring()

    def _tell_unknown(self, error: KafkaError) -> None:
        """Tells that there is no such partition, where the application assigned it; of its own the group tells."""
        error_cb = self._settings.error_cb
        if self.group.protocol is None:
            self._notices.log(Severity.ERROR, "ERROR", error.str())
            if error_cb is not None:
                self._inbox.post(Notice(lambda: error_cb(error)))
