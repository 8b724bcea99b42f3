"""What a cluster says about a topic: identity, extent, settings, and who reads it. Asks only, changes nothing."""

import re
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
    admin,
)

from migrator.errors import CannotStartError, MigratorError, UsageError
from migrator.kafka.properties import KafkaProperties
from migrator.kafka.records import Commit, GroupFacts, PartitionFacts, TopicFacts
from migrator.kafka.reports import UNREACHABLE, Reports, acl_line, denied, failed

_ADMIN: Any = admin  # the documented names are not all in the package's stubs

K = TypeVar("K")

_SPEC = _ADMIN.OffsetSpec
_MOCK = "mockCluster"
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_NO_ID = "A" * 22
_UNLIMITED = -1
_TICK_SECONDS = 0.1
_REBALANCE_SECONDS = 3.0
_REBALANCING = {"PREPARING_REBALANCING": "PREPARING_REBALANCE", "COMPLETING_REBALANCING": "COMPLETING_REBALANCE"}
_UNKNOWN = "unknown"


class Cluster:
    """One cluster, asked through the admin API.

    Attributes:
        notices: sentences about what could not be learnt, for display; they grow as questions are asked.
    """

    def __init__(self, properties: KafkaProperties, timeout: float = 10.0) -> None:
        """Connects.

        Args:
            properties: how to reach the cluster.
            timeout: seconds that this and each question may take. Failures that waiting cannot cure come sooner.

        Raises:
            CannotStartError: ``broker-unreachable``, ``authentication-failed`` or ``tls-failed``.
        """
        self._properties = properties
        self._timeout = timeout
        self._reports = Reports(properties)
        settings = {"error_cb": self._reports.error, "logger": self._reports}
        self._client = _ADMIN.AdminClient(properties.for_client(settings))
        self._notices: dict[str, None] = {}
        self._cluster_id = str(self._metadata().cluster_id)

    @property
    def notices(self) -> tuple[str, ...]:
        """What could not be learnt so far, as sentences."""
        return tuple(self._notices)

    def cluster_id(self) -> str:
        """Kafka's id of the cluster; librdkafka's mock cluster makes one up that starts with ``mockCluster``."""
        return self._cluster_id

    def topics(self) -> tuple[str, ...]:
        """The topics that this user may see, without Kafka's internal ones (``__consumer_offsets`` and the like).

        Raises:
            CannotStartError: the cluster no longer answers.
        """
        return tuple(sorted(name for name in self._metadata().topics if not name.startswith("__")))

    def topic_id(self, topic: str) -> str | None:
        """The topic's id in Kafka's own spelling (URL-safe base64, 22 characters); None where there are none.

        One request of a few milliseconds: a deleted and recreated topic is known by nothing else, and a consumer
        that stands in it goes on reading without a word.

        Raises:
            CannotStartError: ``topic-missing``, ``not-authorized``, or the cluster no longer answers.
        """
        return self._identity(topic)[0]

    def topic_facts(self, topic: str) -> TopicFacts:
        """Identity, extent and settings of one topic.

        The high watermarks are asked for first and the last stable offsets after them, so that a record which
        arrives in between does not look like an open transaction.

        Raises:
            CannotStartError: ``topic-missing``, ``not-authorized``, or the cluster no longer answers.
        """
        topic_id, numbers = self._identity(topic)
        low = self._offsets(topic, numbers, _SPEC.earliest())
        high = self._offsets(topic, numbers, _SPEC.latest())
        stable = self._offsets(topic, numbers, _SPEC.latest(), IsolationLevel.READ_COMMITTED)
        policy, retention = self._retention(topic)
        partitions = tuple(PartitionFacts(n, low[n], high[n], min(stable[n], high[n])) for n in numbers)
        return TopicFacts(self._cluster_id, topic, topic_id, partitions, policy, retention)

    def offsets_for_time(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """For each partition the first offset whose timestamp is at or after ``timestamp_ms``, else the high watermark.

        The watermarks are those of the moment before, so nothing that arrives meanwhile is passed over.

        Raises:
            CannotStartError: as `topic_facts`; ``unsupported-by-cluster`` on librdkafka's mock cluster.
        """
        if self._is_mock:
            raise CannotStartError(
                "librdkafka's mock cluster cannot look up offsets by time",
                code="unsupported-by-cluster",
                hint="start from explicit offsets, or use a real broker",
            )
        _, numbers = self._identity(topic)
        high = self._offsets(topic, numbers, _SPEC.latest())
        found = self._offsets(topic, numbers, _SPEC.for_timestamp(timestamp_ms))
        return {n: found[n] if found[n] >= 0 else high[n] for n in numbers}

    def groups_of(self, topic: str) -> tuple[GroupFacts, ...]:
        """Every consumer group, classic or new, that has commits on the topic or members with partitions of it.

        Share groups and streams groups cannot be asked about through librdkafka (2.16 lists neither, and describes
        none): those whose topics stay unknown become a notice. On the mock cluster, which lists no groups, the
        answer is empty, with a notice; `group_on` works there.

        Raises:
            CannotStartError: ``topic-missing``, ``not-authorized``, or the cluster no longer answers.
        """
        _, numbers = self._identity(topic)
        names = self._listed()
        described = self._descriptions(names)
        commits = self._commits(topic, numbers, names + self._unlisted(names))
        facts = (self._group(topic, name, described.get(name), commits[name]) for name in commits)
        return tuple(group for group, here in facts if here)

    def group_on(self, topic: str, group_id: str) -> GroupFacts:
        """One group by name, whether or not it has anything to do with the topic.

        Raises:
            CannotStartError: as `groups_of`.
        """
        _, numbers = self._identity(topic)
        described = self._descriptions([group_id])
        commits = self._commits(topic, numbers, [group_id])
        return self._group(topic, group_id, described.get(group_id), commits[group_id])[0]

    def close(self) -> None:
        """Ends the connection."""
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _is_mock(self) -> bool:
        """The mock cluster has no controller: what needs one would wait out its whole timeout."""
        return self._cluster_id.startswith(_MOCK)

    def _metadata(self) -> Any:
        deadline = self._deadline()
        while True:
            try:
                metadata = self._client.list_topics(timeout=max(0.1, min(1.0, deadline - time.monotonic())))
            except KafkaException as error:
                self._reports.error(error.args[0])
            else:
                self._reports.clear()
                return metadata
            self._client.poll(_TICK_SECONDS)
            if self._reports.hopeless or time.monotonic() >= deadline:
                raise self._reports.cannot_start()

    def _deadline(self) -> float:
        """When a question that begins now is given up; what the client reported between questions is forgotten."""
        self._client.poll(0)
        self._reports.clear()
        return time.monotonic() + self._timeout

    def _identity(self, topic: str) -> tuple[str | None, tuple[int, ...]]:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise UsageError(
                f"{topic!r} cannot be the name of a Kafka topic",
                code="topic-name",
                hint="letters, digits, dot, dash and underscore, at most 249 of them",
            )
        if self._is_mock:
            found = self._metadata().topics.get(topic)
            if found is None:
                raise self._missing(topic)
            return None, tuple(sorted(found.partitions))
        asked = self._client.describe_topics(TopicCollection([topic]), request_timeout=self._timeout)
        described = self._all(asked, f"describing topic {topic!r}", lambda name: ("Describe", name))[topic]
        topic_id = str(described.topic_id).translate(str.maketrans("+/", "-_"))  # librdkafka's is not URL-safe
        return (None if topic_id == _NO_ID else topic_id), tuple(sorted(p.id for p in described.partitions))

    def _offsets(
        self,
        topic: str,
        numbers: tuple[int, ...],
        spec: Any,
        isolation: Any = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[int, int]:
        asked = self._client.list_offsets(
            {TopicPartition(topic, n): spec for n in numbers}, isolation_level=isolation, request_timeout=self._timeout
        )
        answers = self._all(asked, f"asking for the offsets of {topic!r}", lambda tp: ("Describe", tp.topic))
        return {partition.partition: answer.offset for partition, answer in answers.items()}

    def _retention(self, topic: str) -> tuple[str, int]:
        """Settings are good to know, not needed: a user who may not read them can still copy."""
        if self._is_mock:
            self._notice("the mock cluster says nothing about cleanup policy and retention")
            return _UNKNOWN, _UNLIMITED
        resource = _ADMIN.ConfigResource(_ADMIN.ConfigResource.Type.TOPIC, topic)
        asked = self._client.describe_configs([resource], request_timeout=self._timeout)
        try:
            entries = self._all(asked, f"reading the settings of {topic!r}", lambda _: ("DescribeConfigs", topic))[
                resource
            ]
            return str(entries["cleanup.policy"].value), int(entries["retention.ms"].value)
        except CannotStartError as error:
            if error.code in ("broker-unreachable", "authentication-failed"):
                raise
            self._notice(f"cleanup policy and retention of {topic!r} are unknown: {error.message}")
        except (KeyError, TypeError, ValueError):
            self._notice(f"cleanup policy and retention of {topic!r} are unknown: the broker does not say")
        return _UNKNOWN, _UNLIMITED

    def _listed(self) -> list[str]:
        if self._is_mock:
            self._notice("the mock cluster lists no groups: who reads the topic is not known")
            return []
        doing = "listing consumer groups"
        listed = self._one(self._client.list_consumer_groups(request_timeout=self._timeout), doing)
        for error in listed.errors:
            raise self._error(error.args[0] if isinstance(error, KafkaException) else error, doing, ("Describe", ""))
        self._note_hidden_groups()
        return sorted(group.group_id for group in listed.valid)

    def _descriptions(self, names: list[str]) -> dict[str, Any]:
        """Asked again for a while where groups are between two assignments, and so say nothing of their topics."""
        described: dict[str, Any] = {}
        if self._is_mock and names:
            self._notice("the mock cluster says nothing about the members of groups")
            return described
        deadline = time.monotonic() + min(_REBALANCE_SECONDS, self._timeout)
        unsettled = names
        while unsettled:
            asked = self._client.describe_consumer_groups(unsettled, request_timeout=self._timeout)
            described |= self._all(asked, "describing consumer groups", lambda name: ("Describe", name))
            unsettled = [name for name in unsettled if described[name].state.name in _REBALANCING]
            if time.monotonic() >= deadline:
                break
        for name in unsettled:
            self._notice(f"group {name!r} is rebalancing: which topics its members read is not known")
        return described

    def _commits(self, topic: str, numbers: tuple[int, ...], names: list[str]) -> dict[str, dict[int, Commit]]:
        asked: dict[str, Future[Any]] = {}
        for name in names:  # librdkafka takes one group a request; the requests run at the same time
            request = ConsumerGroupTopicPartitions(name, [TopicPartition(topic, n) for n in numbers])
            asked |= self._client.list_consumer_group_offsets([request], request_timeout=self._timeout)
        answers = self._all(asked, "reading committed offsets", lambda name: ("Describe", name))
        return {name: _committed(answer.topic_partitions) for name, answer in answers.items()}

    def _unlisted(self, listed: list[str]) -> list[str]:
        """Groups that are neither classic nor new consumer groups: only the old listing names them at all."""
        if self._is_mock or not hasattr(self._client, "list_groups"):
            return []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                groups = self._client.list_groups(timeout=self._timeout)
        except KafkaException:
            self._notice("whether share groups read the topic could not be found out")
            return []
        unlisted = sorted({g.id for g in groups if not g.protocol_type} - set(listed))
        for name in unlisted:
            self._notice(
                f"group {name!r} is a share or streams group: whether it reads this topic is not known here; "
                f"kafka-share-groups.sh --describe --group '{name}' says it"
            )
        return unlisted

    def _note_hidden_groups(self) -> None:
        """A broker leaves groups that the user may not describe out of its list, and does not say so."""
        asked = self._client.describe_cluster(include_authorized_operations=True, request_timeout=self._timeout)
        allowed = self._one(asked, "describing the cluster").authorized_operations
        if _ADMIN.AclOperation.DESCRIBE not in (allowed or ()):  # the client says None for none
            self._notice(
                "groups that this user may not describe are not seen; Describe on the cluster shows all of them: "
                f"{acl_line(self._properties, 'Describe', '--cluster')}"
            )

    def _group(self, topic: str, name: str, described: Any, commits: dict[int, Commit]) -> tuple[GroupFacts, bool]:
        """The facts, and whether the group has to do with the topic."""
        if described is None:
            return GroupFacts(name, _UNKNOWN, "UNKNOWN", 0, commits), bool(commits)
        state = _REBALANCING.get(described.state.name, described.state.name)
        facts = GroupFacts(name, described.type.name.lower(), state, len(described.members), commits)
        assigned = any(p.topic == topic for m in described.members for p in m.assignment.topic_partitions)
        return facts, assigned or bool(commits)

    def _one(self, asked: Future[Any], doing: str) -> Any:
        return self._all({None: asked}, doing, lambda _: ("Describe", ""))[None]

    def _all(self, asked: Mapping[K, Future[Any]], doing: str, needs: Callable[[Any], tuple[str, str]]) -> dict[K, Any]:
        """Waits for every answer, serving the client's callbacks; the first failure ends it.

        Args:
            asked: the futures.
            doing: for the error's text.
            needs: for a key the ACL operation and the name of the resource that the request needs.
        """
        deadline = self._deadline() + 1  # the requests' own deadline speaks first, and better
        pending = set(asked.values())
        while pending:
            done, pending = wait(pending, timeout=_TICK_SECONDS, return_when=FIRST_EXCEPTION)
            self._client.poll(0)
            if pending and (self._reports.hopeless or time.monotonic() >= deadline):
                raise self._reports.cannot_start()
            if any(future.exception() for future in done):
                break
        for key, future in asked.items():
            if future.done() and isinstance(error := future.exception(), KafkaException):
                raise self._error(error.args[0], doing, needs(key))
        return {key: future.result(timeout=0) for key, future in asked.items()}

    def _error(self, error: KafkaError, doing: str, needs: tuple[str, str]) -> MigratorError:
        operation, name = needs
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and name:
            return self._missing(name)
        if error.code() in UNREACHABLE:
            self._client.poll(0)
            self._reports.error(error)
            return self._reports.cannot_start()
        return denied(self._properties, error, operation, name) or failed(self._properties, error, doing)

    def _missing(self, topic: str) -> CannotStartError:
        known = self.topics()
        close = get_close_matches(topic, known, n=1, cutoff=0.5)
        some = ", ".join(known[:10]) or "none that this user may see"
        return CannotStartError(
            f"topic {topic!r} does not exist on cluster {self._cluster_id}, or this user may not see it",
            code="topic-missing",
            hint=f"did you mean --topic {close[0]}?" if close else f"topics there: {some}",
        )

    def _notice(self, text: str) -> None:
        self._notices[text] = None


def _committed(partitions: list[Any]) -> dict[int, Commit]:
    return {
        p.partition: Commit(p.offset, p.metadata or "", p.leader_epoch)
        for p in partitions
        if p.error is None and p.offset >= 0
    }
