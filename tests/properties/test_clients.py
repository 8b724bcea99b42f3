"""Whatever an application does, the shim does what Kafka's rules say: random commands, beside a model of them.

``--log-level=INFO -rP`` shows how often each command was performed.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from hypothesis import Phase
from hypothesis.errors import Flaky

from shim.store import schema
from shim.store.pool import close_all
from tests.conformance.machine.actor import Divergence
from tests.conformance.machine.faults import MUTE, PLAIN, Faulty
from tests.conformance.machine.runs import never_done, run
from tests.conformance.side import Family, Side
from tests.fixtures.postgres import Databases


def migrate(url: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as conn:
        schema.upgrade(conn, schema.store_line())


@pytest.fixture(scope="module")
def family(databases: Databases) -> Iterator[Family]:
    url = databases.create(migrate)
    yield Family("shim", "shim", url)
    close_all()
    databases.drop(url)


@pytest.fixture
def side(family: Family) -> Iterator[Side]:
    opened = Side(family, None)
    yield opened
    opened.close()


def test_the_shim_does_what_the_model_says(side: Side) -> None:
    assert run([side], max_examples=100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shim_does_what_the_model_says_2000_times(side: Side) -> None:
    """Takes three minutes on two idle cores."""
    assert never_done(run([side], max_examples=2000)) == set()


@pytest.mark.parametrize("fault", [*PLAIN, *(pytest.param(fault, marks=pytest.mark.slow) for fault in MUTE)])
def test_the_machine_sees(side: Side, fault: type[Faulty]) -> None:
    fired: Counter[str] = Counter()
    with pytest.raises((Divergence, Flaky)) as seen:  # flaky if it does not fire again in the replay
        run(
            [side],
            lambda consumer: fault(consumer, fired),
            patience=20,
            max_examples=500,
            phases=[Phase.generate],
            database=None,
            derandomize=True,  # what was found once is found again
        )
    assert fired[fault.__name__], seen.value
