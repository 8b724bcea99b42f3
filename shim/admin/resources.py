"""What a configuration or an access rule is about."""

from enum import unique

from shim.model import OrderedEnum


@unique
class ResourceType(OrderedEnum):
    """Kinds of resources."""

    UNKNOWN = 0
    ANY = 1
    TOPIC = 2
    GROUP = 3
    BROKER = 4
    TRANSACTIONAL_ID = 5


@unique
class ResourcePatternType(OrderedEnum):
    """How the name of a resource is meant."""

    UNKNOWN = 0
    ANY = 1
    MATCH = 2
    LITERAL = 3
    PREFIXED = 4
