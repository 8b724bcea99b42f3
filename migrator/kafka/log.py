"""The verifier's own reader: ranges of one partition, record by record, with nothing of the drain's reading in it.

It takes messages apart itself, so that a mistake in the drain's decoding is seen instead of repeated.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat, takewhile
from types import TracebackType
from typing import Any, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from migrator.digest import Headers, Record
from migrator.errors import MigratorError, RefusedError, StoppedError
from migrator.kafka.properties import KafkaProperties
from migrator.kafka.reports import Reports, denied

_SETTINGS: Mapping[str, Any] = {
    "allow.auto.create.topics": False,
    "auto.offset.reset": "error",
    "check.crcs": True,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
}
_TUNING: Mapping[str, Any] = {
    "fetch.max.bytes": 8_388_608,  # what is read ahead lies in memory, and compressed records grow
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 16_384,
    "receive.message.max.bytes": 2_147_483_647,
}
_END = KafkaError._PARTITION_EOF  # noqa: SLF001  librdkafka's own codes are spelled with an underscore
_OUTSIDE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # noqa: SLF001
_GONE = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)
_PORTION = 1_000
_WAIT_SECONDS = 0.1
_new = tuple.__new__  # a NamedTuple's own constructor costs three times as much
_headers: Any = Message.headers


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records in the order of their offsets.

    Attributes:
        records: those that could be taken apart.
        unreadable: offsets of those whose headers the client library cannot decode.
    """

    records: list[Record]
    unreadable: list[int]


class LogReader:
    """Reads ranges of offsets; those that follow one another are read in one go."""

    def __init__(self, properties: KafkaProperties, *, patience: float = 60.0) -> None:
        """Makes the client.

        Args:
            properties: how to reach the cluster.
            patience: seconds without any progress after which it is given up.
        """
        self._properties = properties
        self._patience = patience
        self._reports = Reports(properties)
        self._place = ("", -1)
        self._next = 0
        self._ahead: list[Any] = []
        self._consumer: Any = Consumer(
            {
                **_TUNING,
                **properties.for_client(dict(_SETTINGS)),
                "group.id": f"kafka-to-postgres-{uuid.uuid4()}",  # never joined: assign() needs no group
                "error_cb": self._reports.error,
                "logger": self._reports,
            }
        )

    def read(self, topic: str, partition: int, start: int, stop: int) -> Iterator[Chunk]:
        """Yields what the log holds of a range, committed records only; where it begins later, from there.

        Raises:
            RefusedError: ``topic-gone``.
            CannotStartError: ``not-authorized``.
            StoppedError: ``kafka-silent``, ``read-failed``.
        """
        if (topic, partition) != self._place or start != self._next:
            self._stand_at((topic, partition), start)
        heard = time.monotonic()
        while self._next < stop:
            messages = self._messages()
            if messages:
                heard = time.monotonic()
                yield self._chunk(self._taken(messages, stop))
            elif time.monotonic() > heard + self._patience:
                raise self._silent(topic, partition)

    def close(self) -> None:
        """Ends the client; a second time does nothing."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stand_at(self, place: tuple[str, int], offset: int) -> None:
        self._place, self._next, self._ahead = place, max(offset, 0), []
        self._consumer.assign([TopicPartition(*place, self._next)])

    def _messages(self) -> list[Any]:
        """What is there; waits a little for the first where nothing is."""
        messages, self._ahead = self._ahead, []
        try:
            return messages or self._consumer.consume(_PORTION, 0) or self._consumer.consume(1, _WAIT_SECONDS)
        except KafkaException as error:
            raise self._failed(error.args[0]) from error

    def _taken(self, messages: list[Any], stop: int) -> list[Any]:
        """Those below ``stop``, up to the first that is none but an event; moves on, and keeps the rest for later."""
        if not any(map(Message.error, messages)) and messages[-1].offset() < stop:
            taken = messages
        else:
            taken = list(takewhile(lambda message: message.error() is None and message.offset() < stop, messages))
            self._ahead = messages[len(taken) :]
        if taken:
            if taken[0].offset() < self._next:
                raise self._truncated(taken[0].offset())
            self._next = taken[-1].offset() + 1
        elif (error := self._ahead[0].error()) is None:
            self._next = stop
        else:
            self._heed(error, self._ahead.pop(0).offset())
        return taken

    def _heed(self, error: KafkaError, offset: int) -> None:
        code = error.code()
        if code == _END:
            self._next = max(self._next, offset)
        elif code in _OUTSIDE:
            self._ahead = []
            self._consumer.assign([TopicPartition(*self._place, OFFSET_BEGINNING)])
        elif not error.retriable() or code in _GONE:
            raise self._failed(error)

    def _chunk(self, messages: list[Any]) -> Chunk:
        headers, unreadable = _decoded(messages)
        columns = zip(
            map(Message.offset, messages),
            map(Message.timestamp, messages),
            map(Message.key, messages),
            map(Message.value, messages),
            headers,
            strict=True,
        )
        records: list[Record] = list(map(_new, repeat(Record), columns))
        return Chunk([r for r in records if r.offset not in unreadable] if unreadable else records, sorted(unreadable))

    def _failed(self, error: KafkaError) -> MigratorError:
        topic, partition = self._place
        said = self._properties.redact(error.str())
        if error.code() in _GONE:
            return RefusedError(
                f"{topic}/{partition} is no longer there: {said}", code="topic-gone", hint="migrator doctor"
            )
        return denied(self._properties, error, "Read", topic) or StoppedError(
            f"reading {topic}/{partition} failed: {said} ({error.name()})",
            code="read-failed",
            hint="run the same command again",
        )

    def _truncated(self, offset: int) -> RefusedError:
        topic, partition = self._place
        return RefusedError(
            f"{topic}/{partition} delivered offset {offset} although {self._next} came next: its log was truncated or "
            "replaced",
            code="log-truncated",
            hint=f"migrator drain --topic {topic} --dry-run",
        )

    def _silent(self, topic: str, partition: int) -> StoppedError:
        why = f": {self._reports.text}" if self._reports.text else ""
        return StoppedError(
            f"Kafka said nothing of {topic}/{partition} from offset {self._next} on for {self._patience:g} s{why}",
            code="kafka-silent",
            hint="run the same command again",
        )


def _decoded(messages: list[Any]) -> tuple[list[Headers | None], set[int]]:
    """The headers of messages, and the offsets of those that the client library cannot decode.

    A name that is not UTF-8 makes it return half-made tuples with an exception pending. Called by ``map``, that is seen
    and becomes a ``SystemError``; Python's own specialised calls do not look, and the tuples crash the process.
    """
    decoded: list[Headers | None] = []
    unreadable: set[int] = set()
    append, each = decoded.append, map(_headers, messages)
    while len(decoded) < len(messages):
        try:
            for pairs in each:
                append(tuple([(name.encode(), value) for name, value in pairs]) if pairs else None)
        except SystemError:
            unreadable.add(messages[len(decoded)].offset())
            append(None)
    return decoded, unreadable
