"""What a call comes to, in plain values: the same for a client and for the model."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Refused(Exception):  # noqa: N818  it is an answer
    """What the model raises where a client has to.

    Attributes:
        raised: the type and the error that are expected.
    """

    def __init__(self, kind: str, error: str = "") -> None:
        super().__init__(kind, error)
        self.raised = Raised(kind, error)


class Raised(NamedTuple):
    """An exception, as far as applications depend on it.

    Attributes:
        kind: the name of its type.
        error: the name of the ``KafkaError`` in it, or ``""``.
    """

    kind: str
    error: str


class Place(NamedTuple):
    """An offset in a partition; in requests and in answers."""

    topic: str
    partition: int
    offset: int = -1001


def outcome(call: Callable[[], Any]) -> Any:
    """The plain result of a call, or what it raised."""
    try:
        return _plain(call())
    except Refused as refused:
        return refused.raised
    except Exception as failure:  # noqa: BLE001  whatever it is, it is compared
        (argument,) = failure.args[:1] or ("",)
        return Raised(type(failure).__name__, argument.name() if hasattr(argument, "name") else "")


def kafka_error(name: str) -> Refused:
    """The refusal with which a ``KafkaException`` of this name is expected."""
    return Refused("KafkaException", name)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(map(_plain, value))
    if isinstance(value, Place) or not hasattr(value, "offset"):
        return value
    if value.error is not None:
        return Raised("error", value.error.name())
    return Place(value.topic, value.partition, value.offset)
