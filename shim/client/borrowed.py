"""The psycopg connection inside what an application works with: its own transaction, whatever wraps it.

SQLAlchemy and Django are recognised by their shape; neither is imported.
"""

from typing import Any

import psycopg
from psycopg import pq

from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Local

_DEPTH = 5
_NO_TRANSACTION = f"{Local.STATE.text}: the connection is in autocommit, and no transaction has been begun"


def psycopg_connection(given: object) -> psycopg.Connection[Any]:
    """Returns the psycopg connection of a transaction that the application has begun, or will.

    Args:
        given: a psycopg connection; a SQLAlchemy ``Session`` or ``Connection``, or Django's ``connection``, with
            psycopg 3 beneath.

    Raises:
        TypeError: there is no psycopg 3 connection in it that this thread could use.
    """
    inner: Any = given
    for _ in range(_DEPTH):
        if isinstance(inner, psycopg.Connection):
            return inner
        _refuse_others(inner)
        inner = _unwrapped(inner)
        if inner is None:
            break
    raise TypeError(
        f"expected a psycopg connection, a SQLAlchemy Session or Connection, or a Django connection, not {_name(given)}"
    )


def begun(connection: object) -> psycopg.Connection[Any]:
    """Returns the psycopg connection of a transaction that the application has begun; what is done there is its own.

    Raises:
        KafkaException: the connection is in autocommit, and no transaction has been begun.
        TypeError: there is no psycopg 3 connection in what was given.
    """
    caller = psycopg_connection(connection)
    _begin(connection)
    if caller.autocommit and caller.info.transaction_status == pq.TransactionStatus.IDLE:
        raise KafkaException(KafkaError(Local.STATE, _NO_TRANSACTION))
    return caller


def _begin(connection: Any) -> None:
    """Lets SQLAlchemy's connection know that it is used: else its ``commit()`` does nothing, and all is lost."""
    in_transaction = getattr(connection, "in_transaction", None)
    if callable(in_transaction) and not in_transaction():
        connection.begin()


def _unwrapped(outer: Any) -> Any:
    if callable(getattr(outer, "ensure_connection", None)):  # Django, which connects when it is first used
        outer.ensure_connection()
        return outer.connection
    driver = getattr(outer, "driver_connection", None)  # SQLAlchemy's connection from its pool
    if driver is not None:
        return driver
    inner = getattr(outer, "connection", None)  # SQLAlchemy: of a Session a method, of a Connection a property
    return inner() if callable(inner) else inner


def _refuse_others(inner: Any) -> None:
    module = type(inner).__module__.split(".")
    if module[0] == "psycopg2":
        raise TypeError("this is a connection of psycopg2; wanted is one of psycopg 3 (package 'psycopg')")
    if isinstance(inner, psycopg.AsyncConnection) or "asyncio" in module:
        raise TypeError(f"wanted is a synchronous connection, not {_name(inner)}")


def _name(given: object) -> str:
    return f"{type(given).__module__}.{type(given).__qualname__}"
