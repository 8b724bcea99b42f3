"""Reads ahead in the partitions that a consumer is assigned, and hands out one message after another."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice, takewhile
from operator import itemgetter
from time import monotonic

from shim.client.bell import Bell
from shim.client.notices import Notices
from shim.config.settings import Settings, Severity
from shim.consuming.assigned import Assigned
from shim.consuming.cursor import Cursor, located
from shim.consuming.database import Database
from shim.consuming.member import Activity
from shim.consuming.portion import Portion
from shim.errors import KafkaError
from shim.message import Message
from shim.protocol.codes import Broker, Local
from shim.protocol.constants import OFFSET_INVALID, OFFSET_STORED
from shim.store import fetch, offsets
from shim.store.fetch import TP, Head, Mark, Place
from shim.store.meter import meter
from shim.store.offsets import Connection
from shim.store.records import Record
from shim.store.watcher import Snapshot

_message = Message.from_record
_size = itemgetter(Record._fields.index("size"))
_topic = itemgetter(Record._fields.index("topic"))
_OUT_OF_RANGE = f"fetch failed due to requested offset not available on the broker: {Broker.OFFSET_OUT_OF_RANGE.text}"
_NOTHING_COMMITTED = f"no previously committed offset available: {Local.NO_OFFSET.text}"


class Reader:
    """One consumer's way through its partitions.

    Args:
        settings: the consumer's.
        database: where the partitions are.
        assigned: the partitions.
        notices: is told where a position was reset.
        activity: of the application.
        bell: whether there is something to be done before records are handed out.
        on_error: is told of partitions that there are not.

    Attributes:
        events: what is to be handed out before any record.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        assigned: Assigned,
        notices: Notices,
        activity: Activity,
        bell: Bell,
        on_error: Callable[[KafkaError], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._assigned = assigned
        self._notices = notices
        self._activity = activity
        self._bell = bell
        self._on_error = on_error
        self._auto_store = settings.enable_auto_offset_store
        self._ends = settings.enable_partition_eof
        self._counts = settings.stats_cb is not None
        self._portion = Portion(settings)
        self._fetched_at = monotonic()
        self._missing: set[TP] = set()
        self._turns = 0
        self._ready: deque[Cursor] = deque()
        self._current: Cursor | None = None
        self._records: Iterator[Record] = iter(())
        self._seen = Snapshot()
        self.events: deque[Message] = deque()

    def renew(self) -> None:
        """Begins anew in a forked child; what was fetched in partitions that are still assigned stays."""
        self._seen = Snapshot()
        self.events.clear()
        self.rearrange()

    def at_once(self) -> Message | None:
        """Hands out the next record that is here, if there is nothing else to look after; every message's way."""
        bell, now = self._bell, monotonic()
        if bell.rung or now >= bell.due:
            return None
        for record in self._records:
            cursor = self._current
            cursor.position = offset = record[2] + 1  # type: ignore[union-attr]  # these are the records of a cursor
            if self._auto_store:
                cursor.stored = offset  # type: ignore[union-attr]  # the same
            self._activity.left_at = now
            return _message(record)
        return None

    def take(self, most: int) -> list[Message]:
        """Hands out what is here, at most so many messages."""
        messages: list[Message] = []
        while len(messages) < most:
            if self.events:
                messages.append(self.events.popleft())
                continue
            records = list(islice(self._records, most - len(messages)))
            if records:
                self._hand_out(records[-1][2] + 1)
                messages += map(_message, records)
            elif not self._turn():
                break
        return messages

    @property
    def idle(self) -> bool:
        """Whether it has to fetch before it can hand out a record."""
        return self._current is None and not self._ready

    @property
    def hungry(self) -> bool:
        """Whether there is more to fetch, as far as is known."""
        return any(one.behind and one.records is None and self._open(one) for one in self._assigned.cursors.values())

    def _hand_out(self, offset: int) -> None:
        cursor = self._current
        if cursor is not None:
            cursor.position = offset
            if self._auto_store:
                cursor.stored = offset

    def _turn(self) -> bool:
        """Goes on to the next partition that has something; False without any."""
        if self._current is not None:
            self._current.records = None
            self._tell_end(self._current)
        self._current = self._ready.popleft() if self._ready else None
        self._records = iter(()) if self._current is None or self._current.records is None else self._current.records
        return self._current is not None or bool(self.events)

    def rearrange(self) -> None:
        """Takes note that partitions were assigned, paused or sought: what may not be handed out stays behind."""
        self._forget_ends()
        cursors = self._assigned.cursors
        self._ready = deque(one for one in cursors.values() if one.records is not None and self._open(one))
        self._current = None
        self._records = iter(())
        self._missing &= cursors.keys()

    def _forget_ends(self) -> None:
        """Takes back the ends that were not told yet and may not be now; what is only paused is told later."""
        events = list(self.events)
        self.events.clear()
        for event in events:
            error, cursor = event.error(), self._assigned.cursors.get((event.topic() or "", event.partition() or 0))
            if error is None or error.code() != Local.PARTITION_EOF:
                self.events.append(event)
            elif cursor is not None and cursor.told_end == event.offset():
                if self._open(cursor):
                    self.events.append(event)
                else:
                    cursor.told_end = None

    def see(self, snapshot: Snapshot) -> None:
        """Takes note of where logs end now, and of gates."""
        before, self._seen = self._seen, snapshot
        for tp, cursor in self._assigned.cursors.items():
            cursor.head = snapshot.heads.get(tp, cursor.head)
        if snapshot.gates != before.gates:
            self.rearrange()

    def refill(self) -> None:
        """Finds out where to start, and fetches, if there is anything to be found or fetched.

        Raises:
            DatabaseError: it cannot be.
        """
        cursors = [one for one in self._assigned.cursors.values() if self._known(one) and self._open(one)]
        lost = [one for one in cursors if one.lost]
        if lost or any(one.behind and one.records is None for one in cursors):
            with self._database.connection() as conn:
                self._locate(conn, lost)
                self._fetch(conn, [one for one in cursors if one.behind and one.records is None])
        for cursor in cursors:
            self._tell_end(cursor)

    def _open(self, cursor: Cursor) -> bool:
        return not cursor.paused and self._seen.gates.get(cursor.topic) == "open"

    def _known(self, cursor: Cursor) -> bool:
        """Whether the partition is there, or may be: one that was looked for in vain is told once."""
        if cursor.tp in self._seen.heads or cursor.topic not in self._seen.topics:
            self._missing.discard(cursor.tp)
            return True
        if cursor.tp not in self._missing:
            self._missing.add(cursor.tp)
            unknown = Local.UNKNOWN_PARTITION if cursor.topic in self._seen.gates else Local.UNKNOWN_TOPIC
            text = f"{cursor.topic} [{cursor.partition}]: desired partition is not available ({unknown.text})"
            self._on_error(KafkaError(unknown, text))
        return False

    def _locate(self, conn: Connection, lost: Sequence[Cursor]) -> None:
        if not lost:
            return
        group_id, texts = self._settings.group_id, self._database.committing
        heads = fetch.heads(conn, self._database.fetching, sorted({one.topic for one in lost}))
        asking = [one.tp for one in lost if one.start == OFFSET_STORED]
        standing = offsets.committed(conn, texts, group_id, asking) if asking else {}
        for cursor in lost:
            head, committed = heads.get(cursor.tp), standing.get(cursor.tp)
            if head is not None:
                self._begin(cursor, head, committed and committed.offset)

    def _begin(self, cursor: Cursor, head: Head, committed: int | None) -> None:
        start = cursor.fetched if cursor.start is None else cursor.start
        offset = located(start, head, committed)
        if offset is not None:
            cursor.begin(offset)
        else:
            self._reset(cursor, head, committed if start == OFFSET_STORED else start)
        cursor.head = head
        if committed is not None:
            cursor.committed = committed

    def _reset(self, cursor: Cursor, head: Head, wanted: int | None) -> None:
        """Does what ``auto.offset.reset`` says where the wanted offset is not there, or none is wanted (None)."""
        policy = self._settings.auto_offset_reset
        at = OFFSET_INVALID if wanted is None else wanted
        reason = _NOTHING_COMMITTED if at < 0 else _OUT_OF_RANGE
        if policy == "error":
            cursor.fail()
            error = KafkaError(Local.AUTO_OFFSET_RESET, reason)
            self.events.append(Message.from_event(error, cursor.topic, cursor.partition, at))
            return
        cursor.begin(head.start if policy == "earliest" else head.next)
        if at >= 0:
            end = "BEGINNING" if policy == "earliest" else "END"
            text = f"{cursor.topic} [{cursor.partition}]: offset reset (at offset {at}) to offset {end}: {reason}"
            self._notices.log(Severity.WARNING, "OFFSET", text)

    def _fetch(self, conn: Connection, behind: Sequence[Cursor]) -> None:
        if not behind:
            return
        first = self._turns % len(behind)
        self._turns += 1
        asked = [*behind[first:], *behind[:first]]
        began = monotonic()
        records = fetch.fetch(
            conn,
            self._database.fetching,
            [_place(one) for one in asked],
            max_rows=self._portion.rows(len(asked)),
            max_bytes=self._portion.max_bytes(len(asked)),
            per_partition=self._portion.per_partition(len(asked)),
        )
        now = monotonic()
        meter.time("fetch", now - began)
        meter.count_each("consumer_messages", Counter(map(_topic, records)))
        self._portion.learn(len(records), max(map(_size, records), default=0), now - self._fetched_at)
        self._fetched_at = now
        found = _by_partition(records, asked)
        self._sort(asked, found, self._go_back(conn, [one for one in _reached(asked, records) if one.tp not in found]))

    def _go_back(self, conn: Connection, silent: Sequence[Cursor]) -> Collection[TP]:
        """Does what ``auto.offset.reset`` says in each of these partitions that was truncated and written anew."""
        marked = [one for one in silent if one.mark]
        if not marked:
            return ()
        texts = self._database.fetching
        gone = fetch.truncated(conn, texts, [_place(one) for one in marked])
        heads = fetch.heads(conn, texts, sorted({topic for topic, _ in gone})) if gone else {}
        for cursor in marked:
            head = heads.get(cursor.tp)
            if cursor.tp in gone and head is not None:
                cursor.head = head
                cursor.mark = None
                self._reset(cursor, head, cursor.fetched)
        return gone

    def _sort(self, asked: Sequence[Cursor], found: dict[TP, Sequence[Record]], gone: Collection[TP]) -> None:
        """Gives each partition its records."""
        full = self._portion.per_partition(len(asked))
        last = next(reversed(found), None)
        complete = last is None
        # Partitions were read in this order until there was enough: before the last one that was read, each that has
        # fewer records than it may have is at its end, though the end may lie behind what retention or a transaction
        # of Kafka's left out.
        for cursor in reversed(asked):
            own = found.get(cursor.tp, [])
            head = cursor.head
            if own:
                cursor.fetched = own[-1].offset + 1
                cursor.mark = Mark(own[-1].offset, own[-1].timestamp_ms, own[-1].key)
                cursor.records = iter(own)
                cursor.told_end = None
                cursor.received += len(own)
                cursor.received_bytes += sum(map(_size, own)) if self._counts else 0
                self._ready.appendleft(cursor)
            if complete and len(own) < full and head is not None and cursor.tp not in gone:
                cursor.fetched = max(cursor.fetched, head.next)
            complete = complete or cursor.tp == last

    def _tell_end(self, cursor: Cursor) -> None:
        """Tells that a partition is read to its end, once for each end."""
        if not self._ends or cursor.records is not None or cursor.start is not None or cursor.head is None:
            return
        end = cursor.fetched
        if end != cursor.head.next or cursor.told_end == end or not self._open(cursor):
            return
        cursor.told_end = end
        text = f"Fetch from broker 1 reached end of partition at offset {end} (HighwaterMark {end})"
        error = KafkaError(Local.PARTITION_EOF, text)
        self.events.append(Message.from_event(error, cursor.topic, cursor.partition, end))


def _place(cursor: Cursor) -> Place:
    return Place(cursor.topic, cursor.partition, cursor.fetched, cursor.mark)


def _reached(asked: Sequence[Cursor], records: Sequence[Record]) -> Iterator[Cursor]:
    """The partitions that were read before there was enough, but for the last one."""
    last = records[-1][:2] if records else None
    return takewhile(lambda one: one.tp != last, asked)


def _by_partition(records: Sequence[Record], asked: Sequence[Cursor]) -> dict[TP, Sequence[Record]]:
    """Splits records that come partition by partition, in the order in which these were asked for."""
    place = {cursor.tp: number for number, cursor in enumerate(asked)}
    found: dict[TP, Sequence[Record]] = {}
    start = 0
    while start < len(records):
        tp = records[start][:2]
        end = bisect_left(records, place[tp] + 1, start, key=lambda record: place[record[:2]])
        found[tp] = records[start:end]
        start = end
    return found
