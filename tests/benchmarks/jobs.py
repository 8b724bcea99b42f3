"""The messages of the benchmarks: JSON of about 300 bytes, each with a key and one header."""

import json
import random
from collections.abc import Iterator

PARTITIONS = 8
HEADER = "trace-id"
_BODY_BYTES = 300


def jobs(count: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The same jobs each time: key, value, and the header's value of each."""
    dice = random.Random(1)  # noqa: S311
    for number in range(count):
        yield job(dice, number)


def job(dice: random.Random, number: int) -> tuple[bytes, bytes, bytes]:
    """One job: its key, its value, and its header's value."""
    user = dice.randrange(1_000_000)
    body = {
        "job": number,
        "kind": "welcome-email",
        "user": user,
        "to": f"user{user}@example.com",
        "locale": dice.choice(("en", "de", "fr", "ja")),
        "attempts": 0,
        "urgent": bool(user % 7),
        "data": "",
    }
    missing = max(0, _BODY_BYTES - len(json.dumps(body)))
    body["data"] = dice.randbytes(missing // 2 + 1).hex()[:missing]
    return b"user-%d" % user, json.dumps(body).encode(), dice.randbytes(16).hex().encode()
