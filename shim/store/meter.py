"""What a process has done with its queues so far, as plain numbers; `shim.metrics` makes Prometheus metrics of them.

Nothing here is per message: whoever finishes a batch counts it, at the price of a lock and a look into a dict. A forked
child counts from zero.
"""

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the buckets that durations are sorted into, in seconds; the last bucket has none."""

OTHER = "(other)"
"""Stands for all labels that came when there were very many already."""

_MOST_SERIES = 2000

Key = tuple[str, ...]
"""A name, and the values of its labels."""


class Gauged(Protocol):
    """Something that has figures at any moment. It is held weakly."""

    def gauges(self) -> Mapping[str, float]:
        """Returns the figures by name; those of several are added up."""


@dataclass(slots=True)
class Durations:
    """How long something took: how often it fell into each bucket, and the sum of all."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0


class Meter:
    """Counts, for any thread. There is one for each process: `meter`."""

    def __init__(self) -> None:
        self._gauged: WeakSet[Gauged] = WeakSet()
        self.renew()

    def renew(self) -> None:
        """Begins at zero. Runs in a forked child before any other code."""
        self._lock = threading.Lock()
        self._counts: dict[Key, int] = {}
        self._durations: dict[Key, Durations] = {}
        self._moments: dict[Key, float] = {}

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Adds to a number that only grows."""
        with self._lock:
            key = _key(self._counts, name, labels)
            self._counts[key] = self._counts.get(key, 0) + by

    def count_each(self, name: str, amounts: Mapping[str, int]) -> None:
        """Adds to several numbers of one name, by their label."""
        for label, amount in amounts.items():
            self.count(name, label, by=amount)

    def time(self, name: str, seconds: float) -> None:
        """Takes note of how long something took."""
        with self._lock:
            durations = self._durations.setdefault((name,), Durations())
            durations.buckets[bisect_left(BOUNDS, seconds)] += 1
            durations.seconds += seconds

    def mark(self, name: str) -> None:
        """Takes note that something happened now."""
        with self._lock:
            self._moments[name,] = time.time()

    def attend(self, gauged: Gauged) -> None:
        """Asks something for its figures from now on, as long as it lives."""
        with self._lock:
            self._gauged.add(gauged)

    def counts(self) -> dict[Key, int]:
        """Returns every number that only grows."""
        with self._lock:
            return dict(self._counts)

    def durations(self) -> dict[Key, Durations]:
        """Returns how long things took."""
        with self._lock:
            return {key: Durations(one.buckets.copy(), one.seconds) for key, one in self._durations.items()}

    def moments(self) -> dict[Key, float]:
        """Returns when things happened last, in seconds since 1970."""
        with self._lock:
            return dict(self._moments)

    def gauges(self) -> dict[str, float]:
        """Returns the sums of the figures of what lives."""
        sums: dict[str, float] = {}
        with self._lock:  # a set that grows cannot be walked through
            every = list(self._gauged)
        for gauged in every:
            for name, value in gauged.gauges().items():
                sums[name] = sums.get(name, 0.0) + value
        return sums


def _key(known: Mapping[Key, int], name: str, labels: Key) -> Key:
    key = (name, *labels)
    if key in known or len(known) < _MOST_SERIES:
        return key
    return (name, *(OTHER for _ in labels))


meter = Meter()
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=meter.renew)
