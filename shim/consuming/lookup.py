"""What a consumer asks of the database beside its stream of messages: committed offsets, ends, offsets by time."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from shim.client import metadata
from shim.client.metadata import ClusterMetadata
from shim.client.request import Deadline, prefixed, read
from shim.config.settings import Settings
from shim.consuming.database import Database
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Broker, Local
from shim.protocol.constants import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID
from shim.store import fetch, offsets
from shim.store.fetch import TP, Connection, Head
from shim.topic_partition import TopicPartition

T = TypeVar("T")
Asked = tuple[str, int, int]
"""Topic, partition, milliseconds since 1970."""


class Lookup:
    """Answers one consumer's questions.

    Args:
        settings: the consumer's.
        database: where the answers are.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def list_topics(self, topic: str | None, seconds: float) -> ClusterMetadata:
        """Returns the cluster with all topics, or one; see `shim.client.metadata.list_topics`."""
        return metadata.list_topics(self._database.pool, self._database.schemas, topic, seconds)

    def cluster_id(self, seconds: float) -> str:
        """Returns what identifies the queue; see `shim.client.metadata.cluster_id`."""
        return metadata.cluster_id(self._database.pool, self._database.schemas, seconds)

    def committed(self, partitions: list[TopicPartition], seconds: float) -> list[TopicPartition]:
        """Returns what the group has committed, OFFSET_INVALID where that is nothing.

        Raises:
            KafkaException: the database refused, or stayed away.
        """
        if not partitions:
            return []
        group_id, texts = self._settings.group_id, self._database.committing
        asked = {(one.topic, one.partition) for one in partitions}
        standing = self._ask(
            lambda conn: offsets.committed(conn, texts, group_id, asked), seconds, "Failed to get committed offsets"
        )
        return [_committed(one, standing.get((one.topic, one.partition))) for one in partitions]

    def watermarks(self, partition: TopicPartition, seconds: float) -> tuple[int, int]:
        """Returns the first offset of a partition, and the one behind its last.

        Raises:
            KafkaException: there is no such partition, or the database refused, or stayed away.
        """
        attempt = "Failed to get watermark offsets"
        heads = self._ask(lambda conn: self._heads(conn, [partition]), seconds, attempt)
        head = heads.get((partition.topic, partition.partition))
        if head is None:
            raise prefixed(KafkaException(KafkaError(Local.UNKNOWN_PARTITION)), attempt)
        return head.start, head.next

    def offsets_for_times(self, partitions: list[TopicPartition], seconds: float) -> list[TopicPartition]:
        """Returns the first offsets whose timestamps are not before those asked for, OFFSET_END where there is none.

        Raises:
            KafkaException: there are no such partitions, or the database refused, or stayed away.
        """
        attempt = "Failed to get offsets"
        if not partitions:
            raise prefixed(KafkaException(KafkaError(Local.INVALID_ARG)), attempt)
        if any(one.offset < OFFSET_BEGINNING for one in partitions):
            raise prefixed(KafkaException(KafkaError(Broker.UNSUPPORTED_VERSION)), attempt)
        times = {(one.topic, one.partition, one.offset) for one in partitions if one.offset >= 0}
        texts = self._database.fetching

        def look(conn: Connection) -> tuple[Mapping[TP, Head], Mapping[Asked, int | None]]:
            found: dict[Asked, int | None] = {}
            for asked in _distinct(times):
                answers = fetch.offsets_for_times(conn, texts, list(asked.values()))
                found |= {asked[tp]: offset for tp, offset in answers.items()}
            return self._heads(conn, partitions), found

        heads, found = self._ask(look, seconds, attempt)
        answers = [_at(one, heads.get((one.topic, one.partition)), found) for one in partitions]
        if all(one.error is not None for one in answers):
            raise prefixed(KafkaException(KafkaError(Local.UNKNOWN_PARTITION)), attempt)
        return answers

    def _heads(self, conn: Connection, partitions: list[TopicPartition]) -> dict[TP, Head]:
        return fetch.heads(conn, self._database.fetching, sorted({one.topic for one in partitions}))

    def _ask(self, work: Callable[[Connection], T], seconds: float, attempt: str) -> T:
        try:
            return read(self._database.pool, Deadline(seconds), work)
        except KafkaException as failure:
            raise prefixed(failure, attempt) from failure.__cause__


def _distinct(times: set[Asked]) -> Iterator[dict[TP, Asked]]:
    """Splits what is asked for, so that each partition comes once in each part."""
    while times:
        part = {(topic, partition): (topic, partition, time) for topic, partition, time in times}
        times = times - set(part.values())
        yield part


def _committed(asked: TopicPartition, standing: offsets.Committed | None) -> TopicPartition:
    if standing is None:
        return TopicPartition(asked.topic, asked.partition, OFFSET_INVALID)
    epoch = -1 if standing.leader_epoch is None else standing.leader_epoch
    return TopicPartition(asked.topic, asked.partition, standing.offset, standing.metadata or None, epoch)


def _at(asked: TopicPartition, head: Head | None, found: Mapping[Asked, int | None]) -> TopicPartition:
    if head is None:
        error = KafkaError(Local.UNKNOWN_PARTITION)
        return TopicPartition.answered(asked.topic, asked.partition, asked.offset, error=error)
    if asked.offset < 0:
        return TopicPartition(asked.topic, asked.partition, head.next if asked.offset == OFFSET_END else head.start)
    offset = found.get((asked.topic, asked.partition, asked.offset))
    return TopicPartition(asked.topic, asked.partition, OFFSET_END if offset is None else offset)
