"""What a dual producer needs of the shim's producer: the queue behind it, and what it was told."""

from dataclasses import dataclass

from shim.config.settings import Settings
from shim.store.pool import Pool
from shim.store.statements import Schemas


@dataclass(frozen=True, slots=True)
class QueueSide:
    """The queue behind one of the two producers.

    Attributes:
        pool: connections to it.
        schemas: where its tables are.
        settings: what the producer was told.
    """

    pool: Pool
    schemas: Schemas
    settings: Settings


def queue_side(producer: object) -> QueueSide | None:
    """Returns the queue behind a producer; None for one that leads to Kafka.

    Raises:
        TypeError: it is given objects and serializes them itself, so that the two sides could differ.
    """
    tell = getattr(producer, "_queue_side", None)
    found = tell() if callable(tell) else None
    return found if isinstance(found, QueueSide) else None
