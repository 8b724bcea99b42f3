"""The same configurations, given to the installed original and to the shim: what is taken, how the rest is refused."""

import logging
from collections.abc import Mapping
from typing import Any

import confluent_kafka
import confluent_kafka.admin
import pytest

from shim.config.parsing import Kind, parse
from shim.config.properties import PROPERTIES, Applies, Property
from shim.config.properties.values import Dedicated
from tests.unit.shim.original import outcome

GROUP = {"group.id": "g"}
SILENCE = logging.getLogger("shim.test.silence")
SILENCE.setLevel(logging.CRITICAL + 1)
ORIGINALS: dict[Kind, Any] = {
    Kind.PRODUCER: confluent_kafka.Producer,
    Kind.CONSUMER: confluent_kafka.Consumer,
    Kind.ADMIN: confluent_kafka.admin.AdminClient,
}
THEIRS = [entry for entry in PROPERTIES.values() if not entry.name.startswith("shim.")]


def theirs(kind: Kind, conf: Mapping[Any, Any]) -> tuple[str, Any]:
    """What the original makes of a configuration; a client that it made is not of interest."""
    result, value = outcome(lambda: ORIGINALS[kind]({**conf, "logger": SILENCE}))
    return result, None if result == "returned" else value


def ours(kind: Kind, conf: Mapping[Any, Any]) -> tuple[str, Any]:
    result, value = outcome(lambda: parse(kind, ({**conf, "logger": SILENCE},), {}))
    return result, None if result == "returned" else value


WRONG_VALUES = ["x", "", None, True, -5, 10**9, "maybe", b"1", 1.5, [1]]
"""Wrong for most; what one property takes of them is compared as well."""

TAKEN_HERE = {
    # Never fail on what only concerns the way to the brokers: that stays in people's settings.
    "sasl.mechanisms",
    "sasl.mechanism",
    "ssl.ca.certificate.stores",
    "ssl.providers",
    "https.ca.pem",
    "https.ca.location",
    "ssl.keystore.location",
    "broker.version.fallback",
    "builtin.features",
    # The original says of any other type that `range` is unsupported.
    "group.protocol.type",
    # The library would be loaded.
    "plugin.library.paths",
}


@pytest.mark.parametrize("entry", THEIRS, ids=lambda entry: entry.name)
def test_values_are_refused_as_the_original_refuses_them(entry: Property) -> None:
    kind = Kind.CONSUMER if entry.applies is Applies.CONSUMER else Kind.PRODUCER
    base = GROUP if kind is Kind.CONSUMER else {}
    for name in (entry.name, *entry.aliases):
        for value in WRONG_VALUES:
            if name == "group.id" or name in TAKEN_HERE or (name, value) == ("debug", None):
                continue  # an empty group ends the original's process; its debug alone takes None for a word
            expected = theirs(kind, {**base, name: value})
            found = ours(kind, {**base, name: value})
            if found[0] == "KafkaException" and "is not supported" in found[1]:
                assert expected[0] == "returned", (name, value)
                continue
            assert found == expected, (name, value)


@pytest.mark.parametrize("kind", [Kind.PRODUCER, Kind.CONSUMER, Kind.ADMIN])
def test_every_property_of_either_client_is_taken(kind: Kind) -> None:
    """Among them what only the other kind of client has use for: it is named in the log."""
    for entry in THEIRS:
        if isinstance(entry.values, Dedicated) or entry.name in TAKEN_HERE | {
            "group.protocol.type",
            "builtin.features",
        }:
            continue
        value = entry.default if isinstance(entry.default, int | str) else "all" if entry.name == "debug" else ""
        conf = {**GROUP, entry.name: value} if entry.name != "group.id" else GROUP
        assert ours(kind, conf) == ("returned", None), entry.name


@pytest.mark.parametrize(
    "conf",
    [
        {"nope": 1},
        {"": 1},
        {5: 1},
        {b"x": 1},
        {"Linger.ms": 5},
        {"linger.ms ": 5},
        {"bootstrap_servers": "x"},
        {"buffer.memory": 1},
        {"max.block.ms": 1},
        {"key.serializer": 1},
        {"ssl.truststore.location": "x"},
        {"ssl.truststore.password": "x"},
        {"sasl.jaas.config": "x"},
        {"on_commit": print},
        {"on_delivery": 1},
        {"on_delivery": None},
        {"on_delivery": print},
        {"error_cb": 1},
        {"error_cb": None},
        {"error_cb": print},
        {"stats_cb": None},
        {"throttle_cb": 1},
        {"throttle_cb": None},
        {"oauth_cb": 1},
        {"partitioner": print},
        {"partitioner": "MURMUR2"},
        {"delivery.report.only.error": "true"},
        {"delivery.report.only.error": None},
        {"default.topic.config": {}},
        {"default.topic.config": {"acks": 0}},
        {"default.topic.config": {"nope": 0}},
        {"default.topic.config": {"acks": 7777}, "acks": 1},
        {"acks": 1, "enable.idempotence": True},
        {"acks": "ALL", "enable.idempotence": True},
        {"acks": "all", "default.topic.config": {"acks": 1}, "enable.idempotence": True},
        {"acks": 0, "transactional.id": "t"},
        {"transactional.id": ""},
        {"transactional.id": "x", "enable.idempotence": False},
        {"transactional.id": "x", "message.timeout.ms": 70_000},
        {"enable.idempotence": True, "max.in.flight": 10},
        {"enable.idempotence": True, "retries": 0},
        {"enable.idempotence": True, "queuing.strategy": "lifo"},
        {"enable.gapless.guarantee": True},
        {"message.timeout.ms": 1, "linger.ms": 1000},
        {"message.timeout.ms": 5, "linger.ms": 5},
        {"message.timeout.ms": 5},
        {"message.timeout.ms": 0, "linger.ms": 10},
        {"reconnect.backoff.ms": 20_000},
        {"reconnect.backoff.max.ms": 10},
        {"linger.ms": 10, "queue.buffering.max.ms": 20},
        {"linger.ms": ".5"},
        {"linger.ms": "inf"},
        {"linger.ms": "0x10"},
        {"message.timeout.ms": "5ms"},
        {"message.timeout.ms": " 5"},
        {"message.timeout.ms": "1e3"},
        {"message.max.bytes": "0x3e8"},
        {"message.max.bytes": "01750"},
        {"message.max.bytes": "01747"},
        {"debug": "generic, broker"},
        {"debug": "generic,x"},
        {"debug": "-all"},
        {"topic.blacklist": "^a,b"},
        {"topic.blacklist": "["},
        {"compression.codec": "inherit"},
        {"client.id": ["x"]},
        {"bootstrap.servers": None},
        {"group.id": ""},
        {"session.timeout.ms": 900_000},
    ],
    ids=lambda conf: str(conf)[:60],
)
def test_a_producer_takes_what_the_original_takes(conf: dict[Any, Any]) -> None:
    assert ours(Kind.PRODUCER, conf) == theirs(Kind.PRODUCER, conf)


@pytest.mark.parametrize(
    "conf",
    [
        {"nope": 1},
        {"auto.offset.reset": "EARLIEST"},
        {"auto.offset.reset": "nope"},
        {"session.timeout.ms": 400_000},
        {"session.timeout.ms": 45_000, "max.poll.interval.ms": 45_000},
        {"session.timeout.ms": 45_000, "max.poll.interval.ms": 44_999},
        {"max.poll.interval.ms": 1},
        {"heartbeat.interval.ms": 50_000},
        {"partition.assignment.strategy": "nope"},
        {"partition.assignment.strategy": "Range"},
        {"partition.assignment.strategy": ""},
        {"partition.assignment.strategy": None},
        {"partition.assignment.strategy": "range, roundrobin,"},
        {"partition.assignment.strategy": "range,cooperative-sticky"},
        {"partition.assignment.strategy": "cooperative-sticky"},
        {"group.protocol": "consumer"},
        {"group.protocol": "consumer", "session.timeout.ms": 5000},
        {"group.protocol": "consumer", "heartbeat.interval.ms": 5},
        {"group.protocol": "consumer", "group.protocol.type": "consumer"},
        {"group.protocol": "consumer", "partition.assignment.strategy": "range"},
        {"group.protocol": "share"},
        {"fetch.min.bytes": 0},
        {"fetch.max.bytes": 1},
        {"fetch.max.bytes": 1_500_000, "message.max.bytes": 2_000_000},
        {"message.max.bytes": 1_000_000_000},
        {"receive.message.max.bytes": 1000},
        {"receive.message.max.bytes": 60_000_000},
        {"reconnect.backoff.ms": 20_000},
        {"auto.commit.interval.ms": 0},
        {"on_commit": 1},
        {"on_commit": None},
        {"on_commit": print},
        {"on_delivery": print},
        {"delivery.report.only.error": "true"},
        {"linger.ms": 5, "acks": 1, "enable.idempotence": True, "transactional.id": ""},
        {"group.instance.id": ""},
        {"compression.type": "inherit"},
    ],
    ids=lambda conf: str(conf)[:60],
)
def test_a_consumer_takes_what_the_original_takes(conf: dict[Any, Any]) -> None:
    assert ours(Kind.CONSUMER, GROUP | conf) == theirs(Kind.CONSUMER, GROUP | conf)


@pytest.mark.parametrize("conf", [{}, {"nope": 1}, {"acks": 0, "enable.idempotence": True}, {"on_delivery": 1}, GROUP])
def test_an_admin_client_takes_what_the_original_takes(conf: dict[Any, Any]) -> None:
    assert ours(Kind.ADMIN, conf) == theirs(Kind.ADMIN, conf)


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"group.id": "g"},
        {"group.id": "g", "auto.offset.reset": "latest"},
        {"group.id": "g", "enable.auto.commit": True},
        {"group.id": "g", "session.timeout.ms": 1000},
        {"group.id": "g", "heartbeat.interval.ms": 1000},
        {"group.id": "g", "group.protocol.type": "consumer"},
        {"group.id": "g", "group.protocol": "consumer"},
        {"group.id": "g", "isolation.level": "read_committed"},
        {"group.id": "g", "max.poll.interval.ms": 1000},
        {"group.id": "g", "share.acknowledgement.mode": "explicit"},
        {"group.id": "g", "on_commit": print},
        {"group.id": "g", "nope": 1},
    ],
    ids=str,
)
def test_a_share_consumer_takes_what_the_original_takes(conf: dict[str, Any]) -> None:
    result, value = outcome(lambda: confluent_kafka.ShareConsumer({**conf, "logger": SILENCE}))
    assert ours(Kind.SHARE_CONSUMER, conf) == (result, None if result == "returned" else value)


@pytest.mark.parametrize("kind", [Kind.PRODUCER, Kind.CONSUMER])
@pytest.mark.parametrize("args", [(), (1,), (None,), ("a=b",), ([],), ({}, {}), ({}, 1)], ids=str)
def test_a_constructor_takes_one_dict(kind: Kind, args: tuple[Any, ...]) -> None:
    assert outcome(lambda: parse(kind, args, {})) == outcome(lambda: ORIGINALS[kind](*args))
