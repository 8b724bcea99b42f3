"""What the user decides about a drain beforehand, and how that is spelled on the command line. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from migrator.errors import UsageError

_PARTITIONS = re.compile(r"(\d+)(?:-(\d+))?")


class Uncertain(StrEnum):
    """What becomes of records that the old workers may have processed without committing."""

    ENQUEUE = "enqueue"
    HOLD = "hold"
    SKIP = "skip"


class NoCommit(StrEnum):
    """Where to start in a partition for which the group never committed."""

    EARLIEST = "earliest"
    END = "end"


@dataclass(frozen=True, slots=True)
class StartChoice:
    """The user's ``--from``, taken apart.

    Attributes:
        kind: ``default``, ``earliest``, ``latest``, ``group``, ``groups``, ``timestamp`` or ``offsets``.
        groups: the groups named, in order.
        timestamp_ms: for ``timestamp``.
        offsets: by partition: for ``offsets`` as named, for ``timestamp`` as the broker resolved it.
        text: as the user spelled it, for the record.
    """

    kind: str
    groups: tuple[str, ...] = ()
    timestamp_ms: int | None = None
    offsets: Mapping[int, int] | None = None
    text: str = "default"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user answered beforehand to the questions that a plan may raise.

    Attributes:
        no_commit: where to start without a commit; None is "ask".
        uncertain: what to do with the uncertain window; None is "enqueue, and say so".
        window: how many records per partition from the committed offset are uncertain.
        bounded: whether the drain ends; such a drain demands that nobody works on the topic.
        accept_loss: whether records that retention has removed may be counted as lost.
    """

    no_commit: NoCommit | None = None
    uncertain: Uncertain | None = None
    window: int = 0
    bounded: bool = True
    accept_loss: bool = False


def parse_timestamp(text: str) -> int:
    """Returns an ISO 8601 time as milliseconds since 1970; a time without a zone is UTC.

    Raises:
        UsageError: the text is no such time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time", code="timestamp", hint="such as 2026-11-20T08:00:00Z") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def parse_start(texts: Sequence[str]) -> StartChoice:
    """Takes the values of ``--from`` apart; the offsets of ``timestamp`` and ``offsets`` are for the caller to find.

    Raises:
        UsageError: a value is none of the known forms, or they contradict each other.
    """
    if not texts:
        return StartChoice("default")
    text = " ".join(texts)
    kinds = {value.partition(":")[0] for value in texts}
    if kinds == {"group"}:
        names = tuple(dict.fromkeys(value.partition(":")[2] for value in texts))
        if all(names):
            return StartChoice("group", groups=names, text=text)
    elif len(texts) == 1 and texts[0] in {"earliest", "latest", "groups"}:
        return StartChoice(texts[0], text=text)
    elif kinds == {"timestamp"} and len(texts) == 1:
        return StartChoice("timestamp", timestamp_ms=parse_timestamp(text.partition(":")[2]), text=text)
    elif kinds == {"offsets"} and len(texts) == 1 and text.partition(":")[2]:
        return StartChoice("offsets", text=text)
    raise UsageError(
        f"--from {text!r} is not understood",
        code="from",
        hint="earliest, latest, groups, group:NAME (may repeat), timestamp:2026-11-20T08:00:00Z or offsets:FILE",
    )


def parse_partitions(text: str) -> frozenset[int]:
    """Returns the partitions that ``--partitions`` names, such as ``0-3,7``.

    Raises:
        UsageError: the text is of another form.
    """
    chosen: set[int] = set()
    for piece in text.split(","):
        numbers = _PARTITIONS.fullmatch(piece.strip())
        if numbers is None:
            raise UsageError(f"--partitions {text!r} is not understood", code="partitions", hint="such as 0-3,7")
        chosen.update(range(int(numbers[1]), int(numbers[2] or numbers[1]) + 1))
    return frozenset(chosen)
