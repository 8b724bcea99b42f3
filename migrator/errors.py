"""What the migrator tells people when something did not go as asked.

Every failure carries four things: what happened to which thing and why (the message), the next command
(the hint), and the exit status that scripts rely on. The statuses are those of the README's table.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of the ``migrator`` command."""

    DONE = 0
    ANSWER_IS_NO = 1
    USAGE = 2
    CANNOT_START = 3
    REFUSED = 4
    STOPPED = 5
    INCONCLUSIVE = 6
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


class MigratorError(Exception):
    """A failure meant to be read by a person.

    Attributes:
        message: what happened, to which thing, and why; lower case, no full stop, never a payload or a secret.
        hint: the next command or step, ready to paste; may be several lines.
        code: a stable name for scripts, such as ``broker-unreachable``.
        exit: the exit status.
    """

    exit: Exit = Exit.BUG

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint


class UsageError(MigratorError):
    """The command line contradicts itself or names something that cannot be."""

    exit = Exit.USAGE


class CannotStartError(MigratorError):
    """A connection, a permission, a topic or the schema is missing: nothing was changed."""

    exit = Exit.CANNOT_START


class RefusedError(MigratorError):
    """Going on could lose, double or alter something, or needs a decision that only the user can make."""

    exit = Exit.REFUSED


class StoppedError(MigratorError):
    """Stopped part-way with everything so far committed; the hint is the command that resumes."""

    exit = Exit.STOPPED
