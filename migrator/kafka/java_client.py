"""What a Java client's ``client.properties`` means in librdkafka's spelling.

Pure: names and values in, names and values out. Only what maps clearly is mapped; what cannot be mapped but decides
whether a connection is safe or possible is refused by name, and the rest of the Java client's own keys is left aside
with a note. Sources: the configuration references of Apache Kafka's clients and of librdkafka.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from migrator.errors import UsageError

_RENAMED = {
    "sasl.mechanisms": "sasl.mechanism",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "send.buffer.bytes": "socket.send.buffer.bytes",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
}

_LEFT_ASIDE = re.compile(
    r"""(?x)
      (.*\.)?(de)?serializers?(\..*)?                                        # bytes stay bytes here
    | (schema\.registry|basic\.auth|bearer\.auth|json|avro|protobuf|specific|value\.subject|key\.subject)\..*
    | use\.latest\.version | auto\.register\.schemas
    | (interceptor|partitioner)\.class(es)? | partitioner\..* | metrics?\..* | auto\.include\.jmx\.reporter
    | enable\.metrics\.push | config\.providers.* | security\.providers
    | ssl\.(protocol|enabled\.protocols|provider|(trust|key)manager\.algorithm|engine\.factory\.class
           |secure\.random\.implementation)
    | sasl\.(login\.(refresh|retry|class|connect|read)|kerberos\.(ticket|kinit|min\.time)).*
    | acks | retries | batch\.size | buffer\.memory | linger\.ms | delivery\.timeout\.ms | request\.timeout\.ms
    | default\.api\.timeout\.ms | transaction\.timeout\.ms | socket\.connection\.setup\.timeout\.max\.ms
    | max\.(poll\.records|request\.size|block\.ms|in\.flight\.requests\.per\.connection)
    | exclude\.internal\.topics | internal\.leave\.group.*
    """
)

_MODULE = re.compile(r"\s*([\w.$]+)\s+(?:required|requisite|sufficient|optional)\b(.*?);?\s*", re.DOTALL)
_OPTION = re.compile(r"""([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"';]+))""")

_JAAS = {
    "PlainLoginModule": {"username": "sasl.username", "password": "sasl.password"},
    "ScramLoginModule": {"username": "sasl.username", "password": "sasl.password"},
    "OAuthBearerLoginModule": {
        "clientId": "sasl.oauthbearer.client.id",
        "clientSecret": "sasl.oauthbearer.client.secret",
        "scope": "sasl.oauthbearer.scope",
    },
    "Krb5LoginModule": {"keyTab": "sasl.kerberos.keytab", "principal": "sasl.kerberos.principal"},
}


class Translation(NamedTuple):
    """librdkafka's keys, and the names of the keys that were left aside."""

    values: dict[str, str]
    left_aside: tuple[str, ...]


def translate(properties: Mapping[str, str]) -> Translation:
    """Returns a file's properties in librdkafka's spelling; keys that are librdkafka's already stay as they are.

    Raises:
        UsageError: ``java-only`` for a setting without which the connection would fail or be less safe than asked
            for, and that only a Java client can obey; ``jaas-unreadable`` for a ``sasl.jaas.config``.
    """
    values: dict[str, str] = {}
    left_aside: list[str] = []
    for key, value in properties.items():
        if key in _SPECIAL:
            values |= _SPECIAL[key](properties)
        elif key in _RENAMED:
            values[_RENAMED[key]] = value
        elif _LEFT_ASIDE.fullmatch(key):
            left_aside.append(key)
        else:
            values[key] = value
    return Translation(values, tuple(left_aside))


def _jaas(properties: Mapping[str, str]) -> dict[str, str]:
    read = _MODULE.fullmatch(properties["sasl.jaas.config"])
    wanted = _JAAS.get(read[1].rpartition(".")[2]) if read else None
    if read is None or wanted is None:
        raise UsageError(
            "sasl.jaas.config names no login module that is known here"
            if read
            else "sasl.jaas.config cannot be read: it wants 'module required name=\"value\" ...;'",
            code="jaas-unreadable",
            hint=f"modules that are understood: {', '.join(_JAAS)}\n"
            "or write librdkafka's keys instead: sasl.mechanism, sasl.username, sasl.password",
        )
    options = {name: _unquoted(double, single, bare) for name, double, single, bare in _OPTION.findall(read[2])}
    found = {key: options[name] for name, key in wanted.items() if name in options}
    return found | _mechanism(read[1], properties)


def _unquoted(double: str, single: str, bare: str) -> str:
    return re.sub(r"\\(.)", r"\1", double) or single or bare


def _mechanism(module: str, properties: Mapping[str, str]) -> dict[str, str]:
    """PLAIN and OAUTHBEARER each have a login module of their own, so the module says the mechanism."""
    if "sasl.mechanism" in properties or "sasl.mechanisms" in properties:
        mechanism = {}
    else:
        short = module.rpartition(".")[2]
        named = {"PlainLoginModule": "PLAIN", "OAuthBearerLoginModule": "OAUTHBEARER", "Krb5LoginModule": "GSSAPI"}
        mechanism = {"sasl.mechanism": named[short]} if short in named else {}
    oidc = "sasl.oauthbearer.token.endpoint.url" in properties and "sasl.oauthbearer.method" not in properties
    return mechanism | ({"sasl.oauthbearer.method": "oidc"} if oidc else {})


def _truststore(properties: Mapping[str, str]) -> dict[str, str]:
    if properties.get("ssl.truststore.type", "").upper() == "PEM":
        return {"ssl.ca.location": properties.get("ssl.truststore.location", "")}
    path = properties.get("ssl.truststore.location", "truststore.jks")
    raise UsageError(
        f"ssl.truststore.location ({path}) is a Java trust store, which librdkafka cannot read: "
        "it wants the CA's certificate as PEM in ssl.ca.location",
        code="java-only",
        hint=f"keytool -exportcert -rfc -keystore {path} -alias ALIAS -file ca.pem   (keytool -list shows aliases)\n"
        "then replace the ssl.truststore lines by: ssl.ca.location=ca.pem",
    )


def _keystore(properties: Mapping[str, str]) -> dict[str, str]:
    path = properties["ssl.keystore.location"]
    kind = properties.get("ssl.keystore.type", "").upper()
    if kind == "PEM":
        return {"ssl.certificate.location": path, "ssl.key.location": path}
    if kind == "PKCS12" or path.lower().endswith((".p12", ".pfx")):
        return {"ssl.keystore.location": path}
    raise UsageError(
        f"ssl.keystore.location ({path}) is a Java key store, which librdkafka cannot read: it wants PKCS12 or PEM",
        code="java-only",
        hint=f"keytool -importkeystore -srckeystore {path} -destkeystore client.p12 -deststoretype PKCS12\n"
        "then write: ssl.keystore.location=client.p12",
    )


def _endpoint_identification(properties: Mapping[str, str]) -> dict[str, str]:
    """An empty value switches the check of the host name off in Java; librdkafka says ``none``."""
    key = "ssl.endpoint.identification.algorithm"
    return {key: properties[key].strip().lower() or "none"}


def _callback(properties: Mapping[str, str]) -> dict[str, str]:
    key = next(key for key in _CALLBACKS if key in properties)
    if properties[key].endswith(("OAuthBearerLoginCallbackHandler", "OAuthBearerSaslClientCallbackHandler")):
        return {}  # the Java client's own; sasl.oauthbearer.method=oidc does the same here
    raise UsageError(
        f"{key} names a Java class, which only a Java client can run",
        code="java-only",
        hint="use a login that librdkafka knows: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with OIDC, or TLS",
    )


def _nothing(_: Mapping[str, str]) -> dict[str, str]:
    return {}


_CALLBACKS = ("sasl.client.callback.handler.class", "sasl.login.callback.handler.class")
_SPECIAL = {
    "sasl.jaas.config": _jaas,
    "ssl.truststore.location": _truststore,
    "ssl.truststore.type": _nothing,
    "ssl.truststore.password": _nothing,
    "ssl.keystore.location": _keystore,
    "ssl.keystore.type": _nothing,
    "ssl.endpoint.identification.algorithm": _endpoint_identification,
    **dict.fromkeys(_CALLBACKS, _callback),
}
