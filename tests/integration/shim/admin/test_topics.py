from typing import Any

import pytest

from migrator.embedded.process import wait_until
from tests.integration.shim.admin.sides import SECONDS, Side, code_of, text_of

pytestmark = pytest.mark.real_kafka


def test_a_topic_is_made_and_listed(admin: Any, topic: str) -> None:
    cluster = admin.list_topics(topic)
    assert list(cluster.topics) == [topic]
    made = cluster.topics[topic]
    assert (made.topic, made.error, sorted(made.partitions)) == (topic, None, [0, 1, 2])
    broker = cluster.brokers[cluster.controller_id]
    assert [(one.leader, one.replicas, one.isrs, one.error) for one in made.partitions.values()] == [
        (broker.id, [broker.id], [broker.id], None)
    ] * 3
    assert cluster.orig_broker_id == broker.id
    assert cluster.orig_broker_name == f"{broker.host}:{broker.port}/{broker.id}"
    assert topic in admin.list_topics(timeout=SECONDS).topics


def test_a_topic_that_is_there_is_not_made_again(side: Side, admin: Any, topic: str, name: str) -> None:
    other = f"{name}-other"
    futures = admin.create_topics([side.NewTopic(topic, 5, 1), side.NewTopic(other, 1, 1)])
    assert futures[other].result(SECONDS) is None
    assert code_of(futures[topic]) == "TOPIC_ALREADY_EXISTS"
    assert text_of(futures[topic]) == f"Topic '{topic}' already exists."


def test_a_new_topic_has_the_default_number_of_partitions(side: Side, admin: Any, name: str) -> None:
    assert admin.create_topics([side.NewTopic(name)])[name].result(SECONDS) is None
    assert wait_until(lambda: len(admin.list_topics(name).topics[name].partitions) == 1, SECONDS)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("", "TOPIC_EXCEPTION"),
        (".", "TOPIC_EXCEPTION"),
        ("..", "TOPIC_EXCEPTION"),
        ("two words", "TOPIC_EXCEPTION"),
        ("ż", "TOPIC_EXCEPTION"),
        ("x" * 250, "TOPIC_EXCEPTION"),
    ],
)
def test_a_wrong_name_is_refused_in_the_same_words(side: Side, admin: Any, wrong: str, code: str) -> None:
    future = admin.create_topics([side.NewTopic(wrong, 1, 1)])[wrong]
    assert code_of(future) == code
    assert text_of(future) == WRONG_NAMES[wrong]
    assert admin.list_topics(wrong).topics[wrong].error.name() == code


WRONG_NAMES = {
    "": "Topic name is invalid: the empty string is not allowed",
    ".": "Topic name is invalid: '.' is not allowed",
    "..": "Topic name is invalid: '..' is not allowed",
    "two words": (
        "Topic name is invalid: 'two words' contains one or more characters other than ASCII alphanumerics, "
        "'.', '_' and '-'"
    ),
    "ż": (
        "Topic name is invalid: 'ż' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    ),
    "x" * 250: f"Topic name is invalid: the length of '{'x' * 250}' is longer than the max allowed length 249",
}


@pytest.mark.parametrize(
    ("config", "code", "text"),
    [
        ({"nope": "1"}, "INVALID_CONFIG", "Unknown topic config name: nope"),
        (
            {"retention.ms": "x"},
            "INVALID_CONFIG",
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            {"retention.ms": "-2"},
            "INVALID_CONFIG",
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
    ],
)
def test_a_wrong_configuration_is_refused(
    side: Side, admin: Any, name: str, config: dict[str, str], code: str, text: str
) -> None:
    future = admin.create_topics([side.NewTopic(name, 1, 1, config=config)])[name]
    assert (code_of(future), text_of(future)) == (code, text)
    assert admin.list_topics(name).topics[name].error.name() == "UNKNOWN_TOPIC_OR_PART"


def test_no_partitions_are_refused(side: Side, admin: Any, name: str) -> None:
    future = admin.create_topics([side.NewTopic(name, 0, 1)])[name]
    assert code_of(future) == "INVALID_PARTITIONS"
    assert text_of(future) == "Number of partitions was set to an invalid non-positive value."


def test_the_same_topic_twice_is_refused(side: Side, admin: Any, name: str) -> None:
    future = admin.create_topics([side.NewTopic(name, 1, 1), side.NewTopic(name, 2, 1)])[name]
    assert (code_of(future), text_of(future)) == ("INVALID_REQUEST", "Duplicate topic name.")
    future = admin.delete_topics([name, name])[name]
    assert (code_of(future), text_of(future)) == ("INVALID_REQUEST", "Broker: Invalid request")


def test_validation_makes_nothing(side: Side, admin: Any, topic: str, name: str) -> None:
    other = f"{name}-other"
    assert admin.create_topics([side.NewTopic(other, 1, 1)], validate_only=True)[other].result(SECONDS) is None
    assert admin.list_topics(other).topics[other].error.name() == "UNKNOWN_TOPIC_OR_PART"
    future = admin.create_topics([side.NewTopic(topic, 1, 1)], validate_only=True)[topic]
    assert code_of(future) == "TOPIC_ALREADY_EXISTS"
    assert admin.create_partitions([side.NewPartitions(topic, 9)], validate_only=True)[topic].result(SECONDS) is None
    assert len(admin.list_topics(topic).topics[topic].partitions) == 3


def test_a_topic_grows(side: Side, admin: Any, topic: str) -> None:
    assert admin.create_partitions([side.NewPartitions(topic, 5)])[topic].result(SECONDS) is None
    assert wait_until(lambda: len(admin.list_topics(topic).topics[topic].partitions) == 5, SECONDS)
    same = admin.create_partitions([side.NewPartitions(topic, 5)])[topic]
    assert (code_of(same), text_of(same)) == ("INVALID_PARTITIONS", "Topic already has 5 partition(s).")
    fewer = admin.create_partitions([side.NewPartitions(topic, 2)])[topic]
    assert code_of(fewer) == "INVALID_PARTITIONS"
    assert text_of(fewer) == f"The topic {topic} currently has 5 partition(s); 2 would not be an increase."


def test_an_unknown_topic_is_told(side: Side, admin: Any, name: str) -> None:
    found = admin.list_topics(name).topics[name]
    assert (found.error.name(), found.partitions) == ("UNKNOWN_TOPIC_OR_PART", {})
    assert code_of(admin.create_partitions([side.NewPartitions(name, 5)])[name]) == "UNKNOWN_TOPIC_OR_PART"
    assert code_of(admin.delete_topics([name])[name]) == "UNKNOWN_TOPIC_OR_PART"
    assert code_of(admin.describe_topics(side.TopicCollection([name]))[name]) == "UNKNOWN_TOPIC_OR_PART"
    wrong = admin.describe_topics(side.TopicCollection(["two words"]))["two words"]
    assert (code_of(wrong), text_of(wrong)) == ("TOPIC_EXCEPTION", "Broker: Invalid topic")


def test_a_topic_is_deleted_and_made_again_as_another(side: Side, admin: Any, topic: str) -> None:
    first = admin.describe_topics(side.TopicCollection([topic]))[topic].result(SECONDS)
    side.produce(topic, 0, [1_700_000_000_000] * 10)
    assert admin.delete_topics([topic])[topic].result(SECONDS) is None
    assert wait_until(lambda: admin.list_topics(topic).topics[topic].error is not None, SECONDS)

    def made() -> bool:
        return admin.create_topics([side.NewTopic(topic, 1, 1)])[topic].exception(SECONDS) is None

    assert wait_until(made, SECONDS)
    assert wait_until(lambda: len(admin.list_topics(topic).topics[topic].partitions) == 1, SECONDS)
    second = admin.describe_topics(side.TopicCollection([topic]))[topic].result(SECONDS)
    assert str(first.topic_id) != str(second.topic_id)
    asked = {side.TopicPartition(topic, 0): side.OffsetSpec.latest()}
    assert [future.result(SECONDS).offset for future in admin.list_offsets(asked).values()] == [0]


def test_a_topic_is_described(side: Side, admin: Any, topic: str) -> None:
    described = admin.describe_topics(side.TopicCollection([topic]))[topic].result(SECONDS)
    assert (described.name, described.is_internal, described.authorized_operations) == (topic, False, None)
    assert len(str(described.topic_id)) == 22
    assert [one.id for one in described.partitions] == [0, 1, 2]
    node = admin.describe_cluster().result(SECONDS).controller
    leader = described.partitions[0].leader
    assert (leader.id, leader.id_string, leader.host, leader.port) == (node.id, str(node.id), node.host, node.port)
    assert [one.id for one in described.partitions[0].replicas + described.partitions[0].isr] == [node.id, node.id]


def test_what_may_be_done_with_a_topic_is_told_when_asked(side: Side, admin: Any, topic: str) -> None:
    asked = side.TopicCollection([topic])
    described = admin.describe_topics(asked, include_authorized_operations=True)[topic].result(SECONDS)
    wanted = ["READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"]
    names = [operation.name for operation in described.authorized_operations]
    assert [name for name in names if name in wanted] == wanted


def test_topics_described_twice_are_refused(side: Side, admin: Any, topic: str) -> None:
    future = admin.describe_topics(side.TopicCollection([topic, topic]))[topic]
    assert (code_of(future), text_of(future)) == ("_INVALID_ARG", "Duplicate topics not allowed")


def test_the_cluster_is_described(admin: Any) -> None:
    described = admin.describe_cluster().result(SECONDS)
    assert described.cluster_id == admin.cluster_id(SECONDS) == admin.list_topics().cluster_id
    assert len(described.cluster_id) == 22
    assert [node.id for node in described.nodes] == [described.controller.id]
    assert described.authorized_operations is None
    with_operations = admin.describe_cluster(include_authorized_operations=True).result(SECONDS)
    assert {"CREATE", "DESCRIBE"} <= {operation.name for operation in with_operations.authorized_operations}
