"""Which side is a topic's primary, as one process knows it."""

import threading
from collections import deque

from shim.store.dual_modes import Mode
from shim.store.topics import Sequencer

_LOCK_SECONDS = 0.1


class Role:
    """One topic of a dual producer.

    Args:
        topic: the topic.
        primary: which side it is until the topic's row says more.

    Attributes:
        lock: held from a look at the role until the message is in the primary's queue. So whoever holds it, and has
            changed the role, knows that nobody writes by the old one any more.
        known: whether the topic's row was ever asked for.
        registered: whether whoever fences the topic knows of us.
        fenced: whether nothing may be written for now.
        epoch: of the row as it was read last.
        acknowledged: the last epoch in which nothing of an earlier one is under way.
        pending: by side, one entry for each message on which it has not reported as the primary. A deque is changed by
            any thread without a lock, which a callback could wait for in vain.
        copies: the same for copies on the secondary.
    """

    def __init__(self, topic: str, primary: Sequencer) -> None:
        self.topic = topic
        self.primary = primary
        self.lock = threading.RLock()
        self.known = self.registered = self.fenced = False
        self.epoch = self.acknowledged = 0
        self.pending: dict[Sequencer, deque[None]] = {"kafka": deque(), "postgres": deque()}
        self.copies: deque[None] = deque()

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        return not (self.copies or any(self.pending.values()))

    @property
    def primaries(self) -> set[Sequencer]:
        """The primary, and the former one while it owes reports."""
        return {self.primary, *(side for side, pending in self.pending.items() if pending)}

    @property
    def owes(self) -> bool:
        """Whether whoever has fenced the topic still waits for us."""
        return self.acknowledged < self.epoch

    def obey(self, mode: Mode | None) -> None:
        """Takes the role that the topic's row says, once nobody is in the middle of a write; None: there is no row."""
        if mode is None:
            self.known, self.registered = True, False
            return
        if not self.lock.acquire(timeout=_LOCK_SECONDS):
            return
        try:
            self.primary, self.fenced, self.epoch = mode.sequencer, mode.fenced, mode.epoch
            self.registered = mode.registered
            self.known = True
        finally:
            self.lock.release()
        if not self.fenced or self.settled:
            self.acknowledged = self.epoch
