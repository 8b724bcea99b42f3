"""A message in the application's own transaction: it exists when and if that commits, with everything else in it."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from shim.errors import KafkaError, KafkaException, from_postgres
from shim.producing.json_view import settled_view
from shim.producing.outgoing import ANY_PARTITION, Outgoing, paired
from shim.producing.routes import Learned, Route, Routes, numbered_by_kafka
from shim.protocol.codes import Broker, Local
from shim.store import append, unique
from shim.store.errors import SequencerError, UnknownPartitionError
from shim.store.pool import Pool
from shim.store.topics import Texts, UnknownTopicError

_PATIENCE_SECONDS = 60.0


def join(
    conn: psycopg.Connection[Any], pool: Pool, texts: Texts, routes: Routes, message: Outgoing, timestamp_ms: int
) -> bool:
    """Writes a message as part of the transaction of ``conn``; returns whether it was added.

    Args:
        conn: the application's connection.
        pool: where a topic is made that does not exist yet, in a transaction of its own.
        texts: the statements of `shim.store.unique`.
        routes: what is known of topics.
        message: the message.
        timestamp_ms: its create time, in milliseconds since 1970.

    Raises:
        KafkaException: the message can go nowhere.
        psycopg.Error: something is wrong with the transaction; it is the application's to end.
    """
    topic, value = message.topic, message.value
    route = _route(conn, pool, routes, topic)
    partition = (
        route.partition(message.key, message.queued_at) if message.partition == ANY_PARTITION else message.partition
    )
    view = settled_view(value, lambda values: _judge(conn, texts, values))
    terms = message.terms or (None, None)
    draft = append.draft(topic, partition, message.key, value, paired(message.headers), timestamp_ms, view, *terms)
    try:
        if draft.deduplication_key is not None:
            return unique.append_in(conn, texts, [draft])[0]
        append.append_in(conn, texts, [draft])
    except SequencerError as numbered:
        routes.forget(topic)
        raise KafkaException(numbered_by_kafka(topic)) from numbered
    except UnknownPartitionError as unknown:
        routes.forget(topic)
        raise KafkaException(KafkaError(Local.UNKNOWN_PARTITION)) from unknown
    except UnknownTopicError as unknown:
        routes.forget(topic)
        raise KafkaException(_invisible(topic)) from unknown
    return True


def _route(conn: psycopg.Connection[Any], pool: Pool, routes: Routes, topic: str) -> Route:
    known = routes.known([topic])
    if topic in known:
        return known[topic]
    # The application's transaction may have made the topic itself; only it would see that.
    learned = routes.read(conn, [topic])
    if not learned.routes and not learned.refused:
        learned = _learn(pool, routes, topic)
    if topic in learned.routes:
        return learned.routes[topic]
    raise KafkaException(learned.refused.get(topic) or _invisible(topic))


def _learn(pool: Pool, routes: Routes, topic: str) -> Learned:
    try:
        with pool.connection(patience=_PATIENCE_SECONDS) as conn:
            return routes.learn(conn, [topic])
    except psycopg.Error as failure:
        raise KafkaException(from_postgres(failure)) from failure


def _judge(conn: psycopg.Connection[Any], texts: Texts, values: Sequence[str]) -> list[str | None]:
    with conn.cursor(row_factory=tuple_row) as cursor:
        return [row[0] for row in cursor.execute(texts["judge_json"], {"values": list(values)})]


def _invisible(topic: str) -> KafkaError:
    return KafkaError(
        Broker.UNKNOWN_TOPIC_OR_PART,
        f"{Broker.UNKNOWN_TOPIC_OR_PART.text}: this transaction does not see topic {topic!r}; "
        "is it of another database, or older than the topic?",
    )
