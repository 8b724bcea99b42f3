"""What the shim makes of a configuration: values, defaults, refusals of its own, and what it logs."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import shim
from shim.config.parsing import Kind, parse
from shim.config.properties import BY_NAME, PROPERTIES, Verdict
from shim.config.settings import Settings, Severity
from shim.errors import KafkaException
from shim.protocol.codes import Local

GROUP = {"group.id": "g"}
SILENCE = logging.getLogger("shim.test.silence")
SILENCE.setLevel(logging.CRITICAL + 1)


class Lines(list[tuple[int, str]]):
    """A logger as the clients want one: any object with ``log``."""

    def log(self, level: int, form: str, *arguments: object) -> None:
        self.append((level, form % arguments))


def settings(conf: Mapping[str, Any] | None = None, kind: Kind = Kind.PRODUCER, **more: Any) -> Settings:
    return parse(kind, (dict(conf or {}),), {"logger": SILENCE, **more})


def consumer(conf: Mapping[str, Any] | None = None) -> Settings:
    return settings({**GROUP, **(conf or {})}, Kind.CONSUMER)


def test_our_own_properties_are_the_only_additions() -> None:
    assert {name for name in BY_NAME if name.startswith("shim.")} == {
        "shim.dsn",
        "shim.schema",
        "shim.notify.dsn",
        "shim.notify",
        "shim.pool.size",
        "shim.topic.partitions",
        "shim.retention",
        "shim.job.timeout.ms",
        "shim.prefetch.ms",
        "shim.block.on.full",
    }


def test_keywords_win_and_the_dict_is_left_alone() -> None:
    conf = {"linger.ms": 3, "default.topic.config": {"acks": 1}, "error_cb": print, "logger": SILENCE}
    before = dict(conf)
    found = parse(Kind.PRODUCER, (conf,), {"linger.ms": 7})
    assert (found.linger_s, found.acks) == (0.007, 1)
    assert conf == before


@pytest.mark.parametrize("group", [{}, {"group.id": None}, {"group.id": ""}], ids=str)
def test_a_consumer_has_a_group(group: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^Failed to create consumer: group\.id must be set$"):
        parse(Kind.CONSUMER, ({"client.id": "x", "nope": 1, **group},), {})


@pytest.mark.parametrize(
    ("kind", "conf"),
    [
        (Kind.PRODUCER, {"transactional.id": "t"}),
        (Kind.PRODUCER, {"plugin.library.paths": "monitor"}),
        (Kind.PRODUCER, {"test.mock.num.brokers": 1}),
        (Kind.PRODUCER, {"queuing.strategy": "lifo"}),
        (Kind.PRODUCER, {"enable.gapless.guarantee": True, "enable.idempotence": True}),
        (Kind.CONSUMER, {"offset.store.method": "file"}),
        (Kind.CONSUMER, {"offset.store.method": "none"}),
        (Kind.CONSUMER, {"group.remote.assignor": "uniform"}),
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused_with_the_reason(kind: Kind, conf: dict[str, Any]) -> None:
    name = next(iter(conf))
    with pytest.raises(KafkaException, match=f'"{name}" is not supported: {PROPERTIES[name].meaning}') as caught:
        settings({**GROUP, **conf}, kind)
    assert caught.value.args[0] == Local.UNSUPPORTED_FEATURE


def test_unknown_names_of_ours_are_refused_with_the_near_one() -> None:
    with pytest.raises(KafkaException, match=r'No such configuration property: "shim.dns" \(did you mean "shim.dsn"'):
        settings({"shim.dns": "x"})
    with pytest.raises(KafkaException) as caught:
        settings({"shim.unheard.of": "x"})
    assert caught.value.args[0].str() == 'No such configuration property: "shim.unheard.of"'


def test_defaults_of_a_producer() -> None:
    found = settings()
    assert (found.client_id, found.dsn, found.schema, found.notify_dsn) == ("rdkafka", None, "public", None)
    assert (found.notify, found.pool_size, found.topic_partitions) == ("auto", 2, 1)
    assert (found.retention, found.block_on_full) == (True, False)
    assert (found.linger_s, found.sticky_linger_s, found.message_timeout_s) == (0.005, 0.01, 300.0)
    assert (found.batch_num_messages, found.batch_size) == (10_000, 1_000_000)
    assert (found.queue_max_messages, found.queue_max_bytes) == (100_000, 1_048_576 * 1024)
    assert (found.message_max_bytes, found.acks) == (1_000_000, -1)
    assert (found.partitioner, found.retries) == ("consistent_random", 2**31 - 1)
    assert (found.statement_timeout_s, found.statistics_interval_s) == (60.0, 0.0)
    assert not found.delivery_report_only_error
    assert found.on_delivery is found.error_cb is found.stats_cb is found.on_commit is None
    assert (found.ignored, found.given) == ((), frozenset())


def test_defaults_of_a_consumer() -> None:
    found = consumer()
    assert (found.group_id, found.group_instance_id, found.auto_offset_reset) == ("g", None, "latest")
    assert (found.enable_auto_commit, found.auto_commit_interval_s, found.enable_auto_offset_store) == (True, 5.0, True)
    assert (found.enable_partition_eof, found.allow_auto_create_topics) == (False, False)
    assert (found.max_poll_interval_s, found.session_timeout_s, found.heartbeat_interval_s) == (300.0, 45.0, 3.0)
    assert found.strategies == ("range", "roundrobin")
    assert (found.fetch_max_bytes, found.max_partition_fetch_bytes) == (52_428_800, 1_048_576)
    assert (found.queued_min_messages, found.queued_max_bytes) == (100_000, 65_536 * 1024)


def test_values_are_read_in_pythons_units() -> None:
    assert settings({"linger.ms": "0.5"}).linger_s == 0.0005
    assert settings({"message.timeout.ms": 0}).message_timeout_s == float("inf")
    assert settings({"message.timeout.ms": 2}).linger_s == 0.002, "a default gives way"
    assert settings({"linger.ms": 100}).sticky_linger_s == 0.2
    assert settings({"linger.ms": 100, "sticky.partitioning.linger.ms": 7}).sticky_linger_s == 0.007
    assert settings({"queue.buffering.max.messages": 0}).queue_max_messages > 10**12, "0 is no limit"
    assert settings({"acks": "All"}).acks == -1
    assert settings({"delivery.timeout.ms": 1000}).message_timeout_s == 1.0
    assert settings({"message.max.bytes": "0x3e8"}).message_max_bytes == 1000
    assert settings({"shim.block.on.full": "on", "shim.retention": False}).block_on_full
    assert not settings({"shim.retention": "off"}).retention
    assert settings({"shim.notify": True}).notify == "on"
    assert settings({"client.id": None}).client_id == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [("smallest", "earliest"), ("Beginning", "earliest"), ("LARGEST", "latest"), ("end", "latest"), ("error", "error")],
)
def test_words_for_the_same_reset(word: str, meant: str) -> None:
    assert consumer({"auto.offset.reset": word}).auto_offset_reset == meant


def test_strategies_of_a_consumer() -> None:
    assert consumer({"partition.assignment.strategy": "roundrobin, roundrobin"}).strategies == ("roundrobin",)
    assert consumer({"partition.assignment.strategy": ""}).strategies == ("range", "roundrobin")
    assert consumer({"partition.assignment.strategy": "cooperative-sticky"}).strategies == ("cooperative-sticky",)
    assert consumer({"group.protocol": "consumer"}).strategies == ("cooperative-sticky",)


def test_where_postgres_is() -> None:
    url = "postgresql://u:secret@h/db"
    assert settings({"bootstrap.servers": url}).dsn == url
    assert settings({"metadata.broker.list": "postgres://h"}).dsn == "postgres://h"
    assert settings({"bootstrap.servers": url, "shim.dsn": "host=other"}).dsn == "host=other"
    assert settings({"bootstrap.servers": "broker:9092"}).dsn is None
    assert settings({"shim.schema": "queue"}).schema == "queue"


def test_a_connection_string_that_is_none_is_refused_and_not_repeated() -> None:
    for name in ("shim.dsn", "shim.notify.dsn"):
        with pytest.raises(KafkaException) as caught:
            settings({name: "postgresql://u:secret%zz@h/db"})
        assert caught.value.args[0].str() == f'Invalid value for configuration property "{name}"'


def test_one_warning_names_what_has_no_effect() -> None:
    lines = Lines()
    assert consumer({"isolation.level": "read_uncommitted"}).ignored == ("isolation.level",)
    assert consumer({"isolation.level": "read_committed"}).ignored == ()
    conf = {
        "bootstrap.servers": "broker:9092",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "somebody",
        "sasl.password": "secret",
        "enable.ssl.certificate.verification": True,
        "client.id": "mailer",
        "oauth_cb": print,
        "socket.keepalive.enable": True,
    }
    found = parse(Kind.PRODUCER, (conf,), {"logger": lines})
    named = "bootstrap.servers, security.protocol, sasl.mechanism, sasl.username, sasl.password, oauth_cb"
    assert found.ignored == tuple(named.split(", "))
    assert lines == [
        (logging.WARNING, f"CONFWARN [{found.name}] accepted, and without effect on Postgres: {named}"),
    ]


def test_properties_of_the_other_client_are_named() -> None:
    lines = Lines()
    parse(Kind.CONSUMER, ({**GROUP, "compression.type": "lz4", "shim.block.on.full": True},), {"logger": lines})
    parse(Kind.PRODUCER, ({"auto.offset.reset": "earliest"},), {"logger": lines})
    said = [text.partition("] Configuration property ")[2] for _, text in lines]
    assert said == [
        "compression.codec is a producer property and will be ignored by this consumer instance",
        "shim.block.on.full is a producer property and will be ignored by this consumer instance",
        "auto.offset.reset is a consumer property and will be ignored by this producer instance",
    ]
    assert {level for level, _ in lines} == {logging.INFO}


def test_nothing_is_logged_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        parse(Kind.PRODUCER, ({"bootstrap.servers": "postgresql://u:secret@h/db", "linger.ms": 5},), {})
        assert not caplog.records
        parse(Kind.PRODUCER, ({"bootstrap.servers": "broker:9092"},), {})
    assert [(record.name, record.levelno) for record in caplog.records] == [("shim", logging.WARNING)]


def test_secrets_are_in_no_text() -> None:
    found = settings({"shim.dsn": "postgresql://u:secret@h/db", "sasl.password": "secret"})
    assert "secret" not in f"{found} {found!r}"


def test_what_is_no_logger_is_refused() -> None:
    with pytest.raises(TypeError, match="logger"):
        parse(Kind.PRODUCER, ({"logger": 5},), {})
    assert parse(Kind.PRODUCER, ({"logger": None},), {}).logger is logging.getLogger("shim")


def test_clients_have_names() -> None:
    names = [settings({"client.id": "mailer"}).name, consumer().name, settings(kind=Kind.ADMIN).name]
    assert [name.rpartition("-")[0] for name in names] == ["mailer#producer", "rdkafka#consumer", "rdkafka#producer"]
    first, second, third = (int(name.rpartition("-")[2]) for name in names)
    assert first + 2 == second + 1 == third


@pytest.mark.parametrize(
    ("conf", "logged"),
    [
        ({}, ["error", "warning", "info"]),
        ({"log_level": 3}, ["error"]),
        ({"log_level": 0}, []),
        ({"log_level": 7}, ["error", "warning", "info", "debug"]),
        ({"log_level": 0, "debug": "all"}, ["error", "warning", "info", "debug"]),
    ],
    ids=str,
)
def test_log_level_silences(conf: dict[str, Any], logged: list[str]) -> None:
    lines = Lines()
    found = settings(conf, logger=lines)
    for severity in (Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.DEBUG):
        found.log(severity, "TEST", severity.name.lower())
    assert [text for _, text in lines] == [f"TEST [{found.name}] {word}" for word in logged]


def test_no_property_is_honoured_in_name_only() -> None:
    """Whatever the table says is honoured or mapped is read, and what reads it is used by a client."""
    modules = {path: path.read_text() for path in Path(shim.__path__[0]).rglob("*.py")}
    readers = "\n".join(code for path, code in modules.items() if path.parent.name != "properties")
    for entry in PROPERTIES.values():
        if entry.verdict in {Verdict.HONOURED, Verdict.MAPPED}:
            assert f'"{entry.name}"' in readers, entry.name
    used = set(re.findall(r"settings\.(\w+)", readers) + re.findall(r"self\.(\w+)", readers))
    assert {name for name in vars(Settings) if not name.startswith("_")} <= used
