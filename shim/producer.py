"""``Producer``: queues messages, appends them in the background, and reports on each of them from poll or flush."""

import threading
import weakref
from _thread import start_new_thread
from datetime import timedelta
from time import monotonic, time
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from shim.client import metadata
from shim.client.borrowed import psycopg_connection
from shim.client.metadata import ClusterMetadata
from shim.config import credentials
from shim.config.parsing import Kind, parse
from shim.errors import KafkaError, KafkaException
from shim.message import Headers
from shim.mirroring.side import QueueSide
from shim.producing.joining import join
from shim.producing.outgoing import (
    ANY_PARTITION,
    QUEUED_AT,
    SIZE,
    TERMS,
    OnDelivery,
    Outgoing,
    Row,
    batch_fields,
    compose,
    refused,
    terms_of,
)
from shim.producing.pipeline import Pipeline
from shim.protocol.codes import Local

_CLOSED = "Producer has been closed"
_HANDLE_CLOSED = "Handle has been closed"
_NO_TRANSACTIONS = (
    "The Transactional API requires transactional.id to be configured, which the shim does not support yet; "
    "produce_in() writes a message in the transaction of your own database connection"
)


class Producer:
    """An asynchronous producer, safe to use from several threads.

    ``produce()`` only queues; threads of the producer's own append what is queued, one transaction after another.
    Callbacks run in the thread that calls ``poll()`` or ``flush()``. A forked child has the same producer, empty and
    with connections of its own; what its parent queued, the parent sends.

    Args:
        *args: at most one dict of configuration.
        **kwargs: configuration that wins over the dict, and ``logger``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "_pipeline"):
            raise RuntimeError("Producer already __init__:ialized")
        settings = parse(Kind.PRODUCER, args, kwargs)
        self._settings = settings
        self._pipeline = pipeline = Pipeline(settings)
        self._put = pipeline.outbox.put
        self._largest = settings.message_max_bytes
        self._closed = False
        self._finalizer = weakref.finalize(self, start_new_thread, _end_forgotten, (pipeline,))
        self._finalizer.atexit = False

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = ANY_PARTITION,
        callback: OnDelivery | None = None,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: Headers | None = None,
        *,
        delay: float | timedelta | None = None,
        deduplication_key: str | None = None,
    ) -> None:
        """Queues a message, and returns at once.

        A message with a delay or a deduplication key gets its offset later, when it is due: in its report ``offset()``
        is None. Both are additions to the API.

        Args:
            topic: where it goes; made when it does not exist.
            value: text is encoded in UTF-8; None is a tombstone.
            key: text is encoded in UTF-8.
            partition: -1 leaves it to the partitioner.
            callback: is called with an error or None, and the message, by poll or flush.
            on_delivery: the same; ``callback`` counts more, ``on_delivery`` of the configuration less.
            timestamp: the create time in milliseconds since 1970; 0 for now.
            headers: a dict, or a list of pairs.
            delay: seconds, or a timedelta, from the moment when it is stored, by the clock of Postgres; nobody gets the
                message before.
            deduplication_key: while a job of the topic with the same key is pending or being worked on, nothing is
                added; the report tells of success, and its message's ``deduplicated()`` is true.

        Raises:
            BufferError: the queue is full; call ``poll()``, and try again.
            KafkaException: the message is too large, or there is no such partition.
            TypeError, ValueError, OverflowError: an argument is none that the original takes.
            RuntimeError: the producer has been closed.
        """
        tell = on_delivery if callback is None else callback
        terms = None if delay is None and deduplication_key is None else terms_of(delay, deduplication_key)
        message = compose(topic, value, key, partition, tell, timestamp, headers, self._largest, terms)
        if self._closed:
            raise RuntimeError(_CLOSED)
        if partition != ANY_PARTITION:
            self._check_partition(topic, partition)
        try:
            self._put(message)
        except BufferError:
            if not self._settings.block_on_full:
                raise
            self._put_when_there_is_room(message)

    def produce_batch(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        partition: int = ANY_PARTITION,
        callback: OnDelivery | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> int:
        """Queues messages, and returns how many it queued.

        Args:
            topic: where they go.
            messages: dicts with ``value``, ``key``, ``headers``, ``partition``, ``timestamp``, ``callback``, ``delay``
                and ``deduplication_key``, all of them optional. One that is not queued is given ``_error``, and gets no
                report.
            partition: for those that name none.
            callback: for those that have none.
            on_delivery: the same; ``callback`` counts more.

        Raises:
            TypeError, ValueError: an argument or a field is of another kind; nothing is queued then.
            RuntimeError: the producer has been closed.
        """
        if not isinstance(messages, list):
            raise TypeError("messages must be a list")
        common = {"partition": partition, "on_delivery": on_delivery if callback is None else callback}
        fields = [common | batch_fields(message, place) for place, message in enumerate(messages)]
        queued = 0
        for message, arguments in zip(messages, fields, strict=True):
            try:
                self.produce(topic, **arguments)
            except KafkaException as failure:
                code = failure.args[0].code()
                message["_error"] = KafkaError(code, f"Message failed: {KafkaError(code).str()}")
            except BufferError:
                message["_error"] = KafkaError(Local.QUEUE_FULL, f"Message failed: {Local.QUEUE_FULL.text}")
            else:
                queued += 1
        return queued

    def produce_in(
        self,
        connection: object,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = ANY_PARTITION,
        timestamp: int = 0,
        headers: Headers | None = None,
        *,
        delay: float | timedelta | None = None,
        deduplication_key: str | None = None,
    ) -> bool:
        """Writes a message in a transaction of your own: it exists when and if that commits. An addition to the API.

        There is no queue, no outbox table and no delivery report: your commit is the acknowledgement. Consumers get the
        message soon after it, at an offset that is given out then; so your transaction holds up nobody, however long it
        is. A topic that does not exist is made at once, in a transaction of its own.

        Args:
            connection: a psycopg 3 connection, a SQLAlchemy 2 ``Session`` or ``Connection``, or Django's
                ``connection``, the latter with psycopg 3 beneath; to the database in which the queue lives.
            topic: as in ``produce()``, like what follows.
            value: text or bytes; None is a tombstone.
            key: text or bytes.
            partition: -1 leaves it to the partitioner.
            timestamp: the create time in milliseconds since 1970; 0 for now.
            headers: a dict, or a list of pairs.
            delay: seconds, or a timedelta, from now on, by the clock of Postgres.
            deduplication_key: as in ``produce()``. Who produces the same key elsewhere waits until your transaction
                ends; so do you, when theirs came first.

        Returns:
            Whether it was added; False only where an unfinished job has its deduplication key.

        Raises:
            KafkaException: the message is too large, or can go nowhere; your transaction can go on.
            psycopg.Error: something is wrong with your transaction; end it as your code does for such errors.
            TypeError: the connection is of another driver, or an argument of another kind.
            RuntimeError: the producer has been closed.
        """
        terms = terms_of(delay, deduplication_key)
        message = Outgoing.of(compose(topic, value, key, partition, None, timestamp, headers, self._largest, terms))
        conn = psycopg_connection(connection)
        pipeline = self._open_pipeline()
        stamp = message.timestamp_ms or int(time() * 1000)
        return join(conn, pipeline.pool, pipeline.texts, pipeline.routes, message, stamp)

    def poll(self, timeout: float = -1) -> int:
        """Serves callbacks; returns how much was served, or 0 when nothing came in time.

        Args:
            timeout: how many seconds to wait for something to serve; negative for ever.
        """
        seconds = metadata.seconds(timeout)
        return self._open_pipeline().poll(seconds)

    def flush(self, timeout: float = -1) -> int:
        """Sends what is queued without lingering, and serves callbacks until every message is reported.

        Args:
            timeout: how many seconds to wait at most; negative for ever, though no message waits longer than
                ``message.timeout.ms``.

        Returns:
            How many are still waiting.
        """
        seconds = metadata.seconds(timeout)
        return self._open_pipeline().flush(seconds)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:  # noqa: ARG002
        """Gives up messages; their reports say so.

        Args:
            in_queue: those that wait.
            in_flight: those that are being sent; they may be stored all the same.
            blocking: it never takes long.
        """
        self._open_pipeline().purge(queued=bool(in_queue), sent=bool(in_flight))

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Returns the cluster and its topics, or one of them.

        Raises:
            KafkaException: Postgres refused, or stayed away for ``timeout`` seconds.
        """
        pipeline = self._open_pipeline(_HANDLE_CLOSED)
        return metadata.list_topics(pipeline.pool, pipeline.schemas, topic, timeout)

    def cluster_id(self, timeout: float = -1) -> str:
        """Returns what identifies the queue.

        Raises:
            KafkaException: Postgres refused, or stayed away for ``timeout`` seconds.
        """
        pipeline = self._open_pipeline(_HANDLE_CLOSED)
        return metadata.cluster_id(pipeline.pool, pipeline.schemas, timeout)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Has no effect, and logs that: who connects, the connection string says."""
        self._open_pipeline(_HANDLE_CLOSED)
        credentials.set_aside(self._settings, username, password)

    def init_transactions(self, timeout: float = -1, /) -> None:
        """Raises KafkaException: there are no transactions yet."""
        metadata.seconds(timeout)
        self._refuse_transactions()

    def begin_transaction(self) -> None:
        """Raises KafkaException: there are no transactions yet."""
        self._refuse_transactions()

    def send_offsets_to_transaction(self, positions: list[Any], group_metadata: bytes, timeout: float = -1, /) -> None:
        """Raises KafkaException: there are no transactions yet."""
        if not isinstance(positions, list):
            raise TypeError("requires list of TopicPartition")
        if not isinstance(group_metadata, bytes):
            raise TypeError(f"expected bytes, {type(group_metadata).__name__} found")
        metadata.seconds(timeout)
        self._refuse_transactions()

    def commit_transaction(self, timeout: float = -1, /) -> None:
        """Raises KafkaException: there are no transactions yet."""
        metadata.seconds(timeout)
        self._refuse_transactions()

    def abort_transaction(self, timeout: float = -1, /) -> None:
        """Raises KafkaException: there are no transactions yet."""
        metadata.seconds(timeout)
        self._refuse_transactions()

    def close(self) -> bool:
        """Flushes, however long that takes, and ends the producer's threads; closing again is no error."""
        if not self._closed:
            self._pipeline.flush(-1)
            self._closed = True
            self._finalizer.detach()
            self._pipeline.end()
        return True

    def __len__(self) -> int:
        return 0 if self._closed else len(self._pipeline)

    def __bool__(self) -> Literal[True]:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _queue_side(self) -> QueueSide:
        """Tells a dual producer, which imports no client, that this one leads to a queue, and to which."""
        pipeline = self._open_pipeline(_HANDLE_CLOSED)
        return QueueSide(pipeline.pool, pipeline.schemas, self._settings)

    def _open_pipeline(self, closed: str = _CLOSED) -> Pipeline:
        if self._closed:
            raise RuntimeError(closed)
        return self._pipeline

    def _refuse_transactions(self) -> NoReturn:
        self._open_pipeline()
        raise KafkaException(KafkaError(Local.NOT_CONFIGURED, _NO_TRANSACTIONS))

    def _check_partition(self, topic: str, partition: int) -> None:
        known = self._pipeline.routes.partitions(topic)
        if known is not None and not 0 <= partition < known:
            raise refused(Local.UNKNOWN_PARTITION)

    def _put_when_there_is_room(self, message: Row) -> None:
        deadline = monotonic() + self._settings.message_timeout_s
        while True:
            self._pipeline.make_room()
            try:
                return self._put((*message[:QUEUED_AT], monotonic(), *message[TERMS:]))
            except BufferError:
                if message[SIZE] > self._settings.queue_max_bytes or monotonic() > deadline:
                    raise


def _end_forgotten(pipeline: Pipeline) -> None:
    """Ends what a producer that was collected has left behind.

    Any thread may collect it, even one that holds a lock which the end takes; and the bare thread that is therefore
    started, without any lock, must not become known to `threading`, which would list it for ever.
    """
    threading.Thread(target=pipeline.end, name="shim-end", daemon=True).start()
