"""How much a consumer fetches at once: about as much as its application works off in a second. Pure."""

from shim.config.settings import Settings

_FIRST_ROWS = 500
_FEWEST_ROWS = 100
_MOST_ROWS = 4000
_FEWEST_PER_PARTITION = 20
_QUICK_SECONDS = 0.5
_SLOW_SECONDS = 2.0


class Portion:
    """The size of the next fetch, learned from the last ones.

    Args:
        settings: of the consumer.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_rows = max(_FEWEST_ROWS, min(settings.queued_min_messages, _MOST_ROWS))
        self._most_bytes = max(1, min(settings.fetch_max_bytes, settings.queued_max_bytes))
        self._partition_bytes = settings.max_partition_fetch_bytes
        self._wanted = min(_FIRST_ROWS, self._most_rows)
        self._largest = 1
        self._asked = 0

    def max_bytes(self, partitions: int) -> int:
        """Returns how many bytes to fetch from so many partitions."""
        return min(self._most_bytes, self._partition_bytes * partitions)

    def rows(self, partitions: int) -> int:
        """Returns how many rows to ask for: no more than fit even if each is as large as the largest of late."""
        self._asked = max(1, min(self._wanted, self.max_bytes(partitions) // self._largest))
        return self._asked

    def per_partition(self, partitions: int) -> int:
        """Returns how many rows to ask for from each of so many partitions, so that each gets its share."""
        return min(max(self._asked // partitions, _FEWEST_PER_PARTITION), self._asked)

    def learn(self, rows: int, largest: int, seconds: float) -> None:
        """Takes note of a fetch.

        Args:
            rows: how many there were.
            largest: how many bytes the largest had.
            seconds: since the fetch before.
        """
        self._largest = max(largest, self._largest // 2, 1)
        if seconds > _SLOW_SECONDS:
            self._wanted = max(self._wanted // 2, _FEWEST_ROWS)
        elif rows >= self._asked and seconds < _QUICK_SECONDS:
            self._wanted = min(self._wanted * 2, self._most_rows)
