import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from migrator.embedded.process import wait_until
from shim.client.turn import Turn, reentry_identity

WAIT_SECONDS = 10.0


def call(turn: Turn, identity: int = 0) -> bool:
    """Makes a call that does nothing; returns whether it had to wait for the turn, or was let through."""
    reentry_identity.set(identity)
    taken = turn.seize(False) or turn.wait()
    if taken:
        turn.give_back()
    return taken


def in_thread(work: Callable[[], bool]) -> "Future[bool]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def test_another_thread_waits() -> None:
    turn = Turn()
    assert turn.seize(False)
    other = in_thread(lambda: call(turn))
    assert not other.done()
    turn.give_back()
    assert other.result(WAIT_SECONDS)


def test_the_same_thread_is_let_through() -> None:
    turn = Turn()
    assert turn.seize(False)
    assert call(turn)
    other = in_thread(lambda: call(turn))
    assert not other.done()
    turn.give_back()
    assert other.result(WAIT_SECONDS)


def test_whoever_bears_the_identity_is_let_through_while_it_is_lent() -> None:
    turn = Turn()
    reentry_identity.set(5)
    try:
        assert turn.seize(False)
        with turn.lent():
            assert turn.depth == 1
            assert in_thread(lambda: call(turn, 5)).result(WAIT_SECONDS) is False
            stranger = in_thread(lambda: call(turn, 6))
        late = in_thread(lambda: call(turn, 5))
        assert not stranger.done()
        assert not late.done()
        turn.give_back()
        assert stranger.result(WAIT_SECONDS)
        assert late.result(WAIT_SECONDS)
        assert turn.depth == 0
    finally:
        reentry_identity.set(0)


def test_nobody_is_let_through_for_bearing_no_identity() -> None:
    turn = Turn()
    assert turn.seize(False)
    with turn.lent():
        began = threading.Event()

        def stranger() -> bool:
            began.set()
            return call(turn, 0)

        other = in_thread(stranger)
        assert wait_until(began.is_set, WAIT_SECONDS)
        assert not other.done()
    turn.give_back()
    assert other.result(WAIT_SECONDS)
