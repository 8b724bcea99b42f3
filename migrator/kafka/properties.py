"""The connection to Kafka as the user describes it, in librdkafka's keys, with every secret kept out of sight."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import javaproperties
from confluent_kafka import Consumer, KafkaException

from migrator.errors import UsageError
from migrator.kafka.java_client import translate

_SECRET = re.compile(r"password|secret|\.pem$|token(?!\.endpoint)|jaas|oauthbearer\.config|assertion|private|key\.pem")
_SHORTEST_SECRET = 4  # a shorter value would tear ordinary words out of a text

_OURS = frozenset(
    {
        "allow.auto.create.topics",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "check.crcs",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "isolation.level",
        "partition.assignment.strategy",
        "transactional.id",
    }
)
"""Keys on which exactly-once rests, or that would touch the production group or its transactions."""

_SUGGESTED = (  # for "did you mean"; librdkafka itself decides what exists
    "bootstrap.servers broker.address.family broker.address.ttl client.dns.lookup client.id client.rack "
    "connections.max.idle.ms debug enable.ssl.certificate.verification fetch.error.backoff.ms fetch.max.bytes "
    "fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms https.ca.location log_level "
    "max.partition.fetch.bytes message.max.bytes metadata.max.age.ms queued.max.messages.kbytes queued.min.messages "
    "receive.message.max.bytes reconnect.backoff.max.ms reconnect.backoff.ms retry.backoff.ms sasl.kerberos.keytab "
    "sasl.kerberos.principal sasl.kerberos.service.name sasl.mechanism sasl.mechanisms sasl.oauthbearer.client.id "
    "sasl.oauthbearer.client.secret sasl.oauthbearer.config sasl.oauthbearer.extensions sasl.oauthbearer.method "
    "sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password sasl.username security.protocol "
    "socket.connection.setup.timeout.ms socket.keepalive.enable socket.receive.buffer.bytes "
    "socket.send.buffer.bytes socket.timeout.ms ssl.ca.location ssl.ca.pem ssl.certificate.location "
    "ssl.certificate.pem ssl.cipher.suites ssl.crl.location ssl.endpoint.identification.algorithm ssl.key.location "
    "ssl.key.password ssl.key.pem ssl.keystore.location ssl.keystore.password topic.metadata.refresh.interval.ms"
)

_BROKER = re.compile(r"(?:(?:PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?(?:\[[0-9a-fA-F:.%]+\]|[\w.-]+)(?::(\d+))?")
_HIGHEST_PORT = 65535
_UNKNOWN_KEY = re.compile(r'No such configuration property: "([^"]*)"')
_BAD_VALUE = re.compile(r'onfiguration property "([^"]*)"')
_DEFAULT_CLIENT_ID = "kafka-to-postgres"
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, repr=False)
class KafkaProperties:
    """How to reach one cluster.

    Attributes:
        values: librdkafka's keys and values. Holds secrets: never print it, print the object or `describe()`.
        notes: sentences about what was found in the configuration and left aside, for display; without secrets.
    """

    values: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        shown = {key: "***" if is_secret(key) else value for key, value in self.values.items()}
        return f"KafkaProperties({shown!r})"

    @property
    def bootstrap_servers(self) -> str:
        """The brokers that are asked first, ``host:port`` separated by commas."""
        return self.values["bootstrap.servers"]

    @property
    def security_protocol(self) -> str:
        """Kafka's word, upper case, such as ``SASL_SSL``."""
        return self.values.get("security.protocol", "PLAINTEXT").upper()

    @property
    def user(self) -> str | None:
        """Who logs in, where the configuration says so: a SASL user, an OAuth client or a Kerberos principal."""
        if not self.security_protocol.startswith("SASL"):
            return None
        keys = ("sasl.username", "sasl.oauthbearer.client.id", "sasl.kerberos.principal")
        return next((self.values[key] for key in keys if key in self.values), None)

    def describe(self) -> str:
        """Hosts, security protocol and user in one line, for display."""
        mechanism = self.values.get("sasl.mechanism") if self.security_protocol.startswith("SASL") else None
        parts = (self.security_protocol, mechanism, f"user {self.user}" if self.user else None)
        return f"{self.bootstrap_servers} ({', '.join(part for part in parts if part)})"

    def redact(self, text: str) -> str:
        """Returns ``text`` with every secret of this configuration replaced, for texts that others wrote."""
        for key, value in self.values.items():
            if is_secret(key) and len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, "***")
        return text

    def for_client(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a client's configuration: these properties, and over them what this one client needs."""
        return {"client.id": _DEFAULT_CLIENT_ID, **self.values, **settings}


def is_secret(key: str) -> bool:
    """Whether a property's value must not be shown."""
    return _SECRET.search(key.lower()) is not None


def kafka_properties(
    bootstrap_servers: str | None = None,
    config: Path | None = None,
    options: Mapping[str, str] = _NOTHING,
) -> KafkaProperties:
    """Builds the connection from its three sources and has librdkafka check every key and value.

    ``bootstrap_servers`` wins over ``options``, which win over the file.

    Args:
        bootstrap_servers: ``host:port``, several separated by commas; None where only the others name it.
        config: a ``client.properties`` in librdkafka's or the Java client's spelling.
        options: librdkafka's keys, as ``-X key=value`` gives them.

    Raises:
        UsageError: no brokers are named, a key is unknown, a value is refused, or the file cannot be read.
    """
    notes: list[str] = []
    values = _from_file(config, notes) if config else {}
    values |= _from_options(options)
    if bootstrap_servers:
        values["bootstrap.servers"] = bootstrap_servers
    values["bootstrap.servers"] = _brokers(values.get("bootstrap.servers", ""))
    _note_unused_login(values, notes)
    _refuse_login_without_a_token(values)
    properties = KafkaProperties(MappingProxyType(values), tuple(notes))
    _ask_librdkafka(properties)
    return properties


def _from_options(options: Mapping[str, str]) -> dict[str, str]:
    for key in options:
        if key in _OURS:
            raise UsageError(
                f"-X {key} is set by the migrator itself: the guarantees of the copy rest on it",
                code="kafka-key-reserved",
                hint=f"leave -X {key}=... out",
            )
    return {("sasl.mechanism" if key == "sasl.mechanisms" else key): value for key, value in options.items()}


def _from_file(path: Path, notes: list[str]) -> dict[str, str]:
    translation = translate(_read(path))
    ours = sorted(_OURS & translation.values.keys())
    if ours:
        notes.append(f"{path}: set by the migrator itself, so left aside: {', '.join(ours)}")
    if translation.left_aside:
        notes.append(f"{path}: of no use to the migrator, so left aside: {', '.join(translation.left_aside)}")
    return {key: value for key, value in translation.values.items() if key not in _OURS}


def _read(path: Path) -> dict[str, str]:
    try:
        read: dict[str, str] = javaproperties.load(StringIO(_text(path.read_bytes())))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", code="kafka-config-unreadable", hint=f"ls -l {path}"
        ) from None
    except javaproperties.InvalidUEscapeError:
        raise UsageError(
            f"{path} holds a \\u that is not followed by four hexadecimal digits",
            code="kafka-config-unreadable",
            hint="a backslash in a value is written twice",
        ) from None
    return read


def _text(content: bytes) -> str:
    """Java reads such files as Latin-1, people write them in UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _brokers(servers: str) -> str:
    named = [server.strip() for server in servers.split(",") if server.strip()]
    if not named:
        raise UsageError(
            "no Kafka broker is named",
            code="bootstrap-missing",
            hint="add --bootstrap-servers host:9092, or set KAFKA_BOOTSTRAP_SERVERS",
        )
    for position, server in enumerate(named, start=1):
        read = _BROKER.fullmatch(server)
        if read is None or not 0 < int(read[1] or 1) <= _HIGHEST_PORT:
            raise _not_a_broker(server, position)
    return ",".join(named)


def _not_a_broker(server: str, position: int) -> UsageError:
    """The text itself is shown only where it cannot hold a password."""
    shown = f"entry {position}" if "@" in server else repr(server)
    hint = "write --bootstrap-servers host:9092,other:9092"
    if server.startswith(("postgres://", "postgresql://")):
        hint = "that is Postgres; Kafka's brokers are written --bootstrap-servers host:9092"
    return UsageError(f"bootstrap servers: {shown} is not host:port", code="bootstrap-malformed", hint=hint)


def _note_unused_login(values: Mapping[str, str], notes: list[str]) -> None:
    protocol = values.get("security.protocol", "PLAINTEXT").upper()
    if "sasl.username" in values and not protocol.startswith("SASL"):
        notes.append(
            f"sasl.username is set, but security.protocol is {protocol}: nobody logs in; "
            "add -X security.protocol=SASL_SSL"
        )


def _refuse_login_without_a_token(values: Mapping[str, str]) -> None:
    """Without a way to a token librdkafka would wait for one for ever, and say nothing."""
    by_token = values.get("sasl.mechanism", "").upper() == "OAUTHBEARER"
    unsecured = values.get("enable.sasl.oauthbearer.unsecure.jwt", "").lower() == "true"
    if by_token and not unsecured and values.get("sasl.oauthbearer.method", "").lower() != "oidc":
        raise UsageError(
            "OAUTHBEARER needs a way to get tokens, and none is configured",
            code="kafka-value-refused",
            hint="add sasl.oauthbearer.method=oidc, sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id "
            "and sasl.oauthbearer.client.secret to --kafka-config",
        )


def _ask_librdkafka(properties: KafkaProperties) -> None:
    """A client without brokers checks the configuration as the real ones will, and connects to nothing."""
    values = {key: value for key, value in properties.values.items() if key != "bootstrap.servers"}
    try:
        Consumer({**values, "group.id": "migrator-check", "log_level": 0}).close()
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise _refused(properties.redact(said.strip())) from None


def _refused(said: str) -> UsageError:
    if unknown := _UNKNOWN_KEY.search(said):
        close = get_close_matches(unknown[1], _SUGGESTED.split(), n=1)
        return UsageError(
            f"Kafka's client knows no property {unknown[1]!r}",
            code="kafka-key-unknown",
            hint=f"did you mean {close[0]}?" if close else "all properties: librdkafka's CONFIGURATION.md",
        )
    if "No provider for SASL mechanism GSSAPI" in said:
        return UsageError(
            "Kerberos (GSSAPI) is not built into the installed Kafka client",
            code="kafka-value-refused",
            hint="pip install --no-binary confluent-kafka confluent-kafka   (needs librdkafka built with libsasl2)",
        )
    named = _BAD_VALUE.search(said)
    hint = f"look at {named[1]} in -X and --kafka-config" if named else "look at -X and --kafka-config"
    return UsageError(f"Kafka's client refuses the configuration: {said}", code="kafka-value-refused", hint=hint)
