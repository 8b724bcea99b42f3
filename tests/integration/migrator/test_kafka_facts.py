"""What is learnt about a topic is true, and what cannot be learnt is said in one error or one notice."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Consumer, TopicPartition

from migrator.embedded.process import wait_until
from migrator.errors import CannotStartError, UsageError
from migrator.kafka.facts import Cluster
from migrator.kafka.mock import MockCluster
from migrator.kafka.properties import kafka_properties
from migrator.kafka.records import Commit, GroupFacts, PartitionFacts
from tests.fixtures.kafka import CreateTopic, OwnKafka, create_topic_on
from tests.integration.migrator.producing import (
    SECONDS,
    Sent,
    allow_bob,
    delete_records_below,
    delete_topic,
    numbered,
    produce,
    transactions,
    within,
)

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_SOON = 15.0
_PASSWORD = "bob-s3cret"
_BOB = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "bob",
    "sasl.password": _PASSWORD,
}


@pytest.fixture
def cluster(bootstrap_servers: str) -> Iterator[Cluster]:
    with Cluster(kafka_properties(bootstrap_servers)) as connected:
        yield connected


def commit(servers: str, group: str, topic: str, offsets: Mapping[int, int], metadata: str = "") -> None:
    """Commits without joining, as ``kafka-consumer-groups.sh --reset-offsets`` does."""
    consumer: Any = Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": 0})
    positions = [TopicPartition(topic, n, offset, metadata) for n, offset in offsets.items()]
    consumer.commit(offsets=positions, asynchronous=False)
    consumer.close()


def refusal(ask: Callable[[], object]) -> CannotStartError:
    """The error, which came soon and holds no secret."""
    began = time.monotonic()
    with pytest.raises(CannotStartError) as raised:
        ask()
    assert time.monotonic() - began < _SOON
    assert _PASSWORD not in f"{raised.value.message}{raised.value.hint}"
    assert raised.value.hint
    return raised.value


@pytest.mark.real_kafka
def test_a_topic(cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic) -> None:
    topic = create_topic(2, config={"retention.ms": "86400000"})
    produce(bootstrap_servers, topic, numbered(10))
    delete_records_below(bootstrap_servers, topic, 4)
    facts = cluster.topic_facts(topic)
    assert _ID.fullmatch(facts.cluster_id)
    assert facts.cluster_id == cluster.cluster_id()
    assert _ID.fullmatch(facts.topic_id or "")
    assert facts.topic_id == cluster.topic_id(topic)
    assert facts.partitions == (PartitionFacts(0, 4, 10, 10), PartitionFacts(1, 0, 0, 0))
    assert (facts.cleanup_policy, facts.retention_ms, facts.compacted) == ("delete", 86_400_000, False)
    assert cluster.notices == ()


@pytest.mark.real_kafka
@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_without_retention(policy: str, cluster: Cluster, create_topic: CreateTopic) -> None:
    facts = cluster.topic_facts(create_topic(config={"cleanup.policy": policy, "retention.ms": "-1"}))
    assert set(facts.cleanup_policy.split(",")) == set(policy.split(","))
    assert facts.compacted
    assert facts.retention_ms == -1


@pytest.mark.real_kafka
def test_topic_ids_are_url_safe(cluster: Cluster, create_topic: CreateTopic) -> None:
    ids = [cluster.topic_id(create_topic()) or "" for _ in range(12)]
    assert all(_ID.fullmatch(one) for one in ids)
    assert len(set(ids)) == 12


@pytest.mark.real_kafka
def test_an_open_transaction_shows_between_the_two_ends(
    cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    produce(bootstrap_servers, topic, numbered(2))
    with transactions(bootstrap_servers, topic) as producer:
        within(producer, topic, 3)
        assert cluster.topic_facts(topic).partitions == (PartitionFacts(0, 0, 5, 2),)
        producer.abort_transaction(SECONDS)
    assert wait_until(lambda: cluster.topic_facts(topic).partitions == (PartitionFacts(0, 0, 6, 6),), SECONDS)


@pytest.mark.real_kafka
def test_a_topic_that_is_made_again_is_another_one(
    cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    topic = create_topic()
    before = cluster.topic_id(topic)
    delete_topic(bootstrap_servers, topic)
    create_topic_on(bootstrap_servers, topic)
    assert wait_until(lambda: cluster.topic_id(topic) != before, SECONDS)


def test_topics_are_those_of_users(cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic) -> None:
    topic = create_topic()
    commit(bootstrap_servers, f"group-{topic}", topic, {0: 0})
    assert topic in cluster.topics()
    assert "__consumer_offsets" not in cluster.topics()


def test_a_topic_that_is_not_there(cluster: Cluster, create_topic: CreateTopic) -> None:
    topic = create_topic()
    error = refusal(lambda: cluster.topic_facts(f"{topic}s"))
    assert error.code == "topic-missing"
    assert error.hint == f"did you mean --topic {topic}?"
    assert cluster.topic_facts(topic).topic == topic


@pytest.mark.parametrize("name", ["", ".", "..", "e mails", "émails", "a" * 250])
def test_a_name_that_no_topic_can_have(name: str, cluster: Cluster) -> None:
    with pytest.raises(UsageError):
        cluster.topic_facts(name)


@pytest.mark.real_kafka
@pytest.mark.parametrize("name", ["UPPER.dots_and-dashes", "x" * 249])
def test_names_that_look_odd(name: str, cluster: Cluster, bootstrap_servers: str) -> None:
    create_topic_on(bootstrap_servers, name)
    assert cluster.topic_facts(name).partitions == (PartitionFacts(0, 0, 0, 0),)
    delete_topic(bootstrap_servers, name)


@pytest.mark.real_kafka
def test_offsets_by_time(cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic) -> None:
    topic = create_topic(3, config={"retention.ms": "-1"})
    stamps = [1000, 3000, 2000, 4000]  # out of order, as producers' clocks are
    produce(bootstrap_servers, topic, [Sent(timestamp_ms=stamp) for stamp in stamps])
    produce(bootstrap_servers, topic, [Sent(timestamp_ms=500, partition=1)])
    assert cluster.offsets_for_time(topic, 0) == {0: 0, 1: 0, 2: 0}
    assert cluster.offsets_for_time(topic, 1500) == {0: 1, 1: 1, 2: 0}
    assert cluster.offsets_for_time(topic, 3500) == {0: 3, 1: 1, 2: 0}
    assert cluster.offsets_for_time(topic, 4001) == {0: 4, 1: 1, 2: 0}


@pytest.mark.real_kafka
def test_groups(cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic) -> None:
    topic, other = create_topic(3), create_topic()
    idle, elsewhere, running, modern = (f"{name}-{topic}" for name in ("idle", "elsewhere", "running", "modern"))
    produce(bootstrap_servers, topic, numbered(10))
    commit(bootstrap_servers, idle, topic, {0: 7, 2: 0}, "note")
    commit(bootstrap_servers, idle, other, {0: 1})
    commit(bootstrap_servers, elsewhere, other, {0: 0})
    members: list[Any] = [
        Consumer({"bootstrap.servers": bootstrap_servers, "group.id": running, "log_level": 0}),
        Consumer({"bootstrap.servers": bootstrap_servers, "group.id": modern, "group.protocol": "consumer"}),
    ]
    for member in members:
        member.subscribe([topic])
    assert wait_until(lambda: all(_holds(member) for member in members), SECONDS)

    found = {group.group_id: group for group in cluster.groups_of(topic)}
    for member in members:
        member.close()
    mine = {name: group for name, group in found.items() if name.endswith(topic)}
    assert set(mine) == {idle, running, modern}
    assert mine[idle] == GroupFacts(
        idle, "classic", "EMPTY", 0, {0: Commit(7, "note", None), 2: Commit(0, "note", None)}
    )
    assert not mine[idle].active
    assert (mine[running].kind, mine[running].state, mine[running].members) == ("classic", "STABLE", 1)
    assert mine[running].offsets == {}
    assert (mine[modern].kind, mine[modern].members, mine[modern].active) == ("consumer", 1, True)
    assert cluster.group_on(topic, idle) == mine[idle]
    assert cluster.group_on(topic, elsewhere).offsets == {}
    assert cluster.group_on(topic, "nobody").state == "DEAD"


def _holds(member: Any) -> bool:
    member.poll(0.1)
    return bool(member.assignment())


@pytest.mark.real_kafka
def test_a_share_group_is_named_though_nobody_can_say_what_it_reads(
    cluster: Cluster, bootstrap_servers: str, create_topic: CreateTopic
) -> None:
    if not hasattr(confluent_kafka, "ShareConsumer"):
        pytest.skip("this client has no share groups")
    topic, other = create_topic(), create_topic()
    settings = {"bootstrap.servers": bootstrap_servers, "group.id": f"share-{topic}", "log_level": 0}
    consumer: Any = confluent_kafka.ShareConsumer(settings)
    consumer.subscribe([topic])

    def noticed() -> bool:
        consumer.poll(0.1)
        assert [group for group in cluster.groups_of(other) if topic in group.group_id] == []
        return any(f"share-{topic}" in notice for notice in cluster.notices)

    seen = wait_until(noticed, _SOON)
    consumer.close()
    if not seen:
        pytest.skip("this broker has no share groups")


def test_a_port_where_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    error = refusal(lambda: Cluster(kafka_properties("127.0.0.1:9")))
    assert error.code == "broker-unreachable"
    assert "127.0.0.1:9" in error.message
    assert "nc -vz 127.0.0.1 9" in error.hint
    assert capfd.readouterr() == ("", "")


def test_a_host_that_does_not_exist() -> None:
    error = refusal(lambda: Cluster(kafka_properties("kafka.invalid:9092")))
    assert error.code == "broker-unreachable"
    assert "kafka.invalid:9092" in error.message


def test_one_broker_of_two_is_enough(bootstrap_servers: str) -> None:
    with Cluster(kafka_properties(f"127.0.0.1:9,{bootstrap_servers}")) as cluster:
        assert cluster.cluster_id()


@pytest.fixture
def guarded(own_kafka: OwnKafka) -> tuple[str, str]:
    """A broker on which bob may do nothing yet: where one is a superuser, and where bob logs in."""
    kafka = own_kafka(
        sasl_users={"bob": _PASSWORD},
        properties={
            "allow.everyone.if.no.acl.found": "false",
            "socket.request.max.bytes": str(100 << 20),  # with more, a TLS greeting is taken for a request of 369 MB
        },
    )
    create_topic_on(kafka.bootstrap_servers, "emails")
    return kafka.bootstrap_servers, kafka.sasl_bootstrap_servers


@pytest.mark.real_kafka
def test_logins(guarded: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    plain, sasl = guarded
    wrong = refusal(lambda: Cluster(kafka_properties(sasl, None, {**_BOB, "sasl.password": f"not-{_PASSWORD}"})))
    assert wrong.code == "authentication-failed"
    assert "'bob'" in wrong.message
    mechanism = refusal(lambda: Cluster(kafka_properties(sasl, None, {**_BOB, "sasl.mechanism": "SCRAM-SHA-256"})))
    assert mechanism.code == "authentication-failed"
    assert "PLAIN" in mechanism.message
    no_login = refusal(lambda: Cluster(kafka_properties(sasl)))
    assert no_login.code == "broker-unreachable"
    assert "security.protocol" in no_login.hint
    not_asked = refusal(lambda: Cluster(kafka_properties(plain, None, _BOB)))
    assert not_asked.code == "authentication-failed"
    no_tls = refusal(lambda: Cluster(kafka_properties(plain, None, {"security.protocol": "SSL"})))
    assert no_tls.code == "tls-failed"
    assert "security.protocol" in no_tls.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.real_kafka
def test_rights(guarded: tuple[str, str]) -> None:
    plain, sasl = guarded
    commit(plain, "mailers", "emails", {0: 0})
    with Cluster(kafka_properties(sasl, None, _BOB)) as cluster:
        assert cluster.topics() == ()
        error = refusal(lambda: cluster.topic_facts("emails"))
        assert error.code == "not-authorized"
        assert "--allow-principal 'User:bob' --operation Describe --topic 'emails'" in error.hint

        allow_bob(plain, "DESCRIBE", "TOPIC", "emails")
        facts = cluster.topic_facts("emails")
        assert (facts.cleanup_policy, facts.retention_ms) == ("unknown", -1)
        assert "DescribeConfigs" in cluster.notices[0]

        assert cluster.groups_of("emails") == ()
        assert any("groups that this user may not describe" in notice for notice in cluster.notices)
        hidden = refusal(lambda: cluster.group_on("emails", "mailers"))
        assert "--operation Describe --group 'mailers'" in hidden.hint

        allow_bob(plain, "DESCRIBE", "GROUP", "mailers")
        assert [group.group_id for group in cluster.groups_of("emails")] == ["mailers"]


@pytest.mark.real_kafka
def test_a_broker_that_is_gone_by_now_and_back_again(own_kafka: OwnKafka) -> None:
    kafka = own_kafka()
    create_topic_on(kafka.bootstrap_servers, "emails")
    with Cluster(kafka_properties(kafka.bootstrap_servers)) as cluster:
        kafka.kill()
        assert refusal(lambda: cluster.topic_facts("emails")).code == "broker-unreachable"
        assert refusal(cluster.topics).code == "broker-unreachable"
        kafka.start()
        assert cluster.topic_facts("emails").topic == "emails"


def test_the_mock_cluster_says_what_it_does_not_know() -> None:
    with MockCluster() as mock:
        servers = mock.bootstrap_servers
        produce(servers, "emails", numbered(5))
        commit(servers, "mailers", "emails", {0: 3})
        began = time.monotonic()
        with Cluster(kafka_properties(servers)) as cluster:
            facts = cluster.topic_facts("emails")
            assert facts.topic_id is None
            assert facts.partitions[0] == PartitionFacts(0, 0, 5, 5)
            assert (facts.cleanup_policy, facts.retention_ms) == ("unknown", -1)
            assert cluster.groups_of("emails") == ()
            assert cluster.group_on("emails", "mailers").offsets[0].offset == 3
            assert len(cluster.notices) == 3
            with pytest.raises(CannotStartError, match="mock"):
                cluster.offsets_for_time("emails", 0)
            assert refusal(lambda: cluster.topic_id("email")).hint == "did you mean --topic emails?"
        assert time.monotonic() - began < _SOON
