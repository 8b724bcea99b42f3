"""What strikes the way to Postgres: connections that are cut, refused, slow, silent, or cut after a COMMIT."""

from collections.abc import Callable, Mapping
from random import Random
from threading import Event

from migrator.embedded.process import wait_until
from tests.fixtures.proxy import TcpProxy, commit_done
from tests.histories.nemesis.deck import Fault, Strike

_SHORTEST_SECONDS = 0.5
_LONGEST_SECONDS = 2.0
_LONGEST_DELAY = 0.2
_COMMIT = b"\x0bCOMMIT\0"
_ROWS_COMMIT = b"\xff\xffc\0\0\0\x04"  # the end of copied rows


def commits(sent: bytes) -> bool:
    """Whether a client sends the statement COMMIT; a column's name may hold the word too."""
    return _COMMIT in sent


def commits_rows(sent: bytes) -> bool:
    """Whether it sends COMMIT right behind rows that it copied, as a producer's append ends."""
    return _COMMIT in sent and _ROWS_COMMIT in sent


def commits_offsets(sent: bytes) -> bool:
    """Whether it commits offsets of a group."""
    return b"job_group_offset" in sent


class NetworkFaults:
    """Strikes whoever goes through a proxy.

    Args:
        proxy: that one.
        dice: what it decides by.

    Attributes:
        strikes: what it does.
    """

    def __init__(self, proxy: TcpProxy, dice: Random) -> None:
        self._proxy = proxy
        self._dice = dice
        self.strikes: Mapping[Fault, Strike] = {
            Fault.CUT: self._cut,
            Fault.PARTITION: self._part,
            Fault.DELAY: self._delay,
            Fault.REPLY_CUT: self._cut_reply,
            Fault.SILENCE: self._silence,
        }

    def _cut(self) -> bool:
        return self._proxy.cut_all(reset=self._dice.random() < 0.5) > 0

    def _part(self) -> bool:
        """Nobody reaches Postgres for a while."""
        self._proxy.refuse()
        self._proxy.cut_all()
        return self._lasts("refused")

    def _delay(self) -> bool:
        """Every answer takes its time for a while."""
        self._proxy.delay(self._dice.uniform(0, _LONGEST_DELAY))
        return self._lasts("delayed")

    def _lasts(self, name: str) -> bool:
        before = self._proxy.faults[name]
        Event().wait(self._dice.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS))
        self._proxy.heal()
        return self._proxy.faults[name] > before

    def _cut_reply(self) -> bool:
        """Postgres commits, and whoever asked for it never hears of it."""
        before = self._proxy.faults["reply-cut"]
        sent: Callable[[bytes], bool] = self._dice.choice((commits, commits_rows))
        self._proxy.cut_reply_after(sent, commit_done)
        struck = wait_until(lambda: self._proxy.faults["reply-cut"] > before, _LONGEST_SECONDS)
        self._proxy.heal()
        return struck

    def _silence(self) -> bool:
        """Somebody's statement is never answered, and his connection stays open."""
        struck = Event()

        def swallow(_reply: bytes) -> bool:
            struck.set()
            return False

        self._proxy.cut_reply_after(self._dice.choice((commits, commits_rows, commits_offsets)), swallow)
        struck.wait(_LONGEST_SECONDS)
        self._proxy.heal()
        return struck.is_set()
