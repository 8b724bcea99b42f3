"""Copies of what Postgres has stored, to Kafka: the secondary of a dual producer while Postgres is the primary."""

from functools import partial
from typing import Any

from shim.mirroring.outcomes import Outcome, Tally
from shim.mirroring.role import Role
from shim.protocol.codes import Local

_VAGUE = (Local.MSG_TIMED_OUT, Local.PURGE_INFLIGHT)


class KafkaCopies:
    """Hands copies to a producer that leads to Kafka, which sends them in the background.

    Args:
        kafka: the producer; a copy for which it has no room is not sent.
        tally: is told what became of each copy, when the producer is polled.
    """

    def __init__(self, kafka: Any, tally: Tally) -> None:
        self._kafka = kafka
        self._tally = tally

    def send(self, role: Role, message_id: str, timestamp_ms: int, message: Any) -> None:
        """Sends a copy of a message that Postgres reports as stored, to the same partition."""
        role.copies.append(None)
        try:
            self._kafka.produce(
                role.topic,
                message.value(),
                message.key(),
                message.partition(),
                on_delivery=partial(self._reported, role, message_id),
                timestamp=timestamp_ms,
                headers=message.headers(),
            )
        except Exception as refusal:  # noqa: BLE001  whatever the secondary raises, the caller does not see it
            self._settle(role, "failed", message_id, refusal)

    def _reported(self, role: Role, message_id: str, error: Any, _message: Any) -> None:
        if error is None:
            self._settle(role, "ok", message_id, None)
        else:
            self._settle(role, "unknown" if error.code() in _VAGUE else "failed", message_id, error)

    def _settle(self, role: Role, outcome: Outcome, message_id: str, error: object) -> None:
        role.copies.pop()
        self._tally.settle(outcome, role.topic, message_id, error)
