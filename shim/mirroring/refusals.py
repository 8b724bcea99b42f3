"""What a dual producer raises on its own account, so that the ``except`` clauses of either client catch it."""

import sys
from typing import Any

from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Local


def exception_type() -> type[KafkaException]:
    """Returns an exception that is a ``KafkaException`` of the shim and of the original, where that is loaded."""
    theirs: Any = getattr(sys.modules.get("confluent_kafka"), "KafkaException", KafkaException)
    if issubclass(KafkaException, theirs):
        return KafkaException
    return type("KafkaException", (KafkaException, theirs), {"__doc__": KafkaException.__doc__})


def fenced(topic: str, epoch: int) -> KafkaError:
    """Returns why a message is not taken while a topic's primary changes."""
    return _again(f"topic {topic!r} is fenced in epoch {epoch}, while its primary changes")


def unread(topic: str) -> KafkaError:
    """Returns why a topic's first message is not taken: a guess could send it to the wrong side."""
    return _again(f"which side is the primary of topic {topic!r} cannot be read from Postgres")


def behind(seconds: float) -> KafkaError:
    """Returns why no message is taken by the policy ``raise``."""
    return _again(f"the secondary has taken no message for more than {seconds:g} s")


def _again(text: str) -> KafkaError:
    return KafkaError(Local.RETRY, f"{Local.RETRY.text}: {text}", retriable=True)
