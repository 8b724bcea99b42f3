"""What librdkafka reports beside its results, and what each report means to a person.

librdkafka retries for ever and says why only in callbacks and log lines. `Reports` collects both for one client, sends
the log lines to Python's ``logging`` (logger ``migrator.kafka.librdkafka``, silent unless the program adds a handler)
instead of standard error, and turns what it heard into one error for people.
"""

import logging
import re
import time

from confluent_kafka import KafkaError

from migrator.errors import CannotStartError, MigratorError
from migrator.kafka.properties import KafkaProperties

_LOGGER = logging.getLogger("migrator.kafka.librdkafka")
_LOGGER.addHandler(logging.NullHandler())  # without a handler, logging itself writes warnings to standard error

UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  librdkafka's own codes are spelled with an underscore
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
    }
)
"""Codes after which librdkafka goes on trying by itself."""

_AUTHENTICATION = KafkaError._AUTHENTICATION  # noqa: SLF001
_HOPELESS = frozenset(
    {
        _AUTHENTICATION,
        KafkaError._SSL,  # noqa: SLF001
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    }
)
_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "--topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "--group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "--cluster",
}
_GRACE_SECONDS = 4.0
"""How long every broker may be down before it is given up: one that restarts is back sooner, or not soon."""

_NOISE = re.compile(
    r"\[thrd:[^]]*\]: | \(after \d+ms in state [A-Z_]+\)|(?:, )?\d+ identical error\(s\) suppressed"
    r"|Connect to ipv[46]#\S+ failed: |Failed to get metadata: "
)
_SPEAKER = re.compile(r"^(?:\[thrd:[^]]*\]: )?(?:\w+://)?(\[?[\w.:-]+\]?:\d+)/(\d+|bootstrap): ")
_HTTP_SIZE = "Invalid response size 1213486160"  # the letters HTTP, read as a length


class Reports:
    """The callbacks of one client; all of them run inside that client's own calls, in the calling thread.

    Attributes:
        down_since: ``time.monotonic()`` of the first sign that no broker answers; None while nothing is wrong.
        text: the most telling reason heard so far, without secrets; empty while nothing is wrong.
    """

    def __init__(self, properties: KafkaProperties) -> None:
        self._properties = properties
        self._worst: KafkaError | None = None
        self._all_down_since: float | None = None
        self.down_since: float | None = None
        self.text = ""

    def log(self, level: int, template: str, *details: object) -> None:
        """Takes a log line from librdkafka: the signature is that of ``logging.Logger.log``."""
        line = self._properties.redact(template % details)
        _LOGGER.log(level, "%s", line)
        if details and details[0] == "FAIL" and not self.text:
            self._blame(str(details[-1]))

    def error(self, error: KafkaError) -> None:
        """Takes an error: librdkafka's ``error_cb``, or one that a call raised."""
        now = time.monotonic()
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._all_down_since = self._all_down_since or now
        self.down_since = self.down_since or now
        if self._worst is None or error.code() in _HOPELESS or self._worst.code() in UNREACHABLE:
            self._worst = error
        if _SPEAKER.match(error.str()) or (error.code() in _HOPELESS and not self.text):
            self._blame(error.str())

    def clear(self) -> None:
        """Forgets everything: a broker answered."""
        self._worst = self._all_down_since = self.down_since = None
        self.text = ""

    @property
    def hopeless(self) -> bool:
        """Whether waiting on would only keep the user waiting."""
        if self._worst is not None and self._worst.code() in _HOPELESS:
            return True
        return self._all_down_since is not None and time.monotonic() - self._all_down_since > _GRACE_SECONDS

    def cannot_start(self) -> CannotStartError:
        """The one error that says why no broker answered."""
        code = self._worst.code() if self._worst else KafkaError._TIMED_OUT  # noqa: SLF001
        if code == _AUTHENTICATION:
            return self._not_authenticated()
        if code == KafkaError._SSL or "SSL" in self.text:  # noqa: SLF001
            return self._no_tls()
        return self._unreachable()

    def _blame(self, text: str) -> None:
        """The speaker's address stays in front: with several brokers it says which one."""
        speaker = _SPEAKER.match(text)
        reason = _NOISE.sub("", text[speaker.end() :] if speaker else text).strip().rstrip(":")
        if reason in self.text:
            return  # a retry fails for the same reason, and librdkafka tells less of it from the second time on
        named = speaker is not None and speaker[1] != self._properties.bootstrap_servers
        self.text = self._properties.redact(f"{speaker[1]}: {reason}" if speaker and named else reason)

    def _not_authenticated(self) -> CannotStartError:
        user = f"user {self._properties.user!r}" if self._properties.user else "this connection"
        hint = "check sasl.mechanism, sasl.username and sasl.password in --kafka-config or -X"
        if "not valid in current SASL state" in self.text:
            hint = "this port takes no logins: name the port that does, or leave SASL out of security.protocol"
        return CannotStartError(
            f"Kafka refused the login of {user}: {self.text}", code="authentication-failed", hint=hint
        )

    def _no_tls(self) -> CannotStartError:
        if "PLAINTEXT broker" in self.text or "closed by peer" in self.text:
            hint = "this port speaks no TLS; name the TLS port, or use -X security.protocol=PLAINTEXT or SASL_PLAINTEXT"
        else:
            hint = (
                "-X ssl.ca.location=ca.pem names the CA that signed the broker's certificate, and the name in\n"
                "--bootstrap-servers must be one that the certificate holds; to look at it:\n"
                f"openssl s_client -showcerts -connect {_first(self._properties.bootstrap_servers)} </dev/null"
            )
        return CannotStartError(f"no TLS connection to Kafka: {self.text}", code="tls-failed", hint=hint)

    def _unreachable(self) -> CannotStartError:
        servers = self._properties.bootstrap_servers
        reason = f": {self.text}" if self.text else ": no answer"
        return CannotStartError(
            f"cannot reach Kafka at {servers}{reason}", code="broker-unreachable", hint=self._way_to_reach()
        )

    def _way_to_reach(self) -> str:
        servers = self._properties.bootstrap_servers
        host, _, port = _first(servers).rpartition(":")
        if _HTTP_SIZE in self.text:
            return "a web server answers there, not Kafka: check host and port in --bootstrap-servers"
        if self._worst and self._worst.code() == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001
            return "that may be the port of a KRaft controller, or a very old broker: name a broker's own port"
        if "Disconnected" in self.text or "connection closed" in self.text:
            return (
                "the port is open, but the connection is closed at once: the listener may want TLS or a login\n"
                f"security.protocol is {self._properties.security_protocol}; -X security.protocol=SASL_SSL changes it"
            )
        blamed = self.text.partition(": ")[0]
        if _SPEAKER.match(f"{blamed}/1: ") and blamed not in servers:
            return f"the cluster itself names {blamed} (advertised.listeners): it must resolve and be open from here"
        return (
            f"nc -vz {host or port} {port if host else '9092'}   # is the port open from here?\n"
            "--bootstrap-servers or KAFKA_BOOTSTRAP_SERVERS names other brokers"
        )


def denied(properties: KafkaProperties, error: KafkaError, operation: str, name: str) -> CannotStartError | None:
    """The error for a missing permission; None when ``error`` says something else.

    Args:
        properties: for the user's name.
        error: what the broker said.
        operation: the ACL operation that is missing, in Kafka's spelling, such as ``Read``.
        name: the topic or group; unused for the cluster.
    """
    option = _DENIED.get(error.code())
    if option is None:
        return None
    kind = option.removeprefix("--")
    resource = "--cluster" if kind == "cluster" else f"{option} '{name}'"
    return CannotStartError(
        f"{operation} on {kind}{'' if kind == 'cluster' else f' {name!r}'} is not allowed to "
        f"{properties.user or 'this connection'!r}",
        code="not-authorized",
        hint=acl_line(properties, operation, resource),
    )


def acl_line(properties: KafkaProperties, operation: str, resource: str) -> str:
    """The command that allows an operation on a resource, which is written as that command's option."""
    return (
        f"kafka-acls.sh --bootstrap-server {_first(properties.bootstrap_servers)} --add "
        f"--allow-principal 'User:{properties.user or 'NAME'}' --operation {operation} {resource}"
    )


def failed(properties: KafkaProperties, error: KafkaError, doing: str) -> MigratorError:
    """The error for everything that has no better one."""
    return CannotStartError(
        f"{doing} failed: {properties.redact(error.str())} ({error.name()})",
        code="kafka-request-failed",
        hint="migrator doctor",
    )


def _first(servers: str) -> str:
    return servers.partition(",")[0].rpartition("/")[2]
