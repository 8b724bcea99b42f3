"""What a drain works with: both sides, and whoever listens."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from migrator.drain.gaps import GapLookup
from migrator.events import Listener
from migrator.kafka.facts import Cluster
from migrator.kafka.source import Source
from migrator.postgres import Connection
from shim.store.statements import Schemas


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a drain works with.

    Attributes:
        connect: opens a connection to Postgres.
        schemas: where the queue's and the migrator's tables lie.
        cluster: Kafka, as facts.
        open_source: opens a reader of records.
        gaps: looks up offsets that did not arrive.
        listener: is told what goes on.
        stop: set when the user wants to stop: the batches in hand are finished first.
        clock: seconds that only ever grow.
    """

    connect: Callable[[], Connection]
    schemas: Schemas
    cluster: Cluster
    open_source: Callable[[], Source]
    gaps: GapLookup
    listener: Listener
    stop: Event
    clock: Callable[[], float] = time.monotonic
