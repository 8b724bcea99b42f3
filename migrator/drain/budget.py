"""How many dead letters a topic may have before the drain stops and asks."""

from threading import Lock

from migrator.drain.batch import Place, Span
from migrator.errors import StoppedError


class BudgetExceededError(StoppedError):
    """One more batch would bring more dead letters than were allowed; it was not committed."""

    def __init__(self, limit: int, total: int) -> None:
        super().__init__(
            f"{total} records cannot become rows, the budget is {limit} dead letters; the batch that exceeds it was "
            "not committed",
            code="dead-letter-budget",
            hint="look at what is dead so far with `migrator dead-letters list`, then go on with a larger\n"
            f"  --dead-letter-budget {max(2 * limit, total)}",
        )


class Budget:
    """Counts dead letters over all writers of a drain.

    Args:
        limit: how many are tolerated.
        spent: how many earlier runs have committed.
    """

    def __init__(self, limit: int, spent: int = 0) -> None:
        self._limit = limit
        self._spent = spent
        self._charged: dict[tuple[Place, int], int] = {}
        self._lock = Lock()

    def charge(self, first: Span, count: int) -> None:
        """Charges the dead letters of the batch that begins with ``first``, once however often it is tried.

        Raises:
            BudgetExceededError: they exceed the limit.
        """
        if not count:
            return
        with self._lock:
            self._charged[first.place, first.start] = count
            total = self._spent + sum(self._charged.values())
        if total > self._limit:
            raise BudgetExceededError(self._limit, total)
