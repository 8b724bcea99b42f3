"""What runs beside clients that wait costs little, and operators see whose it is."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store.pool import close_all, pool_for
from shim.store.schema import Line
from shim.store.watcher import watcher_for

pytestmark = pytest.mark.direct("hints are off behind a pooler")

SECONDS = 60.0
LISTENER = "job-queue-listener"


@pytest.fixture(autouse=True)
def _no_pools_left() -> Iterator[None]:
    yield
    close_all()


def wakes(thread: threading.Thread) -> int:
    """How often a thread has waited so far."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_a_listener_that_hears_nothing_hardly_ever_wakes(migrated_url: str, line: Line) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("only Linux tells how often a thread waits")
    others = set(threading.enumerate())
    with closing(watcher_for(pool_for(migrated_url), line.schemas)) as watcher:
        listener = watcher.listen()
        assert wait_until(lambda: listener.believed, SECONDS)
        (own,) = [one for one in set(threading.enumerate()) - others if one.name == LISTENER]
        before, until = wakes(own), time.monotonic() + 4.0
        assert wait_until(lambda: time.monotonic() >= until, SECONDS)
        # An echo may have been on its way, and each time it may have to wait for Python's lock too.
        assert wakes(own) - before <= 6


def test_the_listener_goes_by_the_name_of_its_process(migrated: Connection, migrated_url: str, line: Line) -> None:
    pool = pool_for(migrated_url, application_name="mailer-3")
    with closing(watcher_for(pool, line.schemas)) as watcher:
        listener = watcher.listen()
        assert wait_until(lambda: listener.believed, SECONDS)
        named = migrated.execute("select query from pg_stat_activity where application_name = 'mailer-3'").fetchall()
        assert any(query.lower().startswith("listen") for (query,) in named)
