"""The values that the admin client takes and answers, against those of the installed original."""

from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import confluent_kafka.admin
import confluent_kafka.cimpl
import pytest

import shim.admin
import shim.client.metadata
import shim.model
import shim.protocol.constants
import shim.topic_partition
from shim.protocol.codes import Local
from tests.unit.shim.original import outcome

Make = Callable[[Any], Any]

THEIRS = SimpleNamespace(**{**vars(confluent_kafka), **vars(confluent_kafka.admin)})
OURS = SimpleNamespace(
    **{**vars(shim.topic_partition), **vars(shim.model), **vars(shim.client.metadata), **vars(shim.admin)}
)


def comparable(came: tuple[str, Any]) -> tuple[str, Any]:
    return (came[0], str(came[1])) if came[0] == "returned" else came


SAME: dict[str, Make] = {
    "a topic": lambda api: api.NewTopic("a"),
    "a topic with partitions": lambda api: api.NewTopic("a", 3, 2),
    "a topic's parts": lambda api: parts(api.NewTopic("a", 3, 2, None, {"a": "b"})),
    "a topic's defaults": lambda api: parts(api.NewTopic("a")),
    "a topic without a name": lambda api: api.NewTopic(None),
    "a topic that is a number": lambda api: api.NewTopic(1),
    "a topic with partitions in words": lambda api: api.NewTopic("a", "3"),
    "a topic configured by number": lambda api: api.NewTopic("a", config=1),
    "topics of other replicas": lambda api: api.NewTopic("a", 3, 1) == api.NewTopic("a", 3, 2, config={"a": "b"}),
    "topics of other sizes": lambda api: api.NewTopic("a", 3) == api.NewTopic("a", 4),
    "topics in order": lambda api: (
        api.NewTopic("a", 9) < api.NewTopic("b", 1) and api.NewTopic("a", 2) >= api.NewTopic("a")
    ),
    "a topic and a name": lambda api: api.NewTopic("a") == "a",
    "a topic before a name": lambda api: api.NewTopic("a") < "a",
    "a topic's hash": lambda api: hash(api.NewTopic("a", 3)) == hash(api.NewTopic("a", 3)),
    "a topic's name changed": lambda api: outcome(lambda: setattr(api.NewTopic("a"), "topic", "b"))[0],
    "a topic's size changed": lambda api: setattr(api.NewTopic("a"), "num_partitions", 4),
    "growth": lambda api: api.NewPartitions("a", 3),
    "growth's parts": lambda api: growth(api.NewPartitions("a", 3, [[1]])),
    "growth of nothing": lambda api: api.NewPartitions(None, 3),
    "growth by nothing": lambda api: outcome(lambda: api.NewPartitions("a"))[0],
    "growths compared": lambda api: api.NewPartitions("a", 3) == api.NewPartitions("a", 3) != api.NewPartitions("a", 4),
    "growths in order": lambda api: api.NewPartitions("a", 3) < api.NewPartitions("b", 1),
    "growth and a number": lambda api: api.NewPartitions("a", 3) == 3,
    "an id": lambda api: api.Uuid(1, 2),
    "a negative id": lambda api: api.Uuid(-1, -2),
    "the halves of an id": lambda api: (
        api.Uuid(-1, 2).get_most_significant_bits(),
        api.Uuid(-1, 2).get_least_significant_bits(),
    ),
    "half an id": lambda api: outcome(lambda: api.Uuid(1))[0],
    "an id in words": lambda api: api.Uuid("a", 2),
    "an id too large": lambda api: outcome(lambda: api.Uuid(1 << 63, 2))[0],
    "ids and hashes": lambda api: hash(api.Uuid(1, 2)) == hash(api.Uuid(1, 2)),
    "an id and a number": lambda api: api.Uuid(1, 2) == 1,
    "a node": lambda api: (str(api.Node(1, "h", 2)), api.Node(1, "h", 2).id_string),
    "a node in a rack": lambda api: (str(api.Node(1, "h", 2, "r")), api.Node(1, "h", 2, "r").rack),
    "a throttled request": lambda api: api.ThrottleEvent("b", 1, 0.25),
    "a resource": lambda api: api.ConfigResource("topic", "a"),
    "a resource by number": lambda api: api.ConfigResource(2, "a").restype_int,
    "a resource with an error": lambda api: api.ConfigResource("topic", "a", error=api.KafkaError(Local.STATE)),
    "an unknown resource": lambda api: api.ConfigResource("nope", "a"),
    "an unknown number": lambda api: api.ConfigResource(99, "a"),
    "a nameless resource": lambda api: api.ConfigResource("topic", None),
    "a resource's entries": lambda api: entries(api.ConfigResource("topic", "a", {"a": "b"})),
    "resources compared": lambda api: api.ConfigResource("topic", "a", {"b": "c"}) == api.ConfigResource(2, "a"),
    "resources in order": lambda api: api.ConfigResource("topic", "a") < api.ConfigResource("topic", "b"),
    "kinds in order": lambda api: api.ConfigResource("topic", "a") < api.ConfigResource("group", "A"),
    "a resource and a number": lambda api: api.ConfigResource("topic", "a") == 1,
    "an entry": lambda api: (str(api.ConfigEntry("a", "b")), repr(api.ConfigEntry("a", "b"))),
    "an entry's defaults": lambda api: {name: str(value) for name, value in vars(api.ConfigEntry("a", None)).items()},
    "a rule": lambda api: (rule(api),),
    "a rule by numbers": lambda api: api.AclBinding(2, "a", 3, "User:a", "*", 3, 3),
    "a rule's numbers": lambda api: numbers(rule(api)),
    "a rule for any": lambda api: rule(api, restype="any"),
    "a rule of any name": lambda api: rule(api, name=None),
    "a rule of a number": lambda api: rule(api, name=1),
    "a rule of no kind": lambda api: rule(api, restype=None),
    "a rule of no principal": lambda api: rule(api, principal=None),
    "a rule that nobody knows": lambda api: rule(api, operation="reads"),
    "a rule with a fraction": lambda api: rule(api, operation=1.5),
    "a rule with a large number": lambda api: rule(api, operation=99),
    "rules compared": lambda api: rule(api) == rule(api) != rule(api, name="b"),
    "rules in order": lambda api: rule(api) < rule(api, name="b"),
    "rules and hashes": lambda api: len({rule(api), rule(api), rule(api, name="b")}),
    "a filter": lambda api: api.AclBindingFilter("any", None, "any", None, None, "any", "any"),
    "a filter for the unknown": lambda api: api.AclBindingFilter("unknown", None, "any", None, None, "any", "any"),
    "a described topic": lambda api: attributes(api.TopicDescription("a", api.Uuid(1, 2), False, [], ["read", 4])),
    "a described cluster": lambda api: attributes(api.DescribeClusterResult(None, [], "id", [])),
    "a described group": lambda api: attributes(
        api.ConsumerGroupDescription("g", True, [], "range", "stable", None, ["read"], 2)
    ),
    "a described member": lambda api: attributes(api.MemberDescription("m", "c", "h", None, "i")),
    "an assignment of nothing": lambda api: api.MemberAssignment(None).topic_partitions,
    "a listed group": lambda api: attributes(api.ConsumerGroupListing("g", True, "empty", "CLASSIC")),
    "a listed group of no state": lambda api: attributes(api.ConsumerGroupListing("g", False)),
    "listed groups": lambda api: attributes(api.ListConsumerGroupsResult([], [])),
    "a group's partitions": lambda api: attributes(api.ConsumerGroupTopicPartitions("g")),
    "offsets by number": lambda api: [
        api.OffsetSpec(number) is named
        for number, named in ((-1, api.OffsetSpec.latest()), (-2, api.OffsetSpec.earliest()))
    ],
    "an offset of no number": lambda api: api.OffsetSpec(-4),
    "an offset of a time": lambda api: (api.OffsetSpec(5).timestamp, api.OffsetSpec.for_timestamp(7).timestamp),
    "offsets in order": lambda api: api.OffsetSpec.earliest() < api.OffsetSpec.latest() < api.OffsetSpec(5),
    "an offset found": lambda api: attributes(api.ListOffsetsResultInfo(1, 2, 3)),
    "an offset without an epoch": lambda api: attributes(api.ListOffsetsResultInfo(1, 2, -1)),
    "credentials": lambda api: attributes(api.UserScramCredentialUpsertion("u", None, b"p", b"s")),
    "metadata of a cluster": lambda api: texts(api.ClusterMetadata()),
    "metadata of a broker": lambda api: texts(api.BrokerMetadata()),
    "metadata of a topic": lambda api: texts(with_error(api, api.TopicMetadata())),
    "metadata of a partition": lambda api: texts(with_error(api, api.PartitionMetadata())),
    "metadata of a group": lambda api: texts(with_error(api, api.GroupMetadata())),
    "metadata without errors": lambda api: [texts(made()) for made in (api.TopicMetadata, api.PartitionMetadata)],
    "metadata of a member": lambda api: api.GroupMember().assignment,
}


def parts(topic: Any) -> tuple[Any, ...]:
    return topic.topic, topic.num_partitions, topic.replication_factor, topic.replica_assignment, topic.config


def growth(partitions: Any) -> tuple[Any, ...]:
    return partitions.topic, partitions.new_total_count, partitions.replica_assignment


def entries(resource: Any) -> tuple[Any, ...]:
    resource.set_config("c", "d")
    resource.set_config("a", "x", overwrite=False)
    resource.add_incremental_config("entry")
    return len(resource), resource.set_config_dict, resource.incremental_configs, resource.configs, resource.error


def rule(api: Any, **other: Any) -> Any:
    usual = {
        "restype": "topic",
        "name": "a",
        "resource_pattern_type": "literal",
        "principal": "User:a",
        "host": "*",
        "operation": "read",
        "permission_type": "allow",
    }
    return api.AclBinding(**{**usual, **other})


def numbers(made: Any) -> tuple[int, ...]:
    return made.restype_int, made.resource_pattern_type_int, made.operation_int, made.permission_type_int


def attributes(made: Any) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in vars(made).items())


def with_error(api: Any, made: Any) -> Any:
    made.error = api.KafkaError(Local.STATE)
    return made


def texts(made: Any) -> tuple[str, str]:
    return str(made), repr(made)


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_a_value_is_as_in_the_original(make: Make) -> None:
    assert comparable(outcome(lambda: make(OURS))) == comparable(outcome(lambda: make(THEIRS)))


ENUMERATIONS = sorted(name for name, kind in vars(THEIRS).items() if isinstance(kind, type) and issubclass(kind, Enum))


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_an_enumeration_has_the_same_members(name: str) -> None:
    theirs, ours = getattr(THEIRS, name.lstrip("_")), getattr(OURS, name.lstrip("_"))
    assert {one: member.value for one, member in ours.__members__.items()} == {
        one: member.value for one, member in theirs.__members__.items()
    }
    assert [member.name for member in ours] == [member.name for member in theirs]
    assert outcome(lambda: min(ours).name) == outcome(lambda: min(theirs).name)


def test_members_of_two_enumerations_have_no_order() -> None:
    with pytest.raises(TypeError):
        assert shim.model.ConsumerGroupState.EMPTY < shim.model.ConsumerGroupType.CLASSIC


def test_equal_ids_are_equal() -> None:
    assert shim.model.Uuid(1, 2) == shim.model.Uuid(1, 2) != shim.model.Uuid(2, 1)


def test_an_id_is_read_from_bytes() -> None:
    whole = bytes(range(240, 256))
    made = shim.model.Uuid.from_bytes(whole)
    halves = made.get_most_significant_bits(), made.get_least_significant_bits()
    assert b"".join(half.to_bytes(8, signed=True) for half in halves) == whole
