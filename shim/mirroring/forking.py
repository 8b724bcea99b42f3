"""What a forked child has to begin anew, before any other code runs in it."""

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something that holds locks, or what belongs to one process alone."""

    def renew(self) -> None:
        """Begins anew in this process."""


_alive: weakref.WeakSet[Renewable] = weakref.WeakSet()


def attend(one: Renewable) -> None:
    """Renews something in every forked child, as long as it lives."""
    _alive.add(one)


def _renew_all() -> None:
    for one in list(_alive):
        one.renew()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_all)
