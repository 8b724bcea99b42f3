"""What is the shim's own: Postgres goes away, Kafka numbers a topic, a process forks, a client is closed."""

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from migrator.embedded.process import wait_until
from shim.admin import AclBindingFilter, AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec
from shim.errors import KafkaError, KafkaException
from shim.model import ConsumerGroupTopicPartitions, ElectionType, TopicCollection
from shim.protocol.codes import Local
from shim.store import pool, topics
from shim.topic_partition import TopicPartition
from tests.fixtures.proxy import OpenProxy, TcpProxy
from tests.integration.shim.admin.sides import QUEUE, SECONDS, OnPostgres, code_of, text_of

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def admin(migrated_url: str) -> AdminClient:
    return AdminClient({"shim.dsn": migrated_url})


def make(admin: AdminClient, topic: str = "jobs", **wanted: Any) -> str:
    admin.create_topics([NewTopic(topic, **wanted)])[topic].result(SECONDS)
    return topic


def mine() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "shim-admin"}


def test_nothing_is_started_or_connected_before_the_first_call() -> None:
    before = mine()
    admin = AdminClient({"shim.dsn": NOBODY})
    assert (mine() - before, len(admin), bool(admin)) == (set(), 0, True)


def test_threads_end_with_the_client(migrated_url: str) -> None:
    before = mine()
    admin = AdminClient({"shim.dsn": migrated_url})
    for _ in range(5):
        admin.describe_cluster().result(SECONDS)
    started = mine() - before
    assert 1 <= len(started) <= 2
    del admin
    assert wait_until(lambda: not any(thread.is_alive() for thread in started), SECONDS)


def test_a_closed_client_refuses_and_answers_what_was_asked(migrated_url: str) -> None:
    with AdminClient({"shim.dsn": migrated_url}) as admin:
        asked = admin.describe_cluster()
    assert asked.result(SECONDS).cluster_id
    calls: dict[Callable[[], object], str] = {
        admin.describe_cluster: "AdminClient",
        lambda: admin.create_topics([NewTopic("jobs")]): "AdminClient",
        admin.poll: "AdminClient",
        admin.describe_user_scram_credentials: "AdminClient",
        admin.list_topics: "Handle",
        admin.cluster_id: "Handle",
    }
    for call, who in calls.items():
        with pytest.raises(RuntimeError, match=f"^{who} has been closed$"):
            call()
    with admin:
        pass


def test_what_postgres_does_in_its_own_way_is_refused(admin: AdminClient) -> None:
    broker, group = ConfigResource("broker", "1"), ConfigResource("group", "g")
    refused = [
        admin.describe_acls(AclBindingFilter("any", None, "any", None, None, "any", "any")),
        admin.describe_user_scram_credentials(),
        *admin.describe_user_scram_credentials(["u"]).values(),
        admin.elect_leaders(ElectionType.PREFERRED),
        *admin.describe_configs([broker, group]).values(),
        *admin.create_topics([NewTopic("compacted", config={"cleanup.policy": "compact"})]).values(),
        *admin.create_topics([NewTopic("stamped", config={"message.timestamp.type": "LogAppendTime"})]).values(),
        *admin.create_topics([NewTopic("small", config={"retention.bytes": "1000"})]).values(),
    ]
    assert {code_of(future) for future in refused} == {"_UNSUPPORTED_FEATURE"}
    assert text_of(refused[0]).startswith("Local: Required feature not supported by broker: access is granted in ")
    assert admin.list_topics().topics == {}


def test_other_configurations_cannot_be_changed(admin: AdminClient) -> None:
    topic = ConfigResource("topic", make(admin), {"segment.bytes": "1000"})
    with pytest.warns(DeprecationWarning, match="incremental_alter_configs"):
        (future,) = admin.alter_configs([topic]).values()
    assert code_of(future) == "_UNSUPPORTED_FEATURE"
    assert text_of(future).endswith("segment.bytes cannot be changed here")


def test_a_configuration_without_effect_is_logged(migrated_url: str, caplog: pytest.LogCaptureFixture) -> None:
    admin = AdminClient({"shim.dsn": migrated_url}, logger=logging.getLogger("admin.test"))
    with caplog.at_level(logging.WARNING, "admin.test"):
        make(admin, config={"segment.bytes": "1", "min.insync.replicas": "2", "retention.ms": "5"})
        admin.set_sasl_credentials("somebody", "a secret")
    config, credentials = caplog.messages
    assert config.endswith("jobs: Postgres has no use for min.insync.replicas, segment.bytes")
    assert "set_sasl_credentials has no effect" in credentials
    assert "a secret" not in credentials


def test_a_new_topic_has_the_partitions_and_the_partitioner_that_were_asked_for(migrated_url: str) -> None:
    admin = AdminClient({"shim.dsn": migrated_url, "shim.topic.partitions": 4})
    make(admin, config={"shim.partitioner": "murmur2_random"})
    assert len(admin.list_topics("jobs").topics["jobs"].partitions) == 4
    asked = ConfigResource("topic", "jobs")
    entry = admin.describe_configs([asked])[asked].result(SECONDS)["shim.partitioner"]
    assert (entry.value, entry.is_read_only, entry.is_default) == ("murmur2_random", True, False)
    wrong = admin.create_topics([NewTopic("other", config={"shim.partitioner": "best"})])["other"]
    assert (code_of(wrong), "murmur2_random" in text_of(wrong)) == ("INVALID_CONFIG", True)


def test_retention_for_ever_is_kept_as_null(admin: AdminClient, migrated_url: str) -> None:
    make(admin, config={"retention.ms": "-1"})
    with psycopg.connect(migrated_url) as conn:
        assert conn.execute("select retention_ms from job_topic").fetchone() == (None,)


def test_a_topic_that_kafka_numbers_is_left_alone(admin: AdminClient, migrated_url: str) -> None:
    with psycopg.connect(migrated_url) as conn:
        topics.register_topic(conn, topics.load(QUEUE), "drained", 1)
        topics.register_partitions(conn, topics.load(QUEUE), "drained", {0: 0})
    refused: list[Future[Any]] = [
        admin.delete_topics(["drained"])["drained"],
        admin.create_partitions([NewPartitions("drained", 5)])["drained"],
        *admin.delete_records([TopicPartition("drained", 0, -1)]).values(),
    ]
    assert {(code_of(future), text_of(future)) for future in refused} == {
        ("_STATE", "Kafka numbers topic 'drained': see migrator cutover")
    }
    assert list(admin.list_topics().topics) == ["drained"]


def test_too_many_partitions_are_refused(admin: AdminClient) -> None:
    refused = [
        admin.create_topics([NewTopic("vast", 10_001)])["vast"],
        admin.create_partitions([NewPartitions(make(admin), 10_001)])["jobs"],
    ]
    assert {(code_of(future), text_of(future)) for future in refused} == {
        ("INVALID_PARTITIONS", "A topic has at most 10000 partitions.")
    }


def test_a_server_that_is_away_is_waited_for_and_then_told() -> None:
    admin = AdminClient({"shim.dsn": NOBODY})
    started = time.monotonic()
    with pytest.raises(KafkaException) as failure:
        admin.list_topics(timeout=0.3)
    assert failure.value.args[0] == Local.TRANSPORT
    assert failure.value.args[0].str().startswith("Failed to get metadata: Local: Broker transport failure")
    assert failure.value.args[0].retriable()
    with pytest.raises(KafkaException, match="Failed to retrieve cluster id: "):
        admin.cluster_id(0.1)
    with pytest.warns(DeprecationWarning, match="list_groups"), pytest.raises(KafkaException, match="list groups: "):
        admin.list_groups(timeout=0.1)
    assert code_of(admin.describe_cluster(request_timeout=0.1)) == "_TRANSPORT"
    assert code_of(admin.create_topics([NewTopic("a")], request_timeout=0.1)["a"]) == "_TRANSPORT"
    assert 0.4 < time.monotonic() - started < SECONDS


def test_calls_go_on_when_the_server_is_back(migrated_url: str, open_proxy: OpenProxy) -> None:
    proxy: TcpProxy = open_proxy(migrated_url)
    admin = AdminClient({"shim.dsn": proxy.url_of(migrated_url)})
    make(admin)
    proxy.refuse()
    assert proxy.cut_all() > 0
    asked = admin.describe_topics(TopicCollection(["jobs"]))["jobs"]
    made = admin.create_topics([NewTopic("other")])["other"]
    healing = threading.Timer(0.5, proxy.heal)
    healing.start()
    assert list(admin.list_topics(timeout=SECONDS).topics)[:1] == ["jobs"]
    assert asked.result(SECONDS).name == "jobs"
    assert made.result(SECONDS) is None
    healing.join()


def test_errors_of_the_connection_are_told_by_poll() -> None:
    told: list[KafkaError] = []
    admin = AdminClient({"shim.dsn": NOBODY, "error_cb": told.append})
    assert admin.poll(0) == 0
    assert code_of(admin.describe_cluster(request_timeout=0)) == "_TRANSPORT"
    assert told == []
    assert len(admin) == 2
    assert admin.poll(SECONDS) == 2
    assert [error.name() for error in told] == ["_TRANSPORT", "_ALL_BROKERS_DOWN"]
    assert (len(admin), admin.poll(0.01)) == (0, 0)


def test_a_lock_is_waited_for_no_longer_than_the_request(admin: AdminClient, migrated_url: str) -> None:
    make(admin)
    with psycopg.connect(migrated_url) as conn:
        conn.execute("lock table job_topic in access exclusive mode")
        reading = admin.describe_topics(TopicCollection(["jobs"]), request_timeout=1)["jobs"]
        writing = admin.create_topics([NewTopic("other")], request_timeout=1)["other"]
        assert [code_of(reading), code_of(writing)] == ["_TIMED_OUT", "_TIMED_OUT"]
        with pytest.raises(KafkaException, match="_TIMED_OUT"):
            admin.list_topics(timeout=1)
    assert list(admin.list_topics(timeout=SECONDS).topics) == ["jobs"]


@pytest.mark.direct("sends startup options")
@pytest.mark.usefixtures("roles")
def test_a_missing_right_is_told_topic_by_topic(migrated_url: str, admin: AdminClient) -> None:
    make(admin)
    reader = AdminClient({"shim.dsn": f"{migrated_url}?options=-crole%3Djob_queue_reader"})
    futures = reader.create_topics([NewTopic("one"), NewTopic("two")])
    assert [code_of(future) for future in futures.values()] == ["TOPIC_AUTHORIZATION_FAILED"] * 2
    described = reader.describe_topics(TopicCollection(["jobs"]), include_authorized_operations=True)["jobs"]
    operations = described.result(SECONDS).authorized_operations or []
    assert [operation.name for operation in operations] == ["READ", "DESCRIBE", "DESCRIBE_CONFIGS"]


def test_tables_that_are_not_there_are_told(database_url: str) -> None:
    admin = AdminClient({"shim.dsn": database_url})
    with pytest.raises(KafkaException, match="_NOT_CONFIGURED"):
        admin.list_topics(timeout=SECONDS)


def test_another_schema_is_another_queue(admin: AdminClient, migrated_url: str) -> None:
    make(admin)
    other = AdminClient({"shim.dsn": migrated_url, "shim.schema": "elsewhere"})
    with pytest.raises(KafkaException, match="_NOT_CONFIGURED"):
        other.list_topics(timeout=SECONDS)


def test_calls_through_a_pooler(pgbouncer: Any, migrated_url: str) -> None:
    admin = AdminClient({"shim.dsn": pgbouncer.url_of(migrated_url)})
    make(admin, num_partitions=2)
    OnPostgres(migrated_url).produce("jobs", 0, [5, 7])
    asked = TopicPartition("jobs", 0)
    latest = admin.list_offsets({asked: OffsetSpec.latest()})[asked].result(SECONDS)
    newest = admin.list_offsets({asked: OffsetSpec.max_timestamp()})[asked].result(SECONDS)
    assert (latest.offset, newest.offset, newest.timestamp, newest.leader_epoch) == (2, 1, 7, None)
    group = ConsumerGroupTopicPartitions("g", [TopicPartition("jobs", 0, 1)])
    moved = admin.alter_consumer_group_offsets([group])["g"].result(SECONDS).topic_partitions or []
    assert [one.error for one in moved] == [None]
    assert [one.group_id for one in admin.list_consumer_groups().result(SECONDS).valid or []] == ["g"]
    assert admin.delete_topics(["jobs"])["jobs"].result(SECONDS) is None


def test_many_threads_share_a_client(admin: AdminClient, migrated_url: str) -> None:
    def create(number: int) -> str:
        return make(admin, f"topic-{number}")

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(create, range(24)))
    assert sorted(admin.list_topics().topics) == sorted(made)
    assert pool.pool_for(migrated_url).size == 2


def test_of_many_that_create_the_same_topic_one_succeeds(migrated_url: str) -> None:
    clients = [AdminClient({"shim.dsn": migrated_url, "shim.pool.size": 8}) for _ in range(8)]
    futures = [client.create_topics([NewTopic("jobs", 3)])["jobs"] for client in clients]
    failures = [future.exception(SECONDS) for future in futures]
    assert failures.count(None) == 1
    assert {failure.args[0].name() for failure in failures if failure} == {"TOPIC_ALREADY_EXISTS"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on_with_the_same_client(admin: AdminClient) -> None:
    make(admin)
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        gc.freeze()  # librdkafka's clients of other tests may not be destroyed here
        signal.alarm(int(SECONDS))
        try:
            admin.create_topics([NewTopic("child")])["child"].result(SECONDS)
            status = 0 if "jobs" in admin.list_topics(timeout=SECONDS).topics else 1
        except BaseException:  # noqa: BLE001  the status tells
            status = 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(admin.list_topics(timeout=SECONDS).topics) == ["child", "jobs"]
