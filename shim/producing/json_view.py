"""The JSON view of a value for SQL, as a producer makes it: quickly at first, carefully once Postgres has refused one.

Postgres parses every view that it stores, so parsing objects here as well would be work done twice. Only when it has
refused one is each value parsed, and what parsers take and jsonb may not is put to Postgres beforehand.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from shim.store.values import JSONB_MAX_BYTES, View, judged_view, troublesome, view

Judge = Callable[[Sequence[str]], Sequence[str | None]]
"""Asks Postgres about texts: for each None where jsonb takes it, else the SQLSTATE."""

_BRACE, _END_BRACE = b"{}"
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
_JUDGED_AT_ONCE = 8 * 1024 * 1024
_VIEW = tuple.__new__  # a NamedTuple's own constructor costs three times as much


def first_sight(value: bytes) -> View:
    """Returns the view of what looks like an object."""
    return _VIEW(View, ("json", value, False))


def parsed_view(value: bytes | None) -> View:
    """Returns a value's view, which may be doubtful."""
    return view(value, _parse)


def considered_views(values: Sequence[bytes | None], judge: Judge, *, careful: bool) -> dict[int, View]:
    """Returns, by their places, the views of all values that are not to be taken at `first_sight`; none is doubtful.

    Args:
        values: the exact bytes; None is a tombstone.
        judge: asks Postgres; called only about values on which nobody else can decide.
        careful: whether to take nothing at first sight.
    """
    views = {
        place: view(value, _parse)
        for place, value in enumerate(values)
        if careful or not value or value[0] != _BRACE or value[-1] != _END_BRACE or len(value) > JSONB_MAX_BYTES
    }
    doubtful = [place for place, found in views.items() if _suspicious(found, careful=careful)]
    if doubtful:
        payloads = [views[place].payload for place in doubtful]
        verdicts = zip(doubtful, payloads, _verdicts(payloads, judge), strict=True)
        views |= {place: judged_view(payload, sqlstate) for place, payload, sqlstate in verdicts}
    return views


def settled_view(value: bytes | None, judge: Judge) -> View:
    """Returns the view of one value, not doubtful, and not taken at first sight."""
    return considered_views([value], judge, careful=True)[0]


def _suspicious(found: View, *, careful: bool) -> bool:
    encoding, payload, doubtful = found
    if doubtful or len(payload) > JSONB_MAX_BYTES:
        return True
    return careful and encoding == "json" and (troublesome(payload) or _HALF_PAIR.search(payload) is not None)


def _verdicts(payloads: Sequence[bytes], judge: Judge) -> list[str | None]:
    verdicts: list[str | None] = []
    texts: list[str] = []
    size = 0
    for payload in payloads:
        if texts and size + len(payload) > _JUDGED_AT_ONCE:
            verdicts += judge(texts)
            texts, size = [], 0
        texts.append(payload.decode())
        size += len(payload)
    return verdicts + list(judge(texts)) if texts else verdicts


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _parse(value: bytes) -> object:
    return _DECODER.decode(value.decode())
