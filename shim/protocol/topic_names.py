"""Kafka's rule for names of topics, in the words that its brokers answer with."""

import re

_LONGEST = 249
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


def flaw(topic: str) -> str | None:
    """Returns why a topic cannot have that name; None if it can."""
    if not topic:
        return "Topic name is invalid: the empty string is not allowed"
    if topic in {".", ".."}:
        return f"Topic name is invalid: '{topic}' is not allowed"
    if len(topic) > _LONGEST:
        return f"Topic name is invalid: the length of '{topic}' is longer than the max allowed length {_LONGEST}"
    if not _LEGAL.fullmatch(topic):
        return (
            f"Topic name is invalid: '{topic}' contains one or more characters other than ASCII alphanumerics, "
            "'.', '_' and '-'"
        )
    return None
