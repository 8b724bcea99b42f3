"""A running part survives what befalls the application's thread while that calls it."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

import pytest

from shim.store.part import Part

_INTERRUPTS = 3_000
_SOON = 0.000_03


class Idle(Part):
    """One that has nothing to do."""

    def __init__(self) -> None:
        super().__init__("idle")

    def round(self) -> float | None:
        return None

    def failed(self, error: Exception) -> None:
        raise AssertionError from error


@pytest.fixture
def part() -> Iterator[Idle]:
    made = Idle()
    yield made
    made.close()


@pytest.fixture
def _ctrl_c_by_timer() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_ctrl_c_by_timer")
def test_ctrl_c_at_any_moment_leaves_its_lock_free(part: Idle) -> None:
    part.start()
    interrupted = 0
    while interrupted < _INTERRUPTS:
        with suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _SOON)
            while True:
                part.wake()
        interrupted += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        free = part._bell.acquire(timeout=5)  # noqa: SLF001  the lock that a wake takes
        assert free, f"still held after {interrupted} interrupts"
        part._bell.release()  # noqa: SLF001
