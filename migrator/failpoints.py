"""Named places at which a test may stop, kill or cut a running drain. Nothing happens at them in production.

The names are the crash points of the drain's protocol, in the order in which a batch passes them.
"""

from collections.abc import Callable
from enum import StrEnum


class Failpoint(StrEnum):
    """The places, named by what has just happened."""

    PREPARED = "prepared"
    POLLED = "polled"
    POSITION_SET = "position-set"
    COPYING = "copying"
    COPIED = "copied"
    BEFORE_COMMIT = "before-commit"
    COMMITTED = "committed"


_hooks: list[Callable[[Failpoint], None]] = []


def reach(point: Failpoint) -> None:
    """Says that ``point`` was reached."""
    for hook in _hooks:
        hook(point)


def install(hook: Callable[[Failpoint], None]) -> None:
    """Lets ``hook`` see every point from now on; for tests, which run a drain in a process of its own."""
    _hooks.append(hook)
