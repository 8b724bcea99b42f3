"""Workers that know nothing of each other: ``python -m tests.faults.by_hand share|page URL TOPIC JOURNAL``.

``share`` is a share consumer, ``page`` the worker in Python that stands in playbooks/other-languages.md, word for word.
Each notes every job as it is handed one, a line each with the job's number, and goes on until it is killed.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shim import ShareConsumer

PAGE = Path(__file__).parents[2] / "playbooks" / "other-languages.md"
_RECORDS = 10


def main(kind: str, url: str, topic: str, journal: str) -> None:
    """Works until the process is killed."""
    with Path(journal).open("w", buffering=1, encoding="ascii") as notes:
        {"share": _share, "page": _page}[kind](url, topic, lambda number: print(number, file=notes))


def _share(url: str, topic: str, note: Callable[[int], None]) -> None:
    consumer = ShareConsumer({"shim.dsn": url, "group.id": "workers", "max.poll.records": _RECORDS})
    consumer.subscribe([topic])
    while True:
        for message in consumer.poll(0.5):
            note(int(message.value() or b""))


def _page(url: str, topic: str, note: Callable[[int], None]) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    worker: dict[str, Any] = {}
    exec(code[1], worker)  # noqa: S102  it is on the page
    worker["run"](url, topic, note)


if __name__ == "__main__":
    main(*sys.argv[1:])
