"""What strikes Postgres: sessions that are ended or stand still, immediate restarts, and SIGKILL for all of it."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from threading import Event
from typing import Any

import psycopg

from migrator.embedded.postgres import EmbeddedPostgres
from tests.histories.nemesis.deck import Fault, Strike

_MOST_SESSIONS = 5
_LONGEST_FREEZE = 3.0
_SESSIONS = """
select pid from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name <> 'nemesis'
order by random() limit %s
"""


class ServerFaults:
    """Strikes a server of the run's own.

    Args:
        server: that one.
        dice: what it decides by.

    Attributes:
        strikes: what it does.
    """

    def __init__(self, server: EmbeddedPostgres, dice: Random) -> None:
        self._server = server
        self._dice = dice
        self.strikes: Mapping[Fault, Strike] = {
            Fault.TERMINATE: self._terminate,
            Fault.FREEZE: self._freeze,
            Fault.RESTART: self._restart,
            Fault.CRASH: self._crash,
        }

    def _terminate(self) -> bool:
        with self._connected() as connection:
            return sum(_ended(connection, session) for session in self._sessions(connection)) > 0

    def _freeze(self) -> bool:
        """Sessions stand still, with whatever they hold; what they were asked they do when nobody listens any more."""
        with self._connected() as connection:
            sessions = self._sessions(connection)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for session in sessions:
                with suppress(ProcessLookupError):
                    os.kill(session, number)
            if number == signal.SIGSTOP:
                Event().wait(self._dice.uniform(0, _LONGEST_FREEZE))
        return bool(sessions)

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.url, autocommit=True, application_name="nemesis")

    def _sessions(self, connection: psycopg.Connection[Any]) -> list[int]:
        """Some sessions' processes."""
        rows = connection.execute(_SESSIONS, (self._dice.randint(1, _MOST_SESSIONS),))
        return [pid for (pid,) in rows]

    def _restart(self) -> bool:
        before = self._server.pid
        return self._server.restart("immediate").pid != before

    def _crash(self) -> bool:
        before = self._server.pid
        self._server.kill()
        return self._server.start().pid != before


def _ended(connection: psycopg.Connection[Any], session: int) -> bool:
    row = connection.execute("select pg_terminate_backend(%s)", (session,)).fetchone()
    return bool(row and row[0])
