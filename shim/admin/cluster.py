"""The cluster as it is described: one Postgres server."""

from collections.abc import Sequence

from shim.admin.acls import AclOperation
from shim.model import Node


class DescribeClusterResult:
    """The cluster.

    Attributes:
        controller: the node that leads it.
        nodes: all nodes.
        cluster_id: its identifier.
        authorized_operations: what this client may do with it, if that was asked for.
    """

    def __init__(
        self,
        controller: Node,
        nodes: list[Node],
        cluster_id: str | None = None,
        authorized_operations: Sequence[AclOperation | str | int] | None = None,
    ) -> None:
        self.controller = controller
        self.nodes = nodes
        self.cluster_id = cluster_id
        self.authorized_operations = AclOperation.all_of(authorized_operations)
