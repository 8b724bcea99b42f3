"""What ``migrator verify`` is told, taken apart."""

import re
from collections.abc import Sequence

from migrator.errors import UsageError
from migrator.verify.classes import FATAL, Class
from migrator.verify.sample import MOST


def only_topic(topics: Sequence[str]) -> str:
    """Returns the one topic that was named.

    Raises:
        UsageError: none was, or several.
    """
    if len(topics) != 1:
        raise UsageError(
            "which topic?" if not topics else f"one topic at a time, not {len(topics)}",
            code="topic-missing" if not topics else "topics",
            hint="add --topic NAME" if not topics else f"migrator verify --topic {topics[0]}",
        )
    return topics[0]


def parse_sample(text: str) -> int:
    """Returns N of a sample of ``1/N``.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"1/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= MOST:
        raise UsageError(f"--sample {text!r} is not understood", code="sample", hint=f"1/64; at most 1/{MOST}")
    return int(found[1])


def parse_classes(text: str | None) -> frozenset[Class]:
    """Returns the classes of a list with commas; without one those that are fatal by themselves.

    Raises:
        UsageError: a name is none of theirs.
    """
    if text is None:
        return FATAL
    try:
        return frozenset(Class(name.strip()) for name in text.split(",") if name.strip())
    except ValueError:
        raise UsageError(f"--fail-on {text!r} names no class", code="fail-on", hint=", ".join(Class)) from None
