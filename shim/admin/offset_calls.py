"""Calls about offsets: those of groups, and the ends of partitions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from shim.admin import arguments
from shim.admin.arguments import flag, group_request, operation_limit
from shim.admin.asking import Asking
from shim.admin.failures import one_by_one
from shim.admin.offsets import EARLIEST, LATEST, MAX_TIMESTAMP, DeletedRecords, ListOffsetsResultInfo, OffsetSpec
from shim.errors import KafkaError, KafkaException
from shim.model import ConsumerGroupTopicPartitions, IsolationLevel
from shim.protocol.codes import Broker, Local
from shim.store import fetch, offsets
from shim.store import topics as store_topics
from shim.store.fetch import TP
from shim.store.offsets import Commit, Committed
from shim.store.pool import Connection
from shim.topic_partition import TopicPartition

Heads = Mapping[TP, fetch.Head]

_COMMIT_ERRORS = {
    "unknown-member": Broker.UNKNOWN_MEMBER_ID,
    "illegal-generation": Broker.ILLEGAL_GENERATION,
    "fenced-instance": Broker.FENCED_INSTANCE_ID,
    "unknown-topic": Broker.UNKNOWN_TOPIC_OR_PART,
    "metadata-too-large": Broker.OFFSET_METADATA_TOO_LARGE,
}


class OffsetCalls(Asking):
    """The part of the admin client that is about offsets."""

    def list_consumer_group_offsets(
        self,
        list_consumer_group_offsets_request: list[ConsumerGroupTopicPartitions],
        *,
        require_stable: bool = False,
        request_timeout: float | None = None,
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """Tells where a group stands.

        Args:
            list_consumer_group_offsets_request: one group, with the partitions, or None for all it has offsets of.
            require_stable: checked; offsets in Postgres are always stable.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.

        Returns:
            a future for the group; a partition without an offset has ``OFFSET_INVALID``.
        """
        asked = group_request(list_consumer_group_offsets_request, "listing")
        wanted = None
        if asked.topic_partitions is not None:
            wanted = arguments.group_partitions(asked.topic_partitions)
            arguments.without_offsets(wanted)
        flag("require_stable", require_stable)

        def read(conn: Connection) -> Mapping[str, object]:
            places = None if wanted is None else sorted(_distinct(wanted))
            found = offsets.committed(conn, self._texts.offsets, asked.group_id, places)
            told = [_standing(place, found.get(place)) for place in (sorted(found) if places is None else places)]
            return {asked.group_id: ConsumerGroupTopicPartitions(asked.group_id, told)}

        return self._read_each([asked.group_id], self._deadline(request_timeout), read)

    def alter_consumer_group_offsets(
        self,
        alter_consumer_group_offsets_request: list[ConsumerGroupTopicPartitions],
        *,
        request_timeout: float | None = None,
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """Moves a group that has no live member.

        Args:
            alter_consumer_group_offsets_request: one group, with the offset that it is to read next in each partition.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.

        Returns:
            a future for the group; a partition that was not moved has an error, such as ``UNKNOWN_MEMBER_ID`` while
            the group has members.
        """
        asked = group_request(alter_consumer_group_offsets_request, "altering")
        if asked.topic_partitions is None:
            raise ValueError("'topic_partitions' cannot be null")
        wanted = arguments.group_partitions(asked.topic_partitions)
        arguments.with_offsets(wanted)

        def move(conn: Connection, group: str) -> ConsumerGroupTopicPartitions:
            _distinct(wanted)
            commits = [
                Commit(one.topic, one.partition, one.offset, one.leader_epoch, one.metadata or "") for one in wanted
            ]
            results = offsets.commit(conn, self._texts.offsets, group, None, commits)
            return ConsumerGroupTopicPartitions(group, [_moved(one, results) for one in sorted(wanted)])

        def move_it(conn: Connection) -> Mapping[str, object]:
            return one_by_one([asked.group_id], partial(move, conn))

        return self._change_each([asked.group_id], self._deadline(request_timeout), move_it)

    def list_offsets(
        self,
        topic_partition_offsets: dict[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        request_timeout: float | None = None,
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """Tells offsets of partitions: the first, the last, the newest, or the first of a time.

        Args:
            topic_partition_offsets: which offset of each partition.
            isolation_level: checked; what is not committed is never seen in Postgres.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.

        Returns:
            a future for each partition. It fails with ``UNKNOWN_TOPIC_OR_PART`` or ``_UNKNOWN_PARTITION``; with
            ``_NOENT`` where none of the partitions is there.
        """
        asked = _asked(topic_partition_offsets)
        if not isinstance(isolation_level, IsolationLevel):
            raise TypeError("isolation_level argument should be an IsolationLevel")

        def read(conn: Connection) -> Mapping[TopicPartition, object]:
            ends = _Ends.read(conn, self._texts.log, asked)
            return {one: ends.answer(one) for one in asked}

        return self._read_each(asked, self._deadline(request_timeout), read)

    def delete_records(
        self,
        topic_partition_offsets: list[TopicPartition],
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> dict[TopicPartition, Future[DeletedRecords]]:
        """Deletes the records of partitions below an offset.

        Args:
            topic_partition_offsets: the first offset to keep in each; ``OFFSET_END`` keeps none.
            operation_timeout: checked; an answer comes when the records are gone.
            request_timeout: how many seconds to wait for a connection; ``socket.timeout.ms`` by default.

        Returns:
            a future for each partition. It fails with ``OFFSET_OUT_OF_RANGE``, ``UNKNOWN_TOPIC_OR_PART`` or
            ``_UNKNOWN_PARTITION``; with ``_NOENT`` where none of the partitions is there.
        """
        _check_records(topic_partition_offsets)
        operation_limit(operation_timeout)

        def delete(conn: Connection, heads: Heads, one: TopicPartition) -> DeletedRecords:
            if _place(one) not in heads:
                raise KafkaException(_missing(one, heads))
            start = store_topics.advance_start(conn, self._texts.topics, one.topic, one.partition, one.offset)
            return DeletedRecords(start)

        def delete_all(conn: Connection) -> Mapping[TopicPartition, object]:
            _distinct(topic_partition_offsets)
            heads = _heads(conn, self._texts.log, topic_partition_offsets)
            return one_by_one(topic_partition_offsets, partial(delete, conn, heads))

        return self._change_each(topic_partition_offsets, self._deadline(request_timeout), delete_all)


class _Ends(NamedTuple):
    """What was read of partitions to answer for their offsets."""

    heads: Heads
    newest: Mapping[TP, fetch.Stamp | None]
    of_times: Mapping[TP, fetch.Stamp | None]

    @classmethod
    def read(cls, conn: Connection, texts: fetch.Texts, asked: Sequence[TopicPartition]) -> "_Ends":
        heads = _heads(conn, texts, asked)
        there = [one for one in asked if _place(one) in heads]
        newest = [_place(one) for one in there if one.offset == MAX_TIMESTAMP]
        times = [(*_place(one), one.offset) for one in there if one.offset >= 0]
        return cls(
            heads,
            fetch.newest_stamps(conn, texts, newest) if newest else {},
            fetch.stamps_for_times(conn, texts, times) if times else {},
        )

    def answer(self, asked: TopicPartition) -> ListOffsetsResultInfo | KafkaError:
        head = self.heads.get(_place(asked))
        if head is None:
            return _missing(asked, self.heads)
        if asked.offset == EARLIEST:
            return ListOffsetsResultInfo(head.start, -1, -1)
        if asked.offset == LATEST:
            return ListOffsetsResultInfo(head.next, -1, -1)
        if asked.offset < MAX_TIMESTAMP:
            return KafkaError(Local.INVALID_ARG, f"Partition {asked.partition} has an invalid offset {asked.offset}")
        found = (self.newest if asked.offset == MAX_TIMESTAMP else self.of_times).get(_place(asked))
        return ListOffsetsResultInfo(-1, -1, -1) if found is None else ListOffsetsResultInfo(*found, -1)


def _asked(given: object) -> list[TopicPartition]:
    if not isinstance(given, dict):
        raise TypeError(
            "Expected topic_partition_offsets to be dict of [TopicPartitions,OffsetSpec] for list offsets request"
        )
    for one, spec in given.items():
        if not isinstance(one, TopicPartition):
            raise TypeError("partition must be a TopicPartition")
        if not one.topic:
            raise ValueError("partition topic name cannot be empty")
        if one.partition < 0:
            raise ValueError("partition index must be non-negative")
        if not isinstance(spec, OffsetSpec):
            raise TypeError("Value must be a OffsetSpec")
    return [TopicPartition(one.topic, one.partition, spec.number) for one, spec in given.items()]


def _check_records(given: object) -> None:
    if not isinstance(given, list):
        raise TypeError(f"Expected Request to be a list, got '{type(given).__name__}'")
    for one in given:
        if not isinstance(one, TopicPartition):
            raise TypeError(f"Element of the request list must be of type 'TopicPartition' got '{type(one).__name__}'")
        if one.partition < 0:
            raise ValueError("'partition' cannot be negative")


def _place(one: TopicPartition) -> TP:
    return one.topic, one.partition


def _heads(conn: Connection, texts: fetch.Texts, asked: Sequence[TopicPartition]) -> Heads:
    """Returns the ends of every partition of these topics; where none that is asked for is there, nothing is done."""
    heads = fetch.heads(conn, texts, list({one.topic for one in asked}))
    if asked and not any(_place(one) in heads for one in asked):
        raise KafkaException(KafkaError(Local.NOENT, "Failed to query partition leaders: No leaders found"))
    return heads


def _missing(asked: TopicPartition, heads: Heads) -> KafkaError:
    known = any(topic == asked.topic for topic, _ in heads)
    return KafkaError(Local.UNKNOWN_PARTITION if known else Broker.UNKNOWN_TOPIC_OR_PART)


def _distinct(partitions: Sequence[TopicPartition]) -> set[TP]:
    places = {_place(one) for one in partitions}
    if len(places) < len(partitions):
        raise KafkaException(KafkaError(Local.INVALID_ARG, "Duplicate partitions not allowed"))
    return places


def _standing(place: TP, found: Committed | None) -> TopicPartition:
    if found is None:
        return TopicPartition(*place)
    return TopicPartition.answered(
        *place, found.offset, found.metadata, -1 if found.leader_epoch is None else found.leader_epoch
    )


def _moved(asked: TopicPartition, results: Mapping[TP, str]) -> TopicPartition:
    code = _COMMIT_ERRORS.get(results[_place(asked)])
    return TopicPartition.answered(
        asked.topic, asked.partition, asked.offset, asked.metadata, error=None if code is None else KafkaError(code)
    )
