"""``AdminClient``: topics, records, offsets and groups; the futures and the errors in them."""

import time
from concurrent.futures import Future
from typing import Any

import pytest

from tests.conformance.records import fill, serve, take
from tests.conformance.side import ADMIN_SECONDS, WAIT_SECONDS, Side


def known(side: Side) -> set[str]:
    """The topics that the cluster lists."""
    return set(side.cluster.list_topics(timeout=ADMIN_SECONDS).topics)


def test_create_topics(side: Side) -> None:
    names = [side.name("topic"), side.name("topic")]
    futures = side.cluster.create_topics([side.admin.NewTopic(name, 3, 1) for name in names])
    assert list(futures) == names
    assert all(isinstance(future, Future) for future in futures.values())
    assert [future.result(ADMIN_SECONDS) for future in futures.values()] == [None, None]
    serve([], lambda: set(names) <= known(side))


def test_create_a_topic_that_exists(side: Side) -> None:
    topic, new = side.topic(), side.name("topic")
    futures = side.cluster.create_topics([side.admin.NewTopic(name, 1, 1) for name in (new, topic)])
    assert futures[new].result(ADMIN_SECONDS) is None
    assert side.failure(futures[topic]) == (side.error.TOPIC_ALREADY_EXISTS, f"Topic '{topic}' already exists.")


def test_create_topics_for_practice(side: Side) -> None:
    name = side.name("topic")
    future = side.cluster.create_topics([side.admin.NewTopic(name, 1, 1)], validate_only=True)[name]
    assert future.result(ADMIN_SECONDS) is None
    assert name not in known(side)


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ({"topic": "no spaces"}, "TOPIC_EXCEPTION"),
        ({"topic": "a" * 250}, "TOPIC_EXCEPTION"),
        ({"topic": "."}, "TOPIC_EXCEPTION"),
        ({"topic": ""}, "TOPIC_EXCEPTION"),
        ({"topic": "none", "num_partitions": 0}, "INVALID_PARTITIONS"),
        ({"topic": "config", "config": {"nonsense": "1"}}, "INVALID_CONFIG"),
        ({"topic": "config", "config": {"retention.ms": "x"}}, "INVALID_CONFIG"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_topics_that_cannot_be(side: Side, topic: dict[str, Any], code: str) -> None:
    (future,) = side.cluster.create_topics([side.admin.NewTopic(**topic)]).values()
    assert side.failure(future)[0] == getattr(side.error, code)


def test_a_topic_twice_in_one_request(side: Side) -> None:
    name = side.name("topic")
    (future,) = side.cluster.create_topics([side.admin.NewTopic(name, 1, 1)] * 2).values()
    assert side.failure(future) == (side.error.INVALID_REQUEST, "Duplicate topic name.")


def test_defaults_of_a_topic(side: Side) -> None:
    name = side.name("topic")
    assert side.cluster.create_topics([side.admin.NewTopic(name)])[name].result(ADMIN_SECONDS) is None
    serve([], lambda: len(side.cluster.list_topics(name, ADMIN_SECONDS).topics[name].partitions) == 1)


@pytest.mark.parametrize(
    ("method", "argument", "error"),
    [
        ("create_topics", [], ValueError),
        ("create_topics", 5, TypeError),
        ("create_topics", ["topic"], AttributeError),
        ("delete_topics", [], ValueError),
        ("delete_topics", 5, TypeError),
        ("create_partitions", [], ValueError),
        ("describe_topics", ["topic"], TypeError),
        ("delete_records", 5, TypeError),
        ("list_offsets", 5, TypeError),
        ("list_consumer_group_offsets", 5, TypeError),
        ("list_consumer_group_offsets", [], ValueError),
        ("alter_consumer_group_offsets", [], ValueError),
        ("delete_consumer_groups", [], ValueError),
        ("describe_consumer_groups", [], ValueError),
    ],
)
def test_wrong_arguments_are_refused_at_once(side: Side, method: str, argument: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(side.cluster, method)(argument)


def test_timeouts_have_a_range(side: Side) -> None:
    new = [side.admin.NewTopic(side.name("topic"), 1, 1)]
    for name in ("request_timeout", "operation_timeout"):
        for wrong in (-3, 3601):
            with pytest.raises(ValueError, match=name):
                side.cluster.create_topics(new, **{name: wrong})


def test_create_partitions(side: Side) -> None:
    topic = side.topic(2)

    def grow(name: str, total: int, *, practice: bool = False) -> "Future[Any]":
        new = [side.admin.NewPartitions(name, total)]
        future: Future[Any] = side.cluster.create_partitions(new, validate_only=practice)[name]
        return future

    assert grow(topic, 9, practice=True).result(ADMIN_SECONDS) is None
    assert grow(topic, 4).result(ADMIN_SECONDS) is None
    serve([], lambda: len(side.cluster.list_topics(topic, ADMIN_SECONDS).topics[topic].partitions) == 4)
    invalid = side.error.INVALID_PARTITIONS
    assert side.failure(grow(topic, 4)) == (invalid, "Topic already has 4 partition(s).")
    assert side.failure(grow(topic, 3)) == (
        invalid,
        f"The topic {topic} currently has 4 partition(s); 3 would not be an increase.",
    )
    assert side.failure(grow(side.name("missing"), 3))[0] == side.error.UNKNOWN_TOPIC_OR_PART


def test_delete_topics(side: Side) -> None:
    topic, missing = side.topic(), side.name("missing")
    fill(side, topic, [b"v"])
    futures = side.cluster.delete_topics([topic, missing], operation_timeout=ADMIN_SECONDS)
    assert futures[topic].result(ADMIN_SECONDS) is None
    assert side.failure(futures[missing])[0] == side.error.UNKNOWN_TOPIC_OR_PART
    serve([], lambda: topic not in known(side))


def test_a_topic_that_is_created_again_is_empty(side: Side) -> None:
    topic = side.topic()
    fill(side, topic, [b"old"])
    side.cluster.delete_topics([topic], operation_timeout=ADMIN_SECONDS)[topic].result(ADMIN_SECONDS)
    serve([], lambda: topic not in known(side))
    side.topic(name=topic)
    fill(side, topic, [b"new"])
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, 0)])
    (message,) = take(consumer, 1)
    assert (message.offset(), message.value()) == (0, b"new")


def test_list_topics(side: Side) -> None:
    topic = side.topic(2)
    metadata = side.cluster.list_topics(topic, ADMIN_SECONDS)
    assert list(metadata.topics) == [topic]
    assert metadata.cluster_id == side.cluster.cluster_id(ADMIN_SECONDS)
    assert isinstance(metadata.cluster_id, str)
    found = metadata.topics[topic]
    assert (found.topic, found.error, str(found)) == (topic, None, topic)
    assert repr(found) == f"TopicMetadata({topic}, 2 partitions)"
    assert list(found.partitions) == [0, 1]
    partition = found.partitions[1]
    assert (partition.id, partition.error, repr(partition)) == (1, None, "PartitionMetadata(1)")
    assert partition.replicas == [partition.leader]
    assert partition.isrs == [partition.leader]
    broker = metadata.brokers[partition.leader]
    assert broker.id == partition.leader == metadata.controller_id == metadata.orig_broker_id
    assert repr(broker) == f"BrokerMetadata({broker.id}, {broker.host}:{broker.port})"
    assert isinstance(broker.port, int)


def test_list_a_topic_that_does_not_exist(side: Side) -> None:
    missing = side.name("missing")
    found = side.cluster.list_topics(missing, ADMIN_SECONDS).topics[missing]
    assert found.error == side.error.UNKNOWN_TOPIC_OR_PART
    assert found.partitions == {}
    assert missing not in known(side)


def test_describe_topics(side: Side) -> None:
    topic, missing = side.topic(2), side.name("missing")
    described = side.cluster.describe_topics(side.api.TopicCollection([topic, missing]))
    assert set(described) == {topic, missing}
    found = described[topic].result(ADMIN_SECONDS)
    assert (found.name, found.is_internal, found.authorized_operations) == (topic, False, None)
    assert type(found.topic_id) is side.api.Uuid
    assert [partition.id for partition in found.partitions] == [0, 1]
    node = found.partitions[0].leader
    assert type(node) is side.api.Node
    assert [other.id for other in found.partitions[0].replicas] == [node.id]
    assert [other.id for other in found.partitions[0].isr] == [node.id]
    assert side.failure(described[missing])[0] == side.error.UNKNOWN_TOPIC_OR_PART
    assert side.cluster.describe_topics(side.api.TopicCollection([])) == {}


def test_topic_ids_differ_and_stay(side: Side) -> None:
    topics = [side.topic(), side.topic()]

    def ids() -> list[str]:
        described = side.cluster.describe_topics(side.api.TopicCollection(topics))
        return [str(described[topic].result(ADMIN_SECONDS).topic_id) for topic in topics]

    first = ids()
    assert len(set(first)) == 2
    assert ids() == first


def test_describe_cluster(side: Side) -> None:
    found = side.cluster.describe_cluster().result(ADMIN_SECONDS)
    assert found.cluster_id == side.cluster.cluster_id(ADMIN_SECONDS)
    assert [node.id for node in found.nodes] == [found.controller.id]
    assert found.nodes[0].id_string == str(found.controller.id)
    assert isinstance(found.controller.host, str)
    assert found.authorized_operations is None


def test_delete_records(side: Side) -> None:
    topic = side.topic(2)
    fill(side, topic, [b"0", b"1", b"2"])
    tp = side.tp(topic, 0, 2)
    found = side.cluster.delete_records([tp])[tp].result(ADMIN_SECONDS)
    assert type(found) is side.admin.DeletedRecords
    assert found.low_watermark == 2
    consumer = side.consumer()
    consumer.assign([side.tp(topic, 0, side.api.OFFSET_BEGINNING)])
    assert take(consumer, 1)[0].value() == b"2"
    backwards = side.tp(topic, 0, 1)
    assert side.cluster.delete_records([backwards])[backwards].result(ADMIN_SECONDS).low_watermark == 2
    everything = side.tp(topic, 0, side.api.OFFSET_END)
    assert side.cluster.delete_records([everything])[everything].result(ADMIN_SECONDS).low_watermark == 3
    assert consumer.get_watermark_offsets(side.tp(topic, 0), WAIT_SECONDS) == (3, 3)
    fill(side, topic, [b"3"])
    assert consumer.get_watermark_offsets(side.tp(topic, 0), WAIT_SECONDS) == (3, 4)


def test_records_that_cannot_be_deleted(side: Side) -> None:
    topic, missing = side.topic(), side.name("missing")
    beyond, unknown = side.tp(topic, 0, 5), side.tp(missing, 0, 1)
    futures = side.cluster.delete_records([beyond, unknown])
    assert side.failure(futures[beyond]) == (side.error.OFFSET_OUT_OF_RANGE, "Broker: Offset out of range")
    assert side.failure(futures[unknown])[0] == side.error.UNKNOWN_TOPIC_OR_PART
    assert side.cluster.delete_records([]) == {}


def test_list_offsets(side: Side) -> None:
    topic = side.topic()
    now = int(time.time() * 1000)
    producer = side.producer()
    for timestamp in (now, now + 200, now + 100):
        producer.produce(topic, b"v", partition=0, timestamp=timestamp)
        assert producer.flush(WAIT_SECONDS) == 0
    spec = side.admin.OffsetSpec
    tp = side.tp(topic, 0)

    def found(asked: Any) -> tuple[int, int]:
        answer = side.cluster.list_offsets({tp: asked})[tp].result(ADMIN_SECONDS)
        assert type(answer) is side.admin.ListOffsetsResultInfo
        return answer.offset, answer.timestamp

    assert found(spec.earliest()) == (0, -1)
    assert found(spec.latest()) == (3, -1)
    assert found(spec.max_timestamp()) == (1, now + 200)
    assert found(spec.for_timestamp(now + 50)) == (1, now + 200)
    assert found(spec.for_timestamp(0)) == (0, now)
    assert found(spec.for_timestamp(now + 10_000)) == (-1, -1)


def test_list_offsets_of_what_is_not_there(side: Side) -> None:
    tps = [side.tp(side.name("missing"), 0), side.tp(side.topic(), 9)]
    futures = side.cluster.list_offsets({tp: side.admin.OffsetSpec.latest() for tp in tps})
    for tp in tps:
        assert side.failure(futures[tp]) == (
            side.code("_NOENT"),
            "Failed to query partition leaders: No leaders found",
        )
    assert side.cluster.list_offsets({}) == {}


@pytest.mark.differs("broker-administration")
def test_what_only_a_broker_has(side: Side) -> None:
    admin = side.admin
    anything = admin.AclBindingFilter(
        admin.ResourceType.ANY,
        None,
        admin.ResourcePatternType.ANY,
        None,
        None,
        admin.AclOperation.ANY,
        admin.AclPermissionType.ANY,
    )
    try:
        answer = side.cluster.describe_acls(anything).result(ADMIN_SECONDS)
    except side.api.KafkaException as refused:
        answer = refused.args[0].code()
    assert answer == side.either(kafka=[], shim=side.code("_UNSUPPORTED_FEATURE"))


def test_with(side: Side) -> None:
    with side.cluster as cluster:
        assert cluster is side.cluster
        assert cluster.poll(0) == 0
