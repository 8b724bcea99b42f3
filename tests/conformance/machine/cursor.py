"""The model of one partition that a consumer is assigned: what may come next, what has to, and what is stored."""

from tests.conformance.machine.log import Log

BEGINNING, END, STORED, INVALID = -2, -1, -1000, -1001


class Cursor:
    """Where a consumer stands in a partition.

    Args:
        log: the partition.
        asked: the offset that it was assigned with, or a logical one.
        committed: where its group stood then.
        reset: ``auto.offset.reset``.

    Attributes:
        asked: what ``assignment()`` tells.
        position: what ``position()`` tells.
        stored: the next offset to commit.
        committed: what its consumer knows to be committed.
        failed: whether there is nowhere to begin.
        refuses: whether that is still to be told.
        fresh: whether nothing has come since it was assigned.
        unheard: whether nothing has come since it was assigned or sought.
        may_repeat_end: whether the end may be told again, though it is no news: it was, or may have been, paused.
        disturbed: whether a rebalance is under way, in which it may be paused and resumed at any moment.
    """

    def __init__(self, log: Log, asked: int, committed: int, reset: str) -> None:
        self._log = log
        self._reset = reset
        self.asked = STORED if asked == INVALID else asked
        self.stored = INVALID
        self.committed = INVALID
        if self.asked == STORED:
            self.committed = committed
            self.begin(committed)
        else:
            self.begin(asked)
        self.fresh = True
        self.disturbed = False

    @property
    def waits_for_group(self) -> bool:
        """Whether it begins at a committed offset, and may not have found out at which."""
        return self.fresh and self.asked == STORED

    @property
    def due(self) -> str:
        """What has to come, in words; nothing for nothing."""
        if self.refuses:
            return "the error that there is nowhere to begin"
        if self.failed:
            return ""
        if self._next < self._log.end and not self._floating:
            return f"records {self._next} to {self._log.end - 1}"
        return f"the end at {self._log.end}" if self._told != self._log.end else ""

    def begin(self, offset: int) -> None:
        """Begin somewhere, and forget where it stood."""
        self.position = INVALID
        self.unheard = True
        self.may_repeat_end = False
        self._told: int | None = None
        self._horizon = self._log.end
        self.failed = self.refuses = self._floating = False
        self._next = self._log.start
        if offset == BEGINNING:
            return
        if self._log.holds(offset):
            self._next = offset
        elif offset == END or self._reset == "latest":
            self._floating, self._next = True, self._log.end
        elif self._reset == "error":
            self.failed = self.refuses = True

    def record(self, offset: int) -> bool:
        """A record came; returns whether it may."""
        fits = not self.failed and (offset == self._next or (self._floating and self._next <= offset))
        self._heard(offset + 1)
        self.position = offset + 1
        self.may_repeat_end = self.disturbed
        self._told = None
        return fits

    def end(self, offset: int) -> bool:
        """The end was told; returns whether it may: each place where the log ended since this began may be told."""
        fits = not self.failed and (offset == self._next or (self._floating and self._next <= offset))
        repeated = self._told == offset and not self.may_repeat_end
        fits = fits and self._horizon <= offset <= self._log.end and not repeated
        self._heard(offset)
        self._told = offset
        return fits

    def error(self) -> bool:
        """It was told that there is nowhere to begin; returns whether it may."""
        fits, self.refuses = self.refuses, False
        self.unheard = self.fresh = False
        return fits

    def deletable(self, offset: int) -> bool:
        """Whether what comes next does not depend on records before this offset."""
        return not self.unheard and (self.failed or self._next >= offset)

    def to_commit(self) -> int:
        """What a commit of everything says of this partition: it never goes back."""
        return self.stored if self.stored > self.committed else INVALID

    def _heard(self, following: int) -> None:
        self._next = following
        self._floating = self.unheard = self.fresh = False
