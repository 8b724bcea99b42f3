"""The connection to Kafka: three sources, two spellings, no secret in sight."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from migrator.errors import UsageError
from migrator.kafka.properties import KafkaProperties, is_secret, kafka_properties

SECRET = "s3cr3t-Passw0rd"
JAAS_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
JAAS_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "client.properties"


def refused(
    code: str,
    options: Mapping[str, str] | None = None,
    *,
    servers: str | None = "kafka:9092",
    config: Path | None = None,
) -> UsageError:
    with pytest.raises(UsageError) as raised:
        kafka_properties(servers, config, options or {})
    assert raised.value.code == code
    assert SECRET not in raised.value.message + raised.value.hint
    return raised.value


def from_file(file: Path, text: str) -> KafkaProperties:
    file.write_text(f"bootstrap.servers=kafka:9092\n{text}", encoding="utf-8")
    return kafka_properties(config=file)


def test_the_flag_wins_over_options_and_options_over_the_file(file: Path) -> None:
    file.write_text("bootstrap.servers=file:1\nclient.id=file\nfetch.min.bytes=2\n", encoding="utf-8")
    options = {"bootstrap.servers": "option:2", "client.id": "option"}
    assert kafka_properties(config=file).bootstrap_servers == "file:1"
    assert kafka_properties(None, file, options).bootstrap_servers == "option:2"
    properties = kafka_properties("flag:3, flag:4,", file, options)
    assert dict(properties.values) == {
        "bootstrap.servers": "flag:3,flag:4",
        "client.id": "option",
        "fetch.min.bytes": "2",
    }


def test_a_client_gets_its_own_settings_over_the_users() -> None:
    settings = kafka_properties("kafka:9092", None, {"fetch.min.bytes": "2"}).for_client({"fetch.min.bytes": 3})
    assert settings == {"client.id": "kafka-to-postgres", "bootstrap.servers": "kafka:9092", "fetch.min.bytes": 3}


@pytest.mark.parametrize(
    "servers", ["kafka", "kafka:9092", "[::1]:9092", "10.0.0.1:1,b.example.com:65535", "SSL://k:9093"]
)
def test_brokers_as_people_write_them(servers: str) -> None:
    assert kafka_properties(servers).bootstrap_servers == servers


@pytest.mark.parametrize("servers", ["http://kafka:9092", "kafka:port", "kafka:0", "kafka:65536", "a b", ":9092"])
def test_brokers_that_librdkafka_would_pass_over_in_silence(servers: str) -> None:
    assert servers in refused("bootstrap-malformed", servers=servers).message


def test_a_postgres_url_is_not_a_broker_and_its_password_is_not_shown() -> None:
    error = refused("bootstrap-malformed", servers=f"postgresql://app:{SECRET}@db/jobs")
    assert "Postgres" in error.hint


@pytest.mark.parametrize("servers", [None, "", " , "])
def test_no_broker_at_all(servers: str | None) -> None:
    assert "KAFKA_BOOTSTRAP_SERVERS" in refused("bootstrap-missing", servers=servers).hint


def test_an_unknown_key_gets_a_suggestion() -> None:
    error = refused("kafka-key-unknown", {"sasl.pasword": SECRET})
    assert "'sasl.pasword'" in error.message
    assert error.hint == "did you mean sasl.password?"


def test_an_unknown_key_that_resembles_nothing() -> None:
    assert "CONFIGURATION.md" in refused("kafka-key-unknown", {"xyzzy": "1"}).hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("security.protocol", "SASL_TLS"),
        ("fetch.wait.max.ms", "-5"),
        ("fetch.wait.max.ms", "soon"),
        ("enable.ssl.certificate.verification", "perhaps"),
    ],
)
def test_a_value_that_librdkafka_refuses(key: str, value: str) -> None:
    assert key in refused("kafka-value-refused", {key: value}).message


def test_what_only_a_program_can_give() -> None:
    refused("kafka-value-refused", {"error_cb": "print"})


def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    ca = str(tmp_path / "ca.pem")
    assert (
        "ssl.ca.location" in refused("kafka-value-refused", {"security.protocol": "SSL", "ssl.ca.location": ca}).message
    )


def test_kerberos_is_not_in_the_wheel() -> None:
    error = refused("kafka-value-refused", {"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"})
    assert "Kerberos" in error.message


def test_a_token_that_nobody_can_get() -> None:
    error = refused("kafka-value-refused", {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"})
    assert "sasl.oauthbearer.token.endpoint.url" in error.hint


@pytest.mark.parametrize(
    "key", ["group.id", "isolation.level", "auto.offset.reset", "enable.auto.commit", "check.crcs"]
)
def test_what_the_guarantees_rest_on_is_not_the_users_to_set(key: str, file: Path) -> None:
    assert key in refused("kafka-key-reserved", {key: "x"}).message
    properties = from_file(file, f"{key}=x\n")
    assert key not in properties.values
    assert any(key in note for note in properties.notes)


def test_the_production_transaction_is_never_fenced(file: Path) -> None:
    assert "transactional.id" not in from_file(file, "transactional.id=orders\n").values


@pytest.mark.parametrize(
    ("jaas", "user", "password"),
    [
        (f'{JAAS_PLAIN} required username="alice" password="pa;ss=word";', "alice", "pa;ss=word"),
        (f'{JAAS_PLAIN} required \\\n  username="alice" \\\n  password="a b";', "alice", "a b"),
        (f"{JAAS_SCRAM} required username='alice' password='it is \"quoted\"';", "alice", 'it is "quoted"'),
        (f'{JAAS_SCRAM} required username=alice password="back\\\\"slash" tokenauth=false;', "alice", 'back"slash'),
        (f'{JAAS_PLAIN} required username="älice" password="пароль";', "älice", "пароль"),
    ],
)
def test_a_login_in_the_java_clients_spelling(file: Path, jaas: str, user: str, password: str) -> None:
    text = f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={jaas}\n"
    properties = from_file(file, text)
    assert (properties.values["sasl.username"], properties.values["sasl.password"]) == (user, password)
    assert properties.user == user


def test_a_plain_login_says_its_mechanism(file: Path) -> None:
    text = f'security.protocol=SASL_SSL\nsasl.jaas.config={JAAS_PLAIN} required username="a" password="b";\n'
    assert from_file(file, text).describe() == "kafka:9092 (SASL_SSL, PLAIN, user a)"


def test_a_login_by_token_in_the_java_clients_spelling(file: Path) -> None:
    module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
    values = from_file(
        file,
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n"
        "sasl.oauthbearer.token.endpoint.url=https://login.example.com/token\n"
        f'sasl.jaas.config={module} required clientId="c" clientSecret="{SECRET}" scope="s";\n'
        "sasl.login.callback.handler.class="
        "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler\n",
    ).values
    assert values["sasl.oauthbearer.method"] == "oidc"
    assert values["sasl.oauthbearer.client.secret"] == SECRET


@pytest.mark.parametrize("jaas", [f"com.example.OwnModule required password={SECRET};", f"password={SECRET}", ""])
def test_a_login_that_cannot_be_read(file: Path, jaas: str) -> None:
    file.write_text(f"sasl.jaas.config={jaas}\n", encoding="utf-8")
    refused("jaas-unreadable", config=file)


def test_what_a_java_application_has_besides_is_left_aside_with_a_note(file: Path) -> None:
    properties = from_file(
        file,
        "key.deserializer=org.apache.kafka.common.serialization.StringDeserializer\nmax.poll.records=500\n"
        "schema.registry.url=https://registry\nbasic.auth.user.info=u:p\nacks=all\ndelivery.timeout.ms=1\n"
        "ssl.enabled.protocols=TLSv1.3\ninterceptor.classes=a.B\nsession.timeout.ms=45000\n",
    )
    assert set(properties.values) == {"bootstrap.servers", "session.timeout.ms"}
    assert "key.deserializer" in properties.notes[0]
    assert "u:p" not in properties.notes[0]


def test_a_java_trust_store_names_the_way_out(file: Path) -> None:
    file.write_text("ssl.truststore.location=/etc/t.jks\nssl.truststore.password=x\n", encoding="utf-8")
    error = refused("java-only", config=file)
    assert "ssl.ca.location" in error.message
    assert "keytool" in error.hint


def test_a_java_key_store_names_the_way_out(file: Path) -> None:
    file.write_text(f"ssl.keystore.location=/etc/k.jks\nssl.keystore.password={SECRET}\n", encoding="utf-8")
    assert "PKCS12" in refused("java-only", config=file).hint


def test_a_callback_in_java_cannot_run_here(file: Path) -> None:
    file.write_text("sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMHandler\n", encoding="utf-8")
    refused("java-only", config=file)


def test_pem_stores_map(file: Path) -> None:
    values = from_file(
        file,
        "ssl.truststore.type=PEM\nssl.truststore.location=/ca.pem\n"
        "ssl.keystore.type=PEM\nssl.keystore.location=/client.pem\nssl.endpoint.identification.algorithm=\n",
    ).values
    assert values["ssl.ca.location"] == "/ca.pem"
    assert values["ssl.certificate.location"] == values["ssl.key.location"] == "/client.pem"
    assert values["ssl.endpoint.identification.algorithm"] == "none"


def test_a_file_that_is_not_there(file: Path) -> None:
    assert str(file) in refused("kafka-config-unreadable", config=file).message


def test_a_file_with_a_broken_escape(file: Path) -> None:
    file.write_text("client.id=\\u12\n", encoding="utf-8")
    refused("kafka-config-unreadable", config=file)


def test_a_file_in_latin_1_as_java_has_it(file: Path) -> None:
    file.write_bytes("bootstrap.servers=kafka:9092\nclient.id=caf\u00e9\n".encode("latin-1"))
    assert kafka_properties(config=file).values["client.id"] == "café"


def test_a_login_that_nothing_uses_is_noted() -> None:
    properties = kafka_properties("kafka:9092", None, {"sasl.username": "alice", "sasl.password": SECRET})
    assert "nobody logs in" in properties.notes[0]
    assert properties.user is None


def test_secrets_are_nowhere_to_be_seen() -> None:
    options = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "alice",
        "sasl.password": SECRET,
        "ssl.key.password": SECRET,
    }
    properties = kafka_properties("kafka:9092", None, options)
    shown = f"{properties!r} {properties} {properties.describe()} {properties.redact(f'password {SECRET} is wrong')}"
    assert SECRET not in shown
    assert "alice" in shown


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.jaas.config",
        "sasl.oauthbearer.assertion.private.key.file",
    ],
)
def test_which_keys_are_secret(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["sasl.username", "bootstrap.servers", "sasl.oauthbearer.token.endpoint.url"])
def test_which_keys_are_not(key: str) -> None:
    assert not is_secret(key)
