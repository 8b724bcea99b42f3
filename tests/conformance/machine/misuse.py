"""Calls that no state makes right, and what each raises."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.conformance.machine.answers import Raised


class Misuse(NamedTuple):
    """One such call.

    Attributes:
        call: is given the client's ``TopicPartition``, an open consumer, and a topic.
        raised: what comes of it.
    """

    call: Callable[[Any, Any, str], object]
    raised: Raised


_TYPE = Raised("TypeError", "")
_VALUE = Raised("ValueError", "")
_ARGUMENT = Raised("KafkaException", "_INVALID_ARG")

MISUSES: dict[str, Misuse] = {
    "a timeout that is no number": Misuse(lambda _tp, consumer, _topic: consumer.poll("1"), _TYPE),
    "fewer than no messages": Misuse(lambda _tp, consumer, _topic: consumer.consume(-1, 0), _VALUE),
    "too many messages": Misuse(lambda _tp, consumer, _topic: consumer.consume(1_000_001, 0), _VALUE),
    "a topic instead of topics": Misuse(lambda _tp, consumer, topic: consumer.subscribe(topic), _TYPE),
    "no topics": Misuse(lambda _tp, consumer, _topic: consumer.subscribe([]), _ARGUMENT),
    "a callback that cannot be called": Misuse(lambda _tp, c, topic: c.subscribe([topic], on_assign=1), _TYPE),
    "names to assign": Misuse(lambda _tp, consumer, topic: consumer.assign([topic]), _TYPE),
    "a tuple to assign": Misuse(lambda tp, consumer, topic: consumer.assign((tp(topic, 0),)), _TYPE),
    "a name to seek": Misuse(lambda _tp, consumer, topic: consumer.seek(topic), _TYPE),
    "one partition to pause": Misuse(lambda tp, consumer, topic: consumer.pause(tp(topic, 0)), _TYPE),
    "a name to resume": Misuse(lambda _tp, consumer, topic: consumer.resume(topic), _TYPE),
    "the position of a name": Misuse(lambda _tp, consumer, topic: consumer.position(topic), _TYPE),
    "the offset of a name": Misuse(lambda _tp, consumer, topic: consumer.committed(topic, 10), _TYPE),
    "a name to commit": Misuse(lambda _tp, c, topic: c.commit(message=topic, asynchronous=False), _TYPE),
    "a tuple to commit": Misuse(lambda tp, c, topic: c.commit(offsets=(tp(topic, 0, 1),), asynchronous=False), _TYPE),
    "no offsets to commit": Misuse(
        lambda _tp, consumer, _topic: consumer.commit(offsets=[], asynchronous=False),
        Raised("KafkaException", "_NO_OFFSET"),
    ),
    "nothing to store": Misuse(lambda _tp, consumer, _topic: consumer.store_offsets(), _VALUE),
    "a name to store": Misuse(lambda _tp, consumer, topic: consumer.store_offsets(offsets=topic), _TYPE),
    "the ends of a name": Misuse(lambda _tp, consumer, topic: consumer.get_watermark_offsets(topic, 10), _TYPE),
    "the ends of a partition that is not there": Misuse(
        lambda tp, consumer, topic: consumer.get_watermark_offsets(tp(topic, 99), 10),
        Raised("KafkaException", "_UNKNOWN_PARTITION"),
    ),
    "the times of a name": Misuse(lambda _tp, consumer, topic: consumer.offsets_for_times(topic, 10), _TYPE),
    "the times of nothing": Misuse(lambda _tp, consumer, _topic: consumer.offsets_for_times([], 10), _ARGUMENT),
}
