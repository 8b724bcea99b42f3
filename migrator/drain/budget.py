"""How many dead letters a topic may have before the drain stops and asks."""

from collections import Counter
from collections.abc import Mapping
from threading import Lock

from migrator.drain.batch import Place, Span
from migrator.errors import StoppedError


class BudgetExceededError(StoppedError):
    """One more batch would bring more dead letters than were allowed; it was not committed.

    Attributes:
        needed: a budget with which the drain would get further.
    """

    def __init__(self, topic: str, limit: int, spent: int, count: int) -> None:
        super().__init__(
            f"{count} records of a batch of topic {topic!r} cannot become rows, {spent} are dead letters already, and "
            f"the budget is {limit}; the batch was not committed",
            code="dead-letter-budget",
            hint=f"what is dead so far: migrator dead-letters list --topic {topic}"
            if spent
            else "a larger budget shows what is wrong: migrator dead-letters list, once a batch is committed",
        )
        self.needed = max(2 * limit, spent + count)


class Budget:
    """Counts dead letters by topic, over all writers of a drain.

    Args:
        limit: how many are tolerated for each topic.
        spent: how many stand there from earlier runs, by topic.
    """

    def __init__(self, limit: int, spent: Mapping[str, int]) -> None:
        self._limit = limit
        self._spent = spent
        self._charged: dict[Place, Counter[int]] = {}
        self._lock = Lock()

    def charge(self, span: Span, count: int) -> None:
        """Charges a span's dead letters, once however often its batch is tried.

        Raises:
            BudgetExceededError: with them the topic has more than the limit.
        """
        if not count:
            return
        topic = span.place.topic
        with self._lock:
            self._charged.setdefault(span.place, Counter())[span.start] = count
            total = sum(sum(one.values()) for place, one in self._charged.items() if place.topic == topic)
        spent = self._spent.get(topic, 0) + total - count
        if spent + count > self._limit:
            raise BudgetExceededError(topic, self._limit, spent, count)
