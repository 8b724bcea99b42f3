"""How far groups came: nothing committed may be lost, nothing passed over, and no effect doubled or missing."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from tests.histories.checker.anomaly import Anomaly, Finding
from tests.histories.checker.logs import Logs
from tests.histories.operation import Log, Operation, Position

Place = tuple[str, Log]
"""A group's place in a log."""


class _Acknowledged:
    """The furthest offset that was known to be committed, at any moment."""

    def __init__(self, commits: Sequence[tuple[float, int]]) -> None:
        ordered = sorted(commits)
        self._times = [time for time, _ in ordered]
        self._furthest = list(accumulate((offset for _, offset in ordered), max))

    def by(self, moment: float) -> int:
        """The furthest so far; 0 before any."""
        known = bisect_right(self._times, moment)
        return self._furthest[known - 1] if known else 0


class Progress:
    """What groups committed, and what their members were given.

    Args:
        history: everything that happened.
        logs: what stands where.
    """

    def __init__(self, history: Sequence[Operation], logs: Logs) -> None:
        self._history = [one for one in history if one.facts.group is not None]
        self._logs = logs
        self._attempted: dict[Place, set[int]] = defaultdict(set)
        self._given: dict[Place, set[int]] = defaultdict(set)
        self._effects: dict[Place, Counter[int]] = defaultdict(Counter)
        self._passed: dict[Place, int] = {}
        commits: dict[Place, list[tuple[float, int]]] = defaultdict(list)
        for operation in self._history:
            for place, position in _places(operation):
                self._take(operation, place, position)
                if operation.outcome == "ok":  # an answer tells as much as an acknowledgement
                    commits[place].append((operation.ended, position.offset))
            self._take_records(operation)
        self._acknowledged = {place: _Acknowledged(known) for place, known in commits.items()}

    def findings(self) -> Iterator[Finding]:
        """Every anomaly of groups."""
        yield from self._answers()
        yield from self._starts()
        yield from self._skips()
        yield from self._doubles()

    def _take(self, operation: Operation, place: Place, position: Position) -> None:
        if operation.kind != "committed" and operation.outcome != "fail":
            self._attempted[place].add(position.offset)
        if operation.outcome == "ok":
            self._passed[place] = max(position.offset, self._passed.get(place, 0))

    def _take_records(self, operation: Operation) -> None:
        group = operation.facts.group or ""
        effective = operation.kind == "transaction" and self._happened(operation)
        for record in operation.facts.records:
            if operation.kind == "poll":
                self._given[group, record.log].add(record.offset)
            elif effective:
                self._effects[group, record.log][record.offset] += 1

    def _happened(self, operation: Operation) -> bool:
        return operation.outcome == "ok" or self._logs.was_read([send.value for send in operation.facts.sends])

    def _acknowledged_by(self, place: Place, moment: float) -> int:
        known = self._acknowledged.get(place)
        return 0 if known is None else known.by(moment)

    def _answers(self) -> Iterator[Finding]:
        for operation in self._history:
            if operation.kind != "committed" or operation.outcome != "ok":
                continue
            for place, position in _places(operation):
                known = self._acknowledged_by(place, operation.invoked)
                words = f"{operation} found {_named(place)} at {position.offset}"
                if max(position.offset, 0) < known:  # the client's word for nothing is negative
                    yield Finding(Anomaly.LOST_COMMIT, f"{words} after {known} was committed")
                if position.offset >= 0 and position.offset not in self._attempted[place]:
                    yield Finding(Anomaly.INVENTED_COMMIT, f"{words}, which nobody committed")

    def _starts(self) -> Iterator[Finding]:
        """What a member is given first of a log that it was assigned."""
        fresh: dict[str, dict[Log, float]] = defaultdict(dict)
        for operation in self._history:
            if operation.kind != "poll":
                continue
            assigned = fresh[operation.process]
            for rebalance in operation.facts.rebalances:
                for log in rebalance.logs:
                    assigned.pop(log, None)
                    if rebalance.kind == "assign":
                        assigned[log] = operation.invoked
            for record in operation.facts.records:
                since = assigned.pop(record.log, None)
                place = (operation.facts.group or "", record.log)
                known = 0 if since is None else self._acknowledged_by(place, since)
                if record.offset < known:
                    words = f"{operation} started {_named(place)} at {record.offset} after {known} was committed"
                    yield Finding(Anomaly.LOST_COMMIT, words)

    def _skips(self) -> Iterator[Finding]:
        for place, passed in self._passed.items():
            log = place[1]
            for offset in self._logs.offsets(log)[: self._logs.following(log, passed)]:
                if offset not in self._given[place]:
                    yield Finding(Anomaly.GROUP_SKIP, f"{_named(place)} came to {passed}, and nobody got {offset}")

    def _doubles(self) -> Iterator[Finding]:
        for place, effects in self._effects.items():
            for offset, times in effects.items():
                if times > 1:
                    yield Finding(Anomaly.DOUBLE_EFFECT, f"{_named(place)} had the effect of {offset} {times} times")
            log, passed = place[1], self._passed.get(place, 0)
            for offset in self._logs.offsets(log)[: self._logs.following(log, passed)]:
                if offset not in effects:
                    yield Finding(Anomaly.MISSING_EFFECT, f"{_named(place)} came to {passed} without that of {offset}")


def repeated(history: Sequence[Operation]) -> Iterator[Finding]:
    """Records that one member was given more than once."""
    given: dict[str, Counter[tuple[Log, int]]] = defaultdict(Counter)
    for operation in history:
        if operation.kind == "poll" and operation.facts.group is not None:
            given[operation.process].update((record.log, record.offset) for record in operation.facts.records)
    for process, times in given.items():
        for ((topic, partition), offset), count in times.items():
            if count > 1:
                words = f"{process} was given {topic} [{partition}] {offset} {count} times"
                yield Finding(Anomaly.REPEATED_CONSUME, words)


def _places(operation: Operation) -> Iterator[tuple[Place, Position]]:
    group = operation.facts.group
    if group is not None and operation.kind in {"commit", "committed", "transaction"}:
        for position in operation.facts.positions:
            yield (group, position.log), position


def _named(place: Place) -> str:
    group, (topic, partition) = place
    return f"{group} in {topic} [{partition}]"
