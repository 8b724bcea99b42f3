"""What stands where in the logs, by everybody who can tell: polls by their records, producers by acknowledgements."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.histories.operation import Log, Operation, Record


class Logs:
    """The logs of one history.

    Attributes:
        values: the values at each offset of each log; more than one is an anomaly.
        places: the offsets at which each value stands; more than one is an anomaly.
        read: when each value that was read was first read, which is when that poll ended.
        furthest: the highest offset of each log that was read.
    """

    def __init__(self, history: Sequence[Operation]) -> None:
        self.values: dict[Log, dict[int, list[str]]] = defaultdict(dict)
        self.places: dict[str, list[Record]] = defaultdict(list)
        self.read: dict[str, float] = {}
        self.furthest: dict[Log, int] = {}
        for operation in history:
            self._learn(operation)
        self._offsets = {log: sorted(offsets) for log, offsets in self.values.items()}
        self._index = {log: {offset: i for i, offset in enumerate(known)} for log, known in self._offsets.items()}

    def __iter__(self) -> Iterator[Log]:
        return iter(sorted(self._offsets))

    def offsets(self, log: Log) -> Sequence[int]:
        """The offsets at which something stands, ascending. There may be gaps, for Kafka's own records."""
        return self._offsets.get(log, ())

    def index(self, log: Log, offset: int) -> int:
        """How many records stand before an offset at which there is one."""
        return self._index[log][offset]

    def following(self, log: Log, offset: int) -> int:
        """How many records stand before an offset, be there one or not."""
        return bisect_left(self._offsets.get(log, ()), offset)

    def was_read(self, values: Sequence[str]) -> bool:
        """Whether any of these was ever read."""
        return any(value in self.read for value in values)

    def _learn(self, operation: Operation) -> None:
        for send in operation.facts.sends:
            if operation.outcome == "ok" and send.partition is not None and send.offset is not None:
                self._put(Record(send.topic, send.partition, send.offset, send.value))
        if operation.kind == "poll":
            for record in operation.facts.records:
                self._put(record)
                self.read[record.value] = min(operation.ended, self.read.get(record.value, operation.ended))
                self.furthest[record.log] = max(record.offset, self.furthest.get(record.log, -1))

    def _put(self, record: Record) -> None:
        standing = self.values[record.log].setdefault(record.offset, [])
        if record.value not in standing:
            standing.append(record.value)
            self.places[record.value].append(record)
