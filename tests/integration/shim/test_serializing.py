"""Objects to Postgres and back: the serializing clients, and the shim under the original's name."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

from migrator.embedded.process import wait_until
from shim.message import Message
from shim.serialization import (
    DoubleDeserializer,
    DoubleSerializer,
    SerializationContext,
    StringDeserializer,
    StringSerializer,
)
from shim.serializing import DeserializingConsumer, SerializingProducer
from shim.topic_partition import TopicPartition

SECONDS = 30


class Asking(StringSerializer):
    """Puts the cluster's id in front of a string."""

    def set_cluster_id_resolver(self, resolver: Callable[[], Any]) -> None:
        self.resolver = resolver

    def __call__(self, obj: str | None, ctx: SerializationContext | None = None) -> bytes | None:
        return super().__call__(f"{self.resolver()}/{obj}", ctx)


def first(consumer: DeserializingConsumer[str, float]) -> Message[str, float]:
    found: list[Message[str, float]] = []

    def polled() -> bool:
        message = consumer.poll(0.1)
        if message is not None:
            found.append(message)
        return bool(found)

    assert wait_until(polled, SECONDS)
    return found[0]


def test_objects_come_back(migrated_url: str) -> None:
    topic = f"prices-{uuid.uuid4()}"
    conf = {"shim.dsn": migrated_url}
    serializers = {"key.serializer": Asking(), "value.serializer": DoubleSerializer()}
    with SerializingProducer[str, float]({**conf, **serializers}) as producer:
        producer.produce(topic, "żółć", 0.5, headers=[("currency", "PLN")])
        assert producer.flush(SECONDS) == 0
        cluster_id = producer.cluster_id(SECONDS)
    deserializers = {"key.deserializer": StringDeserializer(), "value.deserializer": DoubleDeserializer()}
    with DeserializingConsumer[str, float]({**conf, **deserializers, "group.id": "g"}) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = first(consumer)
    assert (message.deserialized_key(), message.deserialized_value()) == (f"{cluster_id}/żółć", 0.5)
    raw: Any = message.key()
    assert raw is message.deserialized_key()
    assert message.headers() == [("currency", b"PLN")]


APPLICATION = """
import sys
from shim.stand_in import register
register()

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

conf = {"bootstrap.servers": sys.argv[1]}
AdminClient(conf).create_topics([NewTopic("emails", 3)])["emails"].result(30)
producer = Producer(conf)
for number in range(5):
    producer.produce("emails", str(number), key="k")
assert producer.flush(30) == 0
consumer = Consumer({**conf, "group.id": "mailer", "auto.offset.reset": "earliest"})
consumer.subscribe(["emails"])
read = []
while len(read) < 5:
    message = consumer.poll(30)
    read.append(message.value().decode())
consumer.close()
print(*read)
"""


def test_an_application_whose_imports_are_not_changed(migrated_url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", APPLICATION, migrated_url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "0 1 2 3 4\n"), ended.stderr
