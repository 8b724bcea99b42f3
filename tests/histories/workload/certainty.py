"""Which errors say that nothing happened. Of all others nobody knows, least of all of timeouts."""

from typing import Any

import psycopg

_NOTHING_WRITTEN = frozenset({"_PURGE_QUEUE", "_QUEUE_FULL", "_UNKNOWN_PARTITION", "MSG_SIZE_TOO_LARGE"})
_ROLLED_BACK = ("23", "25", "40")
"""Classes of SQLSTATE by which Postgres says, in answer to COMMIT, that the transaction is gone."""


def unwritten(error: Any) -> bool:
    """Whether a ``KafkaError`` says that the message was never written."""
    return error.name() in _NOTHING_WRITTEN


def rolled_back(failure: psycopg.Error) -> bool:
    """Whether a failed COMMIT certainly did nothing."""
    return (failure.sqlstate or "").startswith(_ROLLED_BACK)
