"""One request to Postgres, within its time: as a Kafka client does, it waits for a server that is away.

What a client asks for beside its stream of records goes through here: metadata, offsets, the calls of the admin client.
"""

import math
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from shim.errors import KafkaError, KafkaException, from_postgres
from shim.protocol.codes import Local
from shim.store import bounds
from shim.store.errors import StoreError
from shim.store.part import backoff
from shim.store.pool import Connection, Pool
from shim.store.statements import Schemas

T = TypeVar("T")

_BOUNDS = bounds.load(Schemas({}))
_LONGEST_WAIT = 5.0
_LONGEST_STATEMENT = 3600.0
_LONGEST_SILENCE = 60.0
_GRACE = 1.0
"""The server's own limit comes first; only one that is silent is given up."""
_AWAY = frozenset({Local.TRANSPORT, Local.RESOLVE, Local.TIMED_OUT})


class Deadline:
    """When a request has to be done.

    Args:
        seconds: from now on; negative for never.
    """

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = math.inf if seconds < 0 else time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """The seconds that are left, never negative."""
        return max(0.0, self._end - time.monotonic())


def read(pool: Pool, deadline: Deadline, work: Callable[[Connection], T]) -> T:
    """Runs ``work``, which changes nothing, in a transaction that ends in time; again when the connection breaks.

    Args:
        pool: where connections come from.
        deadline: until when to wait for a server that is away, for a free connection, or for the answer.
        work: what is asked.

    Raises:
        KafkaException: Postgres refused, or stayed away.
    """

    def bounded(conn: Connection) -> T:
        with conn.transaction():
            bound(conn, deadline)
            return work(conn)

    return _ask(pool, deadline, bounded, again=True)


def ask(pool: Pool, deadline: Deadline, work: Callable[[Connection], T]) -> T:
    """Runs ``work`` once, outside of any transaction.

    Args:
        pool: where connections come from.
        deadline: until when to wait for a server that is away, for a free connection, or for the answer.
        work: what is to be done.

    Raises:
        KafkaException: Postgres refused, stayed away, or did not answer; then nobody knows whether it was done.
    """
    return _ask(pool, deadline, work, again=False)


def bound(conn: Connection, deadline: Deadline) -> None:
    """Lets no statement of the caller's transaction take longer than there is time."""
    seconds = math.ceil(min(deadline.remaining, _LONGEST_STATEMENT)) or 1
    bounds.bound(conn, _BOUNDS, lock_s=seconds, statement_s=seconds)


def prefixed(failure: KafkaException, attempt: str) -> KafkaException:
    """Returns the failure with what was attempted in front of its text."""
    error: KafkaError = failure.args[0]
    return KafkaException(KafkaError(error.code(), f"{attempt}: {error.str()}", retriable=error.retriable()))


def _ask(pool: Pool, deadline: Deadline, work: Callable[[Connection], T], *, again: bool) -> T:
    failures = 0
    while True:
        begun = False
        try:
            patience = min(deadline.remaining, _LONGEST_SILENCE if again else _LONGEST_STATEMENT) + _GRACE
            with pool.connection(min(deadline.remaining, _LONGEST_WAIT), patience=patience) as conn:
                begun = True
                return work(conn)
        except StoreError as failure:
            raise KafkaException(KafkaError(Local.INCONSISTENT, str(failure))) from failure
        except psycopg.Error as failure:
            error = from_postgres(failure)
            failures += 1
            hopeless = error.code() not in _AWAY or (begun and not (again and conn.closed))
            if hopeless or not deadline.remaining:
                raise KafkaException(error) from failure
        time.sleep(min(backoff(failures), deadline.remaining))
