"""Kills at moments that nobody chose, while records keep coming: no hole, no double, however often."""

import random
import signal
from functools import partial
from threading import Event

import pytest

from tests.faults.scene import Scene, Stream

pytestmark = pytest.mark.real_kafka

_PER_SECOND = 400
_LONGEST_LIFE = 0.4
"""Seconds for which a drain lives on at the most, once it has committed something."""


def _kill_again_and_again(scene: Scene, kills: int) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)  # noqa: S311
    writers = {"1": 0, "2": 0}
    with Stream(scene.log, _PER_SECOND):
        for _ in range(kills):
            epoch, produced, chosen = scene.epoch(), len(scene.log.records), dice.choice(("1", "2"))
            drain = scene.start("--follow", "--writers", chosen, batch_rows=20)
            drain.wait_for(partial(scene.worked_since, epoch))
            Event().wait(dice.uniform(0, _LONGEST_LIFE))
            drain.send(signal.SIGKILL)
            drain.end().expect(-signal.SIGKILL)
            writers[chosen] += 1
            scene.assert_both_or_none()
            assert len(scene.log.records) > produced, "there was no load"
    done = scene.start("--until", "end", batch_rows=1_000).end().expect(0)
    print(f"{sum(writers.values())} kills with {writers} writers, {len(scene.log.records)} records")  # noqa: T201
    assert sum(writers.values()) == kills
    assert scene.epoch() == kills + 1
    scene.assert_exactly_once(done=done)


def test_ten_kills_at_random_moments_under_load_lose_and_double_nothing(scene: Scene) -> None:
    _kill_again_and_again(scene, 10)


@pytest.mark.slow  # 3 minutes on two idle cores
@pytest.mark.timeout(3600)
def test_a_hundred_kills_at_random_moments_under_load_lose_and_double_nothing(scene: Scene) -> None:
    _kill_again_and_again(scene, 100)
