"""Differences that other verifiers do not see: combined by XOR or CRC, joined without framing, trimmed, normalised."""

import zlib
from functools import reduce
from operator import xor

import pytest

from migrator.digest import NOTHING, Headers, Record, Sums, fingerprint, sums


def record(
    value: bytes | None = b"v",
    key: bytes | None = b"k",
    headers: Headers | None = None,
    *,
    offset: int = 0,
    timestamp: tuple[int, int] = (1, 1_700_000_000_000),
) -> Record:
    return Record(offset, timestamp, key, value, headers)


LOOKALIKES = {
    "fields that join to the same text": (record(key=b"ab", value=b"c"), record(key=b"a", value=b"bc")),
    "a key that moved into the value": (record(key=b"", value=b"kv"), record(key=b"kv", value=b"")),
    "a header's value that moved into its name": (
        record(headers=((b"ab", b"c"),)),
        record(headers=((b"a", b"bc"),)),
    ),
    "a header that moved into the value": (
        record(b"ab", headers=((b"c", b"d"),)),
        record(b"abc", headers=((b"", b"d"),)),
    ),
    "two headers joined to one": (
        record(headers=((b"a", b"b"), (b"c", b"d"))),
        record(headers=((b"a", b"b" + bytes([0, 0, 0, 1]) + b"c" + bytes([0, 0, 0, 1]) + b"d"),)),
    ),
    "headers in another order": (
        record(headers=((b"a", b"1"), (b"a", b"2"))),
        record(headers=((b"a", b"2"), (b"a", b"1"))),
    ),
    "a repeated header that came once": (record(headers=((b"a", b"1"), (b"a", b"1"))), record(headers=((b"a", b"1"),))),
    "a null key and an empty one": (record(key=None), record(key=b"")),
    "a tombstone and an empty value": (record(None), record(b"")),
    "a tombstone and the text null": (record(None), record(b"null")),
    "a null header and an empty one": (record(headers=((b"a", None),)), record(headers=((b"a", b""),))),
    "no headers and an empty list of them": (record(headers=None), record(headers=())),
    "trailing space": (record(b"abc "), record(b"abc")),
    "upper and lower case": (record(b"abc"), record(b"ABC")),
    "JSON with other spaces": (record(b'{"a": 1}'), record(b'{"a":1}')),
    "JSON with its keys in another order": (record(b'{"a":1,"b":2}'), record(b'{"b":2,"a":1}')),
    "JSON with a key twice": (record(b'{"a":1,"a":2}'), record(b'{"a":2}')),
    "JSON with another spelling of a number": (record(b"1e2"), record(b"100")),
    "minus zero": (record(b"-0"), record(b"0")),
    "an escaped letter": (record(b'"\\u00e9"'), record('"é"'.encode())),
    "composed and decomposed letters": (record("é".encode()), record("e\u0301".encode())),
    "a NUL at the end": (record(b"a\x00"), record(b"a")),
    "one millisecond": (record(timestamp=(1, 1)), record(timestamp=(1, 2))),
    "create time and log append time": (record(timestamp=(1, 1)), record(timestamp=(2, 1))),
}


@pytest.mark.parametrize(("left", "right"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_lookalikes_differ(left: Record, right: Record) -> None:
    assert fingerprint(0, left).content != fingerprint(0, right).content
    assert sums(0, [left]) != sums(0, [right])


def test_a_record_that_is_there_twice_is_seen() -> None:
    once, twice = [record()], [record(), record(), record()]
    assert _xor(once) == _xor(twice)
    assert sums(0, once) != sums(0, twice)


def test_two_equal_records_do_not_vanish() -> None:
    assert _xor([record(), record()]) == 0
    assert sums(0, [record(), record()]) != NOTHING


def test_four_records_that_all_differ_are_seen_where_a_xor_of_checksums_sees_none() -> None:
    left = [record(value) for value in (b"aaaa", b"bbbb", b"cccc", b"dddd")]
    right = [record(bytes(byte ^ 8 for byte in value)) for value in (b"aaaa", b"bbbb", b"cccc", b"dddd")]
    assert not {one.value for one in left} & {one.value for one in right}
    assert _crc(left) == _crc(right)
    assert sums(0, left) != sums(0, right)


def test_contents_that_changed_places_keep_their_digest_and_not_their_sum() -> None:
    there = [record(b"a", offset=1), record(b"b", offset=2)]
    back = [record(b"b", offset=1), record(b"a", offset=2)]
    assert {fingerprint(0, one).content for one in there} == {fingerprint(0, one).content for one in back}
    assert sums(0, there) != sums(0, back)


def test_the_same_record_in_another_partition_is_another() -> None:
    assert sums(0, [record()]) != sums(1, [record()])


def test_sums_do_not_depend_on_order_and_add_up() -> None:
    records = [record(offset=offset) for offset in range(7)]
    assert sums(0, records) == sums(0, records[::-1]) == sums(0, records[:3]) + sums(0, records[3:])
    assert sums(0, records) - sums(0, records[:3]) == sums(0, records[3:])


def test_a_fingerprint_is_the_sum_of_one() -> None:
    assert fingerprint(4, record()).sums == sums(4, [record()])


def test_without_values_all_values_are_alike() -> None:
    assert sums(0, [record(b"a")], values=False) == sums(0, [record(None)]) == sums(0, [record(None)], values=False)


def test_nothing_is_neutral() -> None:
    assert sums(0, []) == NOTHING == Sums(0, 0, 0)
    assert sums(0, [record()]) + NOTHING == sums(0, [record()])


def _xor(records: list[Record]) -> int:
    return reduce(xor, (fingerprint(0, one).high for one in records), 0)


def _crc(records: list[Record]) -> int:
    return reduce(xor, (zlib.crc32(one.value or b"") for one in records), 0)
