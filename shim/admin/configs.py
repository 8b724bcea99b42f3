"""Configurations of resources, as they are described and as they are changed."""

from collections.abc import Iterable, Mapping
from enum import Enum, unique
from functools import total_ordering

from shim.admin.resources import ResourceType
from shim.errors import KafkaError


@unique
class AlterConfigOpType(Enum):
    """What is done with an entry."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@unique
class ConfigSource(Enum):
    """Where an entry's value comes from."""

    UNKNOWN_CONFIG = 0
    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5
    GROUP_CONFIG = 8


class ConfigEntry:
    """One entry of a configuration.

    Attributes:
        name: its name.
        value: its value; None where it is not set or not shown.
        source: where the value comes from; a described entry holds the number of a ``ConfigSource``.
        is_read_only: whether it cannot be changed.
        is_default: whether it has its default value.
        is_sensitive: whether its value is not shown.
        is_synonym: whether it stands in another entry's ``synonyms``.
        synonyms: the values that would hold without this one, by name.
        incremental_operation: what ``incremental_alter_configs`` is to do with it.
    """

    def __init__(
        self,
        name: str,
        value: str | None,
        source: ConfigSource | int = ConfigSource.UNKNOWN_CONFIG,
        is_read_only: bool = False,
        is_default: bool = False,
        is_sensitive: bool = False,
        is_synonym: bool = False,
        synonyms: Mapping[str, "ConfigEntry"] | None = None,
        incremental_operation: AlterConfigOpType | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.source = source
        self.is_read_only = bool(is_read_only)
        self.is_default = bool(is_default)
        self.is_sensitive = bool(is_sensitive)
        self.is_synonym = bool(is_synonym)
        self.synonyms = {} if synonyms is None else synonyms
        self.incremental_operation = incremental_operation

    def __repr__(self) -> str:
        return f"ConfigEntry({self})"

    def __str__(self) -> str:
        return f'{self.name}="{self.value}"'


@total_ordering
class ConfigResource:
    """A resource that has a configuration, and what is to be done with it.

    Equal, ordered and hashed by kind and name.

    Attributes:
        restype: the kind of resource; may be given by number, or by name in any case.
        name: its name.
        set_config_dict: what ``alter_configs`` is to set.
        incremental_configs: what ``incremental_alter_configs`` is to do.
        configs: the entries, in an answer.
        error: what failed, in an answer.
    """

    Type = ResourceType

    def __init__(
        self,
        restype: ResourceType | str | int,
        name: str,
        set_config: Mapping[str, str] | None = None,
        described_configs: dict[str, ConfigEntry] | None = None,
        error: KafkaError | None = None,
        incremental_configs: Iterable[ConfigEntry] | None = None,
    ) -> None:
        if name is None:
            raise ValueError("Expected resource name to be a string")
        if isinstance(restype, str) and restype.upper() not in ResourceType.__members__:
            raise ValueError(f'Unknown resource type "{restype}": should be a ConfigResource.Type')
        self.restype = ResourceType.of(restype)
        self.restype_int: int = self.restype.value
        self.name = name
        self.set_config_dict = dict(set_config or {})
        self.incremental_configs = list(incremental_configs or ())
        self.configs = described_configs
        self.error = error

    def set_config(self, name: str, value: str, overwrite: bool = True) -> None:
        """Adds an entry for ``alter_configs``; with ``overwrite`` off, one that is there stays."""
        if overwrite or name not in self.set_config_dict:
            self.set_config_dict[name] = value

    def add_incremental_config(self, config_entry: ConfigEntry) -> None:
        """Adds an entry for ``incremental_alter_configs``."""
        self.incremental_configs.append(config_entry)

    def __repr__(self) -> str:
        error = "" if self.error is None else f",{self.error!r}"
        return f"ConfigResource({self.restype},{self.name}{error})"

    def __len__(self) -> int:
        return len(self.set_config_dict)

    def __hash__(self) -> int:
        return hash((self.restype, self.name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfigResource):
            return NotImplemented
        return (self.restype, self.name) == (other.restype, other.name)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, ConfigResource):
            return NotImplemented
        return (self.restype, self.name) < (other.restype, other.name)
