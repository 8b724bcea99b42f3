"""Rows in COPY's binary format: what Postgres must find, byte for byte, is checked on a real server elsewhere."""

import struct
from hashlib import sha256

import pytest

from shim.store.rows import INFINITY, Framer, RowEncoder, created_us, encode_tail, headers_field, without_value
from shim.store.values import JSON_NULL, View

JSON = View("json", b"{}")
NOW_US = 800_000_000_000_000


def fields(row: bytes) -> list[bytes | None]:
    (count,) = struct.unpack_from(">h", row)
    found: list[bytes | None] = []
    position = 2
    for _ in range(count):
        (length,) = struct.unpack_from(">i", row, position)
        position += 4
        found.append(None if length == -1 else row[position : position + length])
        position += max(length, 0)
    assert position == len(row)
    return found


def encode(
    key: bytes | None = b"k",
    value: bytes | None = b"{}",
    headers: tuple[tuple[bytes, bytes | None], ...] | None = None,
    timestamp_ms: int = 1_700_000_000_000,
    view: View = JSON,
    held: str | None = None,
    *,
    parked: bool = True,
    keep_value: bool = True,
) -> list[bytes | None]:
    encoder = RowEncoder("emails", now_us=NOW_US, parked=parked, keep_value=keep_value)
    return fields(encoder.encode(3, 42, key, value, headers, timestamp_ms, 1, view, held).copy)


def test_a_row_holds_the_record_and_its_view() -> None:
    topic, partition, offset, ts, kind, key, value, headers, encoding, payload, *_ = encode()

    assert (topic, key, value, headers, encoding) == (b"emails", b"k", b"{}", None, b"json")
    assert (partition, offset) == (struct.pack(">i", 3), struct.pack(">q", 42))
    assert (ts, kind) == (struct.pack(">q", 1_700_000_000_000), struct.pack(">h", 1))
    assert payload == b"\x01{}"


def test_null_and_empty_are_kept_apart() -> None:
    assert encode(key=None)[5] is None
    assert encode(key=b"")[5] == b""
    assert encode(headers=None)[7] is None
    assert encode(headers=())[7] is not None


def test_behind_a_closed_gate_rows_are_parked() -> None:
    assert encode(parked=True)[-1] == struct.pack(">q", INFINITY)


def test_an_open_gate_lets_rows_run_from_their_own_time_and_never_later_than_now() -> None:
    assert encode(parked=False)[-1] == encode(parked=False)[-3]
    assert encode(timestamp_ms=32_503_680_000_000, parked=False)[-1] == struct.pack(">q", NOW_US)


def test_a_held_row_is_parked_even_when_the_gate_is_open() -> None:
    row = encode(held="held: look at it", parked=False)

    assert row[-2:] == [b"held: look at it", struct.pack(">q", INFINITY)]


def test_a_value_that_its_view_tells_in_full_can_be_dropped_and_no_other() -> None:
    assert encode(keep_value=False)[6] is None
    assert encode(view=View("bytes", b"null"), value=b"\xff", keep_value=False)[6] == b"\xff"
    assert encode(view=View("json-22P05", b"null"), value=b'"\\u0000"', keep_value=False)[6] is not None


def test_the_digest_frames_every_field() -> None:
    encoder = RowEncoder("emails", now_us=NOW_US, parked=True)
    rows = {
        encoder.encode(0, 0, key, value, headers, 0, 1, JSON)[1:]
        for key, value, headers in [
            (b"ab", b"c", None),
            (b"a", b"bc", None),
            (None, b"abc", None),
            (b"", b"abc", None),
            (b"abc", None, None),
            (b"abc", b"", None),
            (b"abc", b"", ()),
            (b"abc", b"", ((b"h", None),)),
            (b"abc", b"", ((b"h", b""),)),
        ]
    }

    assert len(rows) == 9


def test_the_digest_is_of_the_bytes_that_are_copied() -> None:
    row = RowEncoder("t", now_us=0, parked=True).encode(1, 2, b"k", b"v", None, 3, 1, JSON)
    core = row.copy[2 + 4 + 1 : row.copy.index(struct.pack(">i", 4) + b"json")]

    high, low = struct.unpack_from(">qq", sha256(core).digest())
    assert (row.digest_high, row.digest_low) == (high, low)


@pytest.mark.parametrize(
    ("timestamp_ms", "microseconds"),
    [(946_684_800_000, 0), (-1, NOW_US), (292_000_000 * 31_557_600_000, 9_223_371_331_199_999_999)],
)
def test_times_are_clamped_to_what_timestamptz_holds(timestamp_ms: int, microseconds: int) -> None:
    assert created_us(timestamp_ms, NOW_US) == microseconds


def test_headers_keep_order_repeats_and_nulls() -> None:
    field = headers_field(((b"b", b"1"), (b"a", None), (b"b", b"")))

    assert field[4:24] == struct.pack(">iiiii", 1, 1, 17, 6, 1)
    assert field[24:] == b"\0\0\0\1b\0\0\0\1" + b"1" + b"\0\0\0\1a\xff\xff\xff\xff" + b"\0\0\0\1b\0\0\0\0"


NOW_MS = 946_684_800_000 + NOW_US // 1000
YEARS_US = 876_582_000 * 3_600_000_000


@pytest.mark.parametrize("parked", [True, False])
@pytest.mark.parametrize("keep_value", [True, False])
@pytest.mark.parametrize(
    ("value", "view"),
    [
        (b"{}", JSON),
        (b"null", View("json", b"null")),
        (b"hi", View("text", b'"hi"')),
        (b"too long", View("text", b"null")),
        (b"\xff", View("bytes", b"null")),
        (b"1e400", View("json-22003", b"null")),
        (None, View("tombstone", b"null")),
    ],
)
def test_a_framed_record_is_the_row_that_a_drain_would_write(
    value: bytes | None, view: View, *, parked: bool, keep_value: bool
) -> None:
    headers = ((b"a", None), (b"a", b"1"))
    encoder = RowEncoder("emails", now_us=NOW_US, parked=parked, keep_value=keep_value)
    framer = Framer("emails", 3, now_us=NOW_US, parked=parked, keep_value=keep_value)
    # The drain tells what was dropped for its size by the object itself.
    drained = view if view.payload != b"null" or view.encoding == "json" else view._replace(payload=JSON_NULL)

    row = encoder.encode(3, 42, b"k", value, headers, NOW_MS, 1, drained).copy

    assert framer.frame(42, encode_tail(b"k", value, headers, NOW_MS, view)) == row


def test_a_record_without_time_or_offset_bears_none() -> None:
    framer = Framer("emails", 3, now_us=NOW_US, parked=False)

    row = fields(framer.frame(None, encode_tail(None, b"{}", None, None, JSON)))

    assert row[1:6] == [struct.pack(">i", 3), None, None, None, None]
    assert row[-3:] == [struct.pack(">q", NOW_US), None, struct.pack(">q", NOW_US)]


@pytest.mark.parametrize(("parked", "due"), [(False, NOW_US + 5), (True, NOW_US + 5 + YEARS_US)])
def test_a_delay_counts_from_now_and_is_kept_behind_a_closed_gate(*, parked: bool, due: int) -> None:
    framer = Framer("emails", 3, now_us=NOW_US, parked=parked)

    row = fields(framer.frame(None, encode_tail(None, b"{}", None, None, JSON), 5))

    assert row[-1] == struct.pack(">q", due)


def test_only_a_value_that_its_payload_tells_is_dropped() -> None:
    kept = encode_tail(b"k", b"\xff", ((b"a", b"1"),), 1, View("bytes", b"null"))

    assert without_value(kept) is kept
