"""Access rules. Postgres keeps its own, by GRANT; these are here so that code that names them loads."""

from collections.abc import Iterable
from enum import unique
from functools import total_ordering
from typing import ClassVar, Self, TypeVar

from shim.admin.resources import ResourcePatternType, ResourceType
from shim.model import OrderedEnum

_Member = TypeVar("_Member", bound=OrderedEnum)


@unique
class AclOperation(OrderedEnum):
    """What a rule is about to allow or to deny."""

    UNKNOWN = 0
    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12

    @classmethod
    def all_of(cls, given: Iterable[object] | None) -> list[Self] | None:
        """Returns the operations that are meant; None when there are none, or nobody asked."""
        return [cls.of(one) for one in given] if given else None


@unique
class AclPermissionType(OrderedEnum):
    """Whether a rule allows or denies."""

    UNKNOWN = 0
    ANY = 1
    DENY = 2
    ALLOW = 3


_Fields = tuple[ResourceType, str | None, ResourcePatternType, str | None, str | None, AclOperation, AclPermissionType]


@total_ordering
class AclBinding:
    """A rule: who may, or may not, do what with which resources.

    The four enumerations may be given as members, as numbers, or by name in any case.

    Attributes:
        restype: the kind of resource.
        name: its name.
        resource_pattern_type: how the name is meant.
        principal: whom the rule is about.
        host: where they come from.
        operation: what they do.
        permission_type: whether they may.
    """

    _matches_all = False
    _forbidden: ClassVar[frozenset[OrderedEnum]] = frozenset(
        (
            ResourceType.ANY,
            ResourcePatternType.ANY,
            ResourcePatternType.MATCH,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
    )

    def __init__(
        self,
        restype: ResourceType | str | int,
        name: str | None,
        resource_pattern_type: ResourcePatternType | str | int,
        principal: str | None,
        host: str | None,
        operation: AclOperation | str | int,
        permission_type: AclPermissionType | str | int,
    ) -> None:
        self.restype = self._member("restype", ResourceType, restype)
        self.name = self._text("name", name)
        self.resource_pattern_type = self._member("resource_pattern_type", ResourcePatternType, resource_pattern_type)
        self.principal = self._text("principal", principal)
        self.host = self._text("host", host)
        self.operation = self._member("operation", AclOperation, operation)
        self.permission_type = self._member("permission_type", AclPermissionType, permission_type)
        self.restype_int: int = self.restype.value
        self.resource_pattern_type_int: int = self.resource_pattern_type.value
        self.operation_int: int = self.operation.value
        self.permission_type_int: int = self.permission_type.value

    def _text(self, field: str, given: str | None) -> str | None:
        if given is None and not self._matches_all:
            raise ValueError(f"Expected {field} to be not None")
        if not isinstance(given, str | None):
            raise TypeError(f"Expected {field} to be a string")
        return given

    def _member(self, field: str, enumeration: type[_Member], given: object) -> _Member:
        if given is None:
            raise ValueError(f"Expected {field} to be not None")
        member = enumeration.of(given)
        if member in self._forbidden:
            raise ValueError(f"Cannot use enum {field}, value {member.name} in this class")
        return member

    def _fields(self) -> _Fields:
        return (
            self.restype,
            self.name,
            self.resource_pattern_type,
            self.principal,
            self.host,
            self.operation,
            self.permission_type,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({','.join(str(field) for field in self._fields())})"

    def __hash__(self) -> int:
        return hash(self._fields())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AclBinding):
            return NotImplemented
        return self._fields() == other._fields()

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, AclBinding):
            return NotImplemented
        return self._fields() < other._fields()


class AclBindingFilter(AclBinding):
    """What rules are looked for by: a text that is None, and an enumeration that is ``ANY``, match all."""

    _matches_all = True
    _forbidden = frozenset(
        (ResourceType.UNKNOWN, ResourcePatternType.UNKNOWN, AclOperation.UNKNOWN, AclPermissionType.UNKNOWN)
    )
