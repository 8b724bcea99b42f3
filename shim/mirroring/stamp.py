"""What each message is given before it is written anywhere: an id, its producer's name, and its number there."""

import os
import socket
from collections.abc import Callable, Iterable
from itertools import count
from time import time_ns
from typing import NamedTuple
from uuid import UUID

from shim.message import Headers
from shim.producing.outgoing import raw_headers
from shim.store.message_id import HEADERS, MESSAGE_ID, PRODUCER, SEQUENCE

_VERSION = 7 << 76
_VARIANT = 2 << 62
_RANDOM_A = 0xFFF << 64
_RANDOM_B = (1 << 62) - 1

Pairs = list[tuple[str, str | bytes | None]]


class Stamped(NamedTuple):
    """A message's id, its place among those of its producer, when it was made, and all its headers."""

    message_id: UUID
    sequence: int
    timestamp_ms: int
    headers: Pairs


class Stamp:
    """Gives ids and numbers to the messages of one dual producer in one process.

    Attributes:
        host: where it runs.
        producer: its name; another one after each start.
    """

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self.producer = f"{self.host}-{os.getpid()}-{os.urandom(4).hex()}"
        self._next: Callable[[], int] = count(1).__next__

    def stamp(self, headers: Headers | None) -> Stamped:
        """Returns what a message with these headers is given; an older stamp is replaced.

        Raises:
            TypeError: the headers are none that the original takes.
        """
        milliseconds = time_ns() // 1_000_000
        message_id, sequence = uuid7(milliseconds), self._next()
        pairs = [] if headers is None else _others(headers)
        pairs += (MESSAGE_ID, str(message_id)), (PRODUCER, self.producer), (SEQUENCE, str(sequence))
        return Stamped(message_id, sequence, milliseconds, pairs)


def uuid7(milliseconds: int) -> UUID:
    """Returns a UUIDv7 of a moment, in milliseconds since 1970: ids sort by time, and hold it."""
    random = int.from_bytes(os.urandom(10))
    return UUID(int=milliseconds << 80 | _VERSION | random & _RANDOM_A | _VARIANT | random & _RANDOM_B)


def _others(headers: Headers) -> Pairs:
    raw_headers(headers)
    pairs: Iterable[tuple[str, str | bytes | None]] = headers.items() if isinstance(headers, dict) else headers
    return [pair for pair in pairs if pair[0] not in HEADERS]
