"""Prometheus metrics: what the clients of this process did, and how the queues stand. In the extra ``metrics``.

::

    from prometheus_client import REGISTRY, start_http_server
    from shim.metrics import ClientCollector, QueueCollector

    REGISTRY.register(ClientCollector())
    REGISTRY.register(QueueCollector("postgresql://reader@db.example.com/app"))
    start_http_server(9000)

Every process has clients of its own and registers the first; the second asks the database, so one process does. Labels
are topics, groups, error codes and results: never keys, values or connection strings.
"""

import math
import threading
from collections.abc import Iterator, Mapping
from itertools import accumulate
from time import monotonic
from typing import NamedTuple

import psycopg

from shim.store import depth
from shim.store.connection import connect
from shim.store.depth import Figures
from shim.store.meter import BOUNDS, Durations, Key, meter
from shim.store.pool import pools
from shim.store.statements import Schemas
from shim.store.watcher import watchers

try:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise ImportError(
        "shim.metrics needs prometheus_client: pip install 'kafka-to-postgres[metrics]'", name=missing.name
    ) from missing

__all__ = ["ClientCollector", "QueueCollector"]

_APPLICATION_NAME = "kafka-to-postgres-metrics"
_DURATIONS = "shim_operation_duration_seconds"


class _Told(NamedTuple):
    """How a number of the meter's is told: its metric's name, what it means, and its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


_COUNTERS: Mapping[str, _Told] = {
    "producer_messages": _Told("shim_producer_messages", "Messages that were stored.", ("topic",)),
    "producer_errors": _Told("shim_producer_errors", "Messages that were given up, by error code.", ("code",)),
    "consumer_messages": _Told("shim_consumer_messages", "Messages that consumers fetched.", ("topic",)),
    "consumer_commits": _Told("shim_consumer_commits", "Commits of offsets: ok, or an error code.", ("result",)),
    "share_claims": _Told("shim_share_jobs_claimed", "Jobs that share consumers claimed.", ("topic",)),
    "share_jobs": _Told(
        "shim_share_jobs",
        "Jobs that share consumers settled: accepted, released, rejected, or late, when the lease had run out.",
        ("result",),
    ),
    "recovered": _Told(
        "shim_jobs_recovered", "Jobs whose lease ran out: pending again, or failed at the limit.", ("status",)
    ),
    "retention_rows": _Told("shim_retention_rows", "Rows that retention removed.", ("topic",)),
    "connections": _Told("shim_pool_connections_opened", "Connections to Postgres that were opened."),
    "connection_errors": _Told("shim_pool_connection_errors", "Connections to Postgres that could not be opened."),
    "errors": _Told("shim_client_errors", "Failures that clients met and try again, by error code.", ("code",)),
}
_GAUGES: Mapping[str, _Told] = {
    "producer_queue_messages": _Told(
        "shim_producer_queue_messages", "Messages that are queued, or whose reports wait for poll."
    ),
    "share_jobs_in_flight": _Told("shim_share_jobs_in_flight", "Jobs that were handed out and are not settled."),
}


class ClientCollector(Collector):
    """What the clients of this process did since it began; a forked child begins at zero.

    Reading costs no statement. Register it once in a process.
    """

    def collect(self) -> Iterator[Metric]:
        """Yields every metric, those that nothing was counted for too."""
        counts = meter.counts()
        for name, told in _COUNTERS.items():
            yield _counter(name, told, counts)
        yield _histogram(meter.durations())
        gauges = meter.gauges()
        for name, told in _GAUGES.items():
            yield GaugeMetricFamily(told.name, told.meaning, value=gauges.get(name, 0.0))
        yield from _connections()
        yield from _senses()
        yield GaugeMetricFamily(
            "shim_client_last_error_timestamp_seconds",
            "When a client last met a failure; 0 for never.",
            value=meter.moments().get(("error",), 0.0),
        )


class QueueCollector(Collector):
    """How the queues of a database stand: depth and age by topic, lag by group, dead rows.

    Pending jobs are counted, by an index: figured in milliseconds as long as queues are short, and given up after
    ``timeout`` where they are not. Scrapes that come faster than ``interval`` are told the same again.

    Args:
        dsn: a connection string or URL; any role will do that may read, such as ``job_queue_reader``.
        schema: where the queue's tables are.
        interval: for how many seconds what was read is told again.
        timeout: how many seconds a statement may take; at least 1.
    """

    def __init__(self, dsn: str, *, schema: str = "public", interval: float = 15.0, timeout: int = 5) -> None:
        self._dsn = dsn
        self._texts = depth.load(Schemas({"queue": schema}))
        self._interval = interval
        self._timeout = max(1, timeout)
        self._lock = threading.Lock()
        self._due = -math.inf
        self._figures: Figures | None = None

    def describe(self) -> Iterator[Metric]:
        """Yields the metrics without figures, so that registering asks nobody."""
        return self._told(Figures((), (), 0))

    def collect(self) -> Iterator[Metric]:
        """Yields every metric; of a database that does not answer only that it does not."""
        with self._lock:
            if monotonic() >= self._due:
                self._figures = self._read()
                self._due = monotonic() + self._interval
            return self._told(self._figures)

    def _read(self) -> Figures | None:
        try:
            with connect(self._dsn, _APPLICATION_NAME, self._timeout) as conn:
                conn.patience = 2.0 * self._timeout
                return depth.read(conn, self._texts, statement_s=self._timeout)
        except psycopg.Error:
            return None

    def _told(self, figures: Figures | None) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "shim_queue_up", "Whether the database told how the queues stand.", value=figures is not None
        )
        if figures is not None:
            yield _depths(figures)
            yield _ages(figures)
            yield _lags(figures)
            yield GaugeMetricFamily(
                "shim_queue_dead_rows", "Dead rows in job_queue that VACUUM is to remove.", value=figures.dead_rows
            )


def _counter(name: str, told: _Told, counts: Mapping[Key, int]) -> Metric:
    family = CounterMetricFamily(told.name, told.meaning, labels=told.labels)
    for key, count in sorted(counts.items()):
        if key[0] == name:
            family.add_metric(key[1:], count)
    if not told.labels and (name,) not in counts:
        family.add_metric((), 0)
    return family


def _histogram(durations: Mapping[Key, Durations]) -> Metric:
    family = HistogramMetricFamily(
        _DURATIONS, "How long trips to Postgres took that went well, one for each batch.", labels=("operation",)
    )
    ends = [*(str(bound) for bound in BOUNDS), "+Inf"]
    for (operation,), one in sorted(durations.items()):
        family.add_metric((operation,), list(zip(ends, accumulate(one.buckets), strict=True)), one.seconds)
    return family


def _connections() -> Iterator[Metric]:
    every = pools()
    connections = GaugeMetricFamily(
        "shim_pool_connections", "Connections of this process's pools, by what they are at.", labels=("state",)
    )
    connections.add_metric(("busy",), sum(pool.busy for pool in every))
    connections.add_metric(("idle",), sum(pool.idle for pool in every))
    yield connections
    yield GaugeMetricFamily(
        "shim_pool_connections_limit", "How many connections may be open.", value=sum(pool.size for pool in every)
    )
    yield GaugeMetricFamily(
        "shim_pool_waiting_threads", "Threads that wait for a connection.", value=sum(pool.waiting for pool in every)
    )


def _senses() -> Iterator[Metric]:
    """Whether clients see what happens: the watcher by looking, the listener by being told."""
    every = watchers()
    yield GaugeMetricFamily(
        "shim_watcher_up", "Whether the last look at the queues went well.", value=all(one.well for one in every)
    )
    yield GaugeMetricFamily(
        "shim_notify_up",
        "Whether hints of other processes arrive; without them new messages are found by looking.",
        value=bool(every) and all(one.hinted for one in every),
    )


def _depths(figures: Figures) -> Metric:
    family = GaugeMetricFamily("shim_queue_jobs", "Jobs that are not completed.", labels=("topic", "state"))
    for one in figures.depths:
        for state in ("due", "delayed", "parked", "processing", "failed"):
            family.add_metric((one.topic, state), getattr(one, state))
    return family


def _ages(figures: Figures) -> Metric:
    family = GaugeMetricFamily(
        "shim_queue_oldest_due_seconds", "How long the oldest job that is due has waited.", labels=("topic",)
    )
    for one in figures.depths:
        family.add_metric((one.topic,), one.oldest_due_s or 0.0)
    return family


def _lags(figures: Figures) -> Metric:
    family = GaugeMetricFamily(
        "shim_group_lag_offsets", "How many offsets a consumer group is behind.", labels=("group", "topic")
    )
    for one in figures.lags:
        family.add_metric((one.group_id, one.topic), one.offsets)
    return family
