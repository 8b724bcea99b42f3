"""Topics that the user names: they have to be registered, and a typo is answered."""

from collections.abc import Sequence
from difflib import get_close_matches

from migrator.errors import CannotStartError, UsageError
from migrator.postgres import Connection
from shim.store import topics


def known_topics(conn: Connection, statements: topics.Texts, wanted: Sequence[str], *, lister: str) -> list[str]:
    """Returns the topics that are registered.

    Args:
        conn: a connection.
        statements: from `topics.load`, or more.
        wanted: the names that the user gave.
        lister: the command that lists them.

    Raises:
        CannotStartError: one of those wanted is not among them.
    """
    known = [one.topic for one in topics.list_topics(conn, statements)]
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise CannotStartError(
                f"topic {name!r} is not registered here",
                code="topic-unknown",
                hint=f"did you mean {close[0]!r}?" if close else f"{lister} lists the topics",
            )
    return known


def named(chosen: Sequence[str], *, lister: str) -> Sequence[str]:
    """Returns what was chosen, each topic once.

    Raises:
        UsageError: nothing was.
    """
    if not chosen:
        raise UsageError("which topic?", code="topic-missing", hint=f"add --topic NAME; {lister} lists them")
    return list(dict.fromkeys(chosen))
