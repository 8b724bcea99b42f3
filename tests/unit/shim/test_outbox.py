"""The producer's queue: what waits, what is due, what is given up, and that nothing is counted twice."""

import time
from math import inf

import pytest

from shim.producing.drafts import Drafts
from shim.producing.outbox import Limits, Outbox, Parcel
from shim.producing.outgoing import (
    HEADERS,
    ON_DELIVERY,
    QUEUED_AT,
    SIZE,
    TERMS,
    TIMESTAMP_MS,
    TOPIC,
    VALUE,
    Outgoing,
    Row,
)

ROOMY = Limits(
    queue_messages=100,
    queue_bytes=1000,
    batch_messages=10,
    batch_bytes=100,
    parcel_bytes=100,
    linger_s=0,
    timeout_s=inf,
)


def limits(**changes: float) -> Limits:
    names = {name: getattr(ROOMY, name) for name in Limits.__slots__}
    return Limits(**{**names, **changes})


def outgoing(name: str = "m", size: int = 1, age: float = 0.0, timestamp_ms: int = 0) -> Row:
    return "topic", -1, None, name.encode(), timestamp_ms, None, size, time.monotonic() - age, None


def filled(outbox: Outbox, *messages: Row) -> Outbox:
    for message in messages:
        outbox.put(message)
    return outbox


def taken(outbox: Outbox) -> Parcel:
    parcel = outbox.take()
    assert isinstance(parcel, Parcel)
    return parcel


def names(rows: list[Row]) -> list[str]:
    return [row[VALUE].decode() for row in rows]


def packed(parcel: Parcel) -> Parcel:
    for value in [row[VALUE] for row in parcel.rows]:
        parcel.drafts.add("topic", 0, value or b"")
    return parcel


def test_the_places_of_a_row() -> None:
    places = {"topic": TOPIC, "value": VALUE, "timestamp_ms": TIMESTAMP_MS, "on_delivery": ON_DELIVERY, "size": SIZE}
    places |= {"queued_at": QUEUED_AT, "terms": TERMS, "headers": HEADERS}
    assert {name: Outgoing._fields.index(name) for name in places} == places
    assert Outgoing._fields[-1] == "headers"
    message = Outgoing.of(("topic", 1, b"k", b"v", 2, None, 3, 4.0, None, b"a", b"1", b"b", None))
    assert (message.queued_at, message.headers) == (4.0, (b"a", b"1", b"b", None))
    assert Outgoing.of(("topic", 1, b"k", b"v", 2, None, 3, 4.0, (5, "d"))).headers is None


@pytest.mark.parametrize(("changes", "fits"), [({"queue_messages": 3}, 3), ({"queue_bytes": 25}, 2)], ids=str)
def test_what_fits(changes: dict[str, int], fits: int) -> None:
    outbox = Outbox(limits(**changes))
    for _ in range(fits):
        outbox.put(outgoing(size=10))
    with pytest.raises(BufferError, match=r"^Local: Queue full$"):
        outbox.put(outgoing(size=10))
    assert (len(outbox), outbox.size) == (fits, 10 * fits)
    outbox.release(1, 10)
    outbox.put(outgoing(size=10))


def test_room_comes_back_with_the_report_alone() -> None:
    outbox = filled(Outbox(limits(queue_messages=1)), outgoing())
    assert outbox.settle(taken(outbox))
    with pytest.raises(BufferError):
        outbox.put(outgoing())
    outbox.release(1, 1)
    outbox.put(outgoing())


def test_the_packer_is_woken_when_it_matters() -> None:
    rung: list[int] = []
    outbox = Outbox(limits(batch_messages=4, batch_bytes=100, linger_s=60))
    outbox.on_due = lambda: rung.append(len(outbox))
    for size in (1, 1, 1, 1, 1, 60, 60):
        outbox.put(outgoing(size=size))
    assert rung == [1, 4, 7]
    outbox.hurry(1)
    assert rung == [1, 4, 7, 7]


def test_messages_linger_until_they_are_many() -> None:
    outbox = Outbox(limits(linger_s=60, batch_messages=3))
    assert outbox.take() is None
    filled(outbox, outgoing("a"), outgoing("b"))
    rest = outbox.take()
    assert isinstance(rest, float)
    assert 0 < rest <= 60
    outbox.put(outgoing("c"))
    assert names(taken(outbox).rows) == ["a", "b", "c"]


def test_what_has_piled_up_goes_out_in_larger_parcels() -> None:
    outbox = Outbox(limits(batch_bytes=20, parcel_bytes=50, linger_s=60))
    filled(outbox, *[outgoing(name, size=10) for name in "abcdefgh"])
    assert names(taken(outbox).rows) == [*"abcde"]
    assert names(taken(outbox).rows) == [*"fgh"]
    assert isinstance(filled(outbox, outgoing(size=10)).take(), float)


def test_messages_linger_until_one_is_old() -> None:
    outbox = filled(Outbox(limits(linger_s=60)), outgoing("a", age=61), outgoing("b"))
    assert names(taken(outbox).rows) == ["a", "b"]


def test_messages_linger_until_somebody_flushes() -> None:
    outbox = filled(Outbox(limits(linger_s=60)), outgoing("a"))
    outbox.hurry(1)
    outbox.hurry(1)
    outbox.hurry(-1)
    assert names(taken(outbox).rows) == ["a"]
    outbox.hurry(-1)
    outbox.put(outgoing("b"))
    assert isinstance(outbox.take(), float)


@pytest.mark.parametrize(
    ("sizes", "parcels"),
    [
        ([1] * 25, [10, 10, 5]),
        ([40, 40, 40, 40, 40], [2, 2, 1]),
        ([500, 1, 500], [1, 1, 1]),
        ([100, 100], [1, 1]),
        ([50, 50, 1], [2, 1]),
    ],
    ids=str,
)
def test_a_parcel_is_bounded(sizes: list[int], parcels: list[int]) -> None:
    outbox = Outbox(limits(queue_bytes=10_000))
    filled(outbox, *(outgoing(str(number), size) for number, size in enumerate(sizes)))
    found = [taken(outbox).rows for _ in parcels]
    assert [len(rows) for rows in found] == parcels
    assert [name for rows in found for name in names(rows)] == [str(number) for number in range(len(sizes))]
    assert outbox.take() is None


def test_the_create_time() -> None:
    before = time.time() * 1000
    parcel = taken(filled(Outbox(ROOMY), outgoing(), outgoing(timestamp_ms=77)))
    after = time.time() * 1000
    assert before - 1 <= parcel.stamp(0) <= after
    assert parcel.stamp(1) == 77


def test_a_parcel_is_settled_once() -> None:
    outbox = filled(Outbox(ROOMY), outgoing())
    parcel = taken(outbox)
    assert outbox.begin(parcel)
    assert outbox.settle(parcel)
    assert not outbox.settle(parcel)
    assert not outbox.begin(parcel)


def test_purge_tells_what_was_sent_from_what_was_not() -> None:
    outbox = Outbox(limits(batch_messages=1))
    filled(outbox, outgoing("sent"), outgoing("packed"), outgoing("waits"))
    sent = taken(outbox)
    assert outbox.begin(sent)
    waiting = taken(outbox)
    assert outbox.purge(queued=False, sent=False) == ([], [])
    queued, under_way = outbox.purge(queued=True, sent=False)
    assert (names(queued), names(under_way)) == (["packed", "waits"], [])
    assert (sent.settled, waiting.settled) == (False, True)
    queued, under_way = outbox.purge(queued=True, sent=True)
    assert (names(queued), names(under_way)) == ([], ["sent"])
    assert not outbox.settle(sent)
    assert (len(outbox), outbox.size) == (0, 0)


def test_messages_expire_one_by_one_while_they_can_be_told_apart() -> None:
    outbox = Outbox(limits(timeout_s=10, batch_messages=2))
    filled(outbox, outgoing("a", age=12), outgoing("b", age=5), outgoing("c", age=4), outgoing("d"))
    parcel = packed(taken(outbox))
    assert names(outbox.expired()) == ["a"]
    assert (names(parcel.rows), len(parcel.drafts)) == (["b"], 1)
    assert outbox.expired() == []
    assert (len(outbox), outbox.size) == (3, 3)


def test_what_waits_expires_too() -> None:
    outbox = filled(Outbox(limits(timeout_s=10, linger_s=60)), outgoing("a", age=12), outgoing("b"))
    assert names(outbox.expired()) == ["a"]
    assert isinstance(outbox.take(), float)


def test_a_parcel_that_is_being_sent_expires_as_a_whole() -> None:
    """Its outcome is that of all of its messages."""
    outbox = Outbox(limits(timeout_s=10))
    filled(outbox, outgoing("a", age=12), outgoing("b", age=9))
    parcel = packed(taken(outbox))
    assert outbox.begin(parcel)
    assert outbox.expired() == []
    outbox.unsent(parcel)
    assert names(outbox.expired()) == ["a"]
    assert outbox.begin(parcel)
    late = Outbox(limits(timeout_s=8))
    filled(late, outgoing("a", age=12), outgoing("b", age=9))
    whole = packed(taken(late))
    assert late.begin(whole)
    assert names(late.expired()) == ["a", "b"]
    assert not late.settle(whole)


def test_a_split_parcel_keeps_its_messages_and_their_order() -> None:
    outbox = filled(Outbox(ROOMY), *(outgoing(name) for name in "abcde"))
    first = packed(taken(outbox))
    rest = outbox.split(first, 2)
    assert (names(first.rows), names(rest.rows)) == (["a", "b"], ["c", "d", "e"])
    assert rest.drafts.tails == [b"c", b"d", b"e"]
    queued, _ = outbox.purge(queued=True, sent=True)
    assert names(queued) == ["a", "b", "c", "d", "e"]
    assert (first.settled, rest.settled) == (True, True)


def test_single_messages_are_taken_out() -> None:
    outbox = filled(Outbox(ROOMY), *(outgoing(name) for name in "abc"))
    parcel = packed(taken(outbox))
    assert names(outbox.remove(parcel, [0, 2])) == ["a", "c"]
    assert (names(parcel.rows), parcel.drafts.tails) == (["b"], [b"b"])
    assert names(outbox.remove(parcel, [0])) == ["b"]
    assert not outbox.begin(parcel)
    assert (len(outbox), outbox.size) == (0, 0)


def test_what_changed_under_the_packer_is_packed_again() -> None:
    outbox = Outbox(limits(timeout_s=10))
    filled(outbox, outgoing("a", age=12), outgoing("b"))
    parcel = taken(outbox)
    before = parcel.rows
    outbox.expired()
    assert (names(before), names(parcel.rows)) == (["a", "b"], ["b"])
    drafts = Drafts(["topic", "topic"], [0, 0], [b"a", b"b"])
    assert not outbox.replace(parcel, before, before, drafts)
    assert outbox.replace(parcel, parcel.rows, parcel.rows, drafts[1:])
    assert parcel.packed
    outbox.unpack(parcel)
    assert not parcel.packed


def test_terms_stay_with_their_messages() -> None:
    drafts = Drafts()
    for number in range(4):
        drafts.add("topic", number, b"%d" % number, (number, None) if number % 2 else None)
    assert [draft.delay_us for draft in drafts] == [None, 1, None, 3]
    assert [draft.delay_us for draft in drafts[1:3]] == [1, None]
    assert [(draft.partition, draft.delay_us) for draft in drafts.pick([3, 0])] == [(3, 3), (0, None)]
    assert drafts[2:3] == Drafts(["topic"], [2], [b"2"])


def test_messages_with_a_deduplication_key_get_a_parcel_of_their_own() -> None:
    outbox = Outbox(ROOMY)
    filled(outbox, outgoing("a"), (*outgoing("b")[:TERMS], (5, None)), (*outgoing("c")[:TERMS], (None, "key")))
    parcel = taken(outbox)
    sorted_out = outbox.sort_out(parcel)
    assert sorted_out is not None
    assert (names(parcel.rows), names(sorted_out.rows), len(outbox)) == (["a", "b"], ["c"], 3)
    assert outbox.sort_out(parcel) is None
    assert outbox.settle(parcel)
    assert outbox.settle(sorted_out)
    assert len(outbox) == 0


def test_a_forked_child_begins_empty() -> None:
    outbox = filled(Outbox(ROOMY), outgoing(), outgoing())
    taken(outbox)
    outbox.renew()
    assert (len(outbox), outbox.size) == (0, 0)
    assert outbox.take() is None
