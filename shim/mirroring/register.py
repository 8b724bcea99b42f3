"""Registers one dual producer with its topics, keeps it alive there, and learns each topic's mode every second."""

import threading
from time import monotonic

from shim.config.settings import Severity
from shim.errors import from_postgres
from shim.mirroring.forking import attend
from shim.mirroring.role import Role
from shim.mirroring.side import QueueSide
from shim.mirroring.stamp import Stamp
from shim.store import dual_modes
from shim.store.dual_modes import Connection, Mode
from shim.store.part import Part
from shim.store.topics import Sequencer

_BEAT_SECONDS = 1.0
_FENCED_SECONDS = 0.05
_PATIENCE_SECONDS = 5.0


class Register(Part):
    """What one dual producer knows of its topics. Without Postgres it keeps what it knew last, and says so.

    Args:
        side: the queue.
        primary: which side is primary in topics that have no row.

    Attributes:
        stamp: gives ids in this process.
        roles: by topic.
    """

    def __init__(self, side: QueueSide, primary: Sequencer) -> None:
        self._side = side
        self._primary = primary
        self._texts = dual_modes.load(side.schemas)
        super().__init__("shim-dual-register")
        attend(self)

    def renew(self) -> None:
        """Begins anew in this process, as another dual producer; what the parent wrote stays with the parent."""
        self.stamp = Stamp()
        self.roles: dict[str, Role] = {}
        self._changed = threading.Condition(threading.Lock())
        self._heard: float | None = None
        self._silent = False
        super().renew()

    @property
    def age_s(self) -> float | None:
        """For how many seconds no mode was read; None when none ever was."""
        heard = self._heard
        return None if heard is None else monotonic() - heard

    def role(self, topic: str, seconds: float) -> Role | None:
        """Returns a topic's role; waits for it where it was never asked for, and returns None when it stays away."""
        role = self.roles.get(topic)
        if role is None or not role.known:
            with self._changed:
                role = self.roles.setdefault(topic, Role(topic, self._primary))
                self.wake()
                self._changed.wait_for(lambda: role.known or self._silent, seconds)
        return role if role.known else None

    def round(self) -> float | None:
        """Beats once, for all topics."""
        roles = self.roles.copy()
        if not roles:
            return None
        with self._side.pool.connection(patience=_PATIENCE_SECONDS, first=True) as conn:
            modes = self._beat(conn, roles)
        for topic, role in roles.items():
            role.obey(modes.get(topic))
        self._well()
        with self._changed:
            self._changed.notify_all()
        if len(self.roles) > len(roles):
            return 0.0
        return _FENCED_SECONDS if any(role.owes for role in roles.values()) else _BEAT_SECONDS

    def failed(self, error: Exception) -> None:
        """Raises the alarm, once for each outage."""
        if not self._silent:
            self._silent = True
            with self._changed:
                self._changed.notify_all()
            self._side.settings.log(
                Severity.ERROR,
                "DUAL",
                f"the modes of dual-written topics cannot be read, the last ones stay: {from_postgres(error).str()}",
            )

    def leave(self) -> None:
        """Ends the part, and takes it off the register; nothing may be under way.

        Raises:
            psycopg.Error: Postgres is away; the registration lapses, and must be dismissed by a person.
        """
        self.close()
        if any(role.registered for role in self.roles.values()):
            with self._side.pool.connection(_PATIENCE_SECONDS, patience=_PATIENCE_SECONDS) as conn:
                dual_modes.leave(conn, self._texts, self.stamp.producer)

    def _beat(self, conn: Connection, roles: dict[str, Role]) -> dict[str, Mode]:
        me = self.stamp.producer
        known = {topic: role.acknowledged for topic, role in roles.items() if role.registered}
        new = [topic for topic in roles if topic not in known]
        modes = dual_modes.beat(conn, self._texts, me, known) if known else {}
        return modes | (dual_modes.register(conn, self._texts, me, self.stamp.host, new) if new else {})

    def _well(self) -> None:
        self._heard = monotonic()
        if self._silent:
            self._silent = False
            self._side.settings.log(Severity.INFO, "DUAL", "the modes of dual-written topics are read again")
