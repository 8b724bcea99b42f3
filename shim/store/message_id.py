"""The headers by which a message that is written on both sides is known on both. Pure.

A dual producer adds them behind the application's own. They are text, so that any tool shows them.
"""

import re
from collections.abc import Sequence

MESSAGE_ID = "dual.message_id"
"""A UUIDv7 in its usual form: the same in Kafka, in ``dual_inbox`` and in ``job_queue``."""
PRODUCER = "dual.producer"
"""Which dual producer wrote it; another one in each process, and after each start."""
SEQUENCE = "dual.sequence"
"""Which of that producer's messages it is, in decimal, from 1."""

HEADERS = frozenset({MESSAGE_ID, PRODUCER, SEQUENCE})

_NAME = MESSAGE_ID.encode()
_FORM = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def message_id(headers: Sequence[tuple[bytes, bytes | None]] | None) -> bytes | None:
    """Returns the id in a record's headers as 16 bytes; None where there is none, or what is there has another form."""
    for name, value in reversed(headers or ()):
        if name == _NAME:
            return bytes.fromhex(value.replace(b"-", b"").decode()) if value and _FORM.fullmatch(value) else None
    return None
