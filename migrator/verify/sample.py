"""Which messages a sample holds: decided by partition and offset, so that both sides take the same ones. Pure.

``sql/verify.sql`` computes the same.
"""

from collections.abc import Sequence

from migrator.digest import Record

_OFFSETS, _PARTITIONS, _STEP = 1_048_576, 1_024, 7_919
_MULTIPLIER, _WORD, _LOWER = 2_654_435_761, 4_294_967_296, 65_536
MOST = _WORD // _LOWER


def sampled(partition: int, offset: int, modulus: int) -> bool:
    """Returns whether an offset is one of the sample, which is one in ``modulus``."""
    number = offset % _OFFSETS + partition % _PARTITIONS * _STEP
    return modulus == 1 or number * _MULTIPLIER % _WORD // _LOWER % modulus == 0


def choose(partition: int, records: Sequence[Record], modulus: int) -> Sequence[Record]:
    """Returns those of one partition's records that the sample holds."""
    if modulus == 1:
        return records
    return [record for record in records if sampled(partition, record.offset, modulus)]
