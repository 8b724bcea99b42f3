"""Integers of the width that Kafka's protocol gives them: what does not fit is refused where it is handed in."""

from operator import index

_INT16 = 2**15
_INT32 = 2**31
_INT64 = 2**63


def int16(value: object) -> int:
    """Returns ``value`` as an int of 16 bits; raises TypeError or OverflowError."""
    return _fitting(value, _INT16)


def int32(value: object) -> int:
    """Returns ``value`` as an int of 32 bits; raises TypeError or OverflowError."""
    return _fitting(value, _INT32)


def int64(value: object) -> int:
    """Returns ``value`` as an int of 64 bits; raises TypeError or OverflowError."""
    return _fitting(value, _INT64)


def _fitting(value: object, bound: int) -> int:
    number = int(index(value))  # type: ignore[arg-type]  # index() is what tells an integer from the rest
    if -bound <= number < bound:
        return number
    side = "greater than maximum" if number > 0 else "less than minimum"
    raise OverflowError(f"signed integer is {side}")
