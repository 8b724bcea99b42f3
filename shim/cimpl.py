"""The core of the API under the name of the original's C module, for code that imports from there."""

from shim.admin import NewPartitions, NewTopic
from shim.consumer import Consumer
from shim.errors import ConcurrentModificationException, IllegalStateException, KafkaError, KafkaException
from shim.message import Message
from shim.model import Uuid
from shim.producer import Producer
from shim.protocol import constants
from shim.protocol.constants import *  # noqa: F403  all 68 of them
from shim.protocol.hashing import consistent, fnv1a, murmur2
from shim.release import libversion, version
from shim.share_consumer import ShareConsumer
from shim.topic_partition import TopicPartition

__all__ = [
    "ConcurrentModificationException",
    "Consumer",
    "IllegalStateException",
    "KafkaError",
    "KafkaException",
    "Message",
    "NewPartitions",
    "NewTopic",
    "Producer",
    "ShareConsumer",
    "TopicPartition",
    "Uuid",
    "consistent",
    "fnv1a",
    "libversion",
    "murmur2",
    "version",
]
__all__ += constants.__all__
