"""How far a run has come and what it has found, as text that a later run goes on from; digests, never bytes."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from migrator.digest import Fingerprint
from migrator.verify.classes import Class, Difference, Mismatch, Place, Row
from migrator.verify.ledger import Source
from migrator.verify.options import VerifyOptions
from migrator.verify.scope import Scope
from migrator.verify.tally import Tally

_VERSION = 1
_KEPT = ("compared", "doubts")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run that is not at its end.

    Attributes:
        identity: what was compared, and how: another run must be the same to go on.
        reached: the next offset to compare and the end, by partition.
        tally: what was found until then.
    """

    identity: Mapping[str, Any]
    reached: Mapping[int, tuple[int, int]]
    tally: Tally

    def remaining(self, scope: Scope) -> Scope:
        """Returns what is left of a scope; the ends are those that were frozen when the run began."""
        parts = [
            replace(part, start=self.reached[part.partition][0], stop=self.reached[part.partition][1])
            for part in scope.parts
            if part.partition in self.reached
        ]
        return replace(scope, parts=tuple(parts))

    def dump(self) -> str:
        """Returns the checkpoint as text."""
        tally = self.tally
        return json.dumps(
            {
                "version": _VERSION,
                "identity": self.identity,
                "reached": {str(partition): ends for partition, ends in self.reached.items()},
                **{name: getattr(tally, name) for name in _KEPT},
                "counts": {kind.value: count for kind, count in tally.counts.items()},
                "mismatches": [_mismatch(one) for one in tally.mismatches],
                "differences": [asdict(one) for one in tally.differences],
            }
        )

    @classmethod
    def load(cls, text: str, limit: int) -> "Checkpoint":
        """Reads what `dump` wrote.

        Args:
            text: the text.
            limit: how many differences are kept.

        Raises:
            ValueError: the text is not of this release.
        """
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.get("version") != _VERSION:
            raise ValueError("no checkpoint of this release")
        tally = Tally(limit, **{name: stored[name] for name in _KEPT})
        tally.counts = Counter({Class(kind): count for kind, count in stored["counts"].items()})
        tally.mismatches = [_as_mismatch(*one) for one in stored["mismatches"]]
        tally.differences = [_as_difference(one) for one in stored["differences"]]
        reached = {int(partition): (ends[0], ends[1]) for partition, ends in stored["reached"].items()}
        return cls(stored["identity"], reached, tally)


def identity(source: Source, options: VerifyOptions) -> dict[str, Any]:
    """Returns what two runs must have in common for one to go on where the other stopped."""
    return {
        "topic": source.topic,
        "cluster_id": source.cluster_id,
        "topic_id": source.topic_id,
        "source_id": source.id,
        "level": options.level.value,
        "partitions": None if options.partitions is None else sorted(options.partitions),
        "start": options.start,
        "stop": options.stop,
        "modulus": options.modulus,
        "without_values": options.without_values,
    }


def _mismatch(one: Mismatch) -> Sequence[Any]:
    table = None if one.table is None else (one.table.id, one.table.timestamp_ms, _print(one.table.print))
    return one.place, None if one.kafka is None else _print(one.kafka), table


def _print(one: Fingerprint) -> Sequence[Any]:
    return one.high, one.low, one.content.hex()


def _as_mismatch(place: Sequence[int], kafka: Sequence[Any] | None, table: Sequence[Any] | None) -> Mismatch:
    return Mismatch(
        Place(*place),
        None if kafka is None else _as_print(kafka),
        None if table is None else Row(table[0], table[1], _as_print(table[2])),
    )


def _as_print(stored: Sequence[Any]) -> Fingerprint:
    high, low, content = stored
    return Fingerprint(high, low, bytes.fromhex(content))


def _as_difference(stored: Mapping[str, Any]) -> Difference:
    of = None if stored["of"] is None else Place(*stored["of"])
    return Difference(**{**stored, "kind": Class(stored["kind"]), "place": Place(*stored["place"]), "of": of})
