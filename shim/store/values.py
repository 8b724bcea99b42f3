"""What a value is, and its JSON view for SQL: decided for each message on its own.

Postgres is the judge of what jsonb takes. A parser in Python gives the quick answer for the many; the few on which
parsers differ (deep nesting, ``1e400``, an escaped NUL) are put to Postgres, whose SQLSTATE then decides.
"""

import json
import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

JSON_NULL = b"null"

JSONB_MAX_BYTES = 268_435_455
"""The longest string or container that jsonb holds; a longer text is not even offered to it."""

_BLANKS = b" \t\n\r"
_NUMBER = re.compile(rb"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_TROUBLE = re.compile(rb"\\u0000|\d[eE][+-]?\d{4}")


class Format(StrEnum):
    """How values are read: ``AUTO`` decides for each message, the others are forced by the user."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"
    BYTES = "bytes"


class View(NamedTuple):
    """What stands in ``encoding`` and ``payload`` beside a value's exact bytes.

    ``payload`` is JSON text. ``doubtful`` marks a value that only Postgres can judge; such a view is never stored.
    """

    encoding: str
    payload: bytes
    doubtful: bool = False


class FormatError(ValueError):
    """The value is not what the forced format says; the message names the reason, never the value."""


_VIEW = tuple.__new__  # a NamedTuple's own constructor costs three times as much
TOMBSTONE = View("tombstone", JSON_NULL)
BYTES = View("bytes", JSON_NULL)


def view(value: bytes | None, parse: Callable[[bytes], object] = json.loads) -> View:
    """Returns the view of ``value`` in format ``auto``.

    Args:
        value: the message's value; None is a tombstone.
        parse: a JSON parser that raises ValueError or RecursionError; a faster one may be handed in.
    """
    if value is None:
        return TOMBSTONE
    try:
        parse(value)
    except (ValueError, RecursionError):
        return _unparsed(value)
    return _VIEW(View, ("json", value, False))


def forced_view(value: bytes | None, fmt: Format, parse: Callable[[bytes], object] = json.loads) -> View:
    """Returns the view of ``value`` in the format that the user asked for.

    Raises:
        FormatError: the value is of another format.
    """
    if value is None or fmt is Format.AUTO:
        return view(value, parse)
    if fmt is Format.BYTES:
        return BYTES
    found = text_view(value) if fmt is Format.TEXT else view(value, parse)
    if fmt is Format.JSON and not found.doubtful and found.encoding != "json":
        raise FormatError(f"not JSON: the value is {found.encoding}")
    if fmt is Format.TEXT and found.encoding != "text":
        raise FormatError("not text: the value is not UTF-8, or holds a NUL byte")
    return found


def judged_view(value: bytes, sqlstate: str | None) -> View:
    """Returns the view of a value after Postgres answered whether jsonb takes it.

    Args:
        value: text, UTF-8 without NUL.
        sqlstate: None when jsonb takes it, else why not. 22P02 means that it is no JSON, so it is text; with any
            other the text is JSON that jsonb cannot hold: the view is JSON null and ``encoding`` says why.
    """
    if sqlstate is None:
        return View("json", value)
    return text_view(value) if sqlstate == "22P02" else View(f"json-{sqlstate}", JSON_NULL)


def text_view(value: bytes) -> View:
    """Returns the view of a value as text, or as bytes where it is not UTF-8 or holds a NUL."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return BYTES
    if "\0" in text:
        return BYTES
    quoted = json.dumps(text, ensure_ascii=False).encode()
    return View("text", quoted if len(quoted) <= JSONB_MAX_BYTES else JSON_NULL)


def troublesome(value: bytes) -> bool:
    """Whether a JSON value holds one of the two things that parsers take and jsonb often does not."""
    return _TROUBLE.search(value) is not None


def _unparsed(value: bytes) -> View:
    found = text_view(value)
    if found.encoding == "text" and _json_at_first_sight(value):
        return View("json", value, doubtful=True)
    return found


def _json_at_first_sight(value: bytes) -> bool:
    core = value.strip(_BLANKS)
    if core[:1] == b"{":
        return core[-1:] == b"}"
    if core[:1] == b"[":
        return core[-1:] == b"]"
    return _NUMBER.fullmatch(core) is not None
