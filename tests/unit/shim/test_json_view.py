"""Which view a value gets: at first sight, and when Postgres has been asked."""

from collections.abc import Sequence

import pytest

from shim.producing.json_view import considered_views, first_sight, parsed_view, settled_view
from shim.store.values import JSON_NULL, View

TEXT = "22P02"


def nobody(values: Sequence[str]) -> list[str | None]:
    raise AssertionError(f"asked about {len(values)} values")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, View("tombstone", JSON_NULL)),
        (b'{"a": 1}', View("json", b'{"a": 1}')),
        (b"[1]", View("json", b"[1]")),
        (b'"text"', View("json", b'"text"')),
        (b" 12 ", View("json", b" 12 ")),
        (b"", View("text", b'""')),
        (b"plain", View("text", b'"plain"')),
        (b"NaN", View("text", b'"NaN"')),
        (b"-Infinity", View("text", b'"-Infinity"')),
        (b"\xff", View("bytes", JSON_NULL)),
        (b"a\x00", View("bytes", JSON_NULL)),
        (b'\x00\x00\x00"\x00\x00\x00"', View("bytes", JSON_NULL)),
        (b"\xef\xbb\xbf[1]", View("text", '"\ufeff[1]"'.encode())),
    ],
    ids=repr,
)
@pytest.mark.parametrize("careful", [False, True])
def test_what_needs_no_judge(value: bytes | None, expected: View, careful: bool) -> None:
    views = considered_views([value], nobody, careful=careful)
    assert views.get(0, first_sight(value or b"")) == expected
    assert parsed_view(value) == settled_view(value, nobody) == expected


def test_an_object_is_taken_at_first_sight_until_one_was_refused() -> None:
    assert considered_views([b"{text}"], nobody, careful=False) == {}
    assert first_sight(b"{text}") == View("json", b"{text}")
    asked: list[str] = []

    def judge(values: Sequence[str]) -> list[str | None]:
        asked.extend(values)
        return [TEXT for _ in values]

    assert considered_views([b"{text}"], judge, careful=True) == {0: View("text", b'"{text}"')}
    assert asked == ["{text}"]


@pytest.mark.parametrize(
    "value", [b'{"a": "\\u0000"}', b'{"a": "\\uD800"}', b'{"a": "\\udfff"}', b"[1e99999]"], ids=repr
)
@pytest.mark.parametrize(("sqlstate", "encoding"), [("22P05", "json-22P05"), (TEXT, "text"), (None, "json")])
def test_what_only_postgres_can_tell(value: bytes, sqlstate: str | None, encoding: str) -> None:
    views = considered_views([b"{}", value, b"plain"], lambda values: [sqlstate for _ in values], careful=True)
    assert [view.encoding for view in views.values()] == ["json", encoding, "text"]
    assert not any(view.doubtful for view in views.values())


def test_the_judge_is_not_given_everything_at_once() -> None:
    calls: list[int] = []

    def judge(values: Sequence[str]) -> list[str | None]:
        calls.append(len(values))
        return [None for _ in values]

    large = b'{"a": "\\u0000' + b"x" * 3_000_000 + b'"}'
    views = considered_views([large] * 5, judge, careful=True)
    assert [view.encoding for view in views.values()] == ["json"] * 5
    assert calls == [2, 2, 1]
