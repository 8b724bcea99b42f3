"""What became of the copies on the secondary side. The caller's own result never depends on it."""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Literal, NamedTuple

from shim.mirroring.forking import attend

_log = logging.getLogger("shim")

Outcome = Literal["ok", "failed", "unknown"]
OnSecondary = Callable[[Outcome, str, str, object], object]
"""Is told an outcome, a topic, a message's id and the error, or None."""


class Outcomes(NamedTuple):
    """How many messages were written on the secondary side, or not.

    Attributes:
        ok: written there.
        failed: not written there, and never will be by this producer.
        unknown: perhaps written there: the answer was lost.
        waiting: under way.
    """

    ok: int
    failed: int
    unknown: int
    waiting: int


class Tally:
    """Counts outcomes, for any thread.

    Args:
        tell: is told of each outcome, in the thread that learned it; what it raises is logged.
    """

    def __init__(self, tell: OnSecondary | None) -> None:
        self._tell = tell
        self.renew()
        attend(self)

    def renew(self) -> None:
        """Begins at zero. For the forked child."""
        self._lock = threading.Lock()
        self._counts: dict[Outcome, int] = {"ok": 0, "failed": 0, "unknown": 0}
        self._trouble_since: float | None = None
        self._tried = 0.0

    def settle(self, outcome: Outcome, topic: str, message_id: str, error: object = None) -> None:
        """Takes note of what became of one message."""
        with self._lock:
            self._counts[outcome] += 1
        if outcome == "ok":
            self._trouble_since = None
        else:
            self.trouble()
        if self._tell is not None:
            try:
                self._tell(outcome, topic, message_id, error)
            except Exception:  # noqa: BLE001  a thread of the producer's must outlive it
                _log.exception("on_secondary failed")

    def trouble(self) -> None:
        """Takes note that the secondary does not take messages; until it takes one."""
        with self._lock:
            if self._trouble_since is None:
                self._trouble_since = monotonic()

    def troubled(self, seconds: float) -> bool:
        """Returns whether that has been so for longer than this; now and then False, so that it is tried again."""
        with self._lock:
            now = monotonic()
            if self._trouble_since is None or now - self._trouble_since < seconds or now - self._tried > 1:
                self._tried = now
                return False
            return True

    def counts(self, waiting: int) -> Outcomes:
        """Returns the outcomes so far."""
        with self._lock:
            return Outcomes(**self._counts, waiting=waiting)
