"""What ``migrator doctor`` says of one thing that it looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, such as ``postgres version``.
        ok: whether it will do.
        found: what there is.
        fix: what to do when it will not; a command to paste where there is one.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""
