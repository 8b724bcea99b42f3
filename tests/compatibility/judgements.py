"""What is said of names that are not the same; ``judgements.toml`` holds it."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests.compatibility.original import Entry
from tests.compatibility.ours import lack

Verdict = Literal["different", "not yet", "refused"]

_FILE = Path(__file__).with_name("judgements.toml")
_VERDICTS: tuple[Verdict, ...] = ("different", "not yet", "refused")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a name, and of all below it.

    Attributes:
        key: the name.
        verdict: how it is not the same.
        how: the same in a sentence.
        absent: whether the shim lacks the name, or an argument of it.
    """

    key: str
    verdict: Verdict
    how: str
    absent: bool = False

    def covers(self, entry: Entry) -> bool:
        """Whether it is said of this name too."""
        return entry.key == self.key or entry.key.startswith(f"{self.key}.")


@cache
def judgements() -> Mapping[str, Judgement]:
    """All of them, by name."""
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    found: dict[str, Judgement] = {}
    for verdict in _VERDICTS:
        for key, said in table.get(verdict, {}).items():
            absent = isinstance(said, dict)
            found[key] = Judgement(key, verdict, said["absent"] if absent else said, absent)
    return found


def judgement_of(entry: Entry) -> Judgement | None:
    """What is said of a name: by itself, or else by the nearest name above it."""
    said = [one for one in judgements().values() if one.covers(entry)]
    return max(said, key=lambda one: len(one.key), default=None)


def problems(entries: Iterable[Entry]) -> list[str]:
    """What is lacking without a word, and what is said in vain."""
    entries = list(entries)
    lacking = {entry.key: missing for entry in entries if (missing := lack(entry))}
    said = {entry.key: judgement_of(entry) for entry in entries}
    unsaid = {key: missing for key, missing in lacking.items() if not _absence_is_said(said[key])}
    absent = {judgement.key for key, judgement in said.items() if judgement and key in lacking}
    covered = {key for key, one in judgements().items() if any(one.covers(entry) for entry in entries)}
    present = [key for key, one in judgements().items() if one.absent and key in covered - absent]
    return [
        *(f"{key} {missing}, and judgements.toml does not say so" for key, missing in _without_members(unsaid).items()),
        *(f"{key}: the original has no such name" for key in sorted(judgements().keys() - covered)),
        *(f"{key}: called absent, and it is there" for key in present),
    ]


def _absence_is_said(judgement: Judgement | None) -> bool:
    return judgement is not None and judgement.absent


def _without_members(lacking: Mapping[str, str]) -> Mapping[str, str]:
    """Of a class that is not there the members go without saying."""
    return {key: missing for key, missing in lacking.items() if key.rpartition(".")[0] not in lacking}
