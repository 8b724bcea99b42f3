"""Partitions as they are handed to a consumer's methods, checked with the original's exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager

from shim.client.request import prefixed
from shim.errors import KafkaError, KafkaException
from shim.message import Message
from shim.protocol.codes import Local
from shim.protocol.constants import OFFSET_INVALID
from shim.topic_partition import TopicPartition


def checked(partitions: object) -> list[TopicPartition]:
    """Returns a list of partitions; raises TypeError for anything else."""
    if not isinstance(partitions, list):
        raise TypeError("requires list of TopicPartition")
    return [checked_one(one) for one in partitions]


def checked_one(partition: object) -> TopicPartition:
    """Returns a partition; raises TypeError for anything else."""
    if not isinstance(partition, TopicPartition):
        raise TypeError("expected cimpl.TopicPartition")
    return partition


def named(message: object, offsets: object, doing: str) -> list[TopicPartition]:
    """Returns the partitions that a call names: where a message ends, or a list of them.

    Args:
        message: a message, or None.
        offsets: a list of partitions, or None.
        doing: what is to be done with the offsets.

    Raises:
        ValueError: both are given.
        TypeError: one is of another kind.
        KafkaException: the message is an event.
    """
    if message is not None and offsets is not None:
        raise ValueError("message and offsets are mutually exclusive")
    return checked(offsets) if message is None else _behind(message, doing)


@contextmanager
def prefixing(attempt: str) -> Iterator[None]:
    """Puts what was attempted in front of the text of a KafkaException."""
    try:
        yield
    except KafkaException as failure:
        raise prefixed(failure, attempt) from None


def _behind(message: object, doing: str) -> list[TopicPartition]:
    """A message's partition, with the offset behind it."""
    if not isinstance(message, Message):
        raise TypeError("expected confluent_kafka.cimpl.Message")
    error = message.error()
    if error is not None:
        text = f"Cannot {doing} offsets for message with error: '{error.str()}'"
        raise KafkaException(KafkaError(Local.INVALID_ARG, text))
    topic, partition, offset, epoch = message.topic(), message.partition(), message.offset(), message.leader_epoch()
    behind = OFFSET_INVALID if offset is None else offset + 1
    place = (topic or "", -1 if partition is None else partition)
    return [TopicPartition(*place, behind, None, -1 if epoch is None else epoch)]
