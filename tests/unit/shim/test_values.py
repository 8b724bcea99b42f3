"""What a value is, message by message."""

import json
from collections.abc import Callable

import orjson
import pytest

from shim.store.values import (
    BYTES,
    JSON_NULL,
    TOMBSTONE,
    Format,
    FormatError,
    View,
    forced_view,
    judged_view,
    text_view,
    troublesome,
    view,
)

PARSERS = [pytest.param(orjson.loads, id="orjson"), pytest.param(json.loads, id="json")]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "value", [b'{"a": 1}', b"[]", b"null", b"12", b' "x" ', b"true", '{"ü": "☃"}'.encode(), b'"\\\\u0000"']
)
def test_json_is_its_own_view(value: bytes, parse: Callable[[bytes], object]) -> None:
    assert view(value, parse) == View("json", value)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("value", [b"hello", b"", b"  ", b"tru", b"1,2", b'"\\ud800x', b"a\tb\\N\\.\n"])
def test_text_is_a_json_string(value: bytes, parse: Callable[[bytes], object]) -> None:
    found = view(value, parse)

    assert found.encoding == "text"
    assert json.loads(found.payload) == value.decode()


@pytest.mark.parametrize(
    "value", [b"\xff", b"\xc0\x80", b"caf\xe9", b"\xed\xa0\x80", b"a\0b", b"\0\0\0\0\1avro", b"\x1f\x8b"]
)
def test_bytes_have_no_view(value: bytes) -> None:
    assert view(value, orjson.loads) == BYTES


def test_a_tombstone_is_not_an_empty_value() -> None:
    assert view(None) is TOMBSTONE
    assert view(b"").encoding == "text"


@pytest.mark.parametrize(
    "value", [b"1e400", b"[" * 1500 + b"]" * 1500, b'{"a": 1,}', b"[1] // x]", b'{"a":NaN}', b"{'a': 1}"]
)
def test_what_only_postgres_can_judge_is_marked(value: bytes) -> None:
    assert view(value, orjson.loads).doubtful


@pytest.mark.parametrize(
    ("sqlstate", "encoding", "payload"),
    [(None, "json", b"1e400"), ("22P02", "text", b'"1e400"'), ("22003", "json-22003", JSON_NULL)],
)
def test_postgres_answer_decides(sqlstate: str | None, encoding: str, payload: bytes) -> None:
    assert judged_view(b"1e400", sqlstate) == View(encoding, payload)


def test_forced_json_refuses_text_without_quoting_it() -> None:
    with pytest.raises(FormatError) as refused:
        forced_view(b"canary", Format.JSON)

    assert "canary" not in str(refused.value)


def test_forced_text_takes_json_for_text_and_refuses_bytes() -> None:
    assert forced_view(b"1", Format.TEXT) == View("text", b'"1"')
    with pytest.raises(FormatError):
        forced_view(b"\xff", Format.TEXT)


def test_forced_bytes_looks_at_nothing() -> None:
    assert forced_view(b"{}", Format.BYTES) is BYTES


@pytest.mark.parametrize("fmt", list(Format))
def test_a_tombstone_is_one_in_every_format(fmt: Format) -> None:
    assert forced_view(None, fmt) is TOMBSTONE


@pytest.mark.parametrize(
    ("value", "found"), [(b'"\\u0000"', True), (b"1e-20000", True), (b"1e40", False), (b"{}", False)]
)
def test_trouble_is_what_parsers_take_and_jsonb_may_not(value: bytes, *, found: bool) -> None:
    assert troublesome(value) is found


def test_text_view_keeps_every_character() -> None:
    text = "".join(map(chr, range(1, 0x250))) + "\u2028\U0001f600"

    assert json.loads(text_view(text.encode()).payload) == text
