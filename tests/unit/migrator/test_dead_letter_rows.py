"""A row without an offset, and headers that say where it was."""

from migrator.dead_letters import with_coordinates, without_field
from shim.store.rows import COLUMNS, RowEncoder
from shim.store.values import view


def fields(copy: bytes) -> list[bytes | None]:
    """Takes a row of binary COPY apart."""
    count, at = int.from_bytes(copy[:2], "big"), 2
    found: list[bytes | None] = []
    for _ in range(count):
        length = int.from_bytes(copy[at : at + 4], "big", signed=True)
        at += 4
        found.append(None if length < 0 else copy[at : at + length])
        at += max(0, length)
    assert at == len(copy)
    return found


def test_one_field_becomes_null_and_no_other_changes() -> None:
    encoder = RowEncoder("größe", now_us=0, parked=True)
    row = encoder.encode(3, 77, b"key", b"{}", ((b"a", None),), 1, 1, view(b"{}"))
    whole = fields(row.copy)
    for name in COLUMNS:
        expected = [None if column == name else field for column, field in zip(COLUMNS, whole, strict=True)]
        assert fields(without_field(row.copy, name)) == expected


def test_the_old_place_stands_behind_the_records_own_headers() -> None:
    headers = with_coordinates([b"a", None, b"kafka.topic", b"forged"], "emails", 3, 77)
    assert tuple(headers) == (
        (b"a", None),
        (b"kafka.topic", b"forged"),
        (b"kafka.topic", b"emails"),
        (b"kafka.partition", b"3"),
        (b"kafka.offset", b"77"),
    )
    assert len(tuple(with_coordinates(None, "emails", 0, 0))) == 3
