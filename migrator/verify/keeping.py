"""The file that a run keeps its checkpoint in: written whole or not at all, and gone once the run has its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.errors import RefusedError, UsageError
from migrator.verify.checkpoint import Checkpoint
from migrator.verify.scope import Scope
from migrator.verify.tally import Tally


@dataclass(slots=True)
class Keeper:
    """Keeps one run's checkpoint.

    Attributes:
        path: the file; None keeps nothing.
        identity: what the run compares, and how.
        tally: what it has found.
        reached: the next offset to compare and the end, by partition.
    """

    path: Path | None
    identity: Mapping[str, Any]
    tally: Tally
    reached: dict[int, tuple[int, int]] = field(default_factory=dict)

    def begin(self, scope: Scope) -> Scope:
        """Goes on where the file says, and returns what is left; without a file that is everything.

        Raises:
            RefusedError: ``resume-other``: the file is of another run.
            UsageError: ``resume-file``: it is no checkpoint.
        """
        if self.path is not None and self.path.exists():
            found = self._read(self.path)
            if found.identity != self.identity:
                raise RefusedError(
                    f"{self.path} is of a run over something else, or with other options",
                    code="resume-other",
                    hint=f"give the options of that run, or begin anew: rm {self.path}",
                )
            self.tally, scope = found.tally, found.remaining(scope)
        self.reached = {part.partition: (part.start, part.stop) for part in scope.parts}
        return scope

    def advance(self, partition: int, offset: int) -> None:
        """Writes down that everything below an offset has been compared."""
        self.reached[partition] = (offset, self.reached[partition][1])
        if self.path is not None:
            new = self.path.with_name(self.path.name + ".new")
            new.write_text(Checkpoint(self.identity, self.reached, self.tally).dump(), encoding="utf-8")
            new.replace(self.path)

    def finish(self) -> None:
        """Removes the file: there is nothing left to go on with."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _read(self, path: Path) -> Checkpoint:
        try:
            return Checkpoint.load(path.read_text(encoding="utf-8"), self.tally.limit)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is no checkpoint that can be gone on from: {type(error).__name__}",
                code="resume-file",
                hint="name another file, or remove this one",
            ) from None
