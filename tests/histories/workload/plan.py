"""What a worker is told: where the servers are, what to do there, and where to write it down."""

import importlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from tests.histories.journal import Journal

Client = Literal["shim", "kafka"]
Role = Literal["producer", "writer", "reader", "member", "relay", "final"]

_MODULES: Mapping[Client, str] = {"shim": "shim", "kafka": "confluent_kafka"}
_CHOICES: Mapping[Client, Mapping[str, Sequence[Any]]] = {
    "shim": {"log_level": [0], "shim.notify": ["auto", "off"], "shim.pool.size": [1, 2]},
    "kafka": {"log_level": [0]},
}
"""What a process's clients have in common."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One worker's.

    Attributes:
        client: whose API is exercised.
        servers: what ``bootstrap.servers`` is.
        folder: where histories go.
        process: the worker's name, which no other process of the run has.
        role: what it does.
        topics: what it writes or reads; the first is the one that producers write, the second holds copies.
        partitions: how many each topic has.
        seed: of its dice, together with its name.
        per_second: how many values it writes on average.
        group: which group it is a member of.
        strategy: ``partition.assignment.strategy`` of the group.
        session_ms: ``session.timeout.ms`` of the group.
        until_end: ends when its group has committed everything.
        required: a file with the values that the final reader has to find.
    """

    client: Client
    servers: str
    folder: str
    topics: Sequence[str]
    partitions: int
    seed: int
    process: str = ""
    role: Role = "reader"
    per_second: int = 60
    group: str = ""
    strategy: str = "range"
    session_ms: int = 3000
    until_end: bool = False
    required: str = ""

    @property
    def api(self) -> Any:
        """The client's module."""
        return importlib.import_module(_MODULES[self.client])

    @property
    def dice(self) -> random.Random:
        """What it decides by; the same each time."""
        return random.Random(f"{self.seed} {self.process}")  # noqa: S311

    def journal(self) -> Journal:
        """Opens its file."""
        return Journal(Path(self.folder), self.process)

    def settings(self, **more: Any) -> dict[str, Any]:
        """A client's configuration; dots are underscores in ``more``."""
        dice = random.Random(f"{self.seed} settings of {self.process}")  # noqa: S311
        chosen = {name: dice.choice(values) for name, values in _CHOICES[self.client].items()}
        spelled = {name.replace("_", "."): value for name, value in more.items()}
        return {"bootstrap.servers": self.servers, **chosen, **spelled}

    def to_json(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads it again."""
        return cls(**json.loads(text))
