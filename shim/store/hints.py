"""Where looks for jobs begin: behind what is known to be gone, so that nobody walks past it again and again.

What has been done leaves dead entries at the front of the index. VACUUM removes them, unless somebody's transaction
stays open: then all that died since stays, and a look from the very beginning takes ever longer. So a look begins where
the last one ended. That is a hint and never the truth, for a job may be committed late, be made due in the past, or be
given back. So every second a look begins where the hint was ten seconds ago, and as often one goes all the way. Either
is the rarer the dearer it is: it gets a twentieth of the time, and half a minute is the longest that anything waits for
it. All clients of a process share what each of them finds.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from shim.store.claims import EVERYTHING, After

_NEAR_SECONDS = 0.2
_BACK_SECONDS = 10.0
_BACK_EVERY = 1.0
_BACK_SHARE = 20.0
_LONGEST_PAUSE = 30.0
_LOOKS = (20.0, 0.0, _LONGEST_PAUSE)
_OTHERS = (200.0, 1.0, 300.0)  # looks tell when one of those has to go all the way


class Reach(Enum):
    """How far back a look goes."""

    ALL = "all"
    BACK = "back"
    NEAR = "near"


class Look(NamedTuple):
    """A look that is under way.

    Attributes:
        reach: how far back it goes.
        began: when, by ``time.monotonic``.
        window_ms: how far back things are looked at that are ordered by the moment at which they happened; None for all
            the way.
    """

    reach: Reach
    began: float
    window_ms: int | None


class Pace:
    """Decides how far back each look of one kind goes.

    Args:
        share: how many times as long as a look all the way took is the pause before the next one.
        least: how many seconds it is at least.
        most: how many it is at most.
    """

    def __init__(self, share: float, least: float, most: float) -> None:
        self._share, self._least, self._most = share, least, most
        self._pause = least
        self._all_at = self._back_at = 0.0
        self._last = 0.0

    def begin(self, now: float) -> Look:
        """Begins a look."""
        elapsed, self._last = now - self._last, now
        if now >= self._all_at:
            self._all_at = now + self._pause  # the others need not go all the way at the same time
            self._back_at = now + _BACK_EVERY
            return Look(Reach.ALL, now, None)
        if now >= self._back_at:
            self._back_at = now + _BACK_EVERY
            return Look(Reach.BACK, now, round((elapsed + _BACK_SECONDS) * 1000))
        return Look(Reach.NEAR, now, round((elapsed + _NEAR_SECONDS) * 1000))

    def end(self, look: Look, now: float) -> None:
        """Is told when a look ended: what it took decides when the next one goes as far."""
        took = now - look.began
        if look.reach is Reach.ALL:
            self._pause = min(max(took * self._share, self._least), self._most)
            self._all_at = now + self._pause
        elif look.reach is Reach.BACK:
            self._back_at = now + min(max(took * _BACK_SHARE, _BACK_EVERY), _LONGEST_PAUSE)

    def go_as_far(self, reach: Reach) -> None:
        """Has the next look go as far as that: something is there that a nearer one does not see."""
        self._back_at = 0.0
        if reach is Reach.ALL:
            self._all_at = 0.0


class Seen(NamedTuple):
    """What a look saw of a topic's jobs.

    Attributes:
        topic: the topic.
        claimable: whether there is one to claim.
        behind: whether there is one before where the claims were ten seconds ago.
        expired: whether there is one whose claim has run out.
        nothing_before: where there is none to claim, a moment before which none is due.
    """

    topic: str
    claimable: bool
    behind: bool
    expired: bool
    nothing_before: str | None


class Far(NamedTuple):
    """What only a look all the way can see, by the last one: it holds until the next one.

    Attributes:
        behind: topics with a job to claim before where the claims were ten seconds ago.
        expired: topics with a job whose claim has run out.
    """

    behind: frozenset[str] = frozenset()
    expired: frozenset[str] = frozenset()


class Trail:
    """Where the claims of a topic were in the last seconds."""

    def __init__(self) -> None:
        self._place = EVERYTHING
        self._past: deque[tuple[float, After]] = deque()

    def place(self, reach: Reach) -> After:
        """Where a look of that reach begins."""
        if reach is Reach.ALL or not self._past:
            return EVERYTHING
        return self._past[0][1] if reach is Reach.BACK else self._place

    def move(self, place: After, now: float) -> None:
        """Goes on to where nothing before was pending just now."""
        self._place = place
        if not self._past or now - self._past[-1][0] >= _BACK_EVERY:
            self._past.append((now, place))
        while len(self._past) > 1 and now - self._past[1][0] >= _BACK_SECONDS:
            self._past.popleft()


class Hints:
    """The hints of a process for one queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trails: defaultdict[str, Trail] = defaultdict(Trail)
        self._claims: defaultdict[str, Pace] = defaultdict(lambda: Pace(*_OTHERS))
        self._recoveries: defaultdict[str, Pace] = defaultdict(lambda: Pace(*_OTHERS))
        self._looks = Pace(*_LOOKS)
        self._empty_handed: set[str] = set()
        self._far = Far()

    def begin_claim(self, topic: str, now: float) -> tuple[Look, After]:
        """Begins a claim of a topic's jobs: where to."""
        with self._lock:
            look = self._claims[topic].begin(now)
            return look, self._trails[topic].place(look.reach)

    def end_claim(self, topic: str, look: Look, after: After | None, now: float) -> None:
        """Is told where a claim ended; None when it found nothing."""
        with self._lock:
            self._claims[topic].end(look, now)
            if after is None:
                self._empty_handed.add(topic)
            else:
                self._empty_handed.discard(topic)
                self._trails[topic].move(after, now)

    def begin_look(self, topics: Iterable[str], now: float) -> tuple[Look, list[After], list[After]]:
        """Begins a look for whatever there is: where to, for each of these topics, and where claims were before."""
        with self._lock:
            look = self._looks.begin(now)
            trails = [self._trails[topic] for topic in topics]
            return look, [one.place(look.reach) for one in trails], [one.place(Reach.BACK) for one in trails]

    def end_look(self, look: Look, seen: Sequence[Seen], now: float) -> Far:
        """Is told what a look saw, so that claims and recoveries go as far as there is something; returns what is far.

        Args:
            look: from `begin_look`.
            seen: what it saw of each topic.
            now: the time.
        """
        with self._lock:
            self._looks.end(look, now)
            if look.reach is Reach.ALL:
                behind = frozenset(one.topic for one in seen if one.behind)
                self._far = Far(behind, frozenset(one.topic for one in seen if one.expired))
                for one in seen:
                    self._learn(one, now)
            return self._far

    def _learn(self, seen: Seen, now: float) -> None:
        if seen.nothing_before is not None:
            self._empty_handed.add(seen.topic)
            self._trails[seen.topic].move(After(seen.nothing_before, 0), now)
        if seen.behind:
            self._claims[seen.topic].go_as_far(Reach.ALL)
        elif seen.claimable and seen.topic in self._empty_handed:
            self._claims[seen.topic].go_as_far(Reach.BACK)
        if seen.expired:
            self._recoveries[seen.topic].go_as_far(Reach.ALL)

    def begin_recovery(self, topic: str, now: float) -> Look:
        """Begins a look for a topic's jobs whose claim has run out."""
        with self._lock:
            return self._recoveries[topic].begin(now)

    def end_recovery(self, topic: str, look: Look, now: float, *, more: bool) -> None:
        """Is told that it ended, and whether there was more than it could recover."""
        with self._lock:
            self._recoveries[topic].end(look, now)
            if more:
                self._recoveries[topic].go_as_far(Reach.ALL)
