"""Clients and Postgres under every fault at once for three minutes: nothing lost, doubled, skipped, out of order."""

import json
import random
from pathlib import Path

import pytest

from tests.histories.nemesis.deck import Fault
from tests.histories.run import run

_SECONDS = 180
_LEAST_KILLS = 50


@pytest.mark.slow  # 4 minutes
@pytest.mark.timeout(1200)
def test_three_minutes_of_faults_leave_a_clean_history(tmp_path: Path) -> None:
    result = run(tmp_path, _SECONDS, random.getrandbits(32))
    print(json.dumps(result.document(), indent=2))  # noqa: T201
    assert result.verdict.fatal == {}
    assert result.failures == []
    assert result.silent == []
    assert result.fired[Fault.KILL] >= _LEAST_KILLS
