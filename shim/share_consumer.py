"""``ShareConsumer``: takes jobs off a queue, one message to one worker, and settles each by itself (KIP-932)."""

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import index
from types import TracebackType
from typing import Any, Self

import psycopg

from shim.client.borrowed import begun
from shim.client.metadata import seconds
from shim.config import credentials
from shim.config.parsing import Kind, parse
from shim.errors import IllegalStateException
from shim.message import Message, Messages
from shim.model import AcknowledgeType
from shim.protocol.codes import Local
from shim.sharing.flight import ACCEPTED, Word
from shim.sharing.guard import Guard, guarded
from shim.sharing.polling import CommitCallback, Polling, Results
from shim.store.claims import Place

_IMPLICIT = "implicit"
_COMMIT_SECONDS = 60.0
_TIME_LIMIT_SECONDS = 30.0
_NOT_SUBSCRIBED = "Consumer is not subscribed to any topics"


class ShareConsumer:
    """Takes messages as jobs: each goes to one worker of the group, and is accepted, released or rejected by itself.

    Construct it as the original is constructed: ``ShareConsumer(conf)``. A message is this consumer's until it is
    acknowledged; its lease is renewed while the process lives. One that is released comes again after a pause that
    grows with each delivery, and one that was delivered too often has failed. ``status``, ``retry_count`` and
    ``last_error`` of the row say so at any moment. It is for one thread at a time.

    Raises:
        KafkaException: the configuration is wrong.
        ValueError: ``group.id`` is missing, or a property is for consumers with offsets alone.
        TypeError: the configuration is no dict, or a callback no callable.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._settings = parse(Kind.SHARE_CONSUMER, args, kwargs)
        self._implicit = self._settings.share_acknowledgement_mode == _IMPLICIT
        self._guard = Guard()
        self._polling = Polling(self._settings)
        _alive.add(self)

    # Subscribing.

    @guarded
    def subscribe(self, topics: list[str]) -> None:
        """Subscribes to topics by name, in place of those of before; an empty list ends the subscription.

        Raises:
            ValueError: a name is empty, or there twice.
        """
        if not isinstance(topics, list):
            raise TypeError("expected list of topic unicode strings")
        names = [str(topic) for topic in topics]
        if "" in names or len(set(names)) < len(names):
            raise ValueError(f"Failed to subscribe: {Local.INVALID_ARG.text}")
        self._polling.subscribe(names)

    @guarded
    def unsubscribe(self) -> None:
        """Ends the subscription; what is in flight can still be acknowledged."""
        self._polling.subscribe(())

    @guarded
    def subscription(self) -> list[str]:
        """Returns the topics."""
        return list(self._polling.topics)

    # Taking and settling.

    @guarded
    def poll(self, timeout: float = -1) -> Messages:
        """Returns messages of one claim, or none when none came in time.

        In implicit mode the messages of the last poll are accepted by this one. That is settled with the next claim, in
        its own statement and commit, or a tenth of a second later where one claim serves several polls; `commit_sync`
        and `commit_async` settle at once.

        Args:
            timeout: how many seconds to wait; negative for ever.

        Raises:
            IllegalStateException: nothing is subscribed to, or in explicit mode something of the last poll is not yet
                acknowledged.
            KafkaException: another group owns a topic, or the database refused.
        """
        longest = seconds(timeout)
        self._require_subscription()
        if self._implicit:
            self._polling.flight.say_of_all(ACCEPTED)
        elif self._polling.flight.unacknowledged:
            count = self._polling.flight.unacknowledged
            raise IllegalStateException(f"{count} records from previous poll have not been acknowledged")
        return Messages(self._polling.messages(self._settings.max_poll_records, longest))

    @guarded
    def acknowledge(
        self,
        message: Message,
        ack_type: AcknowledgeType = AcknowledgeType.ACCEPT,
        *,
        error: object = None,
        delay: float | None = None,
    ) -> None:
        """Says what is to become of a message; it is settled by the next poll or commit, and can be changed before.

        Args:
            message: of the last poll.
            ack_type: ACCEPT: it is done. RELEASE: deliver it again. REJECT: it has failed for good.
            error: why it is released or rejected, for ``last_error``. An addition of the shim's.
            delay: how many seconds a released message waits, in place of its topic's pause. An addition of the shim's.

        Raises:
            IllegalStateException: the mode is implicit, or the message is not in flight.
            ValueError: there is no such type, or the message has no place.
        """
        if not isinstance(message, Message):
            raise TypeError(f"argument 1 must be shim.message.Message, not {type(message).__name__}")
        place = (message.topic() or "", _number(message.partition()), _number(message.offset()))
        self._say("message", place, ack_type, error, delay)

    @guarded
    def acknowledge_offset(
        self,
        topic: str,
        partition: int,
        offset: int,
        ack_type: AcknowledgeType = AcknowledgeType.ACCEPT,
        *,
        error: object = None,
        delay: float | None = None,
    ) -> None:
        """Does what `acknowledge` does, for a message that is named by its place."""
        if not isinstance(topic, str):
            raise TypeError(f"argument 1 must be str, not {type(topic).__name__}")
        self._say("offset", (topic, index(partition), index(offset)), ack_type, error, delay)

    @guarded
    def commit_sync(self, timeout: float = _COMMIT_SECONDS) -> Results:
        """Settles what was acknowledged; in implicit mode all messages of the last poll are.

        Args:
            timeout: how many seconds to wait for a database that is away; negative for ever.

        Returns:
            by partition None, or a `KafkaException` with ``INVALID_RECORD_STATE`` where a lease had run out and
            somebody else was given a message.

        Raises:
            KafkaException: the database refused, or stayed away; the next call tries again.
        """
        longest = seconds(timeout)
        self._accept_all_if_implicit()
        return self._polling.commit(longest)

    @guarded
    def commit_async(self, *args: object) -> None:
        """Settles what was acknowledged, without waiting for a database that is away; the callback tells."""
        if args:
            raise TypeError(f"ShareConsumer.commit_async() takes no arguments ({len(args)} given)")
        self._accept_all_if_implicit()
        self._polling.commit_soon()

    @guarded
    def set_acknowledgement_commit_callback(self, callback: CommitCallback | None) -> None:
        """Makes this the callback for what was settled; it runs inside poll, commit and close.

        Args:
            callback: called with the offsets by partition, and None or a `KafkaException`; None for no callback.
        """
        if callback is not None and not callable(callback):
            raise TypeError("callback must be callable or None")
        self._polling.on_commit = callback

    @guarded
    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Has no effect, and says so: the connection string says who connects."""
        credentials.set_aside(self._settings, username, password)

    # Working in a transaction of the application's own: additions to the API.

    @contextmanager
    def transaction(
        self,
        connection: "psycopg.Connection[Any]",
        timeout: float = 1.0,
        max_records: int = 1,
        time_limit: float = _TIME_LIMIT_SECONDS,
    ) -> Iterator[Messages]:
        """Takes messages and begins a transaction: they are done when it commits, with all that is done in it.

        So effects in the same database happen exactly once. When the block raises, the transaction is rolled back, the
        delivery is counted, and the message comes again after its pause, or has failed at the limit. A worker that
        crashes leaves no trace: its messages are free again at once, uncounted. Work that can take its process down,
        or takes long, is for `poll`.

        Args:
            connection: a psycopg connection to the queue's database, outside of any transaction. For SQLAlchemy and
                Django, which begin transactions themselves, there is `poll_in`.
            timeout: how many seconds to wait for messages, before the transaction; negative for ever.
            max_records: how many messages at most.
            time_limit: in how many seconds Postgres ends the transaction, with an error.

        Yields:
            the messages; none when none came in time.

        Raises:
            KafkaException: another group owns a topic, or a topic keeps the order of its keys.
        """
        self._require_subscription()
        self._wait(seconds(timeout))
        messages = Messages()
        try:
            with connection.transaction():
                messages = self.poll_in(connection, max_records, time_limit)
                yield messages
        except Exception as failure:
            if messages:
                self.count_failure(messages, failure)
            raise

    @guarded
    def poll_in(self, connection: object, max_records: int = 1, time_limit: float = _TIME_LIMIT_SECONDS) -> Messages:
        """Takes messages in a transaction of your own, which completes them when it commits; never waits.

        After a rollback, `count_failure` counts the delivery.

        Args:
            connection: a psycopg connection in, or at the beginning of, a transaction; a SQLAlchemy ``Session`` or
                ``Connection`` or Django's ``connection`` on psycopg 3. It must lead to the queue's own database.
            max_records: how many messages at most.
            time_limit: in how many seconds Postgres ends the transaction, with an error.

        Raises:
            IllegalStateException: nothing is subscribed to.
            KafkaException: there is no transaction, another group owns a topic, or a topic keeps the order of its keys.
            TypeError: there is no psycopg 3 connection in ``connection``.
            psycopg.Error: what Postgres refused; end the transaction as your code does for such errors.
        """
        self._require_subscription()
        return Messages(self._polling.take_in(begun(connection), index(max_records), seconds(time_limit)))

    @guarded
    def count_failure(self, messages: Iterable[Message], error: object) -> int:
        """Counts the delivery of messages whose transaction was rolled back, unless somebody else has them by now.

        Args:
            messages: of the last `poll_in`.
            error: why, for ``last_error``.

        Returns:
            how many were counted.

        Raises:
            KafkaException: the database refused, or is away.
        """
        places = [
            (message.topic() or "", _number(message.partition()), _number(message.offset())) for message in messages
        ]
        return self._polling.count_failure(places, str(error) or type(error).__name__)

    # The end.

    def close(self) -> None:
        """Settles what was acknowledged, and gives everything else back at once. It takes seconds at most."""
        if self._guard.closed:
            return
        self._guard.enter()
        try:
            self._guard.closed = True
            _alive.discard(self)
            self._polling.close()
        finally:
            self._guard.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @guarded
    def _wait(self, longest: float) -> None:
        self._polling.wait_until_due(longest)

    def _require_subscription(self) -> None:
        if not self._polling.topics:
            raise IllegalStateException(_NOT_SUBSCRIBED)

    def _accept_all_if_implicit(self) -> None:
        if self._implicit:
            self._polling.flight.say_of_all(ACCEPTED)

    def _say(self, what: str, place: Place, ack_type: object, error: object, delay: float | None) -> None:
        kind = index(ack_type)  # type: ignore[arg-type]  # index() is what tells an integer from the rest
        refused = f"Failed to acknowledge {what}"
        if kind not in set(AcknowledgeType) or not place[0] or place[1] < 0 or place[2] < 0:
            raise ValueError(f"{refused}: {Local.INVALID_ARG.text}")
        pause_ms = None if delay is None else round(seconds(delay) * 1000)
        if pause_ms is not None and pause_ms < 0:
            raise ValueError("delay must not be negative")
        word = Word(AcknowledgeType(kind), None if error is None else str(error), pause_ms)
        if self._implicit or not self._polling.flight.say(place, word):
            raise IllegalStateException(f"{refused}: {Local.STATE.text}")

    def _renew(self) -> None:
        self._guard = Guard()
        self._polling.renew()


def _number(number: int | None) -> int:
    return -1 if number is None else number


_alive: weakref.WeakSet[ShareConsumer] = weakref.WeakSet()


def _renew_all() -> None:
    for consumer in list(_alive):
        consumer._renew()  # noqa: SLF001  the module's own


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_all)
