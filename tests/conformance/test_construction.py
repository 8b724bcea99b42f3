"""What a constructor takes, and how it refuses the rest: the class, the code and the text of each error."""

import logging
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.conformance.records import serve
from tests.conformance.side import Side

RANGE = 'Configuration property "{}" value {} is outside allowed range {}'
VALUE = 'Invalid value for configuration property "{}"'
ENUM = 'Invalid value "{}" for configuration property "{}"'
BOOL = 'Expected bool value for "{}": true or false'
UNKNOWN = 'No such configuration property: "{}"'
CALLABLE = "{} requires a callable object"
DEDICATED = 'Property "{}" must be set through dedicated .._set_..() function'
NOT_IN_THE_CLIENT = (
    "Failed to create consumer: `session.timeout.ms` is not supported for `group.protocol=consumer` or share "
    "consumer. It is defined broker side"
)

REFUSED_BY_PRODUCER: list[tuple[Any, Any, str]] = [
    ("nope.nope", 1, UNKNOWN.format("nope.nope")),
    ("buffer.memory", 1, UNKNOWN.format("buffer.memory")),
    ("max.block.ms", 1, UNKNOWN.format("max.block.ms")),
    ("max.request.size", 1, UNKNOWN.format("max.request.size")),
    ("key.serializer", 1, UNKNOWN.format("key.serializer")),
    ("bootstrap_servers", "localhost", UNKNOWN.format("bootstrap_servers")),
    ("", 1, UNKNOWN.format("")),
    (1, 2, UNKNOWN.format("1")),
    ("linger.ms", -5, RANGE.format("queue.buffering.max.ms", -5, "0..900000")),
    ("linger.ms", "abc", VALUE.format("queue.buffering.max.ms")),
    ("linger.ms", b"5", VALUE.format("queue.buffering.max.ms")),
    ("acks", -2, RANGE.format("request.required.acks", -2, "-1..1000")),
    ("acks", 1001, RANGE.format("request.required.acks", 1001, "-1..1000")),
    ("message.timeout.ms", -1, RANGE.format("message.timeout.ms", -1, "0..2147483647")),
    ("delivery.timeout.ms", -1, RANGE.format("message.timeout.ms", -1, "0..2147483647")),
    ("batch.size", "0", RANGE.format("batch.size", 0, "1..2147483647")),
    ("batch.num.messages", 0, RANGE.format("batch.num.messages", 0, "1..1000000")),
    ("message.max.bytes", "1e6", RANGE.format("message.max.bytes", 1, "1000..1000000000")),
    ("statistics.interval.ms", -1, RANGE.format("statistics.interval.ms", -1, "0..86400000")),
    ("retries", True, VALUE.format("message.send.max.retries")),
    ("request.timeout.ms", None, 'Integer configuration property "request.timeout.ms" cannot be set to empty value'),
    ("compression.type", "zip", ENUM.format("zip", "compression.codec")),
    ("enable.idempotence", "maybe", BOOL.format("enable.idempotence")),
    ("partitioner", "nope", VALUE.format("partitioner") + ": nope"),
    ("on_delivery", 1, CALLABLE.format("on_delivery")),
    ("dr_cb", len, DEDICATED.format("dr_cb")),
    ("partitioner_cb", len, DEDICATED.format("partitioner_cb")),
]

REFUSED_BY_CONSUMER: list[tuple[Any, Any, str]] = [
    ("nope.nope", 1, UNKNOWN.format("nope.nope")),
    ("key.deserializer", 1, UNKNOWN.format("key.deserializer")),
    ("fetch.max.wait.ms", 1, UNKNOWN.format("fetch.max.wait.ms")),
    ("on_delivery", len, UNKNOWN.format("on_delivery")),
    ("auto.offset.reset", "never", ENUM.format("never", "auto.offset.reset")),
    ("isolation.level", "dirty", ENUM.format("dirty", "isolation.level")),
    ("group.protocol", "raft", ENUM.format("raft", "group.protocol")),
    ("enable.auto.commit", "x", BOOL.format("enable.auto.commit")),
    ("enable.auto.commit", None, 'Bool configuration property "enable.auto.commit" cannot be set to empty value'),
    ("session.timeout.ms", 0, RANGE.format("session.timeout.ms", 0, "1..3600000")),
    ("heartbeat.interval.ms", 0, RANGE.format("heartbeat.interval.ms", 0, "1..3600000")),
    ("max.poll.interval.ms", 0, RANGE.format("max.poll.interval.ms", 0, "1..86400000")),
    (
        "session.timeout.ms",
        400_000,
        "Failed to create consumer: `max.poll.interval.ms`must be >= `session.timeout.ms`",
    ),
    (
        "partition.assignment.strategy",
        "hash",
        "Failed to create consumer: Unsupported partition.assignment.strategy: hash",
    ),
    (
        "group.protocol",
        "consumer",
        NOT_IN_THE_CLIENT,
    ),
    ("on_commit", 1, CALLABLE.format("on_commit")),
    ("on_commit", None, CALLABLE.format("on_commit")),
]

IDEMPOTENCE_NEEDS_ALL = "Failed to create producer: `acks` must be set to `all` when `enable.idempotence` is true"


def refusal(side: Side, client: str, configuration: Any, **more: Any) -> tuple[int, str]:
    """The code and the text of the exception with which the constructor refuses."""
    code, text = side.refusal(lambda: getattr(side.api, client)(configuration, **more))
    return code, text.strip()


@pytest.mark.parametrize("client", ["Producer", "Consumer"])
@pytest.mark.parametrize("arguments", [(), (1,), (None,), ("a=b",), ([],)], ids=repr)
def test_no_dictionary_is_a_type_error(side: Side, client: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="expected configuration dict"):
        getattr(side.api, client)(*arguments)


@pytest.mark.parametrize("client", ["Producer", "Consumer"])
def test_one_dictionary_is_enough(side: Side, client: str) -> None:
    with pytest.raises(TypeError, match="expected tuple containing single dict"):
        getattr(side.api, client)(side.connection, {"client.id": "second"})


@pytest.mark.parametrize(("key", "value", "text"), REFUSED_BY_PRODUCER, ids=lambda part: str(part)[:24])
def test_producer_refuses(side: Side, key: Any, value: Any, text: str) -> None:
    assert refusal(side, "Producer", {**side.connection, key: value}) == (side.code("_INVALID_ARG"), text)


@pytest.mark.parametrize(("key", "value", "text"), REFUSED_BY_CONSUMER, ids=lambda part: str(part)[:24])
def test_consumer_refuses(side: Side, key: Any, value: Any, text: str) -> None:
    new_protocol = {"session.timeout.ms": 6000} if key == "group.protocol" else {}
    configuration = {**side.connection, "group.id": "g", **new_protocol, key: value}
    assert refusal(side, "Consumer", configuration) == (side.code("_INVALID_ARG"), text)


def test_python_partitioners_do_not_exist(side: Side) -> None:
    code, text = refusal(side, "Producer", {**side.connection, "partitioner": lambda _key, _count: 0})
    assert code == side.code("_INVALID_ARG")
    assert text.startswith('Invalid value for configuration property "partitioner": <function')


def test_java_truststores_get_a_text_of_their_own(side: Side) -> None:
    code, text = refusal(side, "Producer", {**side.connection, "ssl.truststore.location": "store.jks"})
    assert code == side.code("_INVALID_ARG")
    assert text.startswith("Java TrustStores are not supported, use `ssl.ca.location`")


def test_assignors_of_two_protocols_are_refused(side: Side) -> None:
    both = {"group.id": "g", "partition.assignment.strategy": "range,cooperative-sticky"}
    code, text = refusal(side, "Consumer", {**side.connection, **both})
    assert code == side.code("_INVALID_ARG")
    assert text.startswith("Failed to create consumer: All partition.assignment.strategy (range,cooperative-sticky)")


@pytest.mark.parametrize("weak", [{"enable.idempotence": True, "acks": 1}, {"transactional.id": "t", "acks": 0}])
def test_idempotence_needs_all_acks(side: Side, weak: dict[str, object]) -> None:
    assert refusal(side, "Producer", {**side.connection, **weak}) == (side.code("_INVALID_ARG"), IDEMPOTENCE_NEEDS_ALL)


def test_a_message_may_not_expire_before_its_batch_leaves(side: Side) -> None:
    code, text = refusal(side, "Producer", {**side.connection, "message.timeout.ms": 5, "linger.ms": 10})
    assert code == side.code("_INVALID_ARG")
    assert text == "Failed to create producer: `message.timeout.ms` must be greater than `linger.ms`"


@pytest.mark.parametrize("value", [None, 1, "f"])
@pytest.mark.parametrize("key", ["error_cb", "stats_cb", "oauth_cb"])
def test_what_is_no_callback_is_a_type_error(side: Side, key: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"expected {key} property as a callable function"):
        side.api.Producer({**side.connection, key: value})


def test_throttle_cb_is_the_odd_one(side: Side) -> None:
    with pytest.raises(ValueError, match="expected throttle_cb property as a callable function"):
        side.api.Producer({**side.connection, "throttle_cb": 1})


def test_delivery_report_only_error_takes_a_real_bool(side: Side) -> None:
    with pytest.raises(TypeError, match=r"Expected delivery\.report\.only\.error to be bool type, not str"):
        side.api.Producer({**side.connection, "delivery.report.only.error": "TRUE"})


def test_consumer_needs_a_group(side: Side) -> None:
    with pytest.raises(ValueError, match=r"^Failed to create consumer: group\.id must be set$"):
        side.api.Consumer(side.connection)


@pytest.mark.differs("empty-group-id")
def test_empty_group(side: Side) -> None:
    program = f"""
import {side.family.package} as client
try:
    client.Consumer({{'group.id': ''}})
except ValueError:
    raise SystemExit(3)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert ended.returncode == side.either(kafka=-signal.SIGABRT, shim=3), ended.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("linger.ms", 0.5),
        ("linger.ms", "5"),
        ("enable.idempotence", 1),
        ("enable.idempotence", "TRUE"),
        ("enable.idempotence", False),
        ("acks", "all"),
        ("acks", -1),
        ("request.required.acks", "1"),
        ("client.id", None),
        ("transactional.id", ""),
        ("logger", logging.getLogger("conformance")),
        ("default.topic.config", {"acks": 1}),
        ("compression.type", "lz4"),
        ("compression.codec", "none"),
        ("queue.buffering.max.messages", 1000),
        ("partitioner", "murmur2_random"),
        ("retries", 3),
        ("security.protocol", "plaintext"),
    ],
    ids=lambda part: str(part)[:24],
)
def test_producer_accepts(side: Side, key: str, value: object) -> None:
    assert side.producer({key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto.offset.reset", "EARLIEST"),
        ("auto.offset.reset", "beginning"),
        ("auto.offset.reset", "error"),
        ("group.instance.id", "a"),
        ("partition.assignment.strategy", "roundrobin,range"),
        ("isolation.level", "read_committed"),
        ("max.poll.records", 5),
        ("on_commit", len),
        ("fetch.wait.max.ms", 50),
        ("queued.min.messages", 10),
    ],
)
def test_consumer_accepts(side: Side, key: str, value: object) -> None:
    assert side.consumer(None, {key: value})


@pytest.mark.parametrize("client", ["Producer", "Consumer", "AdminClient"])
def test_security_settings_stay_where_they_are(side: Side, client: str) -> None:
    """They are in people's dictionaries long after the import was swapped."""
    made = getattr(side.api, client, None) or getattr(side.admin, client)
    settings = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "somebody",
        "sasl.password": "secret",
        "enable.ssl.certificate.verification": False,
    }
    group = {"group.id": "g"} if client == "Consumer" else {}
    assert made({**group, **settings, "logger": side.silence})


def test_default_topic_config_wins(side: Side) -> None:
    configuration = {**side.connection, "acks": 1, "default.topic.config": {"acks": -2}}
    code, text = refusal(side, "Producer", configuration)
    assert (code, text) == (side.code("_INVALID_ARG"), RANGE.format("request.required.acks", -2, "-1..1000"))


def test_keywords_win(side: Side) -> None:
    assert side.api.Producer({**side.connection, "linger.ms": -1}, **{"linger.ms": 3})
    assert refusal(side, "Producer", {**side.connection, "linger.ms": 3}, **{"linger.ms": -1})[0] == -186


def test_keywords_alone(side: Side) -> None:
    assert side.api.Producer(**side.connection)
    assert side.api.Consumer(**side.connection, **{"group.id": "g"})


def test_the_dictionary_is_left_alone(side: Side) -> None:
    configuration = {**side.connection, "group.id": "g", "error_cb": print, "default.topic.config": {"acks": 1}}
    before = dict(configuration)
    side.api.Consumer(configuration)
    side.api.Producer(configuration, logger=side.silence)
    assert configuration == before


@pytest.mark.parametrize("client", ["producer", "consumer"])
def test_no_server_is_no_obstacle(side: Side, client: str) -> None:
    """Constructors do no work on the network: whether somebody answers shows later."""
    nobody = side.nobody()
    assert getattr(side, client)(configuration={**nobody, "logger": side.silence})


class Lines(list[str]):
    """A logger as the clients want one: any object with ``log``."""

    def log(self, _level: int, form: str, *arguments: object) -> None:
        self.append(form % arguments)


def test_settings_of_the_other_client_are_named_once(side: Side) -> None:
    lines = Lines()
    consumer = side.consumer(None, {"compression.type": "lz4"}, logger=lines)
    serve([consumer], lambda: lines)
    named = [line for line in lines if "compression.codec" in line]
    assert len(named) == 1
    assert "is a producer property and will be ignored by this consumer instance" in named[0]


def test_admin_client_refuses(side: Side) -> None:
    made = side.admin.AdminClient
    with pytest.raises(TypeError):
        made()
    with pytest.raises(TypeError, match="expected configuration dict"):
        made(1)
    with pytest.raises(side.api.KafkaException, match="No such configuration property"):
        made({**side.connection, "nope.nope": 1})
