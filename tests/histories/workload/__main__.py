"""``python -m tests.histories.workload PLAN``: one worker, which ends with its parent."""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from tests.histories.workload.membership import Membership, Relaying
from tests.histories.workload.plan import Plan, Role
from tests.histories.workload.producing import Producing
from tests.histories.workload.reading import FinalReading, Reading
from tests.histories.workload.writing import Writing


class _Worker(Protocol):
    def run(self) -> None: ...


_WORKERS: Mapping[Role, Callable[[Plan], _Worker]] = {
    "producer": Producing,
    "writer": Writing,
    "reader": Reading,
    "member": Membership,
    "relay": Relaying,
    "final": FinalReading,
}


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


def main() -> None:
    """Does what the plan says."""
    plan = Plan.from_json(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORKERS[plan.role](plan).run()


if __name__ == "__main__":
    main()
