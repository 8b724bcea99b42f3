"""What consumers were given: never back, never past a record, where a position says what comes next."""

from collections.abc import Iterator, Sequence

from tests.histories.checker.anomaly import Anomaly, Finding
from tests.histories.checker.logs import Logs
from tests.histories.operation import Log, Operation, Rebalance, Record

_EXTERNAL = (Anomaly.NONMONOTONIC_POLL, Anomaly.POLL_SKIP)
_INTERNAL = (Anomaly.INT_NONMONOTONIC_POLL, Anomaly.INT_POLL_SKIP)


def polls(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    """Polls that go back, repeat or pass over a record; where one does, only its first step of each log is told."""
    readers: dict[str, _Reader] = {}
    for operation in history:
        if operation.process not in readers:
            readers[operation.process] = _Reader(logs)
        yield from readers[operation.process].follow(operation)


class _Reader:
    """One consumer: for each log the number of the record that has to come next, as far as that is known."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._next: dict[Log, int] = {}
        self._parted: set[Log] = set()

    def follow(self, operation: Operation) -> Iterator[Finding]:
        if operation.kind == "assign":
            self._go(operation)
        elif operation.kind == "poll":
            for rebalance in operation.facts.rebalances:
                self._rebalance(rebalance)
            yield from self._foreign(operation)
            yield from self._poll(operation)

    def _rebalance(self, rebalance: Rebalance) -> None:
        for log in rebalance.logs:
            self._next.pop(log, None)
        if rebalance.kind == "assign":
            self._parted.difference_update(rebalance.logs)
        else:
            self._parted.update(rebalance.logs)

    def _foreign(self, operation: Operation) -> Iterator[Finding]:
        for topic, partition in sorted(self._parted & {record.log for record in operation.facts.records}):
            words = f"{operation} got records of {topic} [{partition}], which had been taken from it"
            yield Finding(Anomaly.FOREIGN_POLL, words)

    def _go(self, operation: Operation) -> None:
        """Takes positions where they are certain; what is assigned anew without them comes from anywhere."""
        for position in operation.facts.positions:
            if operation.outcome == "ok" and position.offset >= 0:
                self._next[position.log] = self._logs.following(position.log, position.offset)
            elif operation.outcome != "fail":
                self._next.pop(position.log, None)

    def _poll(self, operation: Operation) -> Iterator[Finding]:
        begun: set[Log] = set()
        told: set[Log] = set()
        for record in operation.facts.records:
            log, here = record.log, self._logs.index(record.log, record.offset)
            expected = self._next.get(log)
            if expected is not None and here != expected and log not in told:
                told.add(log)
                within = log in begun or operation.facts.group is not None
                back, skip = _INTERNAL if within else _EXTERNAL
                yield self._finding(back if here < expected else skip, operation, record, expected)
            self._next[log] = here + 1
            begun.add(log)

    def _finding(self, anomaly: Anomaly, operation: Operation, record: Record, expected: int) -> Finding:
        offsets = self._logs.offsets(record.log)
        due = offsets[expected] if expected < len(offsets) else "nothing more"
        came = f"{record.topic} [{record.partition}] {record.offset} ({record.value})"
        return Finding(anomaly, f"{operation} got {came} where {due} was due")
