"""What a consumer subscribes to, and whom it tells of what it is assigned."""

import re
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Local

Callback = Callable[..., Any]

_REFUSED = f"Failed to set subscription: {Local.INVALID_ARG.text}"


class Subscription(NamedTuple):
    """A subscription.

    Attributes:
        topics: names; one that begins with ``^`` is a pattern.
        on_assign: called with the consumer and the partitions that it is assigned.
        on_revoke: called with the partitions that it gives back.
        on_lost: called with the partitions that it has lost; ``on_revoke`` is, where this is None.
    """

    topics: tuple[str, ...]
    on_assign: Callback | None = None
    on_revoke: Callback | None = None
    on_lost: Callback | None = None

    @property
    def names(self) -> list[str]:
        """The topics that are asked for by name."""
        return [topic for topic in self.topics if not topic.startswith("^")]

    def unmet(self, existing: Collection[str]) -> list[str]:
        """Returns what of it there is not: names of no topic, and patterns that no topic matches."""
        return [topic for topic in self.topics if not _met(topic, existing)]


def subscription(topics: Iterable[object], **callbacks: Callback) -> Subscription:
    """Returns a subscription.

    Raises:
        KafkaException: nothing is asked for, something twice, or a pattern is none.
    """
    names = tuple(str(topic) for topic in topics)
    if not names or "" in names or len(set(names)) < len(names) or not all(map(_readable, names)):
        raise KafkaException(KafkaError(Local.INVALID_ARG, _REFUSED))
    return Subscription(names, **callbacks)


def _met(topic: str, existing: Collection[str]) -> bool:
    if not topic.startswith("^"):
        return topic in existing
    with warnings.catch_warnings(action="ignore"):
        return any(re.search(topic, name) for name in existing)


def _readable(topic: str) -> bool:
    """Whether a pattern is a regular expression; in doubt Postgres decides, when the group is joined."""
    if not topic.startswith("^"):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(topic)
    except re.error:
        return False
    return True
