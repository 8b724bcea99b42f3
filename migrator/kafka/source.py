"""Reading records from exactly where one says, and never anything else.

No consumer group takes part: partitions are assigned by hand at explicit offsets, nothing is committed, and an offset
that the broker does not hold is an event instead of a silent jump.
"""

import gc
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice, repeat
from operator import itemgetter
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from migrator.errors import MigratorError, RefusedError, StoppedError
from migrator.kafka.properties import KafkaProperties
from migrator.kafka.raw_headers import RawHeaders
from migrator.kafka.records import EndOfPartition, Event, Headers, OutOfRange, SourceRecord, UnreadableRecord
from migrator.kafka.reports import UNREACHABLE, Reports, denied

Isolation = Literal["read_committed", "read_uncommitted"]

_PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001  librdkafka's own codes are spelled with an underscore
_OUT_OF_RANGE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
_GONE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
_OF_THE_GROUP = frozenset({KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.COORDINATOR_NOT_AVAILABLE})
"""librdkafka looks for the coordinator of a group that is never joined; a user without rights to groups can read."""

_PASSING = UNREACHABLE | {
    KafkaError._AUTHENTICATION,  # noqa: SLF001  a password that is being rotated comes right again
    KafkaError._SSL,  # noqa: SLF001
    KafkaError._RETRY,  # noqa: SLF001
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}
"""Errors that librdkafka retries by itself, from the same position."""

_SETTINGS: Mapping[str, Any] = {
    "allow.auto.create.topics": False,
    "auto.offset.reset": "error",
    "check.crcs": True,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
}
"""What exactly-once rests on."""

_TUNING: Mapping[str, Any] = {
    "fetch.max.bytes": 8_388_608,  # a fetch is read ahead whole, and compressed records grow: keep it small
    "fetch.queue.backoff.ms": 10,  # its default of a second starves a reader that is faster than the queue is big
    "receive.message.max.bytes": 2_147_483_647,  # also bounds what a compressed batch may grow to
    "fetch.wait.max.ms": 100,  # an end of partition is told only when a fetch comes back empty
    "topic.metadata.propagation.max.ms": 5_000,  # how long a deleted topic is given to come back
    "topic.metadata.refresh.interval.ms": 30_000,
}
"""What the user's own properties may change."""

_PORTION = 1_000

_new = tuple.__new__
_topic, _partition, _offset = Message.topic, Message.partition, Message.offset
_key, _value, _timestamp, _error = Message.key, Message.value, Message.timestamp, Message.error
_headers: Any = Message.headers


class Trouble(NamedTuple):
    """Why nothing arrives: since when, by ``time.monotonic()``, and librdkafka's words, without secrets."""

    since: float
    text: str


class Source(Protocol):
    """A reader of explicit positions."""

    @property
    def trouble(self) -> Trouble | None:
        """What keeps records from arriving; None while they do."""

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Reads these partitions from these offsets on, and no others; what was read ahead is dropped."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Reads one assigned partition from another offset on."""

    def pause(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Delivers nothing more from these partitions."""

    def resume(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Delivers from these partitions again, where they were paused."""

    def read(self, max_records: int, timeout: float) -> list[Event]:
        """Returns what has arrived, as soon as there is anything; an empty list after ``timeout`` seconds."""

    def close(self) -> None:
        """Ends the reader; a second time does nothing."""


class ConfluentSource:
    """A `Source` on librdkafka.

    Known limit: librdkafka hands header names over as C strings, so a name that holds a NUL byte ends before it.
    """

    def __init__(
        self,
        properties: KafkaProperties,
        *,
        isolation: Isolation = "read_committed",
        queue_kbytes: int = 16_384,
    ) -> None:
        """Makes the client; it connects when partitions are assigned.

        Args:
            properties: how to reach the cluster.
            isolation: whether records of aborted and open transactions are left out.
            queue_kbytes: how much is read ahead before librdkafka fetches no more, in KiB, in total for all
                partitions; the fetches under way come on top (measured: 90 MB of process memory in all, with 8
                partitions as with 64).
        """
        self._properties = properties
        self._reports = Reports(properties)
        self._failure: MigratorError | None = None
        self._first: list[Any] = []
        settings = {**_SETTINGS, "isolation.level": isolation, "queued.max.messages.kbytes": queue_kbytes}
        self._settings = {**_TUNING, **properties.for_client(settings)}
        self._raw: RawHeaders | None = None
        self._consumer: Any = Consumer(
            {
                **self._settings,
                "group.id": f"kafka-to-postgres-{uuid.uuid4()}",  # never joined: assign() needs no group
                "error_cb": self._reported,
                "logger": self._reports,
            }
        )

    @property
    def trouble(self) -> Trouble | None:
        """Why no broker answers; None while one does. Cleared by the next record or end of partition."""
        since = self._reports.down_since
        return None if since is None else Trouble(since, self._reports.text or "no broker answers")

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Reads these partitions from these offsets on, and no others; what was read ahead is dropped.

        Args:
            positions: the next offset to deliver, by topic and partition.
        """
        self._failure = None
        self._first = []
        self._consumer.assign([TopicPartition(topic, n, offset) for (topic, n), offset in positions.items()])

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Reads one assigned partition from another offset on; what was read ahead of it is dropped.

        librdkafka's own seek is refused where the partition stands still after an `OutOfRange`, so the partition is
        taken away and given again. A pause ends with it.
        """
        self._first = [m for m in self._first if (m.topic(), m.partition()) != (topic, partition)]
        self._consumer.incremental_unassign([TopicPartition(topic, partition)])
        self._consumer.incremental_assign([TopicPartition(topic, partition, offset)])

    def pause(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Delivers nothing more from these partitions."""
        self._consumer.pause([TopicPartition(*partition) for partition in partitions])

    def resume(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Delivers from these partitions again, where they were paused."""
        self._consumer.resume([TopicPartition(*partition) for partition in partitions])

    def read(self, max_records: int, timeout: float) -> list[Event]:
        """Returns what has arrived, as soon as there is anything; an empty list after ``timeout`` seconds.

        librdkafka's own batch call waits out its timeout unless it has every record that it was asked for; so it is
        asked without waiting, and waits for one record only when there is none.

        Args:
            max_records: how many events at most.
            timeout: seconds.

        Raises:
            RefusedError: ``topic-gone``, ``log-truncated``.
            CannotStartError: ``not-authorized``.
            StoppedError: the broker or the client reports what no retry cures, such as a damaged record.
        """
        events = self._available(max_records)
        if not events and timeout > 0:
            self._first = self._consume(1, timeout)
            events = self._available(max_records) if self._first else events
        if self._failure and not events:
            raise self._failure
        return events

    def close(self) -> None:
        """Ends the reader; a second time does nothing."""
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _available(self, max_records: int) -> list[Event]:
        """What is here already, without waiting; in portions that the processor's caches hold."""
        events: list[Event] = []
        with _no_collections():
            messages, self._first = self._first, []
            while (wanted := min(max_records - len(events), _PORTION) - len(messages)) >= 0:
                if wanted:
                    messages += self._consume(wanted, 0)
                if not messages:
                    break
                errors = list(map(_error, messages))
                events += self._mixed(messages, errors) if any(errors) else self._records(messages)
                messages = []
        return events

    def _consume(self, count: int, timeout: float) -> list[Any]:
        try:
            return self._consumer.consume(count, timeout)  # type: ignore[no-any-return]
        except KafkaException as error:
            self._reported(error.args[0])
            return []

    def _mixed(self, messages: list[Any], errors: list[Any]) -> list[Event]:
        """Records with other events between them, in the order in which they came."""
        events: list[Event] = []
        start = 0
        for at, error in enumerate(errors):
            if error is not None:
                events += self._records(messages[start:at])
                events += self._event(messages[at], error)
                start = at + 1
        return events + self._records(messages[start:])

    def _event(self, message: Any, error: KafkaError) -> tuple[Event, ...]:
        code = error.code()
        if code == _PARTITION_EOF:
            self._reports.clear()
            return (EndOfPartition(message.topic(), message.partition(), message.offset()),)
        if code in _OUT_OF_RANGE:
            return (OutOfRange(message.topic(), message.partition()),)
        if code not in _OF_THE_GROUP:
            self._reported(error, message)
        return ()

    def _reported(self, error: KafkaError, message: Any = None) -> None:
        """Takes an error from wherever librdkafka reports it; what ends the reading is raised by the next `read`."""
        code = error.code()
        if code in _PASSING or (message is None and not error.fatal() and code not in _GONE):
            self._reports.error(error)
        elif self._failure is None:
            self._failure = self._verdict(error, message)

    def _verdict(self, error: KafkaError, message: Any) -> MigratorError:
        said = self._properties.redact(error.str())
        where = f"{message.topic()}/{message.partition()}" if message is not None and message.topic() else "the topic"
        if error.code() in _GONE:
            return RefusedError(
                f"{where} is no longer there: {said}",
                code="topic-gone",
                hint="if it was deleted or recreated, what was copied so far is all there is",
            )
        if error.code() == KafkaError._LOG_TRUNCATION:  # noqa: SLF001
            return RefusedError(
                f"{where} lost records that had been read: {said}",
                code="log-truncated",
                hint="an unclean leader election does this; what was copied stands in the table",
            )
        topic = message.topic() if message is not None else ""
        return denied(self._properties, error, "Read", topic) or StoppedError(
            f"reading {where} failed: {said} ({error.name()})", code="read-failed", hint="run the same command again"
        )

    def _records(self, messages: list[Any]) -> list[Event]:
        """Turns messages into records, a column at a time: the whole loop runs in C but for the headers."""
        if not messages:
            return []
        self._reports.clear()
        headers, unreadable = _all_headers(messages)
        times = list(map(_timestamp, messages))
        columns = zip(
            map(_topic, messages),
            map(_partition, messages),
            map(_offset, messages),
            map(_key, messages),
            map(_value, messages),
            headers,
            map(itemgetter(1), times),
            map(itemgetter(0), times),
            strict=True,
        )
        records: list[Event] = list(map(_new, repeat(SourceRecord), columns))
        for at in unreadable:
            records[at] = self._reread(records[at])
        return records

    def _reread(self, record: Any) -> Event:
        """A record whose headers the Python client cannot decode, with its headers read past that client."""
        self._raw = self._raw or RawHeaders(self._settings)
        headers = self._raw.read(record.topic, record.partition, record.offset)
        if isinstance(headers, str):
            topic, partition, offset, key, value, _, timestamp, kind = record
            return UnreadableRecord(topic, partition, offset, key, value, timestamp, kind, headers)
        return record._replace(headers=headers)  # type: ignore[no-any-return]


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keeps Python's cyclic garbage collector from running.

    A batch makes tens of thousands of tuples, none of them in a cycle; the collector would look at them all again and
    again, which measured at two thirds of the time of a read.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _all_headers(messages: list[Any]) -> tuple[list[Headers | None], list[int]]:
    """The headers of every message, and the indexes of those that the client could not decode.

    A name that is not UTF-8 makes the client raise ``SystemError``. It must not be asked a second time: it then
    returns tuples that hold a null pointer.
    """
    headers: list[Headers | None] = []
    unreadable: list[int] = []
    append = headers.append
    while len(headers) < len(messages):
        try:
            for pairs in map(_headers, islice(messages, len(headers), None)):
                append(None if pairs is None else tuple([(name.encode(), value) for name, value in pairs]))
        except SystemError:
            unreadable.append(len(headers))
            append(None)
    return headers, unreadable
