"""Faults to plant in a client: each in a consumer that is otherwise as good as the one that it hides."""

from collections import Counter
from typing import Any

_EVERY = 3


class Faulty:
    """A consumer with a fault.

    Args:
        consumer: the client's.
        fired: counts how often the fault came to bear.
    """

    def __init__(self, consumer: Any, fired: Counter[str]) -> None:
        self._consumer = consumer
        self._fired = fired
        self._records = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def consume(self, most: int, seconds: float) -> list[Any]:
        """One at a time, so that ``poll`` is the only way out; but what is refused is."""
        if most not in range(1, 6):
            return list(self._consumer.consume(most, seconds))
        message = self.poll(seconds)
        return [] if message is None else [message]

    def poll(self, seconds: float) -> Any:
        """Hand out what the consumer does."""
        return self._consumer.poll(seconds)

    def fire(self) -> None:
        """Count."""
        self._fired[type(self).__name__] += 1

    def due(self, message: Any) -> bool:
        """Whether it is time for the fault: at every third record."""
        if message is None or message.error() is not None:
            return False
        self._records += 1
        return self._records % _EVERY == 0


class Drops(Faulty):
    """Now and then a record is not handed out."""

    def poll(self, seconds: float) -> Any:
        message = super().poll(seconds)
        if not self.due(message):
            return message
        self.fire()
        return super().poll(seconds)


class Repeats(Faulty):
    """Now and then a record is handed out twice."""

    def __init__(self, consumer: Any, fired: Counter[str]) -> None:
        super().__init__(consumer, fired)
        self._again: Any = None

    def poll(self, seconds: float) -> Any:
        again, self._again = self._again, None
        if again is not None:
            self.fire()
            return again
        message = super().poll(seconds)
        self._again = message if self.due(message) else None
        return message


class Alters(Faulty):
    """Now and then a record loses its headers."""

    def poll(self, seconds: float) -> Any:
        message = super().poll(seconds)
        if message is not None and message.headers():
            self.fire()
            message.set_headers([])
        return message


class CommitsTooFar(Faulty):
    """The offset behind the one that is asked for is committed."""

    def commit(self, **more: Any) -> Any:
        answer = self._consumer.commit(**more)
        further = [one for one in self._consumer.committed(answer, 60) if one.offset >= 0]
        for one in further:
            one.offset += 1
        self.fire()
        self._consumer.commit(offsets=further, asynchronous=False)
        return answer


class NeverPauses(Faulty):
    """A pause has no effect."""

    def pause(self, _partitions: Any) -> None:
        self.fire()


class SeeksTooFar(Faulty):
    """A seek goes one further."""

    def seek(self, partition: Any) -> None:
        if partition.offset >= 0:
            self.fire()
            partition.offset += 1
        self._consumer.seek(partition)


class KeepsSilent(Faulty):
    """The end of a partition is never told."""

    def poll(self, seconds: float) -> Any:
        message = super().poll(seconds)
        if message is None or message.error() is None:
            return message
        self.fire()
        return None


class ForgetsToStore(Faulty):
    """What is to be stored is not, and nobody is told."""

    def store_offsets(self, **_more: Any) -> None:
        self.fire()


class LeavesUnheard(Faulty):
    """An unsubscription is not heard of."""

    def unsubscribe(self) -> None:
        self.fire()


class RefusesOtherwise(Faulty):
    """A refusal has another type."""

    def incremental_unassign(self, partitions: Any) -> None:
        try:
            self._consumer.incremental_unassign(partitions)
        except RuntimeError:
            raise
        except Exception as refusal:
            self.fire()
            raise ValueError from refusal


PLAIN = (Drops, Repeats, Alters, CommitsTooFar, NeverPauses, SeeksTooFar, ForgetsToStore, RefusesOtherwise)
"""Faults that are seen at once."""

MUTE = (KeepsSilent, LeavesUnheard)
"""Faults that are seen when what has to come does not, however long one waits."""
