"""What a client tells its application besides messages: errors, statistics, lines for its log.

Callbacks run in the application's thread, inside poll and its like; so does a logger that the application handed in.
"""

import logging
from collections.abc import Callable

from shim.client.inbox import Inbox, Notice
from shim.config.settings import Settings, Severity
from shim.errors import KafkaError
from shim.protocol.codes import Local
from shim.store.meter import meter

_AWAY = frozenset({Local.TRANSPORT, Local.RESOLVE, Local.SSL, Local.AUTHENTICATION})


class Notices:
    """One client's voice.

    Args:
        settings: its callbacks and its logger.
        inbox: where calls wait for the application.
    """

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox
        self._trouble: tuple[int, str] | None = None
        # Only one that the application handed in may mind in which thread it is called.
        self._direct = settings.logger is logging.getLogger("shim")

    def trouble(self, error: KafkaError) -> None:
        """Tells of a failure that will be tried again; the same one is told once, until things go well again."""
        meter.count("errors", error.name())
        meter.mark("error")
        known, self._trouble = self._trouble, (error.code(), error.str())
        if known == self._trouble:
            return
        self.log(Severity.ERROR, "FAIL", error.str())
        if error.code() == Local.RETRY:  # two writers met; nobody needs to know
            return
        self._error(error)
        if error.code() in _AWAY and (known is None or known[0] not in _AWAY):
            self._error(KafkaError(Local.ALL_BROKERS_DOWN, "1/1 brokers are down"))

    def well(self) -> None:
        """Takes note that Postgres answers."""
        if self._trouble is not None:
            self._trouble = None
            self.log(Severity.INFO, "UP", "Postgres answers again")

    def log(self, severity: Severity, facility: str, text: str) -> None:
        """Logs a line, from any thread."""
        if self._direct:
            self._settings.log(severity, facility, text)
        else:
            self._post(lambda: self._settings.log(severity, facility, text))

    def statistics(self, document: str) -> None:
        """Hands statistics to the application."""
        tell = self._settings.stats_cb
        if tell is not None:
            self._post(lambda: tell(document))

    def _error(self, error: KafkaError) -> None:
        tell = self._settings.error_cb
        if tell is not None:
            self._post(lambda: tell(error))

    def _post(self, call: Callable[[], object]) -> None:
        self._inbox.post(Notice(call))
