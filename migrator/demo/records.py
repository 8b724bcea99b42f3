"""Records such as topics really hold, and some that break naive copies. Pure: the same seed, the same records."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

Headers = list[tuple[str, bytes | None]]

_NAMES = ("Ada", "Zoë", "Łukasz", "Ümit", "佐藤", "Ольга", "مريم", "🦊")
_SUBJECTS = ("Welcome", "Your invoice", "Résumé reçu", "ご注文ありがとうございます", "Reset your password")
_RARE_EVERY = 25
_DEEP = 1_500
_LARGE = 200_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record to be produced.

    Attributes:
        kind: what makes it special; ``email`` for most.
        key: the key.
        value: the value; None is a tombstone.
        headers: in order; names may repeat.
        timestamp_ms: when it was created.
        is_json: whether a drain with ``--format json`` must take it; a tombstone it takes as well.
    """

    kind: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    is_json: bool


def make_records(count: int, now_ms: int, seed: int = 1) -> list[Record]:
    """Returns ``count`` records of the last hour, in the order of their timestamps."""
    return list(_records(Random(seed), count, now_ms))  # noqa: S311  # nothing secret: it must come out the same again


def _records(random: Random, count: int, now_ms: int) -> Iterator[Record]:
    kinds = list(_RARE)
    for number in range(count):
        rare = kinds[number // _RARE_EVERY % len(kinds)] if number % _RARE_EVERY == 0 else None
        value, is_json = _RARE[rare](random, number) if rare else (_email(random, number), True)
        timestamp_ms = now_ms - 3_600_000 + number * 3_600_000 // count
        yield Record(rare or "email", _key(random, number), value, _headers(random, number), timestamp_ms, is_json)


def _email(random: Random, number: int) -> bytes:
    body = {
        "id": number,
        "to": {"name": random.choice(_NAMES), "address": f"user{random.randrange(500)}@example.com"},
        "subject": random.choice(_SUBJECTS),
        "attempt": None if number % 3 else 1,
        "amount": random.randrange(10_000_000) / 100,
        "tags": ["mail", {"nested": [number, [True, None]]}][: 1 + number % 2],
        "body": "lorem ipsum " * random.randrange(1, 40),
    }
    return json.dumps(body, ensure_ascii=bool(number % 2), indent=number % 4 or None).encode()


def _key(random: Random, number: int) -> bytes | None:
    rare = {7: b"", 11: b"\x00\xff binary", 13: "ключ".encode()}.get(number % 101, b"?")
    if rare != b"?":
        return rare
    return None if number % 10 == 0 else f"user-{random.randrange(500)}".encode()


def _headers(random: Random, number: int) -> Headers:
    if number % 3 == 0:
        return []
    headers: Headers = [("trace-id", random.randbytes(16)), ("content-type", b"application/json")]
    if number % 5 == 0:
        headers += [("retry", b"1"), ("retry", b"2"), ("retry", None), ("größe", "öäü".encode()), ("empty", b"")]
    return headers


def _always(value: bytes | None, *, is_json: bool = True) -> Callable[[Random, int], tuple[bytes | None, bool]]:
    return lambda _random, _number: (value, is_json)


_RARE: dict[str, Callable[[Random, int], tuple[bytes | None, bool]]] = {
    "tombstone": _always(None),
    "escaped NUL": lambda _random, number: (b'{"id": %d, "text": "a\\u0000b"}' % number, True),
    "binary": lambda random, _number: (random.randbytes(300), False),
    "big numbers": _always(
        b'{"n": 123456789012345678901234567890, "x": 0.10000000000000000000000000000001, "e": 1e400}'
    ),
    "plain text": _always("Grüße,\ttab, back\\slash, \\N, \\. and a new\nline".encode(), is_json=False),
    "odd JSON": _always(b' { "b":1.0, "a" : -0, "b" : 2 }\n'),
    "gzip": lambda _random, number: (gzip.compress(b"%d" % number * 50, mtime=0), False),
    "deep JSON": _always(b"[" * _DEEP + b"]" * _DEEP),
    "broken JSON": _always(b'{"id": 1, "to": NaN}', is_json=False),
    "empty": _always(b"", is_json=False),
    "scalar JSON": lambda random, _number: (random.choice((b"null", b"true", b"42", b'"word"', b"[]")), True),
    "Latin-1": _always("Müller".encode("latin-1"), is_json=False),
    "large": lambda random, number: (json.dumps({"id": number, "blob": random.randbytes(_LARGE).hex()}).encode(), True),
}
