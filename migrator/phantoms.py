"""Copies of dual writes that Kafka never had: listed when a topic is fenced and drained to its end, and never run."""

from collections.abc import Iterator
from dataclasses import dataclass

from migrator.postgres import Connection
from shim.store import dual_inbox
from shim.store.dual_inbox import FIRST, Phantom
from shim.store.message_id import message_id
from shim.store.statements import Schemas, Statements

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Phantoms:
    """Looks for phantoms.

    Attributes:
        conn: a connection in autocommit.
        schemas: where the queue's and the migrator's tables lie.
    """

    conn: Connection
    schemas: Schemas

    def of(self, topic: str) -> Iterator[Phantom]:
        """Yields a topic's phantoms, the oldest first; what has become a dead letter is none, for Kafka had it."""
        texts = dual_inbox.load(self.schemas)
        dead = self._dead(topic)
        after = FIRST
        while page := dual_inbox.phantoms(self.conn, texts, topic, _PAGE, after):
            yield from (phantom for phantom in page if phantom.message_id.bytes not in dead)
            after = page[-1].message_id

    def _dead(self, topic: str) -> set[bytes]:
        statement = Statements("migrator.sql", "phantoms.sql", self.schemas)["dead_headers"]
        rows = self.conn.execute(statement, {"queue_schema": self.schemas.names["queue"], "topic": topic})
        found = (message_id(list(zip(flat[::2], flat[1::2], strict=True))) for (flat,) in rows)
        return {one for one in found if one is not None}
