"""Which offset of a partition is asked for, and what is answered."""

from abc import ABC, abstractmethod
from typing import Self

MAX_TIMESTAMP = -3
EARLIEST = -2
LATEST = -1
"""The numbers that stand for them in Kafka's protocol."""


class OffsetSpec(ABC):
    """An offset by what it is: the first, the last, the newest, or the first of a time."""

    def __new__(cls, index: int) -> "OffsetSpec":  # noqa: PYI034  one of its subclasses comes out
        """Returns what a number of Kafka's protocol stands for."""
        return _NAMED[index] if index < 0 else cls.for_timestamp(index)

    @property
    @abstractmethod
    def number(self) -> int:
        """What stands for it in Kafka's protocol: one of three negative numbers, or a timestamp."""

    @classmethod
    def earliest(cls) -> "OffsetSpec":
        """Asks for the first offset that is kept."""
        return _NAMED[EARLIEST]

    @classmethod
    def latest(cls) -> "OffsetSpec":
        """Asks for the offset that the next record will have."""
        return _NAMED[LATEST]

    @classmethod
    def max_timestamp(cls) -> "OffsetSpec":
        """Asks for the record with the greatest timestamp."""
        return _NAMED[MAX_TIMESTAMP]

    @classmethod
    def for_timestamp(cls, timestamp: int) -> "OffsetSpec":
        """Asks for the first record with this timestamp, in milliseconds, or a greater one."""
        return _TimestampSpec(timestamp)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, OffsetSpec):
            return NotImplemented
        return self.number < other.number


class _NamedSpec(OffsetSpec):
    def __new__(cls, _: int) -> Self:
        return object.__new__(cls)

    def __init__(self, number: int) -> None:
        self._number = number

    @property
    def number(self) -> int:
        return self._number


class _TimestampSpec(_NamedSpec):
    def __init__(self, timestamp: int) -> None:
        super().__init__(int(timestamp))
        self.timestamp = timestamp


_NAMED = {number: _NamedSpec(number) for number in (MAX_TIMESTAMP, EARLIEST, LATEST)}


class ListOffsetsResultInfo:
    """An offset.

    Attributes:
        offset: the offset; -1 where there is none.
        timestamp: its record's timestamp in milliseconds; -1 where a first or a last offset was asked for.
        leader_epoch: the epoch of the leader that gave it; None where that is not known.
    """

    def __init__(self, offset: int, timestamp: int, leader_epoch: int) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.leader_epoch = leader_epoch if leader_epoch >= 0 else None


class DeletedRecords:
    """What is left of a partition after older records were deleted.

    Attributes:
        low_watermark: the first offset that is kept.
    """

    def __init__(self, low_watermark: int) -> None:
        self.low_watermark = low_watermark
