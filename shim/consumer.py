"""``Consumer``: reads the log of its partitions in order, as a member of a consumer group or by assignment."""

import os
import weakref
from collections.abc import Callable
from operator import index
from types import TracebackType
from typing import Any, Literal, Self, overload

from shim.client.metadata import ClusterMetadata, seconds
from shim.client.turn import Turn, in_turn
from shim.config import credentials
from shim.config.parsing import Kind, parse
from shim.consuming.lookup import Lookup
from shim.consuming.partition_list import checked, checked_one, named, prefixing
from shim.consuming.polling import Polling
from shim.consuming.subscription import subscription
from shim.errors import KafkaError, KafkaException
from shim.message import Message
from shim.protocol.codes import Local
from shim.protocol.group_metadata import GroupMetadata
from shim.topic_partition import TopicPartition

RebalanceCallback = Callable[["Consumer", list[TopicPartition]], Any]

_MOST_MESSAGES = 1_000_000
_NUMBERS = frozenset({int, float})
_CLOSED = "Consumer closed"
_HANDLE_CLOSED = "Handle has been closed"
_ABSENT: Any = object()
_EAGER_ONLY = "Changes to the current assignment must be made using assign() when rebalance protocol type is EAGER"


class Consumer:
    """Reads messages in order, partition by partition, and commits how far it came.

    Construct it as the original is constructed: ``Consumer(conf)``, ``Consumer(conf, logger=...)`` or
    ``Consumer(**conf)``. Nothing is connected before it is used. It may be used from any thread, one call at a time;
    callbacks run inside calls, in the caller's thread.

    Raises:
        KafkaException: the configuration is wrong.
        ValueError: ``group.id`` is missing.
        TypeError: the configuration is no dict, or a callback no callable.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._settings = parse(Kind.CONSUMER, args, kwargs)
        self._turn = Turn()
        self._polling = Polling(self._settings)
        self._at_once = self._polling.reader.at_once
        self._lookup = Lookup(self._settings, self._polling.database)
        _alive.add(self)

    # Subscribing and assigning.

    @in_turn(_CLOSED)
    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback = _ABSENT,
        on_revoke: RebalanceCallback = _ABSENT,
        on_lost: RebalanceCallback = _ABSENT,
    ) -> None:
        """Subscribes to topics, in place of those of before; partitions are assigned in later calls of poll.

        Args:
            topics: names, or regular expressions that begin with ``^``.
            on_assign: called with the consumer and the partitions that are assigned.
            on_revoke: called with the partitions that are about to be given back.
            on_lost: called with the partitions that others may hold by now; ``on_revoke`` is when this is not given.
        """
        if not isinstance(topics, list):
            raise TypeError("expected list of topic unicode strings")
        callbacks = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}
        given = {name: callback for name, callback in callbacks.items() if callback is not _ABSENT}
        for name, callback in given.items():
            if not callable(callback):
                raise TypeError(f"{name} expects a callable")
        self._polling.group.subscribe(subscription(topics, **given))

    @in_turn(_CLOSED)
    def unsubscribe(self) -> None:
        """Ends the subscription; the next poll gives the partitions back."""
        self._polling.group.unsubscribe()

    @in_turn(_CLOSED)
    def assign(self, partitions: list[TopicPartition]) -> None:
        """Assigns partitions, in place of those of before, and starts at their offsets.

        An offset is a number, or OFFSET_BEGINNING, OFFSET_END, OFFSET_STORED or OFFSET_INVALID: the last two mean what
        is committed, or else what ``auto.offset.reset`` says.
        """
        wanted = checked(partitions)
        self._refuse_protocol("cooperative", f"Failed to set assignment: {Local.STATE.text}")
        with prefixing("Failed to set assignment"):
            self._polling.assigned.replace(wanted)

    @in_turn(_CLOSED)
    def unassign(self) -> None:
        """Takes every partition away."""
        self._refuse_protocol("cooperative", f"Failed to remove assignment: {Local.STATE.text}")
        self._polling.assigned.replace([])

    @in_turn(_CLOSED)
    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Assigns partitions beside those of before."""
        wanted = checked(partitions)
        self._refuse_protocol("eager", _EAGER_ONLY)
        self._polling.assigned.add(wanted)

    @in_turn(_CLOSED)
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Takes some partitions away."""
        unwanted = checked(partitions)
        self._refuse_protocol("eager", _EAGER_ONLY)
        self._polling.assigned.remove(unwanted)

    @in_turn(_CLOSED)
    def assignment(self) -> list[TopicPartition]:
        """Returns the partitions that are assigned, with the offsets that were asked for."""
        return self._polling.assigned.partitions()

    # Reading.

    def poll(self, timeout: float = -1) -> Message | None:
        """Returns the next message or event, or None when none came in time; calls back whoever has to be.

        Args:
            timeout: how many seconds to wait; negative for ever.
        """
        longest = timeout if timeout.__class__ in _NUMBERS else seconds(timeout)
        turn = self._turn
        taken = turn.seize(False) or turn.wait()
        try:
            message = self._at_once()
            if message is None:  # a tombstone is false
                with turn.lent():
                    message = self._polling.message(self, longest)
            return message
        finally:
            if self._polling.closing:
                self._end_call()
            if taken:
                turn.give_back()

    @in_turn(_CLOSED)
    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Returns messages and events: ``num_messages``, or those that came in time.

        A rebalance ends the wait, so that its callbacks never come between messages and their handing out. Signals
        interrupt it.

        Args:
            num_messages: how many, up to a million.
            timeout: how many seconds to wait; negative for ever.
        """
        most, longest = index(num_messages), seconds(timeout)
        if not 0 <= most <= _MOST_MESSAGES:
            raise ValueError("num_messages must be between 0 and 1000000 (1M)")
        return self._polling.messages(self, most, longest)

    @in_turn(_CLOSED)
    def seek(self, partition: TopicPartition) -> None:
        """Goes to another offset of an assigned partition: a number, or a logical one."""
        wanted = checked_one(partition)
        with prefixing(f"Failed to seek to offset {wanted.offset}"):
            self._polling.assigned.seek((wanted.topic, wanted.partition), wanted.offset)
        self._polling.rearrange()

    @in_turn(_CLOSED)
    def pause(self, partitions: list[TopicPartition]) -> None:
        """Hands out nothing of these until they are resumed; poll has to be called all the same."""
        self._polling.assigned.pause(checked(partitions), paused=True)
        self._polling.rearrange()

    @in_turn(_CLOSED)
    def resume(self, partitions: list[TopicPartition]) -> None:
        """Ends a pause."""
        self._polling.assigned.pause(checked(partitions), paused=False)
        self._polling.rearrange()

    @in_turn(_CLOSED)
    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Returns the offsets that come next, OFFSET_INVALID where nothing has been handed out."""
        return self._polling.assigned.positions(checked(partitions))

    # Committing.

    @overload
    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: Literal[True] = True,
    ) -> None: ...
    @overload
    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        *,
        asynchronous: Literal[False],
    ) -> list[TopicPartition]: ...
    @overload
    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
        **legacy: bool,
    ) -> list[TopicPartition] | None: ...
    @in_turn(_CLOSED)
    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
        **legacy: bool,
    ) -> list[TopicPartition] | None:
        """Commits where the group goes on: behind a message, at offsets, or at what is stored of the assignment.

        Args:
            message: its offset + 1 is committed.
            offsets: these are.
            asynchronous: whether to return at once; ``on_commit`` then learns what became of it.
            legacy: ``async``, the parameter's former name.

        Returns:
            what became of each partition; None if asynchronous.

        Raises:
            KafkaException: it failed; ``_NO_OFFSET`` where there is nothing to commit.
        """
        unknown = legacy.keys() - {"async"}
        if unknown:
            raise TypeError(f"'{min(unknown)}' is an invalid keyword argument for this function")
        partitions = self._to_commit(message, offsets)
        if legacy.get("async", asynchronous):
            self._polling.commits.later(partitions)
            return None
        return self._polling.commits.now(partitions)

    @in_turn(_CLOSED)
    def commit_in(
        self, connection: object, message: Message | None = None, offsets: list[TopicPartition] | None = None
    ) -> None:
        """Commits offsets in the application's own transaction: they come true with its effects, or not at all.

        So each message has its effects exactly once, whatever crashes. While the transaction is open nobody else can
        take the partitions over; if somebody has by now, this raises, and the transaction has to be rolled back. It
        needs ``enable.auto.commit`` or ``enable.auto.offset.store`` switched off.

        Args:
            connection: a psycopg connection in, or at the beginning of, a transaction; a SQLAlchemy ``Session`` or
                ``Connection`` or Django's ``connection`` on psycopg 3. It must lead to the consumer's own database.
            message: its offset + 1 is committed.
            offsets: these are; without either, what is stored of the assignment.

        Raises:
            KafkaException: ``ILLEGAL_GENERATION`` or ``UNKNOWN_MEMBER_ID`` where another consumer took over;
                ``_STATE`` where there is no transaction, or offsets are committed automatically.
            TypeError: there is no psycopg 3 connection in ``connection``.
            psycopg.Error: what Postgres refused.
        """
        settings = self._settings
        if settings.enable_auto_commit and settings.enable_auto_offset_store:
            text = "commit_in needs enable.auto.commit or enable.auto.offset.store to be false"
            raise KafkaException(KafkaError(Local.STATE, f"{Local.STATE.text}: {text}"))
        self._polling.commits.inside(connection, self._to_commit(message, offsets))

    @in_turn(_CLOSED)
    def store_offsets(self, message: Message | None = None, offsets: list[TopicPartition] | None = None) -> None:
        """Stores what the next commit is to say: behind a message, or offsets."""
        if message is None and offsets is None:
            raise ValueError("expected either message or offsets")
        wanted = named(message, offsets, "store")
        with prefixing("StoreOffsets failed"):
            if self._settings.enable_auto_offset_store:
                raise KafkaException(KafkaError(Local.INVALID_ARG))
            self._polling.assigned.store(wanted)

    @in_turn(_CLOSED)
    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Returns what the group has committed, OFFSET_INVALID where that is nothing."""
        wanted, longest = checked(partitions), seconds(timeout)
        self._polling.commits.finish(longest if longest >= 0 else self._settings.statement_timeout_s)
        return self._lookup.committed(wanted, longest)

    # Asking.

    @in_turn(_CLOSED)
    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Returns the first offset of a partition, and the one behind its last.

        Args:
            partition: which.
            timeout: how many seconds to wait; negative for ever.
            cached: whether to ask nobody, and return what was seen last of an assigned partition.
        """
        one, longest = checked_one(partition), seconds(timeout)
        if cached:
            return self._polling.watermarks((one.topic, one.partition))
        return self._lookup.watermarks(one, longest)

    @in_turn(_CLOSED)
    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Returns the first offsets whose timestamps are not before those asked for, OFFSET_END where there is none.

        Args:
            partitions: with milliseconds since 1970 as their offsets.
            timeout: how many seconds to wait; negative for ever.
        """
        return self._lookup.offsets_for_times(checked(partitions), seconds(timeout))

    @in_turn(_HANDLE_CLOSED)
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Returns the cluster with all topics, or one."""
        return self._lookup.list_topics(topic, timeout)

    @in_turn(_HANDLE_CLOSED)
    def cluster_id(self, timeout: float = -1) -> str:
        """Returns what identifies the queue."""
        return self._lookup.cluster_id(timeout)

    @in_turn(_CLOSED)
    def consumer_group_metadata(self) -> bytes:
        """Returns who this consumer is in its group, for a producer's transaction."""
        settings, group = self._settings, self._polling.group
        member_id = group.member_id or ""
        return GroupMetadata(settings.group_id, group.generation, member_id, settings.group_instance_id).encode()

    @in_turn(_CLOSED)
    def memberid(self) -> str | None:
        """Returns the id as a member of the group; None before joining."""
        return self._polling.group.member_id

    @in_turn(_HANDLE_CLOSED)
    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Has no effect, and says so: the connection string says who connects."""
        credentials.set_aside(self._settings, username, password)

    # The end.

    @in_turn(None)
    def close(self) -> None:
        """Gives the partitions back, commits what is stored if ``enable.auto.commit`` says so, and leaves the group.

        It takes seconds at most. In a callback or a signal's handler it ends the call under way, which then closes.
        """
        self._polling.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self, refusal: str) -> None:
        if self._polling.closed:
            raise RuntimeError(refusal)

    def _renew(self) -> None:
        self._turn = Turn()
        self._polling.renew()

    def _end_call(self) -> None:
        if self._polling.closing and not self._polling.closed and not self._turn.depth:
            _alive.discard(self)
            with self._turn.lent():
                self._polling.close(self)

    def _refuse_protocol(self, protocol: str, text: str) -> None:
        if self._polling.group.bound == protocol:
            raise KafkaException(KafkaError(Local.STATE, text))

    def _to_commit(self, message: Message | None, offsets: list[TopicPartition] | None) -> list[TopicPartition]:
        if message is None and offsets is None:
            return self._polling.commits.stored()
        return named(message, offsets, "commit")


_alive: weakref.WeakSet[Consumer] = weakref.WeakSet()


def _renew_all() -> None:
    for consumer in list(_alive):
        consumer._renew()  # noqa: SLF001  the module's own


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_all)
