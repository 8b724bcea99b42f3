"""Consumer groups as they are listed and described."""

from collections.abc import Sequence

from shim.admin.acls import AclOperation
from shim.model import ConsumerGroupState, ConsumerGroupType, Node
from shim.topic_partition import TopicPartition


class ConsumerGroupListing:
    """A consumer group in a list.

    Attributes:
        group_id: its name.
        is_simple_consumer_group: whether it has offsets and never had a member.
        state: where it stands.
        type: by which protocol its members agree.
    """

    def __init__(
        self,
        group_id: str,
        is_simple_consumer_group: bool,
        state: ConsumerGroupState | str | int | None = None,
        type: ConsumerGroupType | str | int | None = None,  # noqa: A002  the API's name
    ) -> None:
        self.group_id = group_id
        self.is_simple_consumer_group = is_simple_consumer_group
        if state is not None:
            self.state = ConsumerGroupState.of(state)
        if type is not None:
            self.type = ConsumerGroupType.of(type)


class ListConsumerGroupsResult:
    """The consumer groups.

    Attributes:
        valid: the groups.
        errors: what failed.
    """

    def __init__(self, valid: list[ConsumerGroupListing] | None = None, errors: list[Exception] | None = None) -> None:
        self.valid = valid
        self.errors = errors


class MemberAssignment:
    """What a member holds, or is to hold.

    Attributes:
        topic_partitions: the partitions.
    """

    def __init__(self, topic_partitions: list[TopicPartition] | None) -> None:
        self.topic_partitions = topic_partitions or []


class MemberDescription:
    """A member of a consumer group.

    Attributes:
        member_id: its identifier.
        client_id: what its client calls itself.
        host: where it runs.
        assignment: what it holds.
        group_instance_id: its name, when it is a static member.
        target_assignment: what it is to hold, as far as the protocol tells.
    """

    def __init__(
        self,
        member_id: str,
        client_id: str,
        host: str,
        assignment: MemberAssignment,
        group_instance_id: str | None = None,
        target_assignment: MemberAssignment | None = None,
    ) -> None:
        self.member_id = member_id
        self.client_id = client_id
        self.host = host
        self.assignment = assignment
        self.group_instance_id = group_instance_id
        self.target_assignment = target_assignment


class ConsumerGroupDescription:
    """A consumer group as it is.

    Attributes:
        group_id: its name.
        is_simple_consumer_group: whether it has offsets and never had a member.
        members: its members.
        partition_assignor: how partitions are shared out.
        state: where it stands.
        type: by which protocol its members agree.
        coordinator: the node that looks after it.
        authorized_operations: what this client may do with it, if that was asked for.
    """

    def __init__(
        self,
        group_id: str,
        is_simple_consumer_group: bool,
        members: list[MemberDescription],
        partition_assignor: str,
        state: ConsumerGroupState | str | int | None,
        coordinator: Node,
        authorized_operations: Sequence[AclOperation | str | int] | None = None,
        type: ConsumerGroupType | str | int = ConsumerGroupType.UNKNOWN,  # noqa: A002  the API's name
    ) -> None:
        self.group_id = group_id
        self.is_simple_consumer_group = is_simple_consumer_group
        self.members = members
        self.partition_assignor = partition_assignor
        if state is not None:
            self.state = ConsumerGroupState.of(state)
        if type is not None:
            self.type = ConsumerGroupType.of(type)
        self.coordinator = coordinator
        self.authorized_operations = AclOperation.all_of(authorized_operations)
