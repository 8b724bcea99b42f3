"""The admin client's calls against the installed original: what is refused at the call, and in which words."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import confluent_kafka.admin
import pytest

import shim.admin
import shim.model
import shim.topic_partition
from tests.unit.shim.original import outcome

SILENCE = logging.getLogger("shim.test.silence")
SILENCE.setLevel(logging.CRITICAL + 1)
NOBODY: dict[str, str | int | float | bool] = {"metadata.broker.list": "127.0.0.1:1"}
NOBODY_HERE = {"shim.dsn": "postgresql://nobody@127.0.0.1:1/nothing"}

SECONDS = 30.0

Call = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def original() -> Iterator[tuple[Any, Any]]:
    """The original's names, and an admin client of its own that nobody answers."""
    names = SimpleNamespace(**{**vars(confluent_kafka), **vars(confluent_kafka.admin)})
    with confluent_kafka.admin.AdminClient(NOBODY, logger=SILENCE) as admin:
        yield names, admin


@pytest.fixture(scope="module")
def ours() -> Iterator[tuple[Any, Any]]:
    """The shim's names, and an admin client of its own that nobody answers."""
    names = SimpleNamespace(**{**vars(shim.topic_partition), **vars(shim.model), **vars(shim.admin)})
    with shim.admin.AdminClient(NOBODY_HERE, logger=SILENCE) as admin:
        yield names, admin


def comparable(came: tuple[str, Any]) -> tuple[str, Any]:
    """Of futures their keys count, of other values how they are written."""
    how, value = came
    if how != "returned":
        return how, re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", value)
    if isinstance(value, dict):
        settle(value.values())
        return how, [str(key) for key in value]
    if isinstance(value, Future):
        settle([value])
        return how, "a future"
    return how, str(value)


def settle(futures: Iterable[Future[Any]]) -> None:
    """Wait for answers that fail: librdkafka aborts the process when a client goes that still waits for some."""
    assert not wait(futures, SECONDS).not_done


REFUSED_IN_THE_SAME_WORDS: dict[str, Call] = {
    "no topics": lambda _, admin: admin.create_topics([]),
    "a negative number of partitions": lambda api, admin: admin.create_topics([api.NewTopic("a", -2, 1)]),
    "far too many partitions": lambda api, admin: admin.create_topics([api.NewTopic("a", 100_001, 1)]),
    "far too many replicas": lambda api, admin: admin.create_topics([api.NewTopic("a", 1, 10_001)]),
    "a negative number of replicas": lambda api, admin: admin.create_topics([api.NewTopic("a", 1, -2)]),
    "replicas told twice": lambda api, admin: admin.create_topics([api.NewTopic("a", 1, 1, [[0]])]),
    "too few replicas": lambda api, admin: admin.create_topics([api.NewTopic("a", 2, replica_assignment=[[0]])]),
    "replicas for nothing": lambda api, admin: admin.create_topics([api.NewTopic("a", replica_assignment=[[0]])]),
    "replicas in no lists": lambda api, admin: admin.create_topics([api.NewTopic("a", 1, replica_assignment=[0])]),
    "replicas that are words": lambda api, admin: admin.create_topics(
        [api.NewTopic("a", 1, replica_assignment=[["x"]])]
    ),
    "a timeout in words": lambda api, admin: admin.create_topics([api.NewTopic("a")], request_timeout="1"),
    "a timeout too long": lambda api, admin: admin.create_topics([api.NewTopic("a")], request_timeout=3601),
    "a negative timeout": lambda api, admin: admin.create_topics([api.NewTopic("a")], request_timeout=-0.5),
    "an operation too long": lambda api, admin: admin.create_topics([api.NewTopic("a")], operation_timeout=3601),
    "a negative operation": lambda api, admin: admin.create_topics([api.NewTopic("a")], operation_timeout=-5),
    "a flag that is a number": lambda api, admin: admin.create_topics([api.NewTopic("a")], validate_only=3),
    "nothing to delete": lambda _, admin: admin.delete_topics([]),
    "a topic that is a letter": lambda _, admin: admin.delete_topics("abc"),
    "topics in a tuple": lambda _, admin: admin.delete_topics(("a",)),
    "no growth": lambda _, admin: admin.create_partitions([]),
    "growth to nothing": lambda api, admin: admin.create_partitions([api.NewPartitions("a", 0)]),
    "growth to less than nothing": lambda api, admin: admin.create_partitions([api.NewPartitions("a", -1)]),
    "growth of a new topic": lambda api, admin: admin.create_partitions([api.NewTopic("a", 2, 1)]),
    "growth with too many replicas": lambda api, admin: admin.create_partitions(
        [api.NewPartitions("a", 1, [[1], [1]])]
    ),
    "names of topics in a list": lambda _, admin: admin.describe_topics(["a"]),
    "a collection of letters": lambda api, admin: admin.describe_topics(api.TopicCollection("a")),
    "a collection of numbers": lambda api, admin: admin.describe_topics(api.TopicCollection([1])),
    "a collection of nothing": lambda api, admin: admin.describe_topics(api.TopicCollection(["a", ""])),
    "rights asked for by number": lambda _, admin: admin.describe_cluster(include_authorized_operations=3),
    "a topic that is a number": lambda _, admin: admin.list_topics(1),
    "a timeout that is none": lambda _, admin: admin.list_topics(timeout=None),
    "an id within words": lambda _, admin: admin.cluster_id("x"),
    "a poll for nothing": lambda _, admin: admin.poll(None),
    "states in a list": lambda api, admin: admin.list_consumer_groups(states=[api.ConsumerGroupState.STABLE]),
    "states that are numbers": lambda _, admin: admin.list_consumer_groups(states={1}),
    "types that are numbers": lambda _, admin: admin.list_consumer_groups(types={1}),
    "groups of no type": lambda api, admin: admin.list_consumer_groups(types={api.ConsumerGroupType.UNKNOWN}),
    "no groups": lambda _, admin: admin.describe_consumer_groups([]),
    "groups that are letters": lambda _, admin: admin.describe_consumer_groups("g"),
    "no groups to delete": lambda _, admin: admin.delete_consumer_groups([]),
    "groups to delete that are letters": lambda _, admin: admin.delete_consumer_groups("g"),
    "groups to delete that are numbers": lambda _, admin: admin.delete_consumer_groups([1]),
    "offsets of nothing": lambda _, admin: admin.list_consumer_group_offsets(None),
    "offsets of no list": lambda _, admin: admin.list_consumer_group_offsets("g"),
    "offsets of no group": lambda _, admin: admin.list_consumer_group_offsets([]),
    "offsets of something else": lambda _, admin: admin.list_consumer_group_offsets(["g"]),
    "offsets of a nameless group": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("")]
    ),
    "offsets of a group that is a number": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions(1)]
    ),
    "offsets of a group that is none": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions(None)]
    ),
    "offsets of no partitions": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [])]
    ),
    "offsets of a tuple": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", ())]
    ),
    "offsets that are told": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [api.TopicPartition("a", 0, 3)])]
    ),
    "offsets of a negative partition": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [api.TopicPartition("a")])]
    ),
    "offsets of a nameless topic": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [api.TopicPartition("", 0)])]
    ),
    "stable by number": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [api.TopicPartition("a", 0)])], require_stable=1
    ),
    "a move to nowhere": lambda api, admin: admin.alter_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [api.TopicPartition("a", 0)])]
    ),
    "a move of all": lambda api, admin: admin.alter_consumer_group_offsets([api.ConsumerGroupTopicPartitions("g")]),
    "ends of a list": lambda _, admin: admin.list_offsets([]),
    "ends by number": lambda api, admin: admin.list_offsets({api.TopicPartition("a", 0): 3}),
    "ends of a word": lambda api, admin: admin.list_offsets({"a": api.OffsetSpec.latest()}),
    "ends of a nameless topic": lambda api, admin: admin.list_offsets(
        {api.TopicPartition("", 0): api.OffsetSpec.latest()}
    ),
    "ends of a negative partition": lambda api, admin: admin.list_offsets(
        {api.TopicPartition("a"): api.OffsetSpec.latest()}
    ),
    "ends of a time in words": lambda api, admin: admin.list_offsets(
        {api.TopicPartition("a", 0): api.OffsetSpec.for_timestamp("x")}
    ),
    "ends in isolation by number": lambda api, admin: admin.list_offsets(
        {api.TopicPartition("a", 0): api.OffsetSpec.latest()}, isolation_level=1
    ),
    "records of a tuple": lambda api, admin: admin.delete_records((api.TopicPartition("a", 0, 1),)),
    "records of a word": lambda _, admin: admin.delete_records(["a"]),
    "records of a negative partition": lambda api, admin: admin.delete_records([api.TopicPartition("a")]),
    "no configurations": lambda _, admin: admin.describe_configs([]),
    "configurations of letters": lambda _, admin: admin.describe_configs("x"),
    "a configuration of nothing": lambda api, admin: admin.describe_configs([api.ConfigResource("topic", "")]),
    "a configuration of a number": lambda api, admin: admin.describe_configs([api.ConfigResource("topic", 1)]),
    "no change of a configuration": lambda _, admin: admin.incremental_alter_configs([]),
    "a change of a number": lambda _, admin: admin.incremental_alter_configs([1]),
    "a change to nothing": lambda api, admin: admin.incremental_alter_configs([api.ConfigResource("topic", "a")]),
    "a change to a word": lambda api, admin: admin.incremental_alter_configs(
        [api.ConfigResource("topic", "a", incremental_configs=["x"])]
    ),
    "a change to no value": lambda api, admin: admin.incremental_alter_configs(
        [api.ConfigResource("topic", "a", incremental_configs=[entry(api, "a", None)])]
    ),
    "a change to a number": lambda api, admin: admin.incremental_alter_configs(
        [api.ConfigResource("topic", "a", incremental_configs=[entry(api, "a", 1)])]
    ),
    "a change of a nameless entry": lambda api, admin: admin.incremental_alter_configs(
        [api.ConfigResource("topic", "a", incremental_configs=[entry(api, 1, "a")])]
    ),
    "no rules": lambda _, admin: admin.create_acls([]),
    "rules that are numbers": lambda _, admin: admin.create_acls([1]),
    "the same rule twice": lambda api, admin: admin.create_acls([rule(api), rule(api)]),
    "a filter that is a number": lambda _, admin: admin.describe_acls(1),
    "a filter that is a rule": lambda api, admin: admin.describe_acls(rule(api)),
    "no filters": lambda _, admin: admin.delete_acls([]),
    "filters that are rules": lambda api, admin: admin.delete_acls([rule(api)]),
    "the same filter twice": lambda api, admin: admin.delete_acls([sieve(api), sieve(api)]),
    "users that are letters": lambda _, admin: admin.describe_user_scram_credentials("a"),
    "users that are numbers": lambda _, admin: admin.describe_user_scram_credentials([1]),
    "a nameless user": lambda _, admin: admin.describe_user_scram_credentials([""]),
    "no credentials": lambda _, admin: admin.alter_user_scram_credentials([]),
    "credentials that are words": lambda _, admin: admin.alter_user_scram_credentials(["a"]),
    "credentials of a nameless user": lambda api, admin: admin.alter_user_scram_credentials(
        [api.UserScramCredentialDeletion("", api.ScramMechanism.SCRAM_SHA_256)]
    ),
    "credentials of another mechanism": lambda api, admin: admin.alter_user_scram_credentials(
        [api.UserScramCredentialDeletion("u", 1)]
    ),
    "an empty password": lambda api, admin: admin.alter_user_scram_credentials([credential(api, b"")]),
    "a password that is a text": lambda api, admin: admin.alter_user_scram_credentials([credential(api, "a")]),
    "an empty salt": lambda api, admin: admin.alter_user_scram_credentials([credential(api, b"a", salt=b"")]),
    "no iterations": lambda api, admin: admin.alter_user_scram_credentials([credential(api, b"a", iterations=0)]),
    "an election by number": lambda _, admin: admin.elect_leaders(1),
    "an election in a tuple": lambda api, admin: admin.elect_leaders(api.ElectionType.PREFERRED, ()),
    "an election of words": lambda api, admin: admin.elect_leaders(api.ElectionType.PREFERRED, ["a"]),
    "an election of a negative partition": lambda api, admin: admin.elect_leaders(
        api.ElectionType.PREFERRED, [api.TopicPartition("a")]
    ),
    "credentials of nobody": lambda _, admin: admin.set_sasl_credentials(None, "b"),
}


REFUSED_IN_OTHER_WORDS: dict[str, Call] = {
    "topics that are none": lambda _, admin: admin.create_topics(None),
    "topics that are letters": lambda _, admin: admin.create_topics("abc"),
    "an argument that nobody knows": lambda api, admin: admin.create_topics([api.NewTopic("a")], nope=3),
    "one argument too many": lambda api, admin: admin.create_topics([api.NewTopic("a")], 3),
    "an argument of another call": lambda _, admin: admin.delete_topics(["a"], validate_only=True),
    "a state by position": lambda _, admin: admin.list_consumer_groups(1),
    "a client without configuration": lambda api, _: api.AdminClient(),
    "a client with no configuration": lambda api, _: api.AdminClient(None),
}


# Not here: what librdkafka asks leaders for. With nobody there to answer it frees something twice.
TAKEN: dict[str, Call] = {
    "a topic": lambda api, admin: admin.create_topics([api.NewTopic("a", 1, 1)], request_timeout=0),
    "a topic without partitions": lambda api, admin: admin.create_topics([api.NewTopic("a", 0, 1)], request_timeout=0),
    "a topic with replicas": lambda api, admin: admin.create_topics(
        [api.NewTopic("a", 1, replica_assignment=[[0]])], request_timeout=0
    ),
    "the same topic twice": lambda api, admin: admin.create_topics(
        [api.NewTopic("a", 1, 1), api.NewTopic("a", 2, 1)], request_timeout=0, operation_timeout=-0.001
    ),
    "a topic to delete": lambda _, admin: admin.delete_topics(["a", "b"], request_timeout=0),
    "growth": lambda api, admin: admin.create_partitions([api.NewPartitions("a", 3)], request_timeout=0),
    "topics to describe": lambda api, admin: admin.describe_topics(api.TopicCollection(["a", "b"]), request_timeout=0),
    "no topics to describe": lambda api, admin: admin.describe_topics(api.TopicCollection([]), request_timeout=0),
    "the cluster": lambda _, admin: admin.describe_cluster(request_timeout=0),
    "all groups": lambda _, admin: admin.list_consumer_groups(states=None, types=None, request_timeout=0),
    "groups": lambda _, admin: admin.describe_consumer_groups(["g", "h"], request_timeout=0),
    "groups to delete": lambda _, admin: admin.delete_consumer_groups(["g", "g"], request_timeout=0),
    "offsets": lambda api, admin: admin.list_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", None)], request_timeout=0
    ),
    "a move": lambda api, admin: admin.alter_consumer_group_offsets(
        [api.ConsumerGroupTopicPartitions("g", [api.TopicPartition("a", 0, 1)])], request_timeout=0
    ),
    "no records": lambda _, admin: admin.delete_records([]),
    "a configuration": lambda api, admin: admin.describe_configs([api.ConfigResource(2, "a")], request_timeout=0),
    "a configuration of any": lambda api, admin: admin.describe_configs(
        [api.ConfigResource("any", "a")], request_timeout=0
    ),
    "a changed configuration": lambda api, admin: admin.incremental_alter_configs(
        [api.ConfigResource("Topic", "a", incremental_configs=[entry(api, "a", "b")])], request_timeout=0
    ),
    "a rule": lambda api, admin: admin.create_acls([rule(api)], request_timeout=0),
    "a filter": lambda api, admin: admin.delete_acls([sieve(api)], request_timeout=0),
    "rules by filter": lambda api, admin: admin.describe_acls(sieve(api), request_timeout=0),
    "all users": lambda _, admin: admin.describe_user_scram_credentials(request_timeout=0),
    "no users": lambda _, admin: admin.describe_user_scram_credentials([], request_timeout=0),
    "users": lambda _, admin: admin.describe_user_scram_credentials(["a", "a"], request_timeout=0),
    "credentials": lambda api, admin: admin.alter_user_scram_credentials([credential(api, b"a")], request_timeout=0),
    "a poll": lambda _, admin: type(admin.poll(0)),
}


def entry(api: Any, name: Any, value: Any) -> Any:
    return api.ConfigEntry(name, value, incremental_operation=api.AlterConfigOpType.SET)


def rule(api: Any) -> Any:
    return api.AclBinding("topic", "a", "literal", "User:a", "*", "read", "allow")


def sieve(api: Any) -> Any:
    return api.AclBindingFilter("any", None, "any", None, None, "any", "any")


def credential(api: Any, password: Any, *, salt: Any = None, iterations: int = 10_000) -> Any:
    info = api.ScramCredentialInfo(api.ScramMechanism.SCRAM_SHA_256, iterations)
    return api.UserScramCredentialUpsertion("u", info, password, salt)


@pytest.mark.parametrize("call", REFUSED_IN_THE_SAME_WORDS.values(), ids=REFUSED_IN_THE_SAME_WORDS)
def test_what_is_refused_at_the_call(original: tuple[Any, Any], ours: tuple[Any, Any], call: Call) -> None:
    expected = comparable(outcome(lambda: call(*original)))
    assert expected[0] in {"TypeError", "ValueError"}
    assert comparable(outcome(lambda: call(*ours))) == expected


@pytest.mark.parametrize("call", REFUSED_IN_OTHER_WORDS.values(), ids=REFUSED_IN_OTHER_WORDS)
def test_what_is_refused_with_the_same_exception(original: tuple[Any, Any], ours: tuple[Any, Any], call: Call) -> None:
    expected = outcome(lambda: call(*original))[0]
    assert expected in {"TypeError", "AttributeError"}
    assert outcome(lambda: call(*ours))[0] == expected


@pytest.mark.parametrize("call", TAKEN.values(), ids=TAKEN)
def test_what_is_taken(original: tuple[Any, Any], ours: tuple[Any, Any], call: Call) -> None:
    expected = comparable(outcome(lambda: call(*original)))
    assert expected[0] == "returned"
    assert comparable(outcome(lambda: call(*ours))) == expected
