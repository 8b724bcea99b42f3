"""Which faults there are, and how they are dealt: at random, each of them soon, and every strike counted."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What can strike."""

    KILL = "kill"
    PAUSE = "pause"
    TERMINATE = "terminate-backends"
    FREEZE = "freeze-backends"
    RESTART = "restart-postgres"
    CRASH = "crash-postgres"
    CUT = "cut"
    PARTITION = "partition"
    DELAY = "delay"
    REPLY_CUT = "commit-reply-cut"
    SILENCE = "silence"
    INVERSION = "inverted-commits"


DECK: Mapping[Fault, int] = {
    Fault.KILL: 20,
    Fault.PAUSE: 2,
    Fault.TERMINATE: 2,
    Fault.FREEZE: 2,
    Fault.RESTART: 1,
    Fault.CRASH: 1,
    Fault.CUT: 1,
    Fault.PARTITION: 1,
    Fault.DELAY: 1,
    Fault.REPLY_CUT: 4,
    Fault.SILENCE: 2,
    Fault.INVERSION: 3,
}
"""How often each strikes before all of them have."""

Strike = Callable[[], bool]
"""Does it, and tells whether it struck anybody."""


class Nemesis:
    """Deals faults out of a deck that is shuffled again and again.

    Args:
        strikes: the faults that can strike here, and how.
        dice: what it decides by.

    Attributes:
        fired: how often each of them struck.
    """

    def __init__(self, strikes: Mapping[Fault, Strike], dice: Random) -> None:
        self._strikes = strikes
        self._dice = dice
        self._deck = self._deal()
        self.fired: dict[Fault, int] = dict.fromkeys(strikes, 0)

    def strike(self) -> None:
        """Lets the next fault strike."""
        fault = next(self._deck)
        self.fired[fault] += self._strikes[fault]()

    def _deal(self) -> Iterator[Fault]:
        while True:
            deck = [fault for fault, times in DECK.items() if fault in self._strikes for _ in range(times)]
            self._dice.shuffle(deck)
            yield from deck
