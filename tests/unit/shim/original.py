"""What the installed ``confluent_kafka`` and the shim do with the same call, as something that can be compared."""

from collections.abc import Callable
from typing import Any


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """What came of a call: what it returned, or the class and the text of what it raised.

    Only the names of classes count, and a text's blanks at its end do not.
    """
    try:
        return "returned", call()
    except Exception as failure:  # noqa: BLE001  whatever it is, it is compared
        return type(failure).__name__, str(failure).rstrip().replace('\n"', '"')
