"""What makes a consumer look up from its messages: another thread that rings, or the time that has gone by."""


class Bell:
    """Rung from any thread; answered in the application's, inside poll.

    Attributes:
        rung: whether it was, since it was last answered.
        due: when to look up in any case, by ``time.monotonic``.
    """

    __slots__ = ("due", "rung")

    def __init__(self) -> None:
        self.rung = True
        self.due = 0.0

    def ring(self) -> None:
        """Asks for attention."""
        self.rung = True

    def answer(self) -> None:
        """Takes note, before looking, so that nothing is missed meanwhile; a look stays due until ``due`` is set."""
        self.rung = False
        self.due = 0.0
