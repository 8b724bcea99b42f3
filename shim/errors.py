"""``KafkaError`` and the exceptions that carry it, and which of them a failure of Postgres becomes.

A ``KafkaError`` is a value first: a code, a text, three marks. It is handed to callbacks, stands in ``Message.error()``
and ``TopicPartition.error``, and travels in ``KafkaException.args[0]``. Here it is an ``Exception`` too, so that one
that is raised is also caught.
"""

import builtins
import re
from operator import index
from typing import NamedTuple

import psycopg
from psycopg_pool import PoolTimeout

from shim.protocol.code_names import CodeNames
from shim.protocol.codes import Broker, Local, name_of, text_of
from shim.protocol.integers import int32
from shim.store.errors import (
    OffsetRangeError,
    PartitionCountError,
    SchemaMissingError,
    SchemaVersionError,
    SequencerError,
    StoreError,
    TopicNameError,
    UnknownPartitionError,
)


class KafkaError(CodeNames, Exception):
    """An error or an event.

    Equal, ordered and hashed by its code alone, and comparable with a code. Comparing with anything else raises
    TypeError, as the original does.

    Args:
        error: the code.
        reason: a text in place of the code's own.
        fatal: the client cannot go on.
        retriable: the same call may succeed later.
        txn_requires_abort: the transaction must be aborted.
    """

    def __init__(
        self,
        error: int,
        reason: builtins.str | None = None,
        fatal: bool = False,
        retriable: bool = False,
        txn_requires_abort: bool = False,
    ) -> None:
        if not isinstance(reason, builtins.str | None):
            raise TypeError(f"argument 2 must be str or None, not {type(reason).__name__}")
        super().__init__(error, reason)
        self._code = int32(error)
        self._text = text_of(self._code) if reason is None else reason
        self._fatal = bool(index(fatal))
        self._retriable = bool(index(retriable))
        self._txn_requires_abort = bool(index(txn_requires_abort))

    def code(self) -> int:
        """Returns the code, such as ``KafkaError._PARTITION_EOF``."""
        return self._code

    def name(self) -> builtins.str:
        """Returns the code's name, such as ``_PARTITION_EOF``."""
        return name_of(self._code)

    def str(self) -> builtins.str:
        """Returns the text."""
        return self._text

    def fatal(self) -> bool:
        """Whether the client cannot go on."""
        return self._fatal

    def retriable(self) -> bool:
        """Whether the same call may succeed later."""
        return self._retriable

    def txn_requires_abort(self) -> bool:
        """Whether the transaction must be aborted."""
        return self._txn_requires_abort

    def __repr__(self) -> builtins.str:
        fatal = "FATAL," if self._fatal else ""
        return f'KafkaError{{{fatal}code={self.name()},val={self._code},str="{self._text}"}}'

    __str__ = __repr__

    def __reduce__(self) -> tuple[type["KafkaError"], tuple[int, builtins.str, bool, bool, bool]]:
        return type(self), (self._code, self._text, self._fatal, self._retriable, self._txn_requires_abort)

    def __hash__(self) -> int:
        return self._code

    def __eq__(self, other: object) -> bool:
        return self._code == _code_of(other)

    def __lt__(self, other: "KafkaError | int") -> bool:
        return self._code < _code_of(other)

    def __le__(self, other: "KafkaError | int") -> bool:
        return self._code <= _code_of(other)

    def __gt__(self, other: "KafkaError | int") -> bool:
        return self._code > _code_of(other)

    def __ge__(self, other: "KafkaError | int") -> bool:
        return self._code >= _code_of(other)


class KafkaException(Exception):  # noqa: N818  the name is the API's
    """What is raised for a ``KafkaError``, which is ``args[0]``."""


class IllegalStateException(RuntimeError):  # noqa: N818  the name is the API's
    """A call that the state of a share consumer does not allow."""


class ConcurrentModificationException(RuntimeError):  # noqa: N818  the name is the API's
    """Two threads used one share consumer at the same time."""


class _Verdict(NamedTuple):
    code: Local | Broker
    retriable: bool = False
    txn_requires_abort: bool = False
    quoted: bool = True


_LOST = _Verdict(Local.TRANSPORT, retriable=True)
_LATE = _Verdict(Local.TIMED_OUT, retriable=True)
_AGAIN = _Verdict(Local.RETRY, retriable=True, txn_requires_abort=True)
_MISSING = _Verdict(Local.NOT_CONFIGURED)
_REFUSED_RECORD = _Verdict(Broker.INVALID_RECORD, quoted=False)
_UNKNOWN = _Verdict(Broker.UNKNOWN, quoted=False)

_BY_SQLSTATE = {
    "25006": _Verdict(Local.READ_ONLY, retriable=True),
    "25P03": _LATE,
    "3D000": _MISSING,
    "3F000": _MISSING,
    "42P01": _MISSING,
    "42501": _Verdict(Broker.TOPIC_AUTHORIZATION_FAILED),
    "53100": _Verdict(Broker.KAFKA_STORAGE_ERROR, retriable=True),
    "53300": _LOST,
    "55P03": _LATE,
    "57014": _LATE,
    "58030": _Verdict(Broker.KAFKA_STORAGE_ERROR, retriable=True),
}
_BY_CLASS = {
    "08": _LOST,
    "0A": _Verdict(Local.UNSUPPORTED_FEATURE),
    "22": _REFUSED_RECORD,
    "23": _REFUSED_RECORD,
    "28": _Verdict(Local.AUTHENTICATION),
    "40": _AGAIN,
    "53": _Verdict(Local.CRIT_SYS_RESOURCE, retriable=True),
    "54": _Verdict(Broker.MSG_SIZE_TOO_LARGE, quoted=False),
    "57": _LOST,
}
_BY_TEXT = (
    (re.compile(r"password|authentication|pg_hba|role .* does not exist|SASL", re.IGNORECASE), Local.AUTHENTICATION),
    (re.compile(r"resolve|translate host|Name or service|nodename", re.IGNORECASE), Local.RESOLVE),
    (re.compile(r"database .* does not exist|no such database", re.IGNORECASE), Local.NOT_CONFIGURED),
    (re.compile(r"certificate|SSL|TLS"), Local.SSL),
)
"""How libpq tells why it could not connect: there is no SQLSTATE before there is a session."""

_BY_STORE_ERROR: dict[type[StoreError], Local | Broker] = {
    OffsetRangeError: Broker.OFFSET_OUT_OF_RANGE,
    PartitionCountError: Broker.INVALID_PARTITIONS,
    SchemaMissingError: Local.NOT_CONFIGURED,
    SchemaVersionError: Local.NOT_CONFIGURED,
    SequencerError: Local.STATE,
    TopicNameError: Broker.TOPIC_EXCEPTION,
    UnknownPartitionError: Local.UNKNOWN_PARTITION,
}
_NEXT_STEP: dict[type[Exception], str] = {
    SchemaMissingError: "; migrator init creates them",
    SequencerError: "; migrator cutover hands it over",
    psycopg.errors.UndefinedTable: "; migrator init creates it",
}
_FROM_SERVER = re.compile(r"(?:FATAL|ERROR): +([^\n]*)")
_GROUP_TABLES = re.compile(r"\bjob_group")


def from_postgres(failure: Exception) -> KafkaError:
    """Returns what a failure of the database, or of the store upon it, is called in Kafka's words.

    The text tells the SQLSTATE, and what the server said only where that cannot quote a row or a secret.
    """
    if isinstance(failure, PoolTimeout):
        return _named(_LATE, "no connection to Postgres came free in time")
    next_step = _NEXT_STEP.get(type(failure), "")
    if isinstance(failure, StoreError):
        return _named(_Verdict(_BY_STORE_ERROR.get(type(failure), Local.INCONSISTENT)), f"{failure}{next_step}")
    if not isinstance(failure, psycopg.Error):
        return _named(_LATE if isinstance(failure, TimeoutError) else _UNKNOWN, type(failure).__name__)
    if failure.sqlstate is None:
        return _unconnected(failure)
    verdict = _BY_SQLSTATE.get(failure.sqlstate) or _BY_CLASS.get(failure.sqlstate[:2], _UNKNOWN)
    said = _said(failure) if verdict.quoted else type(failure).__name__
    if failure.sqlstate == "42501" and _GROUP_TABLES.search(said):
        verdict = _Verdict(Broker.GROUP_AUTHORIZATION_FAILED)
    return _named(verdict, f"{said} (SQLSTATE {failure.sqlstate}){next_step}")


def _said(failure: psycopg.Error) -> str:
    """What has a context was raised in a function, and a user's own trigger may quote the row."""
    return type(failure).__name__ if failure.diag.context else failure.diag.message_primary or ""


def _unconnected(failure: psycopg.Error) -> KafkaError:
    """Only what the server itself said is repeated: libpq's own words may hold a piece of a mistyped password."""
    if not isinstance(failure, psycopg.OperationalError):
        return _named(_UNKNOWN, type(failure).__name__)
    text = str(failure)
    code = next((code for pattern, code in _BY_TEXT if pattern.search(text)), Local.TRANSPORT)
    said = _FROM_SERVER.search(text)
    return _named(_Verdict(code, retriable=True), said.group(1) if said else "no connection to Postgres")


def _named(verdict: _Verdict, detail: str) -> KafkaError:
    return KafkaError(
        verdict.code,
        f"{verdict.code.text}: {detail}",
        retriable=verdict.retriable,
        txn_requires_abort=verdict.txn_requires_abort,
    )


def _code_of(other: object) -> int:
    if isinstance(other, KafkaError):
        return other.code()
    return index(other)  # type: ignore[arg-type]  # index() is what tells an integer from the rest
