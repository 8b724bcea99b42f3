"""Groups as the deprecated ``list_groups`` tells them, members' assignments in the bytes of Kafka's protocol."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shim.client.metadata import BrokerMetadata
from shim.errors import KafkaError
from shim.store.assignors import TP
from shim.store.groups import GroupFacts, MemberFacts

_VERSION = struct.pack(">h", 0)
_NO_USER_DATA = struct.pack(">i", 0)


@dataclass(slots=True, eq=False)
class GroupMember:
    """A member of a group.

    Attributes:
        id: its identifier.
        client_id: what its client calls itself.
        client_host: where it runs.
        metadata: the topics that it holds partitions of, as Kafka's consumer protocol writes them.
        assignment: the partitions that it holds, likewise.
    """

    id: str | None = None
    client_id: str | None = None
    client_host: str | None = None
    metadata: bytes | None = None
    assignment: bytes | None = None


@dataclass(slots=True, eq=False)
class GroupMetadata:
    """A group.

    Attributes:
        broker: the broker that told of it.
        id: its name.
        error: what is wrong with it.
        state: where it stands, by Kafka's name.
        protocol_type: ``consumer`` for a group that has, or had, members.
        protocol: how partitions are shared out.
        members: its members.
    """

    broker: BrokerMetadata | None = None
    id: str | None = None
    error: KafkaError | None = None
    state: str | None = None
    protocol_type: str | None = None
    protocol: str | None = None
    members: list[GroupMember] = field(default_factory=list)

    def __repr__(self) -> str:
        error = "" if self.error is None else f", {self.error}"
        return f"GroupMetadata({self.id}{error})"

    def __str__(self) -> str:
        return str(self.id)


def group_metadata(facts: GroupFacts, broker: BrokerMetadata) -> GroupMetadata:
    """Returns a group as ``list_groups`` tells it."""
    return GroupMetadata(
        broker=broker,
        id=facts.group_id,
        state=facts.state,
        protocol_type="consumer" if facts.generation else "",
        protocol=facts.assignor,
        members=[_member(member) for member in facts.members],
    )


def encode_subscription(topics: Sequence[str]) -> bytes:
    """Returns the topics of a member, as version 0 of Kafka's consumer protocol writes it."""
    return _VERSION + _array(map(_text, topics), len(topics)) + _NO_USER_DATA


def encode_assignment(partitions: Sequence[TP]) -> bytes:
    """Returns what a member holds, as version 0 of Kafka's consumer protocol writes it."""
    by_topic = defaultdict[str, list[int]](list)
    for topic, partition in partitions:
        by_topic[topic].append(partition)
    topics = (_text(topic) + struct.pack(f">i{len(some)}i", len(some), *some) for topic, some in by_topic.items())
    return _VERSION + _array(topics, len(by_topic)) + _NO_USER_DATA


def _member(member: MemberFacts) -> GroupMember:
    topics = sorted({topic for topic, _ in member.assignment})
    return GroupMember(
        id=member.member_id,
        client_id=member.client_id,
        client_host=member.host,
        metadata=encode_subscription(topics),
        assignment=encode_assignment(member.assignment),
    )


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded


def _array(elements: Iterable[bytes], length: int) -> bytes:
    return struct.pack(">i", length) + b"".join(elements)
