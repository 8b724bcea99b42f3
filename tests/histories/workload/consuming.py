"""A consumer whose polls, callbacks, positions and commits are written down."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from tests.histories.journal import Entry, Journal
from tests.histories.operation import Facts, Log, Position, Rebalance, Record
from tests.histories.workload.plan import Plan
from tests.histories.workload.values import record_of

_ASK_SECONDS = 5


class Consuming:
    """One consumer.

    Args:
        plan: what the worker was told.
        journal: where everything is written down.
        settings: the consumer's.

    Attributes:
        consumer: the client's.
        positions: the next offset of each log that is held and was read.
        records: what was read last.
    """

    def __init__(self, plan: Plan, journal: Journal, settings: Mapping[str, Any]) -> None:
        self._api = plan.api
        self._single = plan.client == "kafka"
        self._journal = journal
        self._group = plan.group or None
        self._rebalances: list[Rebalance] = []
        self._paused: tuple[Log, ...] = ()
        self._waiting: list[tuple[frozenset[Position], Entry]] = []
        self._last: Any = None
        self.consumer: Any = self._api.Consumer({**settings, "on_commit": self._on_commit})
        self.positions: dict[Log, int] = {}
        self.records: tuple[Record, ...] = ()

    def read(self, most: int, seconds: float) -> tuple[Record, ...]:
        """Reads on: in one poll, or from the original in one for each message, lest callbacks come between them."""
        self.records = self._poll(1 if self._single else most, seconds)
        while self._single and 0 < len(self.records) < most and (more := self._poll(1, 0)):
            self.records += more
        return self.records

    def _poll(self, most: int, seconds: float) -> tuple[Record, ...]:
        entry = self._journal.invoke("poll", Facts(group=self._group, paused=self._paused))
        self._rebalances = []
        try:
            messages = self.consumer.consume(most, seconds)
        except self._api.KafkaException as failure:
            entry.fail(Facts(rebalances=tuple(self._rebalances), error=str(failure)))
            return ()
        good = [message for message in messages if message.error() is None]
        records = tuple(map(record_of, good))
        errors = " ".join(message.error().name() for message in messages if message.error() is not None)
        self._last = good[-1] if good else self._last
        self.positions |= {record.log: record.offset + 1 for record in records}
        entry.ok(Facts(records=records, rebalances=tuple(self._rebalances), error=errors or None))
        return records

    def assign(self, positions: Sequence[Position]) -> None:
        """Reads these from there on, and nothing else."""
        self._go(positions, self.consumer.assign)

    def seek(self, position: Position) -> None:
        """Goes to another offset of an assigned log."""
        self._go([position], lambda wanted: self.consumer.seek(wanted[0]))

    def pause(self, log: Log, polls: int, most: int, seconds: float) -> None:
        """Reads the others alone for a while."""
        partitions = [self._api.TopicPartition(*log)]
        self.consumer.pause(partitions)
        self._paused = (log,)
        for _ in range(polls):
            self.read(most, seconds)
        self.consumer.resume(partitions)
        self._paused = ()

    def _go(self, positions: Sequence[Position], how: Any) -> None:
        entry = self._journal.invoke("assign", Facts(positions=tuple(positions)))
        try:
            how([self._api.TopicPartition(*position) for position in positions])
        except self._api.KafkaException as failure:
            entry.info(Facts(error=str(failure)))
        else:
            entry.ok()

    def noted(self, kind: Literal["assign", "revoke", "lost"], partitions: Iterable[Any]) -> None:
        """Takes note of a rebalance callback."""
        logs = tuple((one.topic, one.partition) for one in partitions)
        for log in logs:
            self.positions.pop(log, None)
        self._rebalances.append(Rebalance(kind, logs))

    def where(self, partitions: Iterable[Log] | None = None) -> tuple[Position, ...]:
        """How far it came, in these logs or in all."""
        wanted = self.positions if partitions is None else [log for log in partitions if log in self.positions]
        return tuple(Position(*log, self.positions[log]) for log in wanted)

    def commit(self, positions: Sequence[Position], **arguments: Any) -> bool:
        """Commits at once; ``arguments`` say it as the client takes it."""
        entry = self._journal.invoke("commit", Facts(positions=tuple(positions), group=self._group))
        try:
            self.consumer.commit(asynchronous=False, **arguments)
        except self._api.KafkaException as failure:
            entry.info(Facts(error=str(failure)))  # of several partitions some may have been committed
            return False
        entry.ok()
        return True

    def commit_behind_last(self) -> bool:
        """Commits the message that was read last."""
        message = self._last
        where = Position(message.topic(), message.partition(), message.offset() + 1)
        return self.commit([where], message=message)

    def commit_later(self, positions: Sequence[Position]) -> None:
        """Commits in the background."""
        entry = self._journal.invoke("commit", Facts(positions=tuple(positions), group=self._group))
        self._waiting.append((frozenset(positions), entry))
        self.consumer.commit(offsets=self.spelled(positions), asynchronous=True)

    def store(self, positions: Sequence[Position]) -> None:
        """Lets the client commit this when it likes."""
        entry = self._journal.invoke("commit", Facts(positions=tuple(positions), group=self._group))
        try:
            self.consumer.store_offsets(offsets=self.spelled(positions))
        except self._api.KafkaException as failure:
            entry.info(Facts(error=str(failure)))
        else:
            entry.info()

    def committed(self, logs: Sequence[Log]) -> Mapping[Log, int] | None:
        """Asks where the group stands."""
        entry = self._journal.invoke("committed", Facts(group=self._group))
        try:
            answers = self.consumer.committed([self._api.TopicPartition(*log) for log in logs], _ASK_SECONDS)
        except self._api.KafkaException as failure:
            entry.fail(Facts(error=str(failure)))
            return None
        found = tuple(Position(one.topic, one.partition, one.offset) for one in answers)
        entry.ok(Facts(positions=found))
        return {position.log: position.offset for position in found}

    def ends(self, logs: Sequence[Log]) -> Mapping[Log, int] | None:
        """The high watermarks; None when they are not to be had."""
        try:
            return {
                log: self.consumer.get_watermark_offsets(self._api.TopicPartition(*log), _ASK_SECONDS)[1]
                for log in logs
            }
        except self._api.KafkaException:
            return None

    def close(self) -> None:
        """Gives everything back; callbacks are those of a last poll."""
        entry = self._journal.invoke("poll", Facts(group=self._group))
        self._rebalances = []
        self.consumer.close()
        entry.ok(Facts(rebalances=tuple(self._rebalances)))

    def spelled(self, positions: Sequence[Position]) -> list[Any]:
        """The same as the client spells it."""
        return [self._api.TopicPartition(*position) for position in positions]

    def _on_commit(self, error: Any, partitions: Sequence[Any]) -> None:
        said = frozenset(Position(one.topic, one.partition, one.offset) for one in partitions or ())
        for waiting in self._waiting:
            positions, entry = waiting
            if positions == said:
                self._waiting.remove(waiting)
                failed = error is not None or any(one.error is not None for one in partitions)
                (entry.info if failed else entry.ok)()
                return
