"""Calls that have no meaning in Postgres: their arguments are checked, and their futures fail."""

from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, overload

from shim.admin.acls import AclBinding, AclBindingFilter
from shim.admin.arguments import listing, operation_limit
from shim.admin.asking import Asking
from shim.admin.background import refused
from shim.admin.scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialsDescription,
    UserScramCredentialUpsertion,
)
from shim.errors import KafkaError
from shim.model import ElectionType
from shim.topic_partition import TopicPartition

K = TypeVar("K", bound=Hashable)

_ACLS = "access is granted in Postgres, to roles: see GRANT"
_SCRAM = "passwords are kept in Postgres, for roles: see ALTER ROLE"
_LEADERS = "every partition is led by the Postgres server"


class RefusedCalls(Asking):
    """The part of the admin client that Postgres has no use for; each future fails with ``_UNSUPPORTED_FEATURE``."""

    def create_acls(
        self, acls: list[AclBinding], *, request_timeout: float | None = None
    ) -> dict[AclBinding, Future[None]]:
        """Refuses to make access rules."""
        _check_acls(acls, AclBinding, "ACL bindings")
        return self._refuse_each(acls, _ACLS, request_timeout)

    def describe_acls(
        self, acl_binding_filter: AclBindingFilter, *, request_timeout: float | None = None
    ) -> "Future[list[AclBinding]]":
        """Refuses to tell access rules."""
        if not isinstance(acl_binding_filter, AclBindingFilter):
            raise TypeError("Expected an AclBindingFilter object")
        return self._refuse(_ACLS, request_timeout)

    def delete_acls(
        self, acl_binding_filters: list[AclBindingFilter], *, request_timeout: float | None = None
    ) -> dict[AclBindingFilter, Future[list[AclBinding]]]:
        """Refuses to delete access rules."""
        _check_acls(acl_binding_filters, AclBindingFilter, "ACL binding filters")
        return self._refuse_each(acl_binding_filters, _ACLS, request_timeout)

    @overload
    def describe_user_scram_credentials(
        self, users: None = None, *, request_timeout: float | None = None
    ) -> "Future[dict[str, UserScramCredentialsDescription]]": ...

    @overload
    def describe_user_scram_credentials(
        self, users: list[str], *, request_timeout: float | None = None
    ) -> dict[str, Future[UserScramCredentialsDescription]]: ...

    def describe_user_scram_credentials(
        self, users: list[str] | None = None, *, request_timeout: float | None = None
    ) -> "Future[dict[str, UserScramCredentialsDescription]] | dict[str, Future[UserScramCredentialsDescription]]":
        """Refuses to tell credentials: one future for all users, or one for each that is named."""
        if users is None:
            return self._refuse(_SCRAM, request_timeout)
        if not isinstance(users, list):
            raise TypeError("Expected input to be list of String")
        for user in users:
            _check_user(user, "Each value should be a string")
        return self._refuse_each(users, _SCRAM, request_timeout)

    def alter_user_scram_credentials(
        self, alterations: list[UserScramCredentialAlteration], *, request_timeout: float | None = None
    ) -> dict[str, Future[None]]:
        """Refuses to change credentials."""
        if not isinstance(alterations, list):
            raise TypeError("Expected input to be list")
        if not alterations:
            raise ValueError("Expected at least one alteration")
        for alteration in alterations:
            _check_alteration(alteration)
        return self._refuse_each((one.user for one in alterations), _SCRAM, request_timeout)

    def elect_leaders(
        self,
        election_type: ElectionType,
        partitions: list[TopicPartition] | None = None,
        *,
        operation_timeout: float | None = None,
        request_timeout: float | None = None,
    ) -> "Future[dict[TopicPartition, KafkaError | None]]":
        """Refuses to elect leaders."""
        if not isinstance(election_type, ElectionType):
            raise TypeError("Expected 'election_type' to be of type 'ElectionType'")
        _check_partitions(partitions)
        operation_limit(operation_timeout)
        return self._refuse(_LEADERS, request_timeout)

    def _refuse(self, reason: str, request_timeout: float | None) -> "Future[Any]":
        return self._refuse_each([None], reason, request_timeout)[None]

    def _refuse_each(self, keys: Iterable[K], reason: str, request_timeout: float | None) -> dict[K, Future[Any]]:
        self._deadline(request_timeout)
        self._require_open()
        return {key: refused(reason) for key in keys}


def _check_acls(acls: Sequence[AclBinding], kind: type[AclBinding], title: str) -> None:
    if len(set(acls)) < len(acls):
        raise ValueError(f"duplicate {title} not allowed")
    if not all(isinstance(one, kind) for one in acls):
        raise ValueError(f"Expected list of {kind!r}")
    listing(acls, kind, f"{kind.__name__} objects")


def _check_user(user: object, otherwise: str) -> None:
    if user is None:
        raise TypeError("'user' cannot be None")
    if not isinstance(user, str):
        raise TypeError(otherwise)
    if not user:
        raise ValueError("'user' cannot be empty")


def _check_alteration(alteration: object) -> None:
    if not isinstance(alteration, UserScramCredentialAlteration):
        raise TypeError("Expected each element of list to be subclass of UserScramCredentialAlteration")
    _check_user(alteration.user, "'user' must be a string")
    match alteration:
        case UserScramCredentialUpsertion():
            _check_upsertion(alteration)
        case UserScramCredentialDeletion():
            _check_mechanism(alteration.mechanism)
        case _:
            raise TypeError(
                "Expected each element of list 'alterations' to be either a UserScramCredentialUpsertion or a "
                "UserScramCredentialDeletion"
            )


def _check_upsertion(upsertion: UserScramCredentialUpsertion) -> None:
    if not isinstance(upsertion.password, bytes):
        raise TypeError("'password' must be bytes")
    if not upsertion.password:
        raise ValueError("'password' cannot be empty")
    if not isinstance(upsertion.salt, bytes | None):
        raise TypeError("'salt' must be bytes")
    if upsertion.salt == b"":
        raise ValueError("'salt' can be None but cannot be empty")
    if not isinstance(upsertion.scram_credential_info, ScramCredentialInfo):
        raise TypeError("Expected credential_info to be ScramCredentialInfo Type")
    if upsertion.scram_credential_info.iterations < 1:
        raise ValueError("Iterations should be positive")
    _check_mechanism(upsertion.scram_credential_info.mechanism)


def _check_mechanism(mechanism: object) -> None:
    if not isinstance(mechanism, ScramMechanism):
        raise TypeError("Expected the mechanism to be ScramMechanism Type")


def _check_partitions(partitions: object) -> None:
    if partitions is None:
        return
    if not isinstance(partitions, list):
        raise TypeError(f"Expected 'partitions' to be a list, got '{type(partitions).__name__}'")
    for one in partitions:
        if not isinstance(one, TopicPartition):
            raise TypeError(
                f"Element of the 'partitions' list must be of type 'TopicPartition' got '{type(one).__name__}'"
            )
        if one.partition < 0:
            raise ValueError("Elements of the 'partitions' list must not have negative value for 'partition' field")
