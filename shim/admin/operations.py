"""Rights of the connection's role on the queue's tables, as operations that Kafka's access rules know."""

from shim.admin.acls import AclOperation
from shim.store.rights import Rights


def on_topics(rights: Rights) -> list[AclOperation]:
    """Returns what the role may do with a topic."""
    return _allowed(
        {
            AclOperation.READ: rights.read,
            AclOperation.WRITE: rights.write,
            AclOperation.CREATE: rights.create_topics,
            AclOperation.DELETE: rights.delete_topics,
            AclOperation.ALTER: rights.alter_topics,
            AclOperation.DESCRIBE: rights.describe,
            AclOperation.DESCRIBE_CONFIGS: rights.describe,
            AclOperation.ALTER_CONFIGS: rights.alter_topics,
        }
    )


def on_groups(rights: Rights) -> list[AclOperation]:
    """Returns what the role may do with a consumer group."""
    return _allowed(
        {
            AclOperation.READ: rights.commit,
            AclOperation.DELETE: rights.delete_groups,
            AclOperation.DESCRIBE: rights.describe,
        }
    )


def on_cluster(rights: Rights) -> list[AclOperation]:
    """Returns what the role may do with the queue as a whole."""
    return _allowed({AclOperation.CREATE: rights.create_topics, AclOperation.DESCRIBE: rights.describe})


def _allowed(operations: dict[AclOperation, bool]) -> list[AclOperation]:
    return [operation for operation, allowed in operations.items() if allowed]
