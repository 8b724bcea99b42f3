"""A client's consumer beside its model: whatever is asked of it is asked of both."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.conformance.machine.answers import Place, outcome
from tests.conformance.machine.cursor import STORED
from tests.conformance.machine.log import Logs, Record
from tests.conformance.machine.model import ModelConsumer

_SLICE_SECONDS = 0.002


class Divergence(AssertionError):  # noqa: N818  it is no error of the test
    """A client did what Kafka's rules do not say, or did not do what they say."""


class Actor:
    """One consumer.

    Args:
        name: whose consumer it is, for people.
        consumer: the client's.
        model: what is expected of it.
        logs: what has been produced.
        spell: makes the client's ``TopicPartition`` of a place.
        patience: how many seconds what has to come may take.
        original: whether it is the original, which may lose what it is no longer subscribed to.

    Attributes:
        client: the client's consumer.
        heard: how often the group assigned something, be it nothing.
    """

    def __init__(
        self,
        name: str,
        consumer: Any,
        model: ModelConsumer,
        logs: Logs,
        spell: Callable[..., Any],
        patience: float,
        *,
        original: bool,
    ) -> None:
        self.model = model
        self._name = name
        self.client = consumer
        self._logs = logs
        self._spell = spell
        self._patience = patience
        self._original = original
        self._trouble: list[str] = []
        self._taken: Any = None
        self.heard = 0

    def ask(self, method: str, *places: Place | Sequence[Place], **more: Any) -> Any:
        """Call a method with the same arguments on the client and on the model; returns what both answer."""
        spelled = [self._spelled(one) for one in places]
        return self.compare(
            method,
            lambda: getattr(self.model, method)(*places),
            lambda: getattr(self.client, method)(*spelled, **more),
        )

    def compare(self, what: str, expected: Callable[[], Any], actual: Callable[[], Any]) -> Any:
        """Make the call of the client, and demand the model's outcome."""
        done, wanted = outcome(actual), outcome(expected)
        self.check()
        if done != wanted:
            raise Divergence(f"{self}: {what} answered {done!r}, and had to answer {wanted!r}")
        return done

    def commit(self, places: Sequence[Place] | None) -> Any:
        """Commit offsets, or everything, and wait for it."""
        more = {} if places is None else {"offsets": self._spelled(places)}
        return self.compare(
            f"commit of {places}",
            lambda: self.model.commit(places),
            lambda: self.client.commit(asynchronous=False, **more),
        )

    def commit_taken(self) -> Any:
        """Commit the last record that was handed out, and wait for it."""
        return self.compare(
            f"commit of the message at {self.model.last}",
            lambda: self.model.commit([self._behind()]),
            lambda: self.client.commit(message=self._taken, asynchronous=False),
        )

    def store(self, place: Place) -> Any:
        """Store an offset."""
        return self.compare(
            f"store_offsets of {place}",
            lambda: self.model.store_offsets([place]),
            lambda: self.client.store_offsets(offsets=[self._spelled(place)]),
        )

    def store_taken(self) -> Any:
        """Store the last record that was handed out."""
        return self.compare(
            f"store_offsets of the message at {self.model.last}",
            lambda: self.model.store_offsets([self._behind()]),
            lambda: self.client.store_offsets(message=self._taken),
        )

    def subscribe(self, topics: Sequence[str]) -> Any:
        """Subscribe, with callbacks that keep the model informed."""
        return self.compare(
            f"subscribe to {topics}",
            lambda: self.model.subscribe(topics),
            lambda: self.client.subscribe(
                list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            ),
        )

    def held(self) -> set[tuple[str, int]]:
        """What the client says that it is assigned."""
        return {(tp.topic, tp.partition) for tp in self.client.assignment()}

    def poll(self, seconds: float = _SLICE_SECONDS) -> bool:
        """Poll once; returns whether something came. What comes has to be what may come."""
        message = self.client.poll(seconds)
        self.check()
        if message is not None:
            self._take(message)
        return message is not None

    def consume(self, most: int, seconds: float = _SLICE_SECONDS) -> int:
        """Consume once; returns how many messages came."""
        messages = self.client.consume(most, seconds)
        self.check()
        for message in messages:
            self._take(message)
        if len(messages) > most:
            raise Divergence(f"{self}: consume of {most} handed out {len(messages)}")
        return len(messages)

    def read(self, step: Callable[[], object]) -> None:
        """Take steps until everything has come that has to."""
        self.wait(self.model.due, step)

    def wait(self, missing: Callable[[], str], step: Callable[[], object]) -> None:
        """Take steps until nothing is missing."""
        deadline = time.monotonic() + self._patience
        while missing():
            if time.monotonic() > deadline:
                raise Divergence(f"{self}: what had to come did not: {missing()}")
            step()

    def check(self) -> None:
        """Tell what callbacks found wrong."""
        if self._trouble:
            raise Divergence(f"{self}: {'; '.join(self._trouble)}")

    def __str__(self) -> str:
        return self._name

    def _take(self, message: Any) -> None:
        error = message.error()
        place = Place(message.topic(), message.partition(), message.offset() if message.offset() is not None else -1)
        due = self.model.due() or "nothing"
        if error is None:
            fits = self.model.handed(place)
            self._taken = message
        elif error.name() == "_PARTITION_EOF":
            fits = self.model.told_end(place)
        else:
            fits = self.model.told_error(place, error.name())
        if not fits:
            raise Divergence(f"{self}: {error or 'a record'} came at {place}, and had to come: {due}")
        if error is None:
            self._judge(message, self._logs[place[:2]].records[place.offset])

    def _judge(self, message: Any, record: Record) -> None:
        kind, timestamp = message.timestamp()
        stamp = None if record.timestamp is None else timestamp
        headers = message.headers()
        found = Record(message.key(), message.value(), None if headers is None else tuple(headers), stamp)
        if found != record or kind != 1:
            raise Divergence(f"{self}: {found} was handed out instead of {record}")

    def _assigned(self, _consumer: Any, partitions: list[Any]) -> None:
        self.heard += 1
        places = [Place(tp.topic, tp.partition, STORED) for tp in partitions]
        if {one[:2] for one in places} & self.model.cursors.keys():
            self._trouble.append(f"was assigned again what it holds: {places}")
        self.model.added(places)

    def _revoked(self, _consumer: Any, partitions: Iterable[Any]) -> None:
        tps = {(tp.topic, tp.partition) for tp in partitions}
        if tps - self.model.cursors.keys():
            self._trouble.append(f"was to give back what it does not hold: {tps}")
        self.model.removed(tps & self.model.cursors.keys(), by_group=True)

    def _lost(self, _consumer: Any, partitions: Iterable[Any]) -> None:
        tps = {(tp.topic, tp.partition) for tp in partitions}
        if self._original and self.model.may_lose(tps) and tps <= self.model.cursors.keys():
            self.model.removed(tps, lost=True)
        else:
            self._trouble.append(f"lost {tps}")

    def _behind(self) -> Place:
        """The offset behind the last record."""
        assert self.model.last is not None
        return self.model.last._replace(offset=self.model.last.offset + 1)

    def _spelled(self, places: Any) -> Any:
        return self._spell(*places) if isinstance(places, Place) else [self._spell(*one) for one in places]
