"""What processes write down is read again as it was, even if they are killed while they write."""

import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shim
from tests.histories import journal
from tests.histories.journal import Journal, paired, parsed
from tests.histories.nemesis.deck import DECK, Fault
from tests.histories.operation import Event, Facts, Operation, Position, Rebalance, Record, Send
from tests.histories.workload.certainty import rolled_back, unwritten

T = TypeVar("T")
_ROOT = Path(__file__).parents[2]


def _few(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


_TEXT = st.text(max_size=8)
_LOGS = st.tuples(_TEXT, st.integers(0, 9))
_OFFSETS = st.integers(0, 2**40)
_SENDS = st.builds(Send, _TEXT, _TEXT, st.none() | st.integers(0, 9), st.none() | _OFFSETS)
_RECORDS = st.builds(Record, _TEXT, st.integers(0, 9), _OFFSETS, _TEXT)
_REBALANCES = st.builds(Rebalance, st.sampled_from(("assign", "revoke", "lost")), _few(_LOGS))
_POSITIONS = st.builds(Position, _TEXT, st.integers(0, 9), _OFFSETS)
_FACTS = st.builds(
    Facts,
    sends=_few(_SENDS),
    records=_few(_RECORDS),
    rebalances=_few(_REBALANCES),
    positions=_few(_POSITIONS),
    group=st.none() | _TEXT.filter(bool),
    paused=_few(_LOGS),
    committing=st.none() | st.floats(1, 1e6),
    error=st.none() | _TEXT.filter(bool),
)


@given(_FACTS)
def test_a_line_says_everything(facts: Facts) -> None:
    event = Event("p", 1, "poll", "ok", 1.5, facts)
    assert Event.parse(event.line()) == event
    assert event.line().count("\n") == 1


def test_an_operation_knows_what_it_was_begun_with_and_what_it_ended_with() -> None:
    begun = Event("p", 1, "send", "invoke", 1.0, Facts(sends=(Send("a", "t"),), group="g"))
    ended = Event("p", 1, "send", "ok", 2.0, Facts(sends=(Send("a", "t", 0, 7),)))
    (operation,) = paired([begun, ended])
    assert operation == Operation("p", 1, "send", "ok", Facts(sends=(Send("a", "t", 0, 7),), group="g"), 1.0, 2.0)


def test_an_operation_that_never_ended_is_unknown() -> None:
    (operation,) = paired([Event("p", 1, "send", "invoke", 1.0)])
    assert operation.outcome == "info"
    assert operation.ended == float("inf")


def test_a_torn_last_line_is_left_out() -> None:
    whole = Event("p", 1, "send", "invoke", 1.0).line()
    assert len(list(parsed([whole, whole[:20]]))) == 1


def test_a_torn_line_before_the_last_is_an_error() -> None:
    whole = Event("p", 1, "send", "invoke", 1.0).line()
    with pytest.raises(ValueError, match="Unterminated"):
        list(parsed([whole[:20], whole]))


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    one, other = Journal(tmp_path, "one"), Journal(tmp_path, "other")
    first, second, third = (writer.invoke("poll") for writer in (one, other, one))
    third.info()
    second.fail()
    first.ok()
    one.close()
    other.close()
    history = journal.read(tmp_path)
    assert [(operation.process, operation.outcome) for operation in history] == [
        ("one", "ok"),
        ("other", "fail"),
        ("one", "info"),
    ]


_ENDLESS = """
import sys
from itertools import count
from pathlib import Path
from typing import TypeVar
from tests.histories.journal import Journal
from tests.histories.operation import Facts

journal = Journal(Path(sys.argv[1]), "p")
for number in count():
    journal.invoke("send", Facts(error="x" * 3000)).ok()
    print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_had_written(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _ENDLESS, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        written = list(takewhile(lambda number: number < 50, map(int, process.stdout)))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    certain = [operation for operation in journal.read(tmp_path) if operation.outcome == "ok"]
    assert len(certain) >= len(written) == 50


@pytest.mark.parametrize(
    ("code", "certain"),
    [
        (shim.KafkaError._PURGE_QUEUE, True),  # noqa: SLF001 - the original's spelling
        (shim.KafkaError.MSG_SIZE_TOO_LARGE, True),
        (shim.KafkaError._PURGE_INFLIGHT, False),  # noqa: SLF001 - the same
        (shim.KafkaError._MSG_TIMED_OUT, False),  # noqa: SLF001 - the same
        (shim.KafkaError.NOT_LEADER_FOR_PARTITION, False),
        (shim.KafkaError.UNKNOWN, False),
    ],
)
def test_only_what_is_listed_was_certainly_not_written(code: int, certain: bool) -> None:
    assert unwritten(shim.KafkaError(code)) == certain


@pytest.mark.parametrize(
    ("failure", "certain"),
    [
        (psycopg.errors.SerializationFailure, True),
        (psycopg.errors.AdminShutdown, False),
        (psycopg.errors.CrashShutdown, False),
        (psycopg.OperationalError, False),
    ],
)
def test_only_what_is_listed_was_certainly_rolled_back(failure: type[psycopg.Error], certain: bool) -> None:
    assert rolled_back(failure()) == certain


def test_every_fault_is_in_the_deck() -> None:
    assert set(DECK) == set(Fault)
    assert all(times > 0 for times in DECK.values())
