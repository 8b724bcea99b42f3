"""Kafka's side: sums over what a single pass delivers, and single records where it comes to that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from migrator.digest import NOTHING, Fingerprint, Record, Sums, fingerprint, sums
from migrator.kafka.log import LogReader
from migrator.verify.leaf import Leaf
from migrator.verify.sample import choose
from migrator.verify.scope import Part


class Held(NamedTuple):
    """What the log holds of a leaf.

    Attributes:
        compared: what the table is compared with.
        whole: the same with its values.
        skipped: how many records the drain was told not to write.
    """

    compared: Sums
    whole: Sums
    skipped: int


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's records, as far as the drain was to write them.

    Attributes:
        reader: the way to them.
        name: the topic.
        values: whether values are compared; without them every value counts as null.
        modulus: one message in so many is looked at.
        digests: whether more than the counts is wanted.
    """

    reader: LogReader
    name: str
    values: bool = True
    modulus: int = 1
    digests: bool = True

    def sums(self, part: Part, leaf: Leaf) -> Held:
        """Returns what the log holds of a leaf."""
        compared = whole = NOTHING
        skipped = 0
        for records, _ in self._read(part, leaf.start, leaf.stop):
            wanted = _wanted(records, part.skip_below)
            skipped += len(records) - len(wanted)
            chosen = choose(part.partition, wanted, self.modulus)
            found = sums(part.partition, chosen) if self.digests else Sums(len(chosen))
            whole += found
            compared += found if self.values or not self.digests else sums(part.partition, chosen, values=False)
        return Held(compared, whole, skipped)

    def fingerprints(self, part: Part, start: int, stop: int) -> dict[int, Fingerprint | None]:
        """Returns the records of a range by their offsets; None for one that cannot be taken apart."""
        prints: dict[int, Fingerprint | None] = {}
        for records, unreadable in self._read(part, start, stop):
            chosen = choose(part.partition, _wanted(records, part.skip_below), self.modulus)
            prints |= {record.offset: fingerprint(part.partition, record, values=self.values) for record in chosen}
            prints |= dict.fromkeys((offset for offset in unreadable if offset >= part.skip_below), None)
        return prints

    def _read(self, part: Part, start: int, stop: int) -> Iterator[tuple[list[Record], list[int]]]:
        first = max(start, part.marks.kafka)
        if first < stop:
            for chunk in self.reader.read(self.name, part.partition, first, stop):
                yield chunk.records, chunk.unreadable


def _wanted(records: list[Record], skip_below: int) -> Sequence[Record]:
    if not records or records[0].offset >= skip_below:
        return records
    return [record for record in records if record.offset >= skip_below]
