"""Code written for ``confluent_kafka`` that cannot be edited: the shim is registered under that name."""

import subprocess
import sys
import uuid

import pytest

from tests.conformance.side import Family

BY_HAND = """
import importlib, pkgutil, sys
import shim
sys.modules["confluent_kafka"] = shim
for found in pkgutil.walk_packages(shim.__path__, "shim."):
    if not found.name.startswith("shim.store"):
        sys.modules["confluent_kafka" + found.name.removeprefix("shim")] = importlib.import_module(found.name)
"""
BY_ITSELF = """
import sys
from shim.stand_in import register
register()
"""

PROGRAM = """
import confluent_kafka
import confluent_kafka.admin
import confluent_kafka.cimpl
import confluent_kafka.error
import confluent_kafka.serialization
from confluent_kafka import (
    OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, OFFSET_STORED, TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE, Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType,
    DeserializingConsumer, DeserializingShareConsumer, ElectionType, IsolationLevel, KafkaError, KafkaException,
    Message, Node, Producer, SerializingProducer, ShareConsumer, ThrottleEvent, TopicCollection, TopicPartition,
    TopicPartitionInfo, Uuid, consistent, fnv1a,
    libversion, murmur2, version,
)
from confluent_kafka.admin import (
    AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, BrokerMetadata, ClusterMetadata,
    ConfigEntry, ConfigResource, ConfigSource, ConsumerGroupDescription, ConsumerGroupListing, DeletedRecords,
    DescribeClusterResult, GroupMetadata, GroupMember, ListConsumerGroupsResult, ListOffsetsResultInfo,
    MemberAssignment, MemberDescription, NewPartitions, NewTopic, OffsetSpec, PartitionMetadata, ResourcePatternType,
    ResourceType, TopicDescription, TopicMetadata,
)
from confluent_kafka.cimpl import Consumer as core_consumer, KafkaError as core_error, NewTopic as core_topic
from confluent_kafka.error import (
    ConsumeError, KeyDeserializationError, KeySerializationError, ProduceError, ValueDeserializationError,
    ValueSerializationError,
)
from confluent_kafka.serialization import (
    Deserializer, IntegerSerializer, MessageField, SerializationContext, SerializationError, Serializer,
    StringDeserializer, StringSerializer,
)
assert core_consumer is Consumer and core_error is KafkaError and core_topic is NewTopic
assert confluent_kafka.error.KafkaException is KafkaException
assert isinstance(version(), str) and isinstance(libversion()[1], int) and confluent_kafka.__version__

topic = {topic!r}
connection = {{"bootstrap.servers": {servers!r}}}
admin = AdminClient(connection)
admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(30)
with Producer(connection) as producer:
    producer.produce(topic, StringSerializer()("value"), callback=lambda error, message: print(error, message.offset()))
with Consumer(connection | {{"group.id": topic, "auto.offset.reset": "earliest"}}) as consumer:
    consumer.subscribe([topic])
    message = None
    while message is None:
        message = consumer.poll(1)
    print(message.value(), isinstance(message, Message), type(message).__name__)
try:
    Consumer({{"group.id": "g", "nonsense": 1}})
except KafkaException as refused:
    print(refused.args[0].name())
print(sorted(name for name in sys.modules if name == "librdkafka" or name.startswith("cimpl")))
"""


@pytest.mark.parametrize("registration", [BY_HAND, BY_ITSELF], ids=["by hand", "by itself"])
def test_a_program_that_imports_everything(family: Family, registration: str) -> None:
    topic = f"registered_{uuid.uuid4().hex}"
    program = (registration if family.name == "shim" else "import sys") + PROGRAM.format(
        topic=topic, servers=family.servers
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90, check=False)
    assert ended.stdout.splitlines() == ["None 0", "b'value' True Message", "_INVALID_ARG", "[]"], ended.stderr


def test_a_module_that_is_not_there_is_said_to_be(family: Family) -> None:
    with pytest.raises(ImportError):
        family.module("nonsense")
