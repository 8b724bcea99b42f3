"""Values that nobody else sends, as JSON, so that plain SQL can write them too."""

import json
from itertools import count
from typing import Any

from tests.histories.operation import Record


class Values:
    """One process's values.

    Args:
        process: its name.
    """

    def __init__(self, process: str) -> None:
        self._process = process
        self._numbers = count(1)

    def next(self) -> str:
        """A value that has never been before."""
        return f"{self._process}:{next(self._numbers)}"


def encoded(value: str) -> bytes:
    """The bytes of a message."""
    return json.dumps(value).encode()


def record_of(message: Any) -> Record:
    """What a message says."""
    return Record(message.topic(), message.partition(), message.offset(), json.loads(message.value()))
