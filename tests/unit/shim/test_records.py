"""Records: headers as clients show them, and jsonb's text without its blanks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.store.records import Record, compact_json, header_pairs

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_compact_json_leaves_only_the_blanks_out(value: object) -> None:
    spaced = json.dumps(value, ensure_ascii=False)  # with the blanks of jsonb's text
    assert compact_json(spaced.encode()) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        (
            b'{"a, b": ": ", "c": [1.10, 1000000000000000000000000]}',
            b'{"a, b":": ","c":[1.10,1000000000000000000000000]}',
        ),
        (rb'["\"", ", \\", ": "]', rb'["\"",", \\",": "]'),
        (b'" , "', b'" , "'),
        (b"null", b"null"),
    ],
)
def test_numbers_and_strings_stay_as_they_stand(text: bytes, compact: bytes) -> None:
    assert compact_json(text) == compact


def test_a_long_string_is_no_trouble() -> None:
    text = b'{"a": "' + b"x, " * 500_000 + b'"}'
    assert compact_json(text) == text.replace(b'"a": ', b'"a":')


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (None, None),
        ([], None),
        ([b"a", b"1", b"a", None, b"", b""], [("a", b"1"), ("a", None), ("", b"")]),
        (["ä".encode(), b"\xff"], [("ä", b"\xff")]),
    ],
)
def test_headers(raw: list[bytes | None] | None, pairs: list[tuple[str, bytes | None]] | None) -> None:
    assert header_pairs(raw) == pairs


def test_a_name_that_is_no_text_keeps_its_bytes() -> None:
    pairs = header_pairs([b"\xff\xfe", b"1"])
    assert pairs is not None
    assert pairs[0][0].encode(errors="surrogateescape") == b"\xff\xfe"


def test_a_record_is_a_tuple_of_nine() -> None:
    record = Record("emails", 3, 7, b"k", None, None, 1_700_000_000_000, 1, 1)
    assert record == ("emails", 3, 7, b"k", None, None, 1_700_000_000_000, 1, 1)
