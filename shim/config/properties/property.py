"""One configuration property: what it takes, and what the shim does about it."""

from dataclasses import dataclass
from enum import Enum, Flag, auto

from shim.config.properties.values import Values


class Verdict(Enum):
    """What the shim does about a property.

    ``WARNED`` ones are accepted, have no effect, and are named in the one warning that a client logs. ``SILENT`` ones
    are accepted and mean nothing here, or cost nothing to be without.
    """

    HONOURED = "honoured"
    MAPPED = "mapped"
    WARNED = "warned"
    SILENT = "silent"
    REFUSED = "refused"


class Applies(Flag):
    """Which clients have use for a property; the others accept it and say that they ignore it."""

    PRODUCER = auto()
    CONSUMER = auto()
    BOTH = PRODUCER | CONSUMER


BOTH = Applies.BOTH
CONSUMER = Applies.CONSUMER
PRODUCER = Applies.PRODUCER

HONOURED = Verdict.HONOURED
MAPPED = Verdict.MAPPED
WARNED = Verdict.WARNED
SILENT = Verdict.SILENT
REFUSED = Verdict.REFUSED


@dataclass(frozen=True, slots=True)
class Property:
    """One property.

    Attributes:
        name: the canonical name; errors call the aliases by it, as librdkafka does.
        applies: the clients that have use for it.
        values: which values it takes.
        default: what it is when the application says nothing.
        verdict: what the shim does about it.
        meaning: what it means here, or why it means nothing; one sentence.
        aliases: its other names.
        refused: the values for which ``meaning`` is a reason to refuse, where not all of them are.
    """

    name: str
    applies: Applies
    values: Values
    default: object
    verdict: Verdict
    meaning: str
    aliases: tuple[str, ...] = ()
    refused: tuple[object, ...] = ()
