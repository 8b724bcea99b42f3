"""What a dual producer is made of, without any server: ids, headers, outcomes, roles."""

import logging
import os
import subprocess
import sys
import threading
from typing import Any

import confluent_kafka
import pytest

import shim
from migrator.embedded.process import wait_until
from shim.mirroring import refusals
from shim.mirroring.outcomes import Outcomes, Tally
from shim.mirroring.role import Role
from shim.mirroring.stamp import Stamp, uuid7
from shim.store.dual_modes import Mode
from shim.store.message_id import HEADERS, MESSAGE_ID, PRODUCER, SEQUENCE, message_id
from shim.store.rows import encode_tail, tail_headers
from shim.store.values import View

NAME = MESSAGE_ID.encode()


def test_ids_hold_their_time_and_sort_by_it() -> None:
    ids = [uuid7(milliseconds) for milliseconds in (0, 1, 1_700_000_000_000, 2**48 - 1)]
    assert ids == sorted(ids)
    assert [one.int >> 80 for one in ids] == [0, 1, 1_700_000_000_000, 2**48 - 1]
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert len({uuid7(5) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("headers", [None, [], {}, [("a", b"1"), ("a", None)], {"a": "1", SEQUENCE: "9"}])
def test_a_stamp_comes_behind_the_application_s_headers_and_replaces_an_older_one(headers: Any) -> None:
    stamp = Stamp()
    stamped = stamp.stamp(headers)
    again = stamp.stamp(stamped.headers)
    own = [(name, value) for name, value in dict(headers or {}).items() if name not in HEADERS]
    for one, sequence in ((stamped, "1"), (again, "2")):
        assert [name for name, _ in one.headers[-3:]] == [MESSAGE_ID, PRODUCER, SEQUENCE]
        assert [value for _, value in one.headers[-3:]] == [str(one.message_id), stamp.producer, sequence]
        assert dict(one.headers[:-3]) == dict(own)
    assert len(again.headers) == len(stamped.headers)


def test_a_stamp_leaves_the_application_s_own_list_alone() -> None:
    given: Any = [("a", b"1")]
    Stamp().stamp(given)
    assert given == [("a", b"1")]


@pytest.mark.parametrize("headers", [3, "text", [("a",)], [("a", 1)]])
def test_headers_that_the_original_refuses_are_refused(headers: Any) -> None:
    with pytest.raises(TypeError):
        Stamp().stamp(headers)


def test_an_id_is_read_from_headers_and_nothing_else_is_taken_for_one() -> None:
    one = uuid7(1)
    text = str(one).encode()
    assert message_id([(b"a", None), (NAME, text)]) == one.bytes
    assert message_id([(NAME, b"no id"), (NAME, text.upper())]) == one.bytes
    for other in (None, b"", text[:-1], text + b" ", b"{" + text + b"}", one.bytes, text.replace(b"-", b"")):
        assert message_id([(NAME, other)]) is None
    assert message_id(None) is None
    assert message_id([]) is None


@pytest.mark.parametrize("headers", [None, (), ((b"a", None), (b"", b""), (NAME, b"x"))])
def test_headers_come_out_of_an_encoded_record_as_they_went_in(headers: Any) -> None:
    tail = encode_tail(b"k", None, headers, 5, View("tombstone", b"null"))
    assert tail_headers(tail) == list(headers or ())


def test_outcomes_are_counted_and_told_whatever_the_callback_does(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []

    def tell(*what: Any) -> None:
        told.append(what)
        raise RuntimeError("own")

    tally = Tally(tell)
    with caplog.at_level(logging.ERROR, "shim"):
        tally.settle("ok", "emails", "id")
        tally.settle("failed", "emails", "id", "why")
        tally.settle("unknown", "emails", "id", "why")
    assert tally.counts(4) == Outcomes(ok=1, failed=1, unknown=1, waiting=4)
    assert told[1] == ("failed", "emails", "id", "why")
    assert "on_secondary failed" in caplog.text


def test_trouble_ends_with_a_message_that_is_taken_and_is_tried_now_and_then() -> None:
    tally = Tally(None)
    assert not tally.troubled(0)
    tally.settle("failed", "emails", "id")
    assert not tally.troubled(60)
    assert tally.troubled(0)
    assert wait_until(lambda: not tally.troubled(0), 60)
    assert tally.troubled(0)
    tally.settle("ok", "emails", "id")
    assert not tally.troubled(0)


def test_a_fence_is_acknowledged_once_nothing_is_under_way() -> None:
    role = Role("emails", "kafka")
    role.obey(Mode("emails", "kafka", fenced=False, epoch=1, registered=True))
    assert (role.known, role.acknowledged, role.owes) == (True, 1, False)
    role.pending["kafka"].append(None)
    role.copies.append(None)
    fence = Mode("emails", "kafka", fenced=True, epoch=2, registered=True)
    role.obey(fence)
    assert (role.fenced, role.acknowledged, role.owes) == (True, 1, True)
    role.pending["kafka"].pop()
    role.obey(fence)
    assert role.owes
    role.copies.pop()
    role.obey(fence)
    assert not role.owes


def test_a_role_does_not_change_while_somebody_is_in_the_middle_of_a_write() -> None:
    role = Role("emails", "kafka")
    fence = Mode("emails", "kafka", fenced=True, epoch=2, registered=True)
    with role.lock:
        other = threading.Thread(target=role.obey, args=(fence,))
        other.start()
        other.join()
        assert not role.fenced
    role.obey(fence)
    assert role.fenced


def test_a_former_primary_that_owes_reports_still_counts() -> None:
    role = Role("emails", "kafka")
    role.pending["kafka"].append(None)
    role.obey(Mode("emails", "postgres", fenced=False, epoch=3, registered=True))
    assert role.primaries == {"kafka", "postgres"}
    role.pending["kafka"].pop()
    assert role.primaries == {"postgres"}


def test_a_topic_without_a_row_keeps_the_primary_that_was_named_first() -> None:
    role = Role("emails", "postgres")
    role.obey(None)
    assert (role.known, role.registered, role.primary) == (True, False, "postgres")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_counts_from_zero() -> None:
    tally = Tally(None)
    tally.settle("ok", "emails", "id")
    child = os.fork()
    if not child:
        os._exit(0 if tally.counts(0).ok == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tally.counts(0).ok == 1


def test_it_needs_no_original_and_raises_the_shim_s_own_exception_without_it() -> None:
    program = (
        "import sys, shim, shim.dual; from shim.mirroring.refusals import exception_type; "
        "assert exception_type() is shim.KafkaException; assert 'confluent_kafka' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_with_the_original_it_raises_what_either_catches() -> None:
    kind = refusals.exception_type()
    assert issubclass(kind, shim.KafkaException)
    assert issubclass(kind, confluent_kafka.KafkaException)
    error = refusals.fenced("emails", 2)
    assert kind(error).args[0].retriable()
