"""What an application imports in place of ``confluent_kafka``: the same API on one Postgres table.

``from shim import Producer`` is all that changes in most applications. Where imports cannot be changed,
`shim.stand_in.register` puts the shim in the original's place. Importing the package loads nothing, connects to nothing
and starts no thread; a name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shim import admin
    from shim.consumer import Consumer
    from shim.errors import ConcurrentModificationException, IllegalStateException, KafkaError, KafkaException
    from shim.message import Message, Messages
    from shim.model import (
        AcknowledgeType,
        ConsumerGroupState,
        ConsumerGroupTopicPartitions,
        ConsumerGroupType,
        ElectionType,
        IsolationLevel,
        Node,
        ThrottleEvent,
        TopicCollection,
        TopicPartitionInfo,
        Uuid,
    )
    from shim.producer import Producer
    from shim.protocol.constants import (
        OFFSET_BEGINNING,
        OFFSET_END,
        OFFSET_INVALID,
        OFFSET_STORED,
        TIMESTAMP_CREATE_TIME,
        TIMESTAMP_LOG_APPEND_TIME,
        TIMESTAMP_NOT_AVAILABLE,
    )
    from shim.protocol.hashing import consistent, fnv1a, murmur2
    from shim.release import libversion, version
    from shim.serializing import DeserializingConsumer, DeserializingShareConsumer, SerializingProducer
    from shim.share_consumer import ShareConsumer
    from shim.topic_partition import TopicPartition

    __version__: str

__all__ = [  # noqa: RUF022  in the order of the original
    "admin",
    "Consumer",
    "ShareConsumer",
    "Messages",
    "KafkaError",
    "KafkaException",
    "IllegalStateException",
    "ConcurrentModificationException",
    "libversion",
    "version",
    "murmur2",
    "consistent",
    "fnv1a",
    "Message",
    "OFFSET_BEGINNING",
    "OFFSET_END",
    "OFFSET_INVALID",
    "OFFSET_STORED",
    "Producer",
    "DeserializingConsumer",
    "DeserializingShareConsumer",
    "SerializingProducer",
    "TIMESTAMP_CREATE_TIME",
    "TIMESTAMP_LOG_APPEND_TIME",
    "TIMESTAMP_NOT_AVAILABLE",
    "TopicPartition",
    "Node",
    "ConsumerGroupTopicPartitions",
    "ConsumerGroupState",
    "ConsumerGroupType",
    "Uuid",
    "IsolationLevel",
    "TopicCollection",
    "TopicPartitionInfo",
    "ElectionType",
    "AcknowledgeType",
    "ThrottleEvent",
]

_HOMES = {
    "shim.protocol.constants": (
        "OFFSET_BEGINNING",
        "OFFSET_END",
        "OFFSET_INVALID",
        "OFFSET_STORED",
        "TIMESTAMP_CREATE_TIME",
        "TIMESTAMP_LOG_APPEND_TIME",
        "TIMESTAMP_NOT_AVAILABLE",
    ),
    "shim.consumer": ("Consumer",),
    "shim.errors": ("ConcurrentModificationException", "IllegalStateException", "KafkaError", "KafkaException"),
    "shim.protocol.hashing": ("consistent", "fnv1a", "murmur2"),
    "shim.message": ("Message", "Messages"),
    "shim.model": (
        "AcknowledgeType",
        "ConsumerGroupState",
        "ConsumerGroupTopicPartitions",
        "ConsumerGroupType",
        "ElectionType",
        "IsolationLevel",
        "Node",
        "ThrottleEvent",
        "TopicCollection",
        "TopicPartitionInfo",
        "Uuid",
    ),
    "shim.producer": ("Producer",),
    "shim.release": ("libversion", "version"),
    "shim.serializing": ("DeserializingConsumer", "DeserializingShareConsumer", "SerializingProducer"),
    "shim.share_consumer": ("ShareConsumer",),
    "shim.topic_partition": ("TopicPartition",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_SUBMODULES = ("admin", "cimpl", "error", "serialization")
_MISSING = {
    "aio": "the clients for asyncio come with a later release",
    "avro": "it is deprecated; use the serializers of confluent_kafka.schema_registry",
    "schema_registry": "it needs no Kafka; keep importing it from confluent_kafka",
    "kafkatest": "it tests Kafka's own brokers",
}


if not TYPE_CHECKING:  # for type checkers, a name that is not imported above does not exist

    def __getattr__(name: str) -> object:
        """Loads what a name stands for when it is first used.

        Raises:
            ImportError: the original has the name, the shim not, or not yet; the message says why.
            AttributeError: nobody has it.
        """
        if name in _MISSING:
            raise ImportError(f"shim has no {name}: {_MISSING[name]}", name=f"shim.{name}")
        if name in _SUBMODULES:
            return import_module(f"shim.{name}")
        if name == "__version__":
            found: object = import_module("shim.release").version()
        elif name in _HOME_OF:
            found = getattr(import_module(_HOME_OF[name]), name)
        else:
            raise AttributeError(f"module 'shim' has no attribute {name!r}")
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    """Names what can be imported, loaded or not."""
    return sorted({*globals(), *__all__})
