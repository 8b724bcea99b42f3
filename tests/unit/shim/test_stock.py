"""Jobs that were claimed ahead: how many are wanted, who gets them, and which of them nobody gets any more."""

from math import inf
from time import monotonic

import pytest

from shim.sharing.flight import Delivery
from shim.sharing.leases import Lease
from shim.sharing.stock import Stock
from shim.store.claims import Claimed
from shim.store.records import Record

NAMES = frozenset({"emails"})
LONG = 3600.0


def jobs(count: int) -> list[Claimed]:
    return [Claimed(number, 0, Record("emails", 0, number, None, b"", None, -1, 0, 0)) for number in range(count)]


def filled(count: int, seconds: float = LONG, age: float = 0.0) -> Stock:
    stock = Stock(seconds)
    stock.fill(Lease(7, frozenset(range(count)), 30.0, monotonic() - age, inf), jobs(count))
    return stock


def ids(delivery: Delivery | None) -> list[int]:
    return [] if delivery is None else [job.id for job in delivery.jobs]


def test_jobs_come_out_in_order_and_once() -> None:
    stock = filled(5)
    told = [(stock.has(NAMES), ids(stock.hand_out(NAMES, 2))) for _ in range(4)]
    assert told == [(True, [0, 1]), (True, [2, 3]), (True, [4]), (False, [])]
    assert stock.leave() is None
    assert not stock.leaving


def test_topics_that_are_not_wanted_and_leases_that_ran_out_are_for_nobody() -> None:
    assert not filled(2).has(frozenset({"other"}))
    assert ids(filled(2).hand_out(frozenset({"other"}), 2)) == []
    stock = filled(2, age=31.0)
    assert not stock.has(NAMES)
    assert ids(stock.hand_out(NAMES, 2)) == []
    assert stock.leave() == Delivery(7, jobs(2))


def test_what_was_recovered_by_somebody_is_for_nobody() -> None:
    stock, lease = Stock(LONG), Lease(7, frozenset({0, 3}), 30.0, monotonic(), inf)
    stock.fill(lease, jobs(5))
    assert [ids(stock.hand_out(NAMES, 2)) for _ in range(3)] == [[0], [3], []]


def test_what_leaves_is_not_handed_out_and_stays_until_it_has_left() -> None:
    stock = filled(3)
    stock.hand_out(NAMES, 1)
    for _ in range(2):  # the first try may fail
        assert ids(stock.leave()) == [1, 2]
        assert stock.leaving
        assert ids(stock.hand_out(NAMES, 1)) == []
    stock.left()
    assert (stock.leave(), stock.leaving, stock.overdue_at) == (None, False, inf)


def test_a_fast_application_has_twice_as_much_claimed_each_time() -> None:
    assert Stock(LONG).wanted(3) == 3
    for count, wanted in ((3, 6), (200, 400), (400, 500)):
        stock = filled(count)
        stock.hand_out(NAMES, count)
        assert stock.wanted(3) == wanted
    assert stock.wanted(2_000) == 2_000


def test_a_slow_application_has_as_much_as_it_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = filled(100, seconds=1.0)
    stock.hand_out(NAMES, 100)
    later = monotonic() + 10.0
    monkeypatch.setattr("shim.sharing.stock.monotonic", lambda: later)
    assert stock.wanted(1) in {9, 10}
    assert stock.wanted(50) == 50


def test_nothing_is_claimed_ahead_where_that_is_not_wanted() -> None:
    stock = filled(5, seconds=0.0)
    stock.hand_out(NAMES, 5)
    assert stock.wanted(5) == 5
