"""Topics that nobody created. Whether producers make them is a broker's setting; here the broker's is on."""

from typing import Any

import pytest

from tests.conformance.records import take, values
from tests.conformance.side import WAIT_SECONDS, Family, Side
from tests.fixtures.kafka import OwnKafka


@pytest.fixture
def generous(family: Family, own_kafka: OwnKafka) -> Any:
    """A side whose server makes topics as they are asked for: an own Kafka, or the queue as it is."""
    if family.name == "shim":
        side = Side(family, None)
    else:
        servers = own_kafka(properties={"auto.create.topics.enable": "true"}).bootstrap_servers
        side = Side(Family(family.name, family.package, servers), None)
    yield side
    side.close()


def test_who_makes_topics(generous: Side) -> None:
    topic = generous.name("topic")
    reports: list[tuple[Any, Any]] = []
    producer = generous.producer()
    producer.produce(topic, b"v", on_delivery=lambda *report: reports.append(report))
    assert producer.flush(WAIT_SECONDS) == 0
    ((error, message),) = reports
    assert (error, message.partition(), message.offset()) == (None, 0, 0)
    consumer = generous.consumer()
    consumer.subscribe([topic])
    assert values(take(consumer, 1)) == [b"v"]
    assert len(consumer.list_topics(topic, WAIT_SECONDS).topics[topic].partitions) == 1
