"""Records as they come out of the log. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

NOT_ADDED = -1002
"""In place of an offset: of a record whose deduplication key an unfinished job has. None of librdkafka's own."""

_STRING_OR_BLANK = re.compile(rb'("(?:[^"\\]|\\.)*")|(?<=[,:]) ')


class Record(NamedTuple):
    """One record of the log, with the exact bytes that were produced.

    Attributes:
        topic: the topic.
        partition: the partition.
        offset: its place in the partition.
        key: the key's bytes, or None.
        value: the value's bytes; None for a tombstone.
        headers: name, value, name, value, ... as stored; `header_pairs` reads them. None and no headers stay apart.
        timestamp_ms: milliseconds since 1970, -1 for none.
        timestamp_type: as librdkafka numbers them: 0 none, 1 create time, 2 log append time.
        size: bytes of key, value and headers.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[bytes | None] | None
    timestamp_ms: int
    timestamp_type: int
    size: int


def header_pairs(raw: Sequence[bytes | None] | None) -> list[tuple[str, bytes | None]] | None:
    """Returns headers as clients show them, in their order; None when there are none.

    A name that is not UTF-8 keeps its bytes as surrogate escapes: it is never an error, and can be produced again.
    """
    if not raw:
        return None
    names = ((name or b"").decode(errors="surrogateescape") for name in raw[::2])
    return list(zip(names, raw[1::2], strict=True))


def compact_json(text: bytes) -> bytes:
    """Returns jsonb's own text without its blanks, every number and string as it stands."""
    return _STRING_OR_BLANK.sub(rb"\1", text)
