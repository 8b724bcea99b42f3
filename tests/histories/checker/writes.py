"""What was written: lost, unseen, doubled, invented, undone and yet there, torn, out of order."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.histories.checker.anomaly import Anomaly, Finding
from tests.histories.checker.logs import Logs
from tests.histories.operation import Log, Operation


def lost(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    """Lost writes where readers came past, unseen ones where they did not, or nobody knows where they were to be."""
    for operation in history:
        if operation.outcome != "ok":
            continue
        for send in operation.facts.sends:
            if send.value in logs.read:
                continue
            log = (send.topic, -1 if send.partition is None else send.partition)
            passed = send.offset is not None and send.offset <= logs.furthest.get(log, -1)
            words = f"{send.value} by {operation}, acknowledged at {log[0]} [{log[1]}] {send.offset}"
            yield Finding(Anomaly.LOST_WRITE if passed else Anomaly.UNSEEN, words)


def contradictions(logs: Logs) -> Iterator[Finding]:
    """Values at several offsets, and offsets with several values."""
    for value, places in logs.places.items():
        if len(places) > 1:
            where = ", ".join(f"{place.topic} [{place.partition}] {place.offset}" for place in places)
            yield Finding(Anomaly.DUPLICATE, f"{value} at {where}")
    for (topic, partition), offsets in logs.values.items():
        for offset, values in offsets.items():
            if len(values) > 1:
                words = f"{topic} [{partition}] {offset} is {' and '.join(values)}"
                yield Finding(Anomaly.INCONSISTENT_OFFSETS, words)


def unwarranted(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    """Values that were read although nobody sent them, or their send failed, or was not committed yet."""
    sent: set[str] = set()
    for operation in history:
        for send in operation.facts.sends:
            sent.add(send.value)
            seen = logs.read.get(send.value)
            committing = operation.facts.committing
            if seen is None:
                continue
            if operation.outcome == "fail":
                yield Finding(Anomaly.G1A, f"{send.value} by {operation} was read")
            elif committing is not None and seen < committing:
                words = f"{send.value} by {operation} was read {committing - seen:.3f} s before its COMMIT"
                yield Finding(Anomaly.PRECOMMITTED_READ, words)
    for value in logs.read:
        if value not in sent:
            yield Finding(Anomaly.PHANTOM, f"{value} was read, and nobody sent it")


def torn(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    """Transactions of which a part was read, and another part not, although everything was read to the end."""
    for operation in history:
        if operation.kind != "transaction":
            continue
        missing = [send.value for send in operation.facts.sends if send.value not in logs.read]
        if missing and len(missing) < len(operation.facts.sends):
            yield Finding(Anomaly.TORN_TRANSACTION, f"{operation} without {', '.join(missing)}")


class _Landed(NamedTuple):
    operation: Operation
    value: str
    offset: int


def out_of_order(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    """Sends of one process that stand in a log in another order than that in which they were invoked."""
    landed: dict[tuple[str, Log], list[_Landed]] = defaultdict(list)
    for operation in history:
        for send in operation.facts.sends:
            for place in logs.places.get(send.value, ())[:1]:
                landed[operation.process, place.log].append(_Landed(operation, send.value, place.offset))
    for (process, (topic, partition)), sends in landed.items():
        for one, other in pairwise(sends):
            if other.offset < one.offset:
                within = one.operation is other.operation
                words = f"{process} sent {one.value} before {other.value}, which stands before it in"
                anomaly = Anomaly.INT_NONMONOTONIC_SEND if within else Anomaly.NONMONOTONIC_SEND
                yield Finding(anomaly, f"{words} {topic} [{partition}]: {one.offset}, {other.offset}")
