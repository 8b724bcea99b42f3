from pathlib import Path

import pytest

from migrator.errors import UsageError
from migrator.settings import Layer, Settings, load, parse_options

SECRET = "hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "migrator.toml"
    path.write_text(
        """
        topics = ["from-file"]
        [postgres]
        dsn = "postgresql://file@db/app"
        schema = "file"
        [kafka]
        bootstrap_servers = "file:9092"
        config = "client.properties"
        [kafka.options]
        "socket.timeout.ms" = 1000
        "enable.ssl.certificate.verification" = true
        "client.id" = "file"
        """
    )
    return path


def test_nothing_said_is_left_to_libpq() -> None:
    assert load(Layer(), environ={}) == Settings()
    assert load(Layer(), environ={}).dsn == ""


def test_flags_beat_environment_beats_file(file: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://env@db/app", "MIGRATOR_SCHEMA": "env"}
    settings = load(Layer(schema="flag"), file, environ)
    assert settings.schema == "flag"
    assert settings.dsn == "postgresql://env@db/app"
    assert settings.bootstrap_servers == "file:9092"
    assert settings.topics == ("from-file",)


def test_empty_variable_is_unset(file: Path) -> None:
    assert load(Layer(), file, {"DATABASE_URL": "", "KAFKA_BOOTSTRAP_SERVERS": ""}).dsn == "postgresql://file@db/app"


def test_kafka_options_merge_key_by_key(file: Path) -> None:
    settings = load(Layer(kafka_options={"client.id": "flag"}), file, {})
    assert settings.kafka_options == {
        "socket.timeout.ms": "1000",
        "enable.ssl.certificate.verification": "true",
        "client.id": "flag",
    }


def test_path_in_the_file_is_beside_the_file(file: Path) -> None:
    assert load(Layer(), file, {}).kafka_config == file.parent / "client.properties"
    assert load(Layer(), file, {"KAFKA_CONFIG": "other.properties"}).kafka_config == Path("other.properties")


def test_file_is_found_here_or_by_its_variable(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load(Layer(), environ={"MIGRATOR_CONFIG": str(file)}).schema == "file"
    monkeypatch.chdir(tmp_path)
    assert load(Layer(), environ={}).schema == "file"


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("[postgres]\nschem = 'x'", "config-key", "postgres.schema"),
        ("dsn = 'x'", "config-key", "postgres.dsn"),
        ("xyzzy = 1", "config-key", "known keys"),
        ("topics = 'x'", "config-type", ""),
        ("[postgres]\nschema = 1", "config-type", ""),
        ("[kafka.options]\na = []", "config-type", ""),
        ("postgres = 1", "config-key", ""),
        ("not toml", "config-unreadable", ""),
    ],
)
def test_bad_file_is_answered_with_what_was_meant(tmp_path: Path, text: str, code: str, hint: str) -> None:
    path = tmp_path / "other.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(Layer(), path, {})
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load(Layer(), tmp_path / "missing.toml", {})


def test_secrets_do_not_show() -> None:
    layer = Layer(dsn=f"postgresql://u:{SECRET}@h/d", kafka_options={"sasl.password": SECRET})
    assert SECRET not in repr(load(layer, environ={}))
    assert SECRET not in repr(layer)
    assert "sasl.password" in repr(load(layer, environ={}))


def test_options_are_pairs() -> None:
    assert parse_options(["a=b=c", " d =e", "f="]) == {"a": "b=c", "d": "e", "f": ""}
    for bad in (SECRET, f"={SECRET}"):
        with pytest.raises(UsageError) as caught:
            parse_options([bad])
        assert SECRET not in str(caught.value)
