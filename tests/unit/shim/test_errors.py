"""``KafkaError`` and its exceptions against the installed original, and what a failure of Postgres is called."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import confluent_kafka
import confluent_kafka.error
import psycopg
import pytest
from psycopg_pool import PoolTimeout

import shim.error
from shim.errors import (
    ConcurrentModificationException,
    IllegalStateException,
    KafkaError,
    KafkaException,
    from_postgres,
)
from shim.message import Message
from shim.protocol.codes import Broker, Local
from shim.serialization import SerializationError
from shim.store.errors import SequencerError, StoreError
from tests.unit.shim.original import outcome

NAMES = [name for name in vars(confluent_kafka.KafkaError) if isinstance(vars(confluent_kafka.KafkaError)[name], int)]
ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((3,), {}),
    ((3, "why"), {}),
    ((3, ""), {}),
    ((3, None), {}),
    ((3, 'a "quoted" word', True), {}),
    ((-191, "end", False, True, True), {}),
    ((0,), {}),
    ((True,), {}),
    ((12345,), {}),
    ((-500,), {}),
    ((), {"error": 3, "reason": "why", "fatal": True, "retriable": 1, "txn_requires_abort": 0}),
]
WRONG: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    (("3",), {}),
    ((None,), {}),
    ((1.5,), {}),
    ((3, 5), {}),
    ((3, b"why"), {}),
    ((3, "why", "yes"), {}),
    ((10**10,), {}),
    ((-(10**10),), {}),
    ((), {"code": 3}),
    ((3,), {"nonsense": 1}),
]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def test_there_are_188_codes_under_their_names() -> None:
    assert len(NAMES) == len(Local) + len(Broker) == 188
    for name in NAMES:
        code = getattr(confluent_kafka.KafkaError, name)
        assert type(getattr(KafkaError, name)) is int
        assert getattr(KafkaError, name) == code
        assert KafkaError(code).name() == confluent_kafka.KafkaError(code).name() == name
        assert KafkaError(code).str() == confluent_kafka.KafkaError(code).str()


def test_type_checkers_know_every_name() -> None:
    annotated = {name for kind in KafkaError.__mro__ for name in vars(kind).get("__annotations__", {})}
    assert annotated == set(NAMES)


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS)
def test_an_error_tells_what_it_was_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    def told(error: Any) -> list[object]:
        readers = ("code", "name", "str", "fatal", "retriable", "txn_requires_abort")
        return [*(getattr(error, name)() for name in readers), repr(error), str(error), bool(error), hash(error)]

    assert told(KafkaError(*args, **kwargs)) == told(confluent_kafka.KafkaError(*args, **kwargs))


@pytest.mark.parametrize(("args", "kwargs"), WRONG)
def test_an_error_is_made_of_a_code_and_a_text(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    expected, _ = outcome(lambda: confluent_kafka.KafkaError(*args, **kwargs))
    assert outcome(lambda: KafkaError(*args, **kwargs))[0] == expected in {"TypeError", "OverflowError"}


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("other", [3, 4, -1, True])
def test_an_error_compares_as_its_code(compare: Callable[[Any, Any], Any], other: int) -> None:
    theirs, ours = confluent_kafka.KafkaError(3), KafkaError(3)
    assert compare(ours, other) is compare(theirs, other)
    assert compare(other, ours) is compare(other, theirs)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("other", [1.5, None, "3", (3,)])
def test_an_error_compares_with_nothing_else(compare: Callable[[Any, Any], Any], other: object) -> None:
    """The original returns False and leaves a TypeError behind, which breaks out at the next call into C."""
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        compare(KafkaError(3), other)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        compare(other, KafkaError(3))


@pytest.mark.parametrize("compare", COMPARISONS)
def test_errors_compare_with_each_other(compare: Callable[[Any, Any], Any]) -> None:
    for code in (2, 3, 4):
        expected = compare(confluent_kafka.KafkaError(3, "a"), confluent_kafka.KafkaError(code, "b"))
        assert compare(KafkaError(3, "a"), KafkaError(code, "b")) is expected


def test_an_unknown_error_can_be_hashed() -> None:
    assert {KafkaError(Broker.UNKNOWN): "the original fails"}[KafkaError(-1)]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301  our own
def test_an_error_can_be_copied(copied: Callable[[Any], Any]) -> None:
    twin = copied(KafkaError(3, "why", True, True, True))
    assert repr(twin) == 'KafkaError{FATAL,code=UNKNOWN_TOPIC_OR_PART,val=3,str="why"}'
    assert twin.retriable() is twin.txn_requires_abort() is True


def test_an_error_that_is_raised_is_caught() -> None:
    with pytest.raises(Exception, match="why") as caught:
        raise KafkaError(Local.STATE, "why")
    assert isinstance(caught.value, KafkaError)
    assert caught.value == KafkaError._STATE  # noqa: SLF001  the API's spelling


def test_exceptions_are_what_the_original_has() -> None:
    for ours, theirs in (
        (KafkaException, confluent_kafka.KafkaException),
        (IllegalStateException, confluent_kafka.IllegalStateException),
        (ConcurrentModificationException, confluent_kafka.ConcurrentModificationException),
    ):
        assert [kind.__name__ for kind in ours.__mro__] == [kind.__name__ for kind in theirs.__mro__]
        assert str(ours("a", 1)) == str(theirs("a", 1))
        assert ours("a", 1).args == ("a", 1)


def test_an_exception_survives_pickle() -> None:
    raised = KafkaException(KafkaError(Local.STATE, "why"))
    assert repr(pickle.loads(pickle.dumps(raised))) == repr(raised)  # noqa: S301  our own


@pytest.mark.parametrize(
    "name",
    [
        "ConsumeError",
        "ProduceError",
        "KeySerializationError",
        "ValueSerializationError",
        "KeyDeserializationError",
        "ValueDeserializationError",
    ],
)
def test_errors_of_the_serializing_clients(name: str) -> None:
    theirs, ours = getattr(confluent_kafka.error, name), getattr(shim.error, name)
    converting = name not in {"ConsumeError", "ProduceError"}
    cause = ValueError("no bytes")
    expected = theirs(cause) if converting else theirs(confluent_kafka.KafkaError(-191), cause)
    error = ours(cause) if converting else ours(KafkaError(-191), cause)
    assert (error.code, error.name, str(error)) == (expected.code, expected.name, str(expected))
    assert error.exception is expected.exception is cause
    assert error.kafka_message is expected.kafka_message is None
    assert isinstance(error, KafkaException)
    assert isinstance(error, SerializationError) is converting


def test_errors_of_the_serializing_clients_survive_pickle() -> None:
    error = shim.error.KeyDeserializationError(ValueError("no bytes"), Message("t", 1, 2))
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert (twin.code, twin.name, str(twin)) == (error.code, error.name, str(error))
    assert twin.kafka_message == error.kafka_message
    assert repr(twin.exception) == repr(error.exception)


class Diagnosed(psycopg.Error):
    """An error of Postgres with a SQLSTATE and a text, as psycopg's own are when a server sent them."""

    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate
        self._text = text

    @property
    def diag(self) -> Any:
        return type("Diagnostic", (), {"message_primary": self._text, "context": None})


@pytest.mark.parametrize(
    ("sqlstate", "code", "retriable", "abort"),
    [
        ("08006", Local.TRANSPORT, True, False),
        ("57P01", Local.TRANSPORT, True, False),
        ("57P03", Local.TRANSPORT, True, False),
        ("53300", Local.TRANSPORT, True, False),
        ("28P01", Local.AUTHENTICATION, False, False),
        ("28000", Local.AUTHENTICATION, False, False),
        ("57014", Local.TIMED_OUT, True, False),
        ("55P03", Local.TIMED_OUT, True, False),
        ("40001", Local.RETRY, True, True),
        ("40P01", Local.RETRY, True, True),
        ("25006", Local.READ_ONLY, True, False),
        ("53100", Broker.KAFKA_STORAGE_ERROR, True, False),
        ("53200", Local.CRIT_SYS_RESOURCE, True, False),
        ("42501", Broker.TOPIC_AUTHORIZATION_FAILED, False, False),
        ("42P01", Local.NOT_CONFIGURED, False, False),
        ("22021", Broker.INVALID_RECORD, False, False),
        ("23505", Broker.INVALID_RECORD, False, False),
        ("54000", Broker.MSG_SIZE_TOO_LARGE, False, False),
        ("0A000", Local.UNSUPPORTED_FEATURE, False, False),
        ("XX000", Broker.UNKNOWN, False, False),
    ],
)
def test_a_sqlstate_becomes_a_code(sqlstate: str, code: int, retriable: bool, abort: bool) -> None:
    error = from_postgres(Diagnosed(sqlstate, "what the server said"))
    assert error == code
    assert (error.retriable(), error.txn_requires_abort(), error.fatal()) == (retriable, abort, False)
    assert f"SQLSTATE {sqlstate}" in error.str()


@pytest.mark.parametrize("sqlstate", ["22P02", "23505", "23514", "54000", "P0001", "XX001"])
def test_what_may_quote_a_row_is_not_repeated(sqlstate: str) -> None:
    assert "4711" not in from_postgres(Diagnosed(sqlstate, 'invalid input syntax for type json: "4711"')).str()


def test_a_group_is_forbidden_by_its_own_code() -> None:
    error = from_postgres(Diagnosed("42501", "permission denied for table job_group_offset"))
    assert error == Broker.GROUP_AUTHORIZATION_FAILED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused', Local.TRANSPORT),
        ("server closed the connection unexpectedly", Local.TRANSPORT),
        ("failed to resolve host 'ss@nowhere': [Errno -2] Name or service not known", Local.RESOLVE),
        ('connection failed: FATAL:  password authentication failed for user "u"', Local.AUTHENTICATION),
        ('connection failed: FATAL:  no pg_hba.conf entry for host "1.2.3.4"', Local.AUTHENTICATION),
        ('connection failed: FATAL:  role "u" does not exist', Local.AUTHENTICATION),
        ('connection failed: FATAL:  database "d" does not exist', Local.NOT_CONFIGURED),
        ("connection failed: SSL error: certificate verify failed", Local.SSL),
        ("connection failed: FATAL:  sorry, too many clients already", Local.TRANSPORT),
    ],
)
def test_a_failed_connection_becomes_a_code(text: str, code: int) -> None:
    error = from_postgres(psycopg.OperationalError(text))
    assert error == code
    assert error.retriable()
    said = text.partition("FATAL:  ")[2]
    assert error.str().endswith(said or "no connection to Postgres")


def test_nothing_of_a_connection_string_is_repeated() -> None:
    with pytest.raises(psycopg.Error) as caught:
        psycopg.connect("postgresql://u:secret%zz@h/x")
    assert "secret" in str(caught.value)
    assert "secret" not in from_postgres(caught.value).str()
    assert "ss@nowhere" not in from_postgres(psycopg.OperationalError("failed to resolve host 'ss@nowhere'")).str()


def test_other_failures_have_codes_too() -> None:
    assert from_postgres(PoolTimeout("no connection")) == Local.TIMED_OUT
    assert from_postgres(SequencerError("emails")) == Local.STATE
    assert "'emails'" in from_postgres(SequencerError("emails")).str()
    assert from_postgres(StoreError("odd")) == Local.INCONSISTENT
    assert from_postgres(RuntimeError("a payload")).str() == "Unknown broker error: RuntimeError"
