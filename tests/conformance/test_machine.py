"""Both clients side by side, and the model: random commands of an application, and no divergence.

``--log-level=INFO -rP`` shows how often each command was performed.
"""

from collections.abc import Iterator

import pytest

from tests.conformance.machine.runs import never_done, run
from tests.conformance.side import Family, Side


@pytest.fixture
def sides(kafka_family: Family, shim_family: Family) -> Iterator[list[Side]]:
    opened = [Side(kafka_family, None), Side(shim_family, None)]
    yield opened
    for side in opened:
        side.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_both_clients_do_what_the_model_says(sides: list[Side]) -> None:
    """Takes two minutes on two idle cores. Offsets are equal, since without transactions Kafka leaves no gaps."""
    assert never_done(run(sides, max_examples=200)) == set()
