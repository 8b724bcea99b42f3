"""Calls about configurations: of topics how long their rows are kept, of anything else nothing."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from shim.admin.arguments import flag, listing
from shim.admin.asking import Asking
from shim.admin.background import unsupported
from shim.admin.configs import AlterConfigOpType, ConfigEntry, ConfigResource
from shim.admin.failures import one_by_one
from shim.admin.resources import ResourceType
from shim.admin.topic_configs import KEEP_TIMES, check_names, default_keep_time, describe_config, keep_time
from shim.client.metadata import unknown_topic
from shim.client.request import Deadline, bound
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Broker, Local
from shim.protocol.integers import int32
from shim.protocol.topic_names import flaw
from shim.store import keep_times
from shim.store import topics as store
from shim.store.keep_times import KeepTime, KeepTimes
from shim.store.pool import Connection

_BROKER_LESS = "only topics have a configuration; the server's is Postgres' own"


class ConfigCalls(Asking):
    """The part of the admin client that is about configurations."""

    def describe_configs(
        self, resources: list[ConfigResource], *, request_timeout: float | None = None, broker: int = -1
    ) -> dict[ConfigResource, Future[dict[str, ConfigEntry]]]:
        """Tells the configuration of topics.

        Args:
            resources: which topics.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            broker: checked; there is one.

        Returns:
            a future for each. It fails with ``UNKNOWN_TOPIC_OR_PART``, and with ``_UNSUPPORTED_FEATURE`` for what is
            no topic.
        """
        _check(resources, broker)
        names = [one.name for one in resources if one.restype is ResourceType.TOPIC]

        def read(conn: Connection) -> Mapping[ConfigResource, object]:
            _refuse_repeated(resources)
            found = store.describe_topics(conn, self._texts.topics, names)
            times = keep_times.read(conn, self._texts.keep_times, names)
            return {one: _described(one, found, times) for one in resources}

        return self._read_each(resources, self._deadline(request_timeout), read)

    def incremental_alter_configs(
        self,
        resources: list[ConfigResource],
        *,
        validate_only: bool = False,
        request_timeout: float | None = None,
        broker: int = -1,
    ) -> dict[ConfigResource, Future[None]]:
        """Changes what each resource's ``incremental_configs`` say: of a topic how long what it holds is kept.

        That is ``retention.ms``, and for finished jobs ``shim.completed.retention.ms`` and
        ``shim.failed.retention.ms``.

        Args:
            resources: which topics.
            validate_only: whether to find out only what would become of it.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            broker: checked; there is one.

        Returns:
            a future of None for each. It fails with ``UNKNOWN_TOPIC_OR_PART``, ``INVALID_CONFIG``, or
            ``_UNSUPPORTED_FEATURE`` for all else that Kafka would change.
        """
        if any(not isinstance(one, ConfigResource) for one in resources):
            raise TypeError(f"Expected list of {ConfigResource!r}")
        _check(resources, broker)
        dry = flag("validate_only", validate_only)
        for resource in resources:
            _check_entries(resource.incremental_configs)
        return self._alter(resources, _incremental, self._deadline(request_timeout), dry)

    def alter_configs(
        self,
        resources: list[ConfigResource],
        *,
        validate_only: bool = False,
        request_timeout: float | None = None,
        broker: int = -1,
    ) -> dict[ConfigResource, Future[None]]:
        """Sets what each resource's ``set_config_dict`` says, and all else to its default. Deprecated.

        Args:
            resources: which topics.
            validate_only: whether to find out only what would become of it.
            request_timeout: how many seconds an answer may take; ``socket.timeout.ms`` by default.
            broker: checked; there is one.

        Returns:
            as ``incremental_alter_configs``.
        """
        warnings.warn(
            "alter_configs has been deprecated. Use incremental_alter_configs instead.",
            category=DeprecationWarning,
            stacklevel=2,
        )
        _check(resources, broker)
        dry = flag("validate_only", validate_only)
        return self._alter(resources, _whole, self._deadline(request_timeout), dry)

    def _alter(
        self,
        resources: list[ConfigResource],
        wanted: Callable[[ConfigResource], Mapping[KeepTime, int | None]],
        deadline: Deadline,
        dry: bool,
    ) -> dict[ConfigResource, Future[None]]:
        def alter(conn: Connection, resource: ConfigResource) -> None:
            if resource.restype is not ResourceType.TOPIC:
                raise KafkaException(unsupported(_BROKER_LESS))
            _refuse_name(resource.name)
            times = wanted(resource)
            with conn.transaction(force_rollback=dry):
                bound(conn, deadline)
                keep_times.change(conn, self._texts.keep_times, resource.name, times)

        def alter_all(conn: Connection) -> Mapping[ConfigResource, object]:
            _refuse_repeated(resources)
            return one_by_one(resources, lambda resource: alter(conn, resource))

        return self._change_each(resources, deadline, alter_all)


def _check(resources: list[ConfigResource], broker: int) -> None:
    int32(broker)
    if not all(isinstance(one, ConfigResource) for one in resources):
        raise ValueError(f"Expected list of {ConfigResource!r}")
    for one in listing(resources, ConfigResource, "ConfigResource objects"):
        if not isinstance(one.name, str):
            raise TypeError(f"Expected .name to be str type, not {type(one.name).__name__}")
        if not one.name:
            raise ValueError(f"Invalid ConfigResource({one.restype_int},{one.name})")


def _check_entries(entries: Iterable[ConfigEntry]) -> None:
    if not entries:
        raise ValueError("expected non-empty list of ConfigEntry to alter incrementally in incremental_configs field")
    for index, entry in enumerate(entries):
        if not isinstance(entry, ConfigEntry):
            raise TypeError(f"expected ConfigEntry type in incremental_configs field, index {index}")
        if not isinstance(entry.incremental_operation, AlterConfigOpType):
            raise TypeError("Required attribute .incremental_operation missing")
        if not isinstance(entry.name, str):
            raise TypeError(f"Expected .name to be str type, not {type(entry.name).__name__}")
        if entry.incremental_operation is not AlterConfigOpType.DELETE and not isinstance(entry.value, str):
            raise TypeError(f"Expected .value to be str type, not {type(entry.value).__name__}")


def _refuse_repeated(resources: Iterable[ConfigResource]) -> None:
    if any(count > 1 for count in Counter(resources).values()):
        raise KafkaException(KafkaError(Local.INVALID_ARG, "Duplicate resources not allowed"))


def _refuse_name(topic: str) -> None:
    if why := flaw(topic):
        raise KafkaException(KafkaError(Broker.TOPIC_EXCEPTION, why))


def _described(
    resource: ConfigResource, found: Mapping[str, store.TopicFacts], times: Mapping[str, KeepTimes]
) -> object:
    if resource.restype is not ResourceType.TOPIC:
        return unsupported(_BROKER_LESS)
    if resource.name not in found or resource.name not in times:
        return unknown_topic(resource.name)
    return describe_config(found[resource.name], times[resource.name])


def _incremental(resource: ConfigResource) -> dict[KeepTime, int | None]:
    """Returns the keep-times that a resource's entries ask for."""
    entries = {entry.name: entry for entry in resource.incremental_configs}
    if len(entries) < len(resource.incremental_configs):
        raise KafkaException(KafkaError(Local.INVALID_ARG, "Duplicate ConfigEntry found"))
    _refuse_others(entries)
    return {KEEP_TIMES[name]: _changed(entry) for name, entry in entries.items()}


def _changed(entry: ConfigEntry) -> int | None:
    if entry.incremental_operation is AlterConfigOpType.DELETE:
        return default_keep_time(entry.name)
    if entry.incremental_operation is not AlterConfigOpType.SET:
        operation = entry.incremental_operation.name if entry.incremental_operation else None
        text = f"Can't {operation} to key {entry.name} because its type is not LIST."
        raise KafkaException(KafkaError(Broker.INVALID_CONFIG, text))
    return keep_time(entry.name, str(entry.value))


def _whole(resource: ConfigResource) -> dict[KeepTime, int | None]:
    """Returns the keep-times of a configuration that is given as a whole."""
    given = resource.set_config_dict
    _refuse_others(given)
    return {
        column: keep_time(name, str(given[name])) if name in given else default_keep_time(name)
        for name, column in KEEP_TIMES.items()
    }


def _refuse_others(names: Iterable[str]) -> None:
    check_names(names)
    others = sorted(set(names) - KEEP_TIMES.keys())
    if others:
        raise KafkaException(unsupported(f"{', '.join(others)} cannot be changed here"))
