"""What ``stats_cb`` is given: the fields of librdkafka's document that have a meaning here, as JSON."""

import json
from itertools import groupby
from math import inf
from time import monotonic, time
from typing import Any

from shim.client.notices import Notices
from shim.config.settings import Settings
from shim.consuming.assigned import Assigned
from shim.consuming.cursor import Cursor
from shim.consuming.group import Group

_UNKNOWN = -1


class ConsumerStatistics:
    """A consumer's figures, told every ``statistics.interval.ms``.

    Args:
        settings: the consumer's.
        assigned: its partitions.
        group: its membership.
    """

    def __init__(self, settings: Settings, assigned: Assigned, group: Group) -> None:
        self._settings = settings
        self._assigned = assigned
        self._group = group
        self._started = monotonic()
        told = settings.stats_cb is not None and settings.statistics_interval_s > 0
        self._due = self._started + settings.statistics_interval_s if told else inf

    @property
    def pause_s(self) -> float:
        """Seconds until they are due."""
        return self._due - monotonic()

    def tell(self, notices: Notices) -> None:
        """Hands them to the application, if they are due."""
        if self._due <= monotonic():
            self._due = monotonic() + self._settings.statistics_interval_s
            notices.statistics(self.document())

    def document(self) -> str:
        """Returns them as JSON."""
        now = monotonic()
        cursors = [cursor for _, cursor in sorted(self._assigned.cursors.items())]
        return json.dumps(
            {
                "name": self._settings.name,
                "client_id": self._settings.client_id,
                "type": "consumer",
                "ts": int(now * 1_000_000),
                "time": int(time()),
                "age": int((now - self._started) * 1_000_000),
                "replyq": 0,
                "msg_cnt": 0,
                "msg_size": 0,
                "msg_max": 0,
                "msg_size_max": 0,
                "txmsgs": 0,
                "txmsg_bytes": 0,
                "rxmsgs": sum(cursor.received for cursor in cursors),
                "rxmsg_bytes": sum(cursor.received_bytes for cursor in cursors),
                "brokers": {},
                "topics": {
                    topic: {"topic": topic, "partitions": {str(one.partition): _partition(one) for one in group}}
                    for topic, group in groupby(cursors, lambda one: one.topic)
                },
                "cgrp": {
                    "state": "up" if self._group.member_id else "init",
                    "join_state": "steady" if self._group.settled else "init",
                    "assignment_size": len(cursors),
                },
            }
        )


def _partition(cursor: Cursor) -> dict[str, Any]:
    low, high = cursor.head or (_UNKNOWN, _UNKNOWN)
    return {
        "partition": cursor.partition,
        "fetch_state": "stopped" if cursor.failed else "active",
        "next_offset": cursor.fetched,
        "app_offset": cursor.position,
        "stored_offset": cursor.stored,
        "committed_offset": cursor.committed,
        "commited_offset": cursor.committed,  # librdkafka's own misspelling, which dashboards read
        "eof_offset": _UNKNOWN if cursor.told_end is None else cursor.told_end,
        "lo_offset": low,
        "hi_offset": high,
        "ls_offset": high,
        "consumer_lag": _lag(high, cursor.committed),
        "consumer_lag_stored": _lag(high, cursor.stored),
        "rxmsgs": cursor.received,
        "rxbytes": cursor.received_bytes,
        "msgs": cursor.received,
    }


def _lag(high: int, offset: int) -> int:
    return max(0, high - offset) if high >= 0 and offset >= 0 else _UNKNOWN
