"""What is counted and timed, beside what is judged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.histories.checker.logs import Logs
from tests.histories.operation import Log, Operation


class Spread(NamedTuple):
    """Seconds: half of all are within ``median``, 95 of a hundred within ``most``, all within ``longest``."""

    median: float
    most: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        """Of any number of them; zeros without any."""
        ordered = sorted(seconds) or [0.0]
        last = len(ordered) - 1
        return cls(*(round(ordered[round(last * share)], 3) for share in (0.5, 0.95, 1.0)))


class Measures(NamedTuple):
    """What a history amounts to.

    Attributes:
        operations: how many by kind and outcome.
        sends: how many values by outcome, those of transactions included.
        records: how many records polls returned.
        recovered: how many values were read whose send's outcome nobody knew.
        visible: from the acknowledgement of a value until the end of the first poll that returned it.
        lag: of each poll by an assigned consumer that returned nothing: since when there was something all the same.
        consumed: by group, how many records were given to its members once, twice, and so on.
    """

    operations: dict[str, dict[str, int]]
    sends: dict[str, int]
    records: int
    recovered: int
    visible: Spread
    lag: Spread
    consumed: dict[str, dict[int, int]]


def measure(history: Sequence[Operation], logs: Logs) -> Measures:
    """Counts and times everything."""
    outcomes: dict[str, Counter[str]] = {}
    sends: Counter[str] = Counter()
    records = recovered = 0
    visible: list[float] = []
    for one in history:
        outcomes.setdefault(one.kind, Counter())[one.outcome] += 1
        sends[one.outcome] += len(one.facts.sends)
        records += len(one.facts.records) if one.kind == "poll" else 0
        found = [logs.read[send.value] for send in one.facts.sends if send.value in logs.read]
        recovered += len(found) if one.outcome == "info" else 0
        visible += [max(0.0, seen - one.ended) for seen in found if one.outcome == "ok"]
    operations = {kind: dict(sorted(counts.items())) for kind, counts in sorted(outcomes.items())}
    lag = Spread.of(_lags(history, logs))
    return Measures(operations, dict(sends), records, recovered, Spread.of(visible), lag, _consumed(history))


class _Standing(NamedTuple):
    """Before which record a reader stands, and since when."""

    place: int
    reached: float


def _lags(history: Sequence[Operation], logs: Logs) -> list[float]:
    """Of each poll by hand that returned nothing: for how long there had been something where it stood."""
    acknowledged = {send.value: one.ended for one in history if one.outcome == "ok" for send in one.facts.sends}
    standing: dict[str, dict[Log, _Standing]] = {}
    lags: list[float] = []
    for one in history:
        places = standing.setdefault(one.process, {})
        if one.kind == "assign":
            places |= {to.log: _Standing(logs.following(to.log, to.offset), one.ended) for to in one.facts.positions}
        elif one.kind == "poll" and one.facts.group is None and one.outcome == "ok":
            for record in one.facts.records:
                places[record.log] = _Standing(logs.index(record.log, record.offset) + 1, one.ended)
            if places and not one.facts.records:
                lags.append(max(_kept_back(one, log, where, logs, acknowledged) for log, where in places.items()))
    return lags


def _kept_back(poll: Operation, log: Log, where: _Standing, logs: Logs, acknowledged: Mapping[str, float]) -> float:
    """For how long the record before which a reader stands had been there for it when a poll began."""
    if where.place >= len(logs.offsets(log)) or log in poll.facts.paused:
        return 0.0
    value = logs.values[log][logs.offsets(log)[where.place]][0]
    return max(0.0, poll.invoked - max(where.reached, acknowledged.get(value, poll.invoked)))


def _consumed(history: Sequence[Operation]) -> dict[str, dict[int, int]]:
    times: dict[str, Counter[tuple[Log, int]]] = {}
    for one in history:
        if one.kind == "poll" and one.facts.group is not None:
            seen = times.setdefault(one.facts.group, Counter())
            seen.update((record.log, record.offset) for record in one.facts.records)
    return {group: dict(sorted(Counter(seen.values()).items())) for group, seen in sorted(times.items())}
