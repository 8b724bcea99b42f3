from itertools import product

import pytest

from shim.consuming.cursor import Cursor, located
from shim.protocol.constants import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, OFFSET_STORED
from shim.store.fetch import Head


@pytest.mark.parametrize(
    ("start", "committed", "expected"),
    [
        (OFFSET_BEGINNING, None, 10),
        (OFFSET_END, None, 20),
        (OFFSET_STORED, 15, 15),
        (OFFSET_INVALID, 15, 15),
        (OFFSET_STORED, None, None),
        (OFFSET_STORED, 9, None),
        (OFFSET_STORED, 10, 10),
        (OFFSET_STORED, 20, 20),
        (OFFSET_STORED, 21, None),
        (9, 15, None),
        (10, 15, 10),
        (20, 15, 20),
        (21, 15, None),
        (-2003, None, 17),
        (-2000, None, 20),
        (-2100, None, 10),
    ],
)
def test_what_a_start_means(start: int, committed: int | None, expected: int | None) -> None:
    assert located(start, Head(10, 20), committed) == expected


def test_a_start_is_inside_the_partition_or_nowhere() -> None:
    starts = (*range(-2012, -1999), -1001, -1000, *range(-2, 8))
    for start, committed, low, length in product(starts, (None, *range(8)), range(3), range(4)):
        head = Head(low, low + length)
        found = located(start, head, committed)
        assert found is None or head.start <= found <= head.next


def test_the_life_of_a_cursor() -> None:
    cursor = Cursor("topic", 3, OFFSET_INVALID)
    assert (cursor.tp, cursor.asked, cursor.lost, cursor.behind) == (("topic", 3), OFFSET_STORED, True, False)
    cursor.head = Head(0, 2)
    cursor.begin(1)
    assert (cursor.lost, cursor.behind) == (False, True)
    cursor.fetched = 2
    assert (cursor.lost, cursor.behind) == (False, False)
    cursor.head = Head(3, 5)  # retention overtook it
    assert cursor.lost
    cursor.fail()
    assert (cursor.lost, cursor.behind) == (False, False)
    cursor.seek(4)
    assert (cursor.lost, cursor.start) == (True, 4)
