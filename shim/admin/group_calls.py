"""Calls about consumer groups: list, describe, delete."""

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from shim.admin import operations
from shim.admin.acls import AclOperation
from shim.admin.arguments import flag
from shim.admin.asking import Asking
from shim.admin.failures import one_by_one
from shim.admin.group_metadata import GroupMetadata, group_metadata
from shim.admin.groups import (
    ConsumerGroupDescription,
    ConsumerGroupListing,
    ListConsumerGroupsResult,
    MemberAssignment,
    MemberDescription,
)
from shim.client import request
from shim.client.metadata import broker, node, seconds
from shim.client.request import Deadline, prefixed
from shim.errors import KafkaError, KafkaException
from shim.model import ConsumerGroupState, ConsumerGroupType, Node
from shim.protocol.codes import Broker, Local
from shim.store import groups as store
from shim.store.groups import GroupFacts, MemberFacts
from shim.store.pool import Connection
from shim.store.rights import read_rights
from shim.topic_partition import TopicPartition

_STATES = {
    "Stable": ConsumerGroupState.STABLE,
    "PreparingRebalance": ConsumerGroupState.PREPARING_REBALANCING,
    "CompletingRebalance": ConsumerGroupState.COMPLETING_REBALANCING,
    "Empty": ConsumerGroupState.EMPTY,
    "Dead": ConsumerGroupState.DEAD,
}
_TYPE = ConsumerGroupType.CLASSIC


class GroupCalls(Asking):
    """The part of the admin client that is about consumer groups."""

    def list_consumer_groups(
        self,
        *,
        states: set[ConsumerGroupState] | None = None,
        types: set[ConsumerGroupType] | None = None,
        request_timeout: float | None = None,
    ) -> "Future[ListConsumerGroupsResult]":
        """Lists the groups that have members or offsets, or had members once.

        Args:
            states: only those that stand there; all for None and for an empty set.
            types: only those of such a type; here all are ``CLASSIC``.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
        """
        _check_set("states", states, ConsumerGroupState)
        _check_set("types", types, ConsumerGroupType)
        if ConsumerGroupType.UNKNOWN in (types or ()):
            raise ValueError("UNKNOWN type is not allowed")

        def list_groups(conn: Connection) -> ListConsumerGroupsResult:
            found = store.describe_groups(conn, self._texts.groups, None) if _TYPE in (types or {_TYPE}) else {}
            listings = map(_listing, found.values())
            return ListConsumerGroupsResult([one for one in listings if not states or one.state in states], [])

        return self._read_one(self._deadline(request_timeout), list_groups)

    def describe_consumer_groups(
        self,
        group_ids: list[str],
        *,
        request_timeout: float | None = None,
        include_authorized_operations: bool = False,
    ) -> dict[str, Future[ConsumerGroupDescription]]:
        """Describes groups; one that does not exist is ``DEAD``.

        Args:
            group_ids: which.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            include_authorized_operations: whether to tell what this client's role may do with them.
        """
        if not isinstance(group_ids, list):
            raise TypeError("Expected input to be list of group ids to be described")
        if not group_ids:
            raise ValueError("Expected at least one group to be described")
        wanted = list(map(str, group_ids))
        with_operations = flag("include_authorized_operations", include_authorized_operations)

        def describe(conn: Connection) -> Mapping[str, object]:
            _refuse_repeated(wanted)
            found = store.describe_groups(conn, self._texts.groups, wanted)
            allowed = operations.on_groups(read_rights(conn, self._texts.rights)) if with_operations else None
            told = partial(_description, at=node(conn), allowed=allowed)
            return {group: told(found[group]) if group else KafkaError(Broker.INVALID_GROUP_ID) for group in wanted}

        return self._read_each(wanted, self._deadline(request_timeout), describe)

    def delete_consumer_groups(
        self, group_ids: list[str], *, request_timeout: float | None = None
    ) -> dict[str, Future[None]]:
        """Deletes groups with their offsets.

        Args:
            group_ids: which.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.

        Returns:
            a future of None for each group. It fails with ``NON_EMPTY_GROUP`` or ``GROUP_ID_NOT_FOUND``.
        """
        if not isinstance(group_ids, list):
            raise TypeError("Expected input to be list of group ids to be deleted")
        if not group_ids:
            raise ValueError("Expected at least one group to be deleted")
        if not all(isinstance(group, str) for group in group_ids):
            raise ValueError(f"Expected list of {str!r}")

        def delete(conn: Connection, group: str) -> None:
            if not store.delete_group(conn, self._texts.groups, group):
                raise KafkaException(KafkaError(Broker.GROUP_ID_NOT_FOUND))

        def delete_all(conn: Connection) -> Mapping[str, object]:
            _refuse_repeated(group_ids)
            return one_by_one(group_ids, partial(delete, conn))

        return self._change_each(group_ids, self._deadline(request_timeout), delete_all)

    def list_groups(self, group: str | None = None, timeout: float = -1) -> list[GroupMetadata]:
        """Returns groups with their members. Deprecated in favour of listing and describing.

        Args:
            group: the one group; None for all.
            timeout: how many seconds to wait for a server that is away; negative for ever.

        Raises:
            KafkaException: Postgres refused, or stayed away.
        """
        warnings.warn(
            "list_groups() is deprecated, use list_consumer_groups() and describe_consumer_groups() instead.",
            category=DeprecationWarning,
            stacklevel=2,
        )
        if not isinstance(group, str | None):
            raise TypeError(f"argument 1 must be str or None, not {type(group).__name__}")
        deadline = Deadline(seconds(timeout))
        wanted = None if group is None else [group]
        self._require_open("Handle")

        def read(conn: Connection) -> list[GroupMetadata]:
            found = store.describe_groups(conn, self._texts.groups, wanted).values()
            return [group_metadata(facts, broker(conn)) for facts in found if facts.state != "Dead"]

        try:
            return self._told(lambda: request.read(self._pool, deadline, read))
        except KafkaException as failure:
            raise prefixed(failure, "Failed to list groups") from failure.__cause__


def _check_set(name: str, given: object, kind: type) -> None:
    if given is None:
        return
    if not isinstance(given, set):
        raise TypeError(f"'{name}' must be a set")
    if not all(isinstance(one, kind) for one in given):
        raise TypeError(f"All elements of {name} must be of type {kind.__name__}")


def _refuse_repeated(group_ids: Sequence[str]) -> None:
    if len(set(group_ids)) < len(group_ids):
        raise KafkaException(KafkaError(Local.INVALID_ARG, "Duplicate groups not allowed"))


def _is_simple(facts: GroupFacts) -> bool:
    """A group that never had a member was never assigned anything."""
    return facts.generation == 0


def _listing(facts: GroupFacts) -> ConsumerGroupListing:
    return ConsumerGroupListing(facts.group_id, _is_simple(facts), _STATES[facts.state], _TYPE)


def _description(facts: GroupFacts, *, at: Node, allowed: Sequence[AclOperation] | None) -> ConsumerGroupDescription:
    return ConsumerGroupDescription(
        facts.group_id,
        _is_simple(facts),
        [_member(member) for member in facts.members],
        facts.assignor,
        _STATES[facts.state],
        at,
        allowed,
        _TYPE,
    )


def _member(member: MemberFacts) -> MemberDescription:
    held = MemberAssignment([TopicPartition(topic, partition) for topic, partition in member.assignment])
    return MemberDescription(member.member_id, member.client_id, member.host, held, member.instance_id)
