"""What ``stats_cb`` is given: the fields of librdkafka's document that have a meaning here, as JSON."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic, time


@dataclass(frozen=True, slots=True)
class ProducerStatistics:
    """A producer's figures at one moment.

    Attributes:
        name: what the client is called.
        client_id: ``client.id``.
        started: when it was made, by ``time.monotonic``.
        events: how many events wait for poll.
        messages: how many messages are queued, or reported and not yet served.
        bytes: how many bytes these take.
        most_messages: how many messages may be queued.
        most_bytes: how many bytes they may take.
        sent_messages: how many messages were stored so far.
        sent_bytes: how many bytes these had.
        topics: where they went.
    """

    name: str
    client_id: str
    started: float
    events: int
    messages: int
    bytes: int
    most_messages: int
    most_bytes: int
    sent_messages: int
    sent_bytes: int
    topics: Iterable[str]

    def document(self) -> str:
        """Returns the statistics as JSON."""
        now = monotonic()
        return json.dumps(
            {
                "name": self.name,
                "client_id": self.client_id,
                "type": "producer",
                "ts": int(now * 1_000_000),
                "time": int(time()),
                "age": int((now - self.started) * 1_000_000),
                "replyq": self.events,
                "msg_cnt": self.messages,
                "msg_size": self.bytes,
                "msg_max": self.most_messages,
                "msg_size_max": self.most_bytes,
                "txmsgs": self.sent_messages,
                "txmsg_bytes": self.sent_bytes,
                "rxmsgs": 0,
                "rxmsg_bytes": 0,
                "brokers": {},
                "topics": {topic: {"topic": topic, "partitions": {}} for topic in sorted(self.topics)},
            }
        )
